"""The view of vouchers, entitlements and stock: the same as the accounts and pools, however it is made."""

import pytest
from loyalty.v1 import commands_pb2 as c
from loyalty.v1.reward_pb2 import VoucherState

from ledger.domain.names import member_name, pool_stream
from ledger.domain.rules.reward import codes_key, stock_key
from ledger.domain.voucher import ISSUED
from ledger.store.datastore import LedgerDatastore
from projections.check import check
from projections.rebuild import rebuild
from projections.views import PostgresViews
from tests.projections.history import DAY, History, append
from tests.projections.rewarded import REWARDS, lively, with_rewards
from tests.projections.tables import catch_up, execute, tables


@pytest.mark.parametrize("seed", range(3))
def test_views_agree_with_accounts_and_pools(database_url: str, datastore: LedgerDatastore, seed: int) -> None:
    """Also at any later instant, when what has expired or timed out is not recorded."""
    history = lively(seed)
    append(database_url, history.events)
    catch_up(database_url)
    result = check(database_url, 1)
    assert result.ok, "\n".join(result.lines())
    views = PostgresViews(datastore)
    for at in (history.at, history.at + 5 * DAY, history.at + 100 * DAY):
        for member in list(history.accounts):
            page = views.vouchers(member, 2**63 - 1, 1_000, VoucherState.VOUCHER_STATE_ISSUED, at)
            assert page is not None
            known = history.accounts[member].vouchers.values()
            open_ones = {one.name for one in known if one.state == ISSUED and one.expires_at > at}
            assert {one.name for one in page.vouchers} == open_ones
        catalogue = views.catalogue(history.program.name, at)
        assert catalogue is not None
        left = {entry.reward.reward_id: entry.left for entry in catalogue.entries if entry.HasField("left")}
        name = history.program.name
        stock = history.pools[pool_stream(name, stock_key(REWARDS[0]))]
        codes = history.pools[pool_stream(name, codes_key("cinema"))]
        assert left == {"five": 40 - (stock.drawn(0, at) or 0), "coded": 30 - (codes.drawn(0, at) or 0)}


def test_any_cutting_into_pages_gives_the_same_bytes(database_url: str, another_url: str) -> None:
    """Byte for byte, and so does a rebuild (L1)."""
    history = lively(7)
    for url, size in ((database_url, 1), (another_url, 2_000)):
        append(url, history.events)
        catch_up(url, size)
    before = tables(database_url, "rewards")
    assert tables(another_url, "rewards") == before
    rebuild(database_url, "rewards")
    assert tables(database_url, "rewards") == before


@pytest.mark.parametrize(
    ("place", "damage"),
    [
        ("rewards.vouchers", "UPDATE rewards_1.vouchers SET left_minor = left_minor + 1"),
        ("rewards of account", "UPDATE rewards_1.vouchers SET expires_at = expires_at - 1"),
        ("rewards.entitlements", "UPDATE rewards_1.entitlements SET sku = 'other'"),
        ("rewards of account", "UPDATE rewards_1.entitlements SET state = 1"),
        ("rewards.stocks", "UPDATE rewards_1.stocks SET drawn = drawn + 1"),
        ("rewards.stock_holds", "INSERT INTO rewards_1.stock_holds SELECT 'x', 'y', gen_random_uuid(), 1, 1"),
    ],
)
def test_the_check_finds_what_was_changed(database_url: str, place: str, damage: str) -> None:
    """Against the replay, and against the accounts."""
    append(database_url, lively(3).events)
    catch_up(database_url)
    execute(database_url, damage)
    assert place in check(database_url, 1).counts


def test_the_clock_process_finds_what_expires(database_url: str, datastore: LedgerDatastore) -> None:
    """Members of whom a voucher or an entitlement is past its deadline, earliest first, until that is recorded."""
    history = History(with_rewards())
    visitor, guest, owner = (history.enrol() for _ in range(3))
    for member, reward_id in ((guest, "lounge"), (visitor, "five"), (owner, "card")):
        history.run(member, c.GrantRewardRequest(member=member_name(member), reward_id=reward_id, reason="x"))
        history.at += DAY
    append(database_url, history.events)
    catch_up(database_url)
    views = PostgresViews(datastore)
    (lounge,) = history.accounts[guest].entitlements.values()
    (five,) = history.accounts[visitor].vouchers.values()
    long_after = history.at + 100 * DAY
    assert views.due(lounge.expires_at - 1, long_after, 10) == []
    assert views.due(lounge.expires_at, long_after, 10) == [guest]
    assert views.due(five.expires_at, long_after, 10) == [guest, visitor]
    assert views.due(five.expires_at, 0, 10) == [], "an account that was touched since is left alone"
    recorded = len(history.events)
    history.at = long_after
    for member in (visitor, guest, owner, visitor):
        history.settle(member)
    assert len(history.events) == recorded + 2, "twice changes nothing, and a card without a date stays"
    append(database_url, history.events[recorded:], at=long_after)
    catch_up(database_url)
    assert views.due(long_after, long_after * 2, 10) == []
