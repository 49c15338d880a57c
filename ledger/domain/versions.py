"""Versions: which version of a program decides what happens at an instant."""

from typing import Final

from ledger.domain.program import Program
from ledger.domain.refusal import InvariantBroken

SCHEDULED_MAX: Final = 100
"""Versions with a start that may follow each other; then one without a start has to come, which replaces them."""


class Versions:
    """The versions of a program that can still decide something: the newest, and those from before its start.

    Immutable. The newest version that has begun decides. One without a start has begun at all times, so none before it
    matters.
    """

    __slots__ = ("_newest_first", "asks", "newest")

    def __init__(self, newest: Program, before: "Versions | None" = None) -> None:
        older = before._newest_first if before is not None and newest.starts_at else ()
        self.newest = newest
        self._newest_first: tuple[Program, ...] = (newest, *older)
        self.asks: frozenset[str] = frozenset().union(*(program.asks for program in self._newest_first))
        """What expressions of any of them ask for that is not in the account."""

    @property
    def is_full(self) -> bool:
        """Whether no further version with a start may follow."""
        return len(self._newest_first) > SCHEDULED_MAX

    def at(self, instant: int) -> Program:
        """The version that decides what happens at an instant."""
        for program in self._newest_first:
            if program.starts_at <= instant:
                return program
        raise InvariantBroken(f"no version of {self.newest.name} has begun")
