"""Books: L5 and L6 of the scenario book, liability, breakage and the journal, through the API."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import grpc
import pytest
from loyalty.v1 import books_pb2 as b
from loyalty.v1.program_pb2 import ClawBack, Program, ReturnPolicy
from loyalty.v1.sale_pb2 import ReturnLine

from ledger.domain.account import Account
from ledger.domain.names import last_id
from tests.conftest import OpenShop
from tests.programs import MONTH, cashback, end_of, pending, program, rolling, spend
from tests.proof import prove
from tests.running import ServerProcess, token
from tests.scenarios.test_returns import pay
from tests.shop import TIMEOUT_S, Shop, instant, refused

EFFECTIVE = b.BookDate.BOOK_DATE_EFFECTIVE
OWING = ReturnPolicy(claw_back=ClawBack.CLAW_BACK_NEGATIVE)


def books_program(**fields: object) -> Program:
    """10 points per euro, worth a cent each, that can be spent on anything."""
    return program(
        spend(10), rewards=[cashback(1, 1)], returns=OWING, minor_per_thousand_points=1_000, **fields
    )  # fmt: skip


def closing(lines: Iterable[b.RollForward]) -> dict[str, int]:
    """What is held, by vintage."""
    return {line.vintage: line.closing_points for line in lines if line.closing_points}


def roll_forward(shop: Shop, **fields: object) -> list[b.RollForward]:
    """All lines of a roll-forward."""
    request = b.ReadRollForwardRequest(program=shop.program, **fields)  # type: ignore[arg-type]  # fields of it
    answers = shop.audit.ReadRollForward(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    return [line for answer in answers for line in answer.lines]


def journal(shop: Shop, **fields: object) -> list[b.JournalLine]:
    """All lines of a journal."""
    request = b.ReadJournalRequest(program=shop.program, **fields)  # type: ignore[arg-type]  # fields of it
    answers = shop.audit.ReadJournal(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    return [line for answer in answers for line in answer.lines]


def adds_up(line: b.RollForward) -> bool:
    """L5."""
    came = line.issued_points + line.restored_points + line.reinstated_points + line.adjusted_points
    went = line.redeemed_points + line.expired_points + line.clawed_back_points
    return line.opening_points + came - went == line.closing_points


def busy_shop(open_shop: OpenShop) -> tuple[Shop, str]:
    """A member to whom everything has happened, from January 2026 on."""
    shop = open_shop(books_program(expiry=rolling(years=1)))
    member = shop.member()
    first = shop.sale(member, 100_00, at="2026-01-10T12:00")  # 1,000
    shop.sale(member, 50_00, at="2026-02-10T12:00")  # 500
    shop.sale(member, 20_00, at="2026-02-11T12:00", points_payment=pay(1_200))  # 200, 1,000 of January, 200 of February
    shop.give_back(first.outcome.transaction, [ReturnLine(line_id="1", amount_minor=40_00)], at="2026-02-12T12:00")
    shop.adjust(member, 70, at="2026-03-01T12:00")
    third = shop.sale(member, 10_00, at="2026-03-02T12:00", points_payment=pay(30))
    shop.reverse(third.outcome.transaction, at="2026-03-03T12:00")
    shop.sale(member, 300_00, at="2026-06-20T12:00")
    return shop, member


def test_l5_every_day_adds_up_by_vintage(open_shop: OpenShop) -> None:
    """Opening, what came and what went make the closing, which is the opening of the next day with movements."""
    shop, member = busy_shop(open_shop)
    now = prove(shop, member)
    for date in (b.BookDate.BOOK_DATE_BOOKED, EFFECTIVE):
        for period in (b.BookPeriod.BOOK_PERIOD_DAY, b.BookPeriod.BOOK_PERIOD_MONTH):
            by_vintage: dict[str, list[b.RollForward]] = defaultdict(list)
            for line in roll_forward(shop, date=date, period=period):
                by_vintage[line.vintage].append(line)
            for lines in by_vintage.values():
                assert all(map(adds_up, lines))
                assert lines[0].opening_points == 0
                assert all(one.closing_points == after.opening_points for one, after in pairwise(lines))
            total = sum(lines[-1].closing_points for lines in by_vintage.values())
            assert total == now.available_points + now.pending_points + now.held_points == 3_170


def test_liability_by_vintage(open_shop: OpenShop) -> None:
    """Each vintage says what became of it; spending takes the soonest to expire, whose vintage goes down."""
    shop, member = busy_shop(open_shop)
    answer = shop.liability()
    january, february, march, june = answer.vintages
    assert [one.vintage for one in answer.vintages] == ["2026-01", "2026-02", "2026-03", "2026-06"]
    assert (january.issued_points, january.redeemed_points, january.closing_points) == (1_000, 1_000, 0)
    assert (february.issued_points, february.clawed_back_points) == (700, 400)
    assert (february.redeemed_points, february.restored_points, february.closing_points) == (230, 30, 100)
    assert (march.issued_points, march.adjusted_points, march.clawed_back_points) == (100, 70, 100)
    assert (june.issued_points, june.closing_points, june.closing_minor) == (3_000, 3_000, 30_00)
    assert (answer.total.closing_points, answer.total.closing_minor) == (3_170, 31_70)
    assert (answer.header.currency, answer.header.minor_per_thousand_points) == ("EUR", 1_000)
    assert all(map(adds_up, [*answer.vintages, answer.total]))
    assert shop.liability(price=500).total.closing_minor == 15_85
    assert prove(shop, member).available_points == 3_170


def test_what_has_expired_is_no_liability_even_where_nobody_has_recorded_it(open_shop: OpenShop) -> None:
    """Now is right without any job; as of a position, there is what was recorded by then, for ever."""
    shop = open_shop(books_program(expiry=rolling(months=1)))
    member = shop.member()
    shop.sale(member, 10_00, at="2026-01-10T12:00")
    shop.sale(member, 20_00)
    old, new = shop.liability().vintages
    assert (old.vintage, old.issued_points, old.expired_points, old.closing_points) == ("2026-01", 100, 100, 0)
    assert new.closing_points == prove(shop, member).available_points == 200
    expired = [line for line in roll_forward(shop, date=EFFECTIVE) if line.expired_points]
    assert [(line.period, line.vintage) for line in expired] == [("2026-02-11", "2026-01")]


def test_what_is_owed_is_a_vintage_of_its_own(open_shop: OpenShop) -> None:
    """It is in no lot: a claw-back that finds nothing lowers it, the next sale raises it."""
    shop = open_shop(books_program())
    member = shop.member()
    sale = shop.sale(member, 10_00, at="2026-01-10T12:00")
    shop.sale(member, 1_00, at="2026-01-11T12:00", points_payment=pay(100))
    shop.give_back(sale.outcome.transaction, at="2026-01-12T12:00")
    answer = shop.liability()
    assert closing(answer.vintages) == {"": -90}
    assert answer.total.closing_points == prove(shop, member).available_points == -90
    shop.sale(member, 20_00, at="2026-02-01T12:00")
    answer = shop.liability()
    assert closing(answer.vintages) == {"2026-02": 110}
    assert answer.total.closing_points == prove(shop, member).available_points == 110


def test_months_are_those_of_the_program(open_shop: OpenShop) -> None:
    """23:30 UTC on 31 January is February in Berlin."""
    shop = open_shop(books_program())
    shop.sale(shop.member(), 10_00, at="2026-01-31T23:30")
    assert closing(shop.liability().vintages) == {"2026-02": 100}
    (line,) = roll_forward(shop, date=EFFECTIVE)
    assert line.period == "2026-02-01"


def test_l5_as_of_any_instant_is_the_same_for_ever(open_shop: OpenShop) -> None:
    """After each event the books are read as of it; read again at the end, they are the same, byte for byte."""
    shop, member = busy_shop(open_shop)
    events = shop.events(member)
    before = [shop.liability(position=event.position).SerializeToString(deterministic=True) for event in events]
    by_time = shop.liability(recorded_at=events[3].recorded_at)
    shop.sale(member, 77_00, at="2026-01-05T12:00")
    shop.adjust(member, 5)
    again = [shop.liability(position=event.position).SerializeToString(deterministic=True) for event in events]
    assert before == again
    held = [shop.liability(position=event.position).total.closing_points for event in events]
    account = Account(last_id(member))
    for event, points in zip(events, held, strict=True):
        account.apply(getattr(event, event.WhichOneof("event") or ""))
        assert points == account.lot_points - account.owed
    assert by_time == shop.liability(recorded_at=events[3].recorded_at)
    assert by_time.vintages == shop.liability(position=by_time.header.position).vintages


def test_pending_and_held_points_are_owed_too(open_shop: OpenShop) -> None:
    """They are in the liability until they are spent or cancelled, and each move keeps its vintage."""
    shop = open_shop(program(rewards=[cashback(1, 1)], pending=pending(30), expiry=end_of(MONTH, months=12)))
    member = shop.member()
    sale = shop.sale(member, 100_00)
    assert shop.liability().total.closing_points == 100
    shop.settle_pending(member, "activate", transaction=sale.outcome.transaction)
    shop.reserve(member, "cashback", 40)
    assert shop.liability().total.closing_points == 100
    prove(shop, member)


def test_bad_requests_name_the_part(open_shop: OpenShop) -> None:
    """A position and a time in the future, a program that does not exist, dates and prices that are none."""
    shop = open_shop(books_program())
    with refused("POSITION_IN_FUTURE", grpc.StatusCode.OUT_OF_RANGE):
        shop.liability(position=shop.head() + 1_000)
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT, field="as_of.recorded_at"):
        shop.liability(recorded_at=instant("2999-01-01"))
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT, field="from_date"):
        roll_forward(shop, from_date="2026-02-30")
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT, field="minor_per_thousand_points"):
        shop.liability(price=-1)
    shop.program = "programs/nobody-knows"
    with refused("PROGRAM_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        shop.liability()


def test_only_the_own_program_is_shown(open_shop: OpenShop, server: ServerProcess, channel: grpc.Channel) -> None:
    """A credential that is bound to a program reads its books and no others."""
    mine, theirs = open_shop(books_program()), open_shop(books_program())
    bound = Shop(channel, token(server.database_url, "auditor", program=mine.program))
    bound.program = mine.program
    assert bound.liability().header.program == mine.program
    bound.program = theirs.program
    with refused("PROGRAM_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        bound.liability()
    with refused("PROGRAM_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        bound.reconcile_tills("store,terminal,business_date,sales,amount_minor\ns,t,2026-01-31,1,1\n")


def deferred_revenue(shop: Shop, **fields: object) -> b.GetDeferredRevenueResponse:
    """Deferred revenue by the days on which things happened."""
    request = b.GetDeferredRevenueRequest(program=shop.program, date=EFFECTIVE, **fields)  # type: ignore[arg-type]  # fields of it
    return shop.audit.GetDeferredRevenue(request, metadata=shop.metadata, timeout=TIMEOUT_S)


@pytest.mark.parametrize("gone", ["spent", "expired", "cancelled", "owed"])
@pytest.mark.parametrize("undo", ["return", "reversal"])
def test_what_comes_back_was_not_sold_whatever_became_of_its_points(open_shop: OpenShop, gone: str, undo: str) -> None:
    """The January goods come back in two parts: January sold nothing, and February what it did."""
    fields: dict[str, dict[str, object]] = {
        "expired": {"expiry": rolling(months=1)},
        "cancelled": {"pending": pending(60)},
    }
    shop = open_shop(books_program(**fields.get(gone, {})))
    member = shop.member()
    january = shop.sale(member, 100_00, at="2026-01-10T12:00").outcome.transaction
    if gone == "cancelled":
        shop.settle_pending(member, "cancel", transaction=january, at="2026-01-11T12:00")
    if gone in {"spent", "owed"}:
        shop.sale(member, 20_00, at="2026-02-11T12:00", points_payment=pay(1_000))
    if gone == "owed":
        shop.adjust(member, -200, at="2026-02-11T13:00")
    if gone in {"expired", "cancelled"}:
        shop.sale(member, 20_00, at="2026-02-11T12:00")
    shop.give_back(january, [ReturnLine(line_id="1", amount_minor=40_00)], at="2026-02-12T12:00")
    if undo == "return":
        shop.give_back(january, at="2026-02-13T12:00")
    else:
        shop.reverse(january, at="2026-02-13T12:00")
    prove(shop, member)
    sold = {one.vintage: one.sold_minor for one in deferred_revenue(shop).allocations}
    assert sold == {"2026-01": 0, "2026-02": 20_00}


def test_l6_deferred_revenue(open_shop: OpenShop) -> None:
    """100,000 sold with 10,000 points of which 97 % are expected to be redeemed: a stand-alone price of 9,700.

    So 100,000 x 9,700 / 109,700 = 8,842.30 are deferred. Of an allocation of 9,000 that the books know, 4,500 of 9,700
    points that are redeemed in the second year make 9,000 x 4,500 / 9,700 = 4,175.26 revenue.
    """
    shop = open_shop(program(spend(1, 10_00), rewards=[cashback(1, 1_00)], minor_per_thousand_points=1_000_00))
    member = shop.member()
    shop.sale(member, 100_000_00, at="2024-06-01T12:00")
    expectations = [b.Expectation(redeemed_millionths=970_000)]
    allocation = deferred_revenue(shop, expectations=expectations).allocations[0]
    assert (allocation.sold_minor, allocation.expected_points) == (100_000_00, 9_700)
    assert (allocation.standalone_minor, allocation.allocated_minor) == (9_700_00, 8_842_30)

    shop.sale(member, 4_500_00, at="2025-07-01T12:00", points_payment=pay(4_500))
    known = [b.PriceAllocation(vintage="2024-06", allocated_minor=9_000_00)]
    months = deferred_revenue(shop, expectations=expectations, allocations=known).months
    first, spent = [month for month in months if month.vintage == "2024-06"]
    assert (first.month, first.deferred_minor, first.recognised_minor, first.closing_minor) == (
        "2024-06", 9_000_00, 0, 9_000_00,
    )  # fmt: skip
    assert (spent.month, spent.recognised_minor, spent.catch_up_minor) == ("2025-07", 4_175_26, 0)
    assert (spent.redeemed_points, spent.expected_points, spent.closing_minor) == (4_500, 9_700, 4_824_74)
    prove(shop, member)


def test_l6_catch_up_when_more_is_expected(open_shop: OpenShop) -> None:
    """IFRS 15, example 52: 95 % are expected, then 97 %.

    100,000 x 9,500 / 109,500 = 8,675.80 are deferred. 4,500 points in the first year: 8,675.80 x 4,500 / 9,500 =
    4,109.59. 4,000 in the second: 8,675.80 x 8,500 / 9,700 - 4,109.59 = 3,492.92, of which -84.73 is the catch-up.
    """
    shop = open_shop(program(spend(1, 10_00), rewards=[cashback(1, 1_00)], minor_per_thousand_points=1_000_00))
    member = shop.member()
    shop.sale(member, 100_000_00, at="2024-01-05T12:00")
    for at, points in (("2024-12-10T12:00", 4_500), ("2025-12-10T12:00", 4_000)):
        shop.sale(member, points * 1_00, at=at, points_payment=pay(points))
    answer = deferred_revenue(
        shop,
        expectations=[
            b.Expectation(redeemed_millionths=950_000),
            b.Expectation(from_month="2025-01", redeemed_millionths=970_000),
        ],
    )
    assert answer.allocations[0].allocated_minor == 8_675_80
    months = {month.month: month for month in answer.months if month.vintage == "2024-01"}
    assert months["2024-12"].recognised_minor == 4_109_59
    assert months["2025-01"].catch_up_minor == -84_73
    assert months["2025-12"].recognised_minor == 3_577_65
    revenue = sum(one.recognised_minor + one.catch_up_minor for month, one in months.items() if month >= "2025")
    assert revenue == 3_492_92
    for one in months.values():
        moved = one.deferred_minor - one.recognised_minor - one.catch_up_minor
        assert one.opening_minor + moved == one.closing_minor
    assert months["2025-12"].closing_minor == 8_675_80 - 4_109_59 - 3_492_92


def breakage(shop: Shop, **fields: object) -> b.GetBreakageResponse:
    """The chain ladder."""
    request = b.GetBreakageRequest(program=shop.program, **fields)  # type: ignore[arg-type]  # fields of it
    return shop.audit.GetBreakage(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def test_breakage_by_vintage_with_its_evidence(open_shop: OpenShop) -> None:
    """Three vintages of 1,000 that redeem 200 in their first month and 100 in the next make a factor of 1.5."""
    shop = open_shop(books_program())
    for month in (1, 2, 3):
        member = shop.member()
        shop.sale(member, 100_00, at=f"2025-{month:02}-05T12:00")
        for spent, at in ((200, month), (100, month + 1)):
            shop.sale(member, spent, at=f"2025-{at:02}-20T12:00", points_payment=pay(spent))
    answer = breakage(shop, as_of=b.AsOf(position=shop.head()))
    first = answer.factors[0]
    assert (first.from_age, first.vintages, first.factor_millionths) == (0, 3, 1_500_000)
    by_vintage = {one.vintage: one for one in answer.vintages}
    assert by_vintage["2025-01"].redeemed_points_by_age[:3] == [200, 300, 300]
    january = by_vintage["2025-01"]
    assert january.estimated
    assert january.ultimate_redeemed_points + january.breakage_points == january.issued_points
    prove(shop, member)


def test_breakage_is_not_estimated_without_evidence(open_shop: OpenShop) -> None:
    """Then all that is held counts as going to be redeemed, and the answer says why."""
    shop = open_shop(books_program())
    shop.sale(shop.member(), 100_00, at="2025-01-05T12:00")
    (only,) = breakage(shop).vintages
    assert not only.estimated
    assert only.reason == "no month of age has 3 vintages that were seen before and after it"
    assert (only.ultimate_redeemed_points, only.breakage_points) == (1_000, 0)


def test_journal_has_only_days_that_are_over(open_shop: OpenShop) -> None:
    """Today is not: it is exported tomorrow."""
    shop, _ = busy_shop(open_shop)
    assert journal(shop) == []


@pytest.mark.parametrize("role", ["pos", "crm"])
def test_books_are_for_auditors_and_managers(
    open_shop: OpenShop, server: ServerProcess, channel: grpc.Channel, role: str
) -> None:
    """Nobody else reads them."""
    shop = open_shop(books_program())
    bound = {"store": "s", "terminal": "t", "program": shop.program} if role == "pos" else {}
    other = Shop(channel, token(server.database_url, role, **bound))  # type: ignore[arg-type]  # a role
    other.program = shop.program
    with refused("NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED):
        other.liability()
