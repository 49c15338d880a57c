"""Stock, and limits of rewards and of all members together: R10 and R13 of the scenario book, promotions' budgets."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from loyalty.v1.earning_pb2 import Conditions
from loyalty.v1.events_pb2 import PoolReturned, ReleaseReason
from loyalty.v1.reward_pb2 import TierCost

from tests.conftest import OpenShop
from tests.programs import cashback, discount, limit, plus, program, spend, tiers, visit
from tests.proof import prove
from tests.running import Databases, running, token
from tests.shop import Details, Shop, refused

CALLS = 50


@pytest.fixture(scope="module")
def servers(databases: Databases) -> Iterator[list[tuple[grpc.Channel, str]]]:
    """Two servers on one database, with a credential."""
    url = databases.url(databases.create())
    with ExitStack() as stack:
        processes = [stack.enter_context(running(url)) for _ in range(2)]
        yield [(stack.enter_context(process.channel()), token(url)) for process in processes]


def at_both(servers: list[tuple[grpc.Channel, str]], shop: Shop) -> list[Shop]:
    """The same shop at each server."""
    shops = [Shop(*server) for server in servers]
    for one in shops:
        one.program = shop.program
    return shops


def test_r13_stock_of_one(servers: list[tuple[grpc.Channel, str]]) -> None:
    """50 members want the last one at the same moment, at two servers: one gets it, 49 are refused cleanly."""
    shop = Shop(*servers[0], program(rewards=[discount(1, terms={"stock": 1})]))
    members = [shop.member() for _ in range(CALLS)]
    for member in members:
        shop.adjust(member, 10)
    shops = at_both(servers, shop)

    def reserve(number: int) -> str:
        try:
            return shops[number % 2].reserve(members[number], "discount").hold
        except grpc.RpcError as error:
            details = Details(error)
            assert details.info.metadata["left"] == "0"
            return details.reason

    with ThreadPoolExecutor(CALLS) as threads:
        answers = list(threads.map(reserve, range(CALLS)))
    assert answers.count("OUT_OF_STOCK") == CALLS - 1
    (hold,) = (answer for answer in answers if answer != "OUT_OF_STOCK")
    shop.commit(hold)
    for member in (members[0], hold.partition("/holds/")[0]):
        prove(shop, member)


@pytest.mark.parametrize("of_all", [limit("ever", points=500, of_all=True), limit("ever", times=50, of_all=True)])
def test_a_budget_is_exact_over_two_servers(servers: list[tuple[grpc.Channel, str]], of_all: object) -> None:
    """A promotion gives 10 points to each of 80 sales until all members together have had 500."""
    shop = Shop(*servers[0], program(spend(1, 1_00), promotions=[plus(10, limits=[of_all])]))
    members = [shop.member() for _ in range(20)]
    shops = at_both(servers, shop)

    def sell(number: int) -> int:
        return shops[number % 2].sale(members[number // 4], 1_00).receipt.earned_points - 1

    with ThreadPoolExecutor(20) as threads:
        given = list(threads.map(sell, range(80)))
    assert sorted(set(given)) == [0, 10]
    assert sum(given) == 500
    prove(shop, members[0])


def test_a_budget_cuts_the_award_that_reaches_it(open_shop: OpenShop) -> None:
    """Each day anew; what it took off is in the breakdown."""
    day = limit("day", points=15, of_all=True)
    shop = open_shop(program(visit(10, limits=[day]), time_zone="UTC"))
    one, other = shop.member(), shop.member()
    assert shop.sale(one, 1_00, at="2026-03-02T12:00").receipt.earned_points == 10
    cut = shop.sale(other, 1_00, at="2026-03-02T23:59")
    (award,) = cut.awards
    assert [(less.limit, less.points) for less in award.reductions] == [("visit/day/points", 5)]
    assert shop.quote(one, 1_00, at="2026-03-02T23:59").receipt.earned_points == 0
    assert shop.sale(one, 1_00, at="2026-03-02T23:59").receipt.earned_points == 0
    assert shop.sale(one, 1_00, at="2026-03-03T00:00").receipt.earned_points == 10
    assert prove(shop, one).available_points == 20
    pool = shop.events(f"{shop.program}/pools/visit/day/points")
    assert [event.pool_drawn.drawn for event in pool] == [10, 15, 10]


def test_r10_quantity_stock_and_limits_have_their_own_refusals(open_shop: OpenShop) -> None:
    """Balance 100, cost 20: quantity 5 allowed, 6 refused. Used up, or had before: refused with that reason."""
    shop = open_shop(
        program(
            rewards=[
                discount(20),
                discount(1, "coupons", terms={"stock": 2}),
                discount(1, "once", terms={"limits": [limit("ever", times=1)]}),
                discount(1, "few", terms={"limits": [limit("day", times=1, of_all=True)]}),
            ]
        )
    )
    member, other = shop.member(), shop.member()
    shop.adjust(member, 100)
    shop.adjust(other, 100)
    with refused("INSUFFICIENT_POINTS", available_points=100, needed_points=120):
        shop.reserve(member, "discount", 6)
    shop.release(shop.reserve(member, "discount", 5).hold)
    with refused("OUT_OF_STOCK", reward_id="coupons", left=2):
        shop.reserve(other, "coupons", 3)
    shop.reserve(other, "coupons", 2)
    with refused("OUT_OF_STOCK", reward_id="coupons", left=0):
        shop.reserve(member, "coupons")
    with refused("LIMIT_REACHED", limit="reward/once/ever/times", left=1):
        shop.reserve(member, "once", 2)
    shop.commit(shop.reserve(member, "once").hold)
    with refused("LIMIT_REACHED", limit="reward/once/ever/times", left=0):
        shop.reserve(member, "once")
    shop.reserve(other, "once")
    shop.reserve(other, "few")
    with refused("LIMIT_REACHED", limit="reward/few/day/times", left=0):
        shop.reserve(member, "few")
    assert prove(shop, member).available_points == 99


def test_a_release_gives_stock_and_limits_back(open_shop: OpenShop) -> None:
    """So does the reversal of a reservation, of a redemption, and of a sale with one."""
    terms = {"stock": 1, "limits": [limit("ever", times=1)]}
    shop = open_shop(program(rewards=[discount(1, terms=terms)]))
    member = shop.member()
    shop.adjust(member, 10)
    shop.release(shop.reserve(member, "discount").hold)
    shop.reverse(shop.reserve(member, "discount").outcome.transaction)
    shop.reverse(shop.commit(shop.reserve(member, "discount").hold).outcome.transaction)
    shop.reverse(shop.sale(member, 10_00, holds=[shop.reserve(member, "discount").hold]).outcome.transaction)
    shop.commit(shop.reserve(member, "discount").hold)
    with refused("OUT_OF_STOCK"):
        shop.reserve(member, "discount")
    prove(shop, member)


def test_a_hold_that_timed_out_is_back_in_stock_at_its_deadline(open_shop: OpenShop) -> None:
    """Nobody has recorded it. A commit with an earlier clock that comes when another has the stock is too late."""
    reward = discount(1, terms={"stock": 1, "limits": [limit("ever", times=1)]})
    shop = open_shop(program(rewards=[reward], hold_timeout=Duration(seconds=1_800)))
    slow, quick = shop.member(), shop.member()
    shop.adjust(slow, 10, at="2026-03-01T00:00")
    shop.adjust(quick, 10, at="2026-03-01T00:00")
    hold = shop.reserve(slow, "discount", at="2026-03-02T12:00").hold
    with refused("OUT_OF_STOCK", left=0):
        shop.reserve(quick, "discount", at="2026-03-02T12:29:59")
    taken = shop.reserve(quick, "discount", at="2026-03-02T12:30").hold
    with refused("HOLD_EXPIRED"):
        shop.commit(hold, at="2026-03-02T12:29")
    shop.commit(taken, at="2026-03-02T12:31")
    moved = [
        getattr(event, event.WhichOneof("event") or "")
        for event in shop.events(f"{shop.program}/pools/reward/discount/stock")
    ]
    assert [type(event).__name__ for event in moved] == ["PoolDrawn", "PoolReturned", "PoolDrawn", "PoolKept"]
    assert isinstance(moved[1], PoolReturned)
    assert moved[1].reason == ReleaseReason.RELEASE_REASON_TIMED_OUT
    # The member's own limit is back too, but there is none left.
    with refused("OUT_OF_STOCK"):
        shop.reserve(slow, "discount", at="2026-03-02T13:00")
    prove(shop, slow)
    prove(shop, quick)


def test_stock_is_what_the_newest_program_says(open_shop: OpenShop) -> None:
    """A version that has more makes room, one that has less does not take back what was drawn."""
    shop = open_shop(program(rewards=[discount(1, terms={"stock": 1})]))
    member = shop.member()
    shop.adjust(member, 10)
    shop.reserve(member, "discount")
    shop.publish(program(name=shop.program, rewards=[discount(1, terms={"stock": 3})]))
    shop.reserve(member, "discount", 2)
    shop.publish(program(name=shop.program, rewards=[discount(1, terms={"stock": 2})]))
    with refused("OUT_OF_STOCK", left=0):
        shop.reserve(member, "discount")
    prove(shop, member)


def test_payments_with_points_have_limits_too(open_shop: OpenShop) -> None:
    """So many points a day."""
    reward = cashback()
    reward.limits.append(limit("day", points=5))
    shop = open_shop(program(rewards=[reward], time_zone="UTC"))
    member = shop.member()
    shop.adjust(member, 20)
    pay = {"points_payment": {"reward_id": "cashback", "points": 4}}
    assert shop.sale(member, 10_00, **pay).receipt.payable_minor == 6_00
    with refused("LIMIT_REACHED", limit="reward/cashback/day/points", left=1):
        shop.sale(member, 10_00, **pay)
    prove(shop, member)


def test_price_by_tier_and_conditions(open_shop: OpenShop) -> None:
    """Gold pays less; a reward is for some stores only."""
    gold = discount(10, terms={"tier_costs": [TierCost(tier="gold", cost_points=7)]})
    here = discount(1, "here", terms={"conditions": Conditions(stores=["s-1"])})
    there = discount(1, "there", terms={"conditions": Conditions(stores=["s-2"])})
    shop = open_shop(program(tiers=tiers(basic=0, gold=100), rewards=[gold, here, there]))
    member = shop.member()
    shop.sale(member, 50_00)
    hold = shop.reserve(member, "discount")
    assert hold.points == 10
    shop.sale(member, 50_00)
    assert shop.reserve(member, "discount").points == 7
    shop.reserve(member, "here")
    with refused("CONDITIONS_NOT_MET", reward_id="there"):
        shop.reserve(member, "there")
    prove(shop, member)
