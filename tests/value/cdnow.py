"""The published example: see README.md."""

import csv
from pathlib import Path
from typing import Final

import numpy as np

from ledger.value.purchases import Histories, Vector

FILE: Final = Path(__file__).parent / "cdnow.csv"


def read() -> tuple[Histories, Vector]:
    """The histories of the customers, each once, and the mean spend of each one's repeat purchases."""
    with FILE.open(encoding="ascii") as file:
        rows = [[float(value) for value in row] for row in list(csv.reader(file))[1:]]
    x, t_x, age, spend = (np.array(column) for column in zip(*rows, strict=True))
    return Histories(x, t_x, age, np.ones_like(x)), spend
