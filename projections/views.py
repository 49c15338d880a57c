"""The views as the API reads them: see ledger.views."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from loyalty.v1.account_pb2 import Balance, NextExpiry, TierProgress
from loyalty.v1.crm_service_pb2 import MemberSnapshot, StatementEntry
from loyalty.v1.program_pb2 import Program as Definition
from loyalty.v1.program_service_pb2 import CatalogueEntry
from loyalty.v1.reward_pb2 import Entitlement, Reward, Voucher
from loyalty.v1.tier_pb2 import Standing as StandingMessage
from psycopg.rows import tuple_row

from ledger.domain.instant import DAY, FOREVER, HOUR, set_timestamp, to_timestamp
from ledger.domain.names import entitlement_name, member_name, transaction_name, voucher_name
from ledger.domain.program import Program
from ledger.domain.rules.reward import codes_key, stock_key
from ledger.domain.standing import Standing
from ledger.store.datastore import LedgerDatastore
from ledger.views import Catalogue, EntitlementPage, MemberView, SnapshotPage, StatementPage, ViewBehind, VoucherPage
from projections.sql import statements
from projections.tries import tries

_SQL: Final = statements("views.sql")
_WITH_POINTS: Final = _SQL.pop("with_points")
_SQL["member"] = _SQL["member"].replace(b"{members}", _WITH_POINTS.replace(b"{which}", b"b.member_id = %(member_id)b"))

MEMBERS: Final = _WITH_POINTS.replace(b"{which}", b"b.member_id = ANY (%(members)b::uuid[])")
"""The statement of some members' points and tiers, of parameters `members` and `at`, for PostgresViews.member_view."""

MEMBER_COLUMNS: Final = 12
_FIRST_ID: Final = UUID(int=0)


class PostgresViews:
    """Reads the views. The datastore should be made with POINT_LOOKUPS."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore
        self._programs: dict[str, Program] = {}

    def member(self, member_id: UUID, at: int, min_position: int = 0, timeout_s: float = 0) -> MemberView | None:
        """A member's balance at an instant (microseconds) and tier; None for a member that is not known yet."""
        parameters = {"member_id": member_id, "at": at}
        (row,) = self._read("member", parameters, min_position, timeout_s)
        return None if row[1] is None else self.member_view(row, at)

    def member_view(self, row: Sequence[Any], at: int) -> MemberView:
        """A member from a position and the columns of MEMBERS."""
        expiries = [NextExpiry(points=points, expires_at=to_timestamp(instant)) for instant, points in row[12]]
        tier = self._tier(row, at)
        benefits = self._program(row[2], row[11]).ladder.benefits.get(tier.tier, ())
        return MemberView(row[2], _balance(row, at), expiries, tier, benefits, row[0])

    def statement(
        self,
        member_id: UUID,
        before_position: int,
        limit: int,
        min_position: int = 0,
        timeout_s: float = 0,
    ) -> StatementPage | None:
        """Entries before a position, newest first; None for a member that is not known yet."""
        parameters = {"member_id": member_id, "before": before_position, "limit": limit + 1}
        rows = self._read("statement", parameters, min_position, timeout_s)
        if rows[0][1] is None:
            return None
        entries = [_entry(row) for row in rows[:limit] if row[2] is not None]
        return StatementPage(entries, len(rows) > limit, rows[0][0])

    def snapshot(self, after: UUID | None, limit: int, at: int, program: str = "") -> SnapshotPage:
        """Members behind an id, of a program or all, for a feed that starts.

        Each page may reflect a later position than the one before.
        """
        parameters = {"after": _FIRST_ID if after is None else after, "at": at, "limit": limit, "program": program}
        rows = self._query("members", parameters)
        members = [
            MemberSnapshot(
                member=member_name(row[1]),
                program=row[2],
                balance=_balance(row, at),
                tier=self._tier(row, at),
            )
            for row in rows
            if row[1] is not None
        ]
        return SnapshotPage(members, rows[0][0])

    def vouchers(
        self,
        member_id: UUID,
        before_position: int,
        limit: int,
        state: int,
        at: int,
        min_position: int = 0,
        timeout_s: float = 0,
    ) -> VoucherPage | None:
        """Vouchers issued before a position, newest first; None for a member that is not known yet."""
        parameters = {"member_id": member_id, "before": before_position, "limit": limit + 1, "state": state, "at": at}
        rows = self._read("vouchers", parameters, min_position, timeout_s)
        if rows[0][1] is None:
            return None
        shown = [row for row in rows[:limit] if row[2] is not None]
        return VoucherPage([_voucher(row) for row in shown], _next(rows, limit), rows[0][0])

    def entitlements(
        self,
        member_id: UUID,
        before_position: int,
        limit: int,
        state: int,
        at: int,
        min_position: int = 0,
        timeout_s: float = 0,
    ) -> EntitlementPage | None:
        """The same for entitlements."""
        parameters = {"member_id": member_id, "before": before_position, "limit": limit + 1, "state": state, "at": at}
        rows = self._read("entitlements", parameters, min_position, timeout_s)
        if rows[0][1] is None:
            return None
        shown = [row for row in rows[:limit] if row[2] is not None]
        return EntitlementPage([_entitlement(row) for row in shown], _next(rows, limit), rows[0][0])

    def catalogue(self, program: str, at: int, min_position: int = 0, timeout_s: float = 0) -> Catalogue | None:
        """The rewards of the version of a program that is in force at an instant; None where none is known yet."""
        rows = self._read("catalogue", {"program": program, "at": at}, min_position, timeout_s)
        position, version = rows[0][:2]
        if version is None:
            return None
        stocks = {pool: (drawn, uploaded) for _, _, pool, drawn, uploaded in rows if pool is not None}
        rewards = self._program(program, version).definition.rewards
        return Catalogue([CatalogueEntry(reward=one, left=_left(one, stocks)) for one in rewards], version, position)

    def due(self, before: int, untouched_since: int, limit: int) -> list[UUID]:
        """Accounts with a deadline up to an instant that is not recorded, earliest first.

        Only those whose last event was recorded up to `untouched_since`. Not empty as long as there is any.
        """
        parameters = {"before": before, "untouched_since": untouched_since, "limit": limit}
        return [row[0] for row in self._query("due", parameters)]

    def due_notices(self, before: int, untouched_since: int, limit: int) -> list[UUID]:
        """Accounts of which some points expire so soon that notice was due before an instant, and is not recorded.

        Days are counted an hour short, since some have 23: whoever is returned is due.
        """
        found: list[UUID] = []
        for name, version in self._query("programs", (before,)):
            days = self._program(name, version).notice_days
            if days and len(found) < limit:
                parameters = {
                    "program": name,
                    "before": before,
                    "horizon": before + days * DAY - HOUR,
                    "untouched_since": untouched_since,
                    "limit": limit - len(found),
                }
                found += [row[0] for row in self._query("due_notices", parameters)]
        return found

    def _read(
        self,
        question: str,
        parameters: Mapping[str, Any],
        min_position: int,
        timeout_s: float,
    ) -> list[tuple[Any, ...]]:
        """The rows that answer, each with the position first, at `min_position` or later. Raises ViewBehind."""
        rows: list[tuple[Any, ...]] = []
        for _ in tries(timeout_s):
            rows = self._query(question, parameters)
            if rows[0][0] >= min_position:
                return rows
        raise ViewBehind(rows[0][0])

    def _query(self, question: str, parameters: Any) -> list[tuple[Any, ...]]:
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            return cursor.execute(_SQL[question], parameters, prepare=True).fetchall()

    def _tier(self, row: Sequence[Any], at: int) -> TierProgress:
        tier = TierProgress()
        standing = Standing.of(StandingMessage.FromString(row[10]))
        self._program(row[2], row[11]).ladder.write_progress(tier, row[9], standing, at)
        return tier

    def _program(self, name: str, version: int) -> Program:
        """A version of a program; the one that was asked for last is kept."""
        program = self._programs.get(name)
        if program is None or program.version != version:
            ((definition,),) = self._query("program", (name, version))
            program = self._programs[name] = Program(Definition.FromString(definition))
        return program


def _balance(row: Sequence[Any], at: int) -> Balance:
    balance = Balance(
        available_points=row[4] - row[3],
        pending_points=row[5],
        held_points=row[6],
        as_of=to_timestamp(at),
    )
    if row[7]:
        balance.next_expiry.points = row[7]
        set_timestamp(balance.next_expiry.expires_at, row[8])
    return balance


def _next(rows: Sequence[Sequence[Any]], limit: int) -> int:
    """Before which position the next page begins; 0 at the end."""
    return int(rows[limit - 1][2]) if len(rows) > limit else 0


def _voucher(row: Sequence[Any]) -> Voucher:
    _, member_id, _, voucher_id, reward, starts_at, expires_at, left_minor, state = row
    voucher = Voucher(
        name=voucher_name(member_id, voucher_id),
        reward=Reward.FromString(reward),
        left_minor=left_minor,
        state=state,
    )
    _write_validity(voucher, starts_at, expires_at)
    return voucher


def _entitlement(row: Sequence[Any]) -> Entitlement:
    _, member_id, _, entitlement_id, reward, starts_at, expires_at, used_times, state, sale, line_id, sku = row
    entitlement = Entitlement(
        name=entitlement_name(member_id, entitlement_id),
        reward=Reward.FromString(reward),
        used_times=used_times,
        state=state,
        sale=sale,
        line_id=line_id,
        sku=sku,
    )
    _write_validity(entitlement, starts_at, expires_at)
    return entitlement


def _write_validity(message: Voucher | Entitlement, starts_at: int, expires_at: int) -> None:
    if starts_at:
        set_timestamp(message.starts_at, starts_at)
    if expires_at != FOREVER:
        set_timestamp(message.expires_at, expires_at)


def _left(reward: Reward, stocks: Mapping[str, tuple[int, int]]) -> int | None:
    """How many there are left of a reward; None for any number."""
    left: list[int] = []
    if reward.stock:
        left.append(reward.stock - stocks.get(stock_key(reward), (0, 0))[0])
    if reward.voucher.code_pool:
        drawn, uploaded = stocks.get(codes_key(reward.voucher.code_pool), (0, 0))
        left.append(uploaded - drawn)
    return max(min(left), 0) if left else None


def _entry(row: Sequence[Any]) -> StatementEntry:
    return StatementEntry(
        position=row[2],
        effective_at=to_timestamp(row[3]),
        recorded_at=to_timestamp(row[4]),
        type=row[5],
        transaction="" if row[6] is None else transaction_name(row[6]),
        points=row[7],
        total_points=row[8],
        store=row[9],
    )
