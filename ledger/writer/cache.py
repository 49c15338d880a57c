"""The cache: accounts, pools and programs as of the last batch that touched them."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from ledger.domain.account import Account
from ledger.domain.pool import Pool
from ledger.domain.versions import Versions

ACCOUNTS_CACHED_MAX: Final = 100_000
"""Accounts kept in memory; the least lately used one makes room."""

POOLS_CACHED_MAX: Final = 10_000
"""Pools kept in memory; the least lately used one makes room."""

LOTS_CACHED_MAX: Final = 1_000_000
"""Lots of all accounts in memory together, some 140 bytes each; beyond it the least lately used account makes room."""

PROGRAMS_CACHED_MAX: Final = 1_000
"""Programs kept in memory; the least lately used one makes room."""

PROGRAM_FRESH_S: Final = 1.0
"""How long the newest version of a program is taken as the newest without looking again: a version that another server
publishes decides here after that time at most."""


class Cache:
    """Accounts and programs as of the last batch that touched them.

    What is decided on them is checked against the log: by looking up what is newer, or by the unique keys of the
    events that are appended.
    """

    def __init__(self, accounts_max: int = ACCOUNTS_CACHED_MAX, lots_max: int = LOTS_CACHED_MAX) -> None:
        self._accounts: OrderedDict[UUID, Account] = OrderedDict()
        self._accounts_max = accounts_max
        self._lots_max = lots_max
        self._lots = 0
        self._pools: OrderedDict[UUID, Pool] = OrderedDict()
        self.programs: dict[str, Versions] = {}
        self._looked_up_at: dict[str, float] = {}
        self.position = 0
        """The last position that is known to be in the log. A database that does not have it lost what is here."""

    def clear(self) -> None:
        """Forgets everything."""
        self._accounts.clear()
        self._lots = 0
        self._pools.clear()
        self.programs.clear()
        self._looked_up_at.clear()
        self.position = 0

    def account(self, account_id: UUID) -> Account | None:
        """The account, if it is here."""
        account = self._accounts.get(account_id)
        if account is not None:
            self._accounts.move_to_end(account_id)
        return account

    def keep(self, accounts: Iterable[Account]) -> None:
        """Keeps accounts as they are now."""
        for account in accounts:
            before = self._accounts.get(account.account_id)
            self._lots += len(account.lots) - (len(before.lots) if before is not None else 0)
            self._accounts[account.account_id] = account
        while len(self._accounts) > self._accounts_max or (self._lots > self._lots_max and len(self._accounts) > 1):
            _, forgotten = self._accounts.popitem(last=False)
            self._lots -= len(forgotten.lots)

    def pool(self, stream_id: UUID) -> Pool | None:
        """The pool, if it is here."""
        pool = self._pools.get(stream_id)
        if pool is not None:
            self._pools.move_to_end(stream_id)
        return pool

    def keep_pools(self, pools: Mapping[UUID, Pool]) -> None:
        """Keeps pools as they are now."""
        self._pools.update(pools)
        while len(self._pools) > POOLS_CACHED_MAX:
            self._pools.popitem(last=False)

    def keep_programs(self, programs: Iterable[Versions], looked_up_at: float) -> None:
        """Keeps programs as they were at an instant of the monotonic clock."""
        for versions in programs:
            name = versions.newest.name
            self.programs.pop(name, None)
            self.programs[name] = versions
            self._looked_up_at[name] = looked_up_at
        while len(self.programs) > PROGRAMS_CACHED_MAX:
            oldest = next(iter(self.programs))
            del self.programs[oldest], self._looked_up_at[oldest]

    def fresh_program(self, name: str, now: float) -> Versions | None:
        """The program, if it was looked up lately."""
        is_fresh = now - self._looked_up_at.get(name, -PROGRAM_FRESH_S) < PROGRAM_FRESH_S
        return self.programs[name] if is_fresh else None

    def __len__(self) -> int:
        return len(self._accounts)
