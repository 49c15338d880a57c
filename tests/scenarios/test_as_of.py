"""State as of: L4 of the scenario book, through the API."""

import time
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from loyalty.v1.as_of_pb2 import GetMemberStateResponse, MemberState, MemberTotals
from loyalty.v1.reward_pb2 import PriorityService
from loyalty.v1.sale_pb2 import ReturnLine

from ledger.as_of.state import state_of
from ledger.domain.account import Account
from ledger.domain.instant import from_timestamp
from ledger.domain.names import last_id
from tests.as_of.asked import member_state, program_state
from tests.conftest import OpenShop
from tests.programs import cashback, discount, entitlement, pending, program, rolling, spend, tiers, voucher
from tests.proof import fold, prove
from tests.running import ServerProcess, token
from tests.scenarios.test_returns import pay
from tests.scenarios.test_vouchers import buy
from tests.shop import Details, Shop, instant, refused

LOUNGE = entitlement("lounge", 5, priority_service=PriorityService(service="lounge", times=2))


def open_with_points(open_shop: OpenShop) -> Shop:
    """A shop where 1.00 is a point, for a year, and points can be paid with."""
    rewards = [cashback(1, 1), discount(20), voucher(10, "card", value_minor=10_00), LOUNGE]
    return open_shop(program(spend(1), rewards=rewards, expiry=rolling(years=1), tiers=tiers(base=0, gold=130)))


def available(answer: GetMemberStateResponse) -> tuple[int, int]:
    """What was believed and what is known to be available."""
    return answer.believed.balance.available_points, answer.known.balance.available_points


def figures(answer: GetMemberStateResponse) -> dict[str, tuple[str, str]]:
    """The differences."""
    return {one.subject: (one.believed, one.known) for one in answer.differences}


def test_l4_a_late_offline_sale_shows_the_difference(open_shop: OpenShop) -> None:
    """A till was offline on 3 March and uploads on the 5th: what was believed of the 4th is not what is known now."""
    shop = open_with_points(open_shop)
    member = shop.member()
    shop.sale(member, 100_00, at="2026-03-01T12:00")
    before = shop.head()
    offline = shop.sale_request(member, 40_00, at="2026-03-03T12:00", till=7)
    offline.origin.offline = True
    (late,) = shop.batch(offline)
    after = shop.head()

    both = member_state(shop, member, position=before, effective_at="2026-03-04T00:00")
    assert available(both) == (100, 140)
    (one,) = both.late_transactions
    assert (one.transaction, one.type, one.points, one.store) == (
        late.record_sale.outcome.transaction, "SaleRecorded", 40, shop.store,
    )  # fmt: skip
    assert one.effective_at == instant("2026-03-03T12:00")
    assert before < one.position <= after
    assert both.total_late_transactions == 1
    assert figures(both) == {"available_points": ("100", "140"), "tier": ("base", "gold"), "lots/2": ("", "40")}

    then = member_state(shop, member, effective_at="2026-03-02T00:00")
    assert not then.HasField("believed"), "the member's first event was recorded just now"
    assert then.known.balance.available_points == 100
    assert then.known.balance.as_of == instant("2026-03-02T00:00")

    by_position = member_state(shop, member, position=before)
    assert available(by_position) == (100, 140)
    recorded_at = shop.events(member)[-1].recorded_at
    by_time = member_state(shop, member, recorded_at=recorded_at)
    assert available(by_time) == (140, 140)
    assert not by_time.differences
    assert not by_time.late_transactions
    assert not member_state(shop, member, position=after, effective_at="2026-03-04T00:00").differences
    prove(shop, member)


def test_l4_late_payments_and_returns(open_shop: OpenShop) -> None:
    """What was spent and came back late is known of the instant, each on its own lot."""
    shop = open_with_points(open_shop)
    member = shop.member()
    sale = shop.sale(member, 100_00, at="2026-03-01T12:00")
    before = shop.head()
    paid = shop.sale(member, 5_00, at="2026-03-02T12:00", points_payment=pay(5))
    shop.give_back(sale.outcome.transaction, [ReturnLine(line_id="1", amount_minor=30_00)], at="2026-03-06T12:00")
    late = member_state(shop, member, position=before, effective_at="2026-03-04T00:00")
    assert [one.transaction for one in late.late_transactions] == [paid.outcome.transaction]
    assert late.late_transactions[0].points == 0, "5 earned and 5 spent"
    assert figures(late) == {"lots/1": ("100", "95"), "lots/2": ("", "5")}
    returned = member_state(shop, member, position=before, effective_at="2026-03-07T00:00")
    assert available(returned) == (100, 70)
    prove(shop, member)


def test_l4_late_uses_of_a_gift_card_and_a_service(open_shop: OpenShop) -> None:
    """What was used on the 10th is not used on the 7th; what was used on the 5th is, though it was recorded later."""
    shop = open_with_points(open_shop)
    member = shop.member()
    shop.sale(member, 100_00, at="2026-03-01T12:00")
    (card,) = buy(shop, member, "card", at="2026-03-01T13:00")
    lounge = shop.commit(shop.reserve(member, "lounge", at="2026-03-01T13:00").hold, at="2026-03-01T13:00")
    (service,) = lounge.redemption.entitlements
    before = shop.head()
    for minor, day in ((4_00, "10"), (3_00, "05")):
        shop.sale(member, minor, voucher_codes=[card.code], at=f"2026-03-{day}T12:00")
        shop.use(service, at=f"2026-03-{day}T12:00")
    used = {"04": (10_00, 0), "07": (7_00, 1), "11": (3_00, 2)}
    for day, (left_minor, times) in used.items():
        known = member_state(shop, member, effective_at=f"2026-03-{day}T00:00").known
        assert [(one.name, one.left_minor, one.code_hash) for one in known.vouchers] == [(card.name, left_minor, "")]
        assert [(one.name, one.used_times) for one in known.entitlements] == [(service, times)]
    late = member_state(shop, member, position=before, effective_at="2026-03-07T00:00")
    assert figures(late)[card.name] == ("ISSUED, 1000 left", "ISSUED, 700 left")
    prove(shop, member)


def test_time_goes_on_by_itself(open_shop: OpenShop) -> None:
    """Pending points, holds and expiries are as of the instant, whether or not a job has recorded them."""
    shop = open_shop(
        program(spend(1), rewards=[discount(20)], pending=pending(days=10), expiry=rolling(days=30))
    )  # fmt: skip
    member = shop.member()
    shop.sale(member, 100_00, at="2026-03-01T12:00Z")
    expected = {
        "2026-03-01T11:59:59": (0, 0),
        "2026-03-01T12:00:00": (0, 100),
        "2026-03-10T22:59:59": (0, 100),
        "2026-03-12T00:00:00": (100, 0),
        "2026-04-09T00:00:00": (100, 0),
        "2026-04-12T00:00:00": (0, 0),
    }
    for at, (active, waiting) in expected.items():
        balance = member_state(shop, member, effective_at=at).known.balance
        assert (balance.available_points, balance.pending_points) == (active, waiting), at
    prove(shop, member)


def test_what_is_ahead(open_shop: OpenShop) -> None:
    """An effective time may lie ahead: the answer is what will be if nothing else happens."""
    shop = open_with_points(open_shop)
    member = shop.member()
    shop.sale(member, 100_00)
    hold = shop.reserve(member, "discount").hold
    now = member_state(shop, member)
    assert [(one.name, one.points, one.reward_id) for one in now.known.holds] == [(hold, 20, "discount")]
    assert now.known.total_points == 100
    ahead = Timestamp(seconds=int(time.time()) + 366 * 86_400)
    later = member_state(shop, member, effective_at=ahead)
    assert available(later) == (0, 0)
    assert later.believed == later.known
    assert not later.known.holds
    prove(shop, member)


def busy_shop(open_shop: OpenShop) -> tuple[Shop, list[str], int]:
    """Three members to whom everything has happened, some of it late, and the position before them."""
    rewards = [cashback(1, 1), discount(20), voucher(5, "card", value_minor=10_00), LOUNGE]
    shop = open_shop(
        program(spend(1), rewards=rewards, expiry=rolling(years=1), tiers=tiers(base=0, gold=150))
    )  # fmt: skip
    before = shop.head()
    members = [shop.member() for _ in range(3)]
    for number, member in enumerate(members):
        sale = shop.sale(member, 100_00 + number * 10_00)
        shop.sale(member, 30_00, at="2026-03-02T12:00")
        hold = shop.reserve(member, "discount").hold
        for reward in ("card", "lounge"):
            shop.commit(shop.reserve(member, reward).hold)
        shop.sale(member, 30_00, at=f"2025-1{number}-15T12:00", points_payment=pay(7))
        shop.give_back(sale.outcome.transaction, [ReturnLine(line_id="1", amount_minor=40_00)])
        if number == 1:
            shop.release(hold)
            shop.adjust(member, -10)
    return shop, members, before


def sums(states: list[MemberState]) -> dict[str, MemberTotals]:
    """What members have together, by tier."""
    totals: dict[str, MemberTotals] = {}
    for state in states:
        total = totals.setdefault(state.tier, MemberTotals(tier=state.tier))
        total.members += 1
        total.active_points += state.balance.available_points + state.owed_points
        total.pending_points += state.balance.pending_points
        total.held_points += state.balance.held_points
        total.owed_points += state.owed_points
        total.total_points += state.total_points
    return dict(sorted(totals.items()))


def test_every_position_is_the_fold_of_the_events_up_to_it(open_shop: OpenShop) -> None:
    """For members and for the program; as of a recorded time it is as of the last position recorded by then."""
    shop, members, before = busy_shop(open_shop)
    events = [event for event in shop.events("", after=before) if event.subject in members]
    accounts = {member: Account(last_id(member)) for member in members}
    last_at = {event.recorded_at.ToMicroseconds(): event.position for event in events}
    for event in events:
        account = accounts[event.subject]
        account.apply(getattr(event, event.WhichOneof("event") or ""))
        at = from_timestamp(event.recorded_at)
        answer = member_state(shop, event.subject, position=event.position)
        assert (answer.position, from_timestamp(answer.at)) == (event.position, at)
        assert answer.believed == state_of(account, at, account.version)
        if last_at[event.recorded_at.ToMicroseconds()] == event.position:
            again = member_state(shop, event.subject, recorded_at=event.recorded_at)
            assert again.believed == answer.believed
            # Other subjects' events may have been recorded at the same instant, behind this one.
            assert again.known == answer.known
            states = [state_of(one, at, one.version) for one in accounts.values() if one.version]
            whole = program_state(shop, position=event.position)
            assert {one.tier: one for one in whole.believed.tiers} == sums(states)
            assert not whole.HasField("known")
    for member in members:
        assert accounts[member].to_snapshot() == fold(shop, member).to_snapshot()
        prove(shop, member)


def test_a_program_on_both_sides(open_shop: OpenShop) -> None:
    """As of an effective time it is the sum of its members, as was believed and as is known."""
    shop, members, before = busy_shop(open_shop)
    head = shop.head()
    middle = before + (head - before) // 2
    for at in ("2025-11-01T00:00", "2025-12-31T00:00", "2026-06-01T00:00"):
        whole = program_state(shop, position=middle, effective_at=at)
        answers = [member_state(shop, member, position=middle, effective_at=at) for member in members]
        enrolled = [one.believed for one in answers if one.HasField("believed")]
        assert {one.tier: one for one in whole.believed.tiers} == sums(enrolled)
        assert {one.tier: one for one in whole.known.tiers} == sums([one.known for one in answers])
        assert whole.total_late_transactions == sum(one.total_late_transactions for one in answers)
        total = whole.known.total
        assert total.members == len(members)
        assert total.total_points == sum(one.total_points for one in whole.known.tiers)
    now = program_state(shop)
    assert now.believed.total.total_points == shop.liability().total.closing_points
    for member in members:
        prove(shop, member)


def test_times_that_there_are_not(open_shop: OpenShop) -> None:
    """A position behind the end, a recorded time ahead, a member or program that nobody knows: the field is named."""
    shop = open_with_points(open_shop)
    member = shop.member()
    head = shop.head()
    ahead = Timestamp(seconds=int(time.time()) + 3_600)
    for ask, subject in ((member_state, member), (program_state, shop.program)):
        with pytest.raises(grpc.RpcError) as caught:
            ask(shop, subject, position=head + 1_000)
        details = Details(caught.value)
        assert (details.code, details.reason) == (grpc.StatusCode.OUT_OF_RANGE, "POSITION_IN_FUTURE")
        assert details.fields == ["as_of.position"]
        assert int(details.info.metadata["position"]) == head + 1_000
        assert int(details.info.metadata["head_position"]) >= head
        with pytest.raises(grpc.RpcError) as caught:
            ask(shop, subject, recorded_at=ahead)
        details = Details(caught.value)
        assert (details.code, details.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["as_of.recorded_at"])
    with refused("MEMBER_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        member_state(shop, f"members/{uuid4()}")
    with refused("PROGRAM_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        program_state(shop, "programs/nobody")
    first = shop.events(member)[0].position
    assert not member_state(shop, member, position=first - 1).HasField("believed")
    with pytest.raises(grpc.RpcError) as caught:
        member_state(shop, member, recorded_at=instant("1999-12-31T00:00"))
    assert Details(caught.value).fields == ["as_of.recorded_at"]


def test_whoever_is_bound_to_a_program_sees_no_other(
    open_shop: OpenShop, server: ServerProcess, channel: grpc.Channel
) -> None:
    """A member of another program is not found, and so is the program; tills may not ask at all."""
    shop = open_with_points(open_shop)
    member = shop.member()
    other = Shop(channel, token(server.database_url, "auditor", program="programs/other"))
    with refused("MEMBER_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        member_state(other, member)
    with refused("PROGRAM_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        program_state(other, shop.program)
    own = Shop(channel, token(server.database_url, "auditor", program=shop.program))
    assert member_state(own, member).known.balance.as_of.seconds <= time.time()
    assert program_state(own, shop.program).believed.total.members == 1
    for role in ("crm", "pos"):
        bound = {"store": "s", "terminal": "t", "program": shop.program} if role == "pos" else {}
        nobody = Shop(channel, token(server.database_url, role, **bound))
        with refused("NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED):
            member_state(nobody, member)
        with refused("NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED):
            program_state(nobody, shop.program)
