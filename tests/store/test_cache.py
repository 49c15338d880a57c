"""The writer's cache of accounts: bounded by accounts and by lots, the least lately used go first."""

from uuid import UUID

from ledger.domain.account import Account
from ledger.domain.instant import FOREVER
from ledger.domain.lot import Lot
from ledger.writer.cache import Cache


def account(number: int, lots: int) -> Account:
    """An account with some lots."""
    made = Account(UUID(int=number))
    made.lots = [Lot(FOREVER, one, 0, 1, False) for one in range(lots)]
    return made


def kept(cache: Cache) -> list[int]:
    """The accounts that are there; looking does not use them."""
    return [number for number in range(10) if cache.account(UUID(int=number)) is not None]


def test_no_more_accounts_than_allowed() -> None:
    """The one that was used longest ago is forgotten."""
    cache = Cache(accounts_max=2)
    cache.keep([account(1, 0), account(2, 0)])
    cache.account(UUID(int=1))
    cache.keep([account(3, 0)])
    assert kept(cache) == [1, 3]


def test_no_more_lots_than_allowed() -> None:
    """An account that grows pushes others out; one that shrinks makes room; the last one stays however large."""
    cache = Cache(lots_max=10)
    cache.keep([account(1, 4), account(2, 6)])
    assert kept(cache) == [1, 2]
    cache.keep([account(2, 7)])
    assert kept(cache) == [2]
    cache.keep([account(2, 1), account(3, 9)])
    assert kept(cache) == [2, 3]
    cache.keep([account(4, 99)])
    assert kept(cache) == [4]
