"""Findings: where a check found something wrong."""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

FIRST_FINDINGS_MAX: Final = 10
"""Findings of a place that are kept; the others are counted."""


class Finding(NamedTuple):
    """One thing that is wrong."""

    place: str
    """`log`, `positions`, `accounts`, `balances.lots`, …"""
    key: str
    """The event, account or row."""
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.place} {self.key}: expected {self.expected}, found {self.found}"


class Findings:
    """The first findings of each place, and how many there are."""

    def __init__(self) -> None:
        self.first: list[Finding] = []
        self.count: Counter[str] = Counter()

    def add(self, finding: Finding) -> None:
        """Adds one."""
        if self.count[finding.place] < FIRST_FINDINGS_MAX:
            self.first.append(finding)
        self.count[finding.place] += 1

    def add_counted(self, place: str, first: Iterable[Finding], count: int) -> None:
        """Adds the first of some that were counted elsewhere."""
        for finding in first:
            self.add(finding)
            count -= 1
        if count > 0:
            self.count[place] += count

    def merge(self, other: "Findings") -> None:
        """Adds another's."""
        kept = Counter(finding.place for finding in other.first)
        for finding in other.first:
            self.add(finding)
        self.count += other.count - kept

    def and_new(self, later: "Findings") -> "Findings":
        """These, with what is found later and is not among them."""
        both = Findings()
        both.merge(self)
        for finding in later.first:
            if finding not in self.first:
                both.add(finding)
        return both
