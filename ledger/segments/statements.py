"""The segmenter's statements."""

from importlib.resources import files
from typing import Final

from projections.sql import parse

SQL: Final = parse((files("ledger.segments") / "segments.sql").read_text(encoding="utf-8"))
