"""A line of the bench's table: a figure, and whether it holds its goal."""

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table


class Goal(NamedTuple):
    """What a figure has to be."""

    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:,g}"

    def holds(self, value: float) -> bool:
        """Whether a figure is good enough."""
        return _COMPARE[self.sign](value, self.limit)


_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


class Line(NamedTuple):
    """A figure."""

    name: str
    value: float | None
    """None where it could not be measured."""
    unit: str
    goal: str | None
    holds: bool | None
    """None where there is no goal."""
    note: str


class Measure(NamedTuple):
    """What a line measures."""

    unit: str
    goal: Goal | None = None

    def line(self, name: str, value: float | None, note: str = "") -> Line:
        """The line of a figure."""
        goal = str(self.goal) if self.goal is not None else None
        holds = None
        if value is None:
            holds = False
        elif self.goal is not None:
            holds = self.goal.holds(value)
        return Line(name, None if value is None else float(f"{value:.4g}"), self.unit, goal, holds, note)


def print_table(lines: Sequence[Line], console: Console) -> None:
    """Prints the lines for a person."""
    table = Table("name", "value", "unit", "goal", "holds", "note")
    for line in lines:
        holds = {True: "[green]yes", False: "[red]NO", None: ""}[line.holds]
        value = "-" if line.value is None else f"{line.value:,.10g}"
        table.add_row(line.name, value, line.unit, line.goal or "", holds, line.note)
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    table.columns[1].justify = "right"
    console.print(table)


def write_json(lines: Sequence[Line], file: Path) -> None:
    """Writes the lines for a program, as a list."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([line._asdict() for line in lines], indent=2)
    file.write_text(text + "\n", encoding="utf-8")
