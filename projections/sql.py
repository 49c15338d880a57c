"""Named statements: SQL lives in files, a `-- name:` line before each statement."""

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def statements(file: str) -> dict[str, bytes]:
    """The statements of a file of this package by name."""
    return parse((files("projections") / file).read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, bytes]:
    """The statements of a text by name."""
    parts = _NAME.split(text)[1:]
    return {name: sql.strip().encode() for name, sql in zip(parts[::2], parts[1::2], strict=True)}
