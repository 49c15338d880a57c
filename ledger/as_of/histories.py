"""What states of the past are made from. The composition root says which implementation reads it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from ledger.as_of.question import Logged
from ledger.as_of.totals import Totals


class Unchanged(NamedTuple):
    """What the views say of members who did nothing since a position, and who else there is."""

    totals: Totals
    """Of those who did nothing since."""
    others: Sequence[UUID]
    """The other members of the program."""


class Histories(Protocol):
    """Read access to the events of members. Every call blocks on the database and is made from a worker thread."""

    def member(self, member_id: UUID, until: int) -> Iterable[Logged]:
        """A member's events up to a position, in order; read in pages as they are asked for."""

    def members(self, member_ids: Sequence[UUID], until: int) -> Iterable[Logged]:
        """The same of several members, one after the other."""

    def enrolled(self, program: str, position: int, timeout_s: float) -> Sequence[UUID]:
        """The members of a program whom the views know at a position or later. Raises ViewBehind."""

    def unchanged(self, program: str, position: int, at: int, timeout_s: float) -> Unchanged:
        """The members of a program who did nothing behind a position, as they were at an instant since.

        Raises ViewBehind.
        """
