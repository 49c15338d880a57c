"""Value: M3 of the scenario book, RFM, high-value members and cohorts against an independent computation."""

import csv
import json
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from random import Random
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import grpc
import numpy as np
import psycopg
import pytest
from loyalty.v1 import value_pb2 as v
from loyalty.v1.sale_pb2 import ReturnLine
from psycopg.rows import tuple_row

from ledger.domain.names import last_id
from ledger.value.purchases import Histories, PurchaseModel, fit_purchases
from ledger.value.spend import SpendModel
from projections.facts import FACTS, read_facts
from tests.commands import loyalty
from tests.conftest import OpenShop
from tests.programs import program
from tests.proof import prove
from tests.running import ServerProcess, token
from tests.shop import TIMEOUT_S, Shop, instant, line, refused

BERLIN: Final = ZoneInfo("Europe/Berlin")
MILLIONTHS: Final = 1_000_000

PUBLISHED: Final = {
    "CHAMPIONS": ((4, 5), (4, 5)),
    "LOYAL": ((2, 5), (3, 5)),
    "POTENTIAL_LOYALISTS": ((3, 5), (1, 3)),
    "NEW": ((4, 5), (0, 1)),
    "PROMISING": ((3, 4), (0, 1)),
    "NEED_ATTENTION": ((2, 3), (2, 3)),
    "ABOUT_TO_SLEEP": ((2, 3), (0, 2)),
    "AT_RISK": ((0, 2), (2, 5)),
    "CANNOT_LOSE": ((0, 1), (4, 5)),
    "HIBERNATING": ((1, 2), (1, 2)),
    "LOST": ((0, 2), (0, 2)),
}
"""The ranges of recency and FM that are commonly published for each group. They overlap."""


class Receipt(NamedTuple):
    """A sale, or what came back of one."""

    member: str
    day: date
    net_minor: int
    number: int
    """Of the sale."""
    kind: str


class Sold(NamedTuple):
    """A shop and what was written down beside it."""

    shop: Shop
    members: list[str]
    receipts: list[Receipt]


def local_day(at: str) -> date:
    """The day in Berlin of an instant in UTC."""
    return datetime.fromisoformat(at + "+00:00").astimezone(BERLIN).date()


@pytest.fixture(scope="module")
def sold(channel: grpc.Channel, admin_token: str) -> Sold:
    """A year of sales of 23 members, with returns and reversals, and one who never buys."""
    chance = Random(5)  # noqa: S311 - the same sales each time
    shop = Shop(channel, admin_token, program())
    members = [shop.enroll(at="2025-01-01T12:00").member for _ in range(24)]
    receipts: list[Receipt] = []
    number = 0
    for member in members[:-1]:
        at = datetime(2025, 1, 2, 12)  # noqa: DTZ001 - UTC, as the shop takes it
        for _ in range(chance.randint(1, 7)):
            at += timedelta(days=chance.randint(0, 60), hours=chance.choice((0, 11)))
            price = chance.choice((500, 1_000, 1_000, 7_500))
            when = at.isoformat(timespec="minutes")
            sale = shop.sale(member, [line(price, "A"), line(300, "B", unit_cost_minor=100)], at=when)
            number += 1
            receipts.append(Receipt(member, local_day(when), price + 300, number, "sale"))
            came = chance.random()
            back = (at + timedelta(days=chance.randint(0, 20), minutes=1)).isoformat(timespec="minutes")
            if came < 0.2:
                shop.give_back(sale.outcome.transaction, [ReturnLine(line_id="1", amount_minor=price // 2)], at=back)
                receipts.append(Receipt(member, local_day(back), -(price // 2), number, "return"))
            elif came < 0.4:
                shop.reverse(sale.outcome.transaction, at=back)
                receipts.append(Receipt(member, local_day(back), -(price + 300), number, "reversal"))
    return Sold(shop, members, receipts)


def bought(sold: Sold, as_of: date, window_days: int = 0) -> dict[str, tuple[date, int, int]]:
    """The last day, sales and net spend of each member with a sale."""
    seen = [one for one in sold.receipts if one.day <= as_of]
    voided = {one.number for one in seen if one.kind == "reversal"}
    if window_days:
        seen = [one for one in seen if (as_of - one.day).days < window_days]
    found = {}
    for member in sold.members:
        days = [one.day for one in seen if one.member == member and one.kind == "sale" and one.number not in voided]
        if days:
            found[member] = (max(days), len(days), sum(one.net_minor for one in seen if one.member == member))
    return found


def quintiles(values: dict[str, Any]) -> dict[str, int]:
    """As ntile(5) has it: the first groups are one longer where the members do not come out even."""
    ordered = sorted(values, key=lambda member: (values[member], member))
    size, longer = divmod(len(ordered), 5)
    scores = [score for score in range(1, 6) for _ in range(size + (score <= longer))]
    return dict(zip(ordered, scores, strict=True))


def span(sold: Sold, as_of: date, window_days: int = 0) -> v.SalesSpan:
    """All sales until a day."""
    return v.SalesSpan(program=sold.shop.program, as_of=as_of.isoformat(), window_days=window_days)


def rfm_members(shop: Shop, request: v.ListRfmMembersRequest) -> Iterator[v.RfmScore]:
    """Members of all pages."""
    while True:
        page = shop.crm.ListRfmMembers(request, metadata=shop.metadata, timeout=TIMEOUT_S)
        yield from page.members
        request.page_token = page.next_page_token
        if not request.page_token:
            return


def high_value(shop: Shop, request: v.ListHighValueMembersRequest) -> Iterator[v.HighValueMember]:
    """Members of all pages."""
    while True:
        page = shop.crm.ListHighValueMembers(request, metadata=shop.metadata, timeout=TIMEOUT_S)
        yield from page.members
        request.page_token = page.next_page_token
        if not request.page_token:
            return


@pytest.mark.parametrize(
    ("as_of", "window_days"), [(date(2025, 3, 1), 0), (date(2025, 4, 15), 60), (date(2026, 3, 1), 0)]
)
def test_m3_rfm_as_of_any_day(sold: Sold, as_of: date, window_days: int) -> None:
    """Scores, cells and groups are those of a computation from what was sold; what came later changes nothing."""
    facts = bought(sold, as_of, window_days)
    assert len(facts) > 10
    recency = quintiles({member: fact[0] for member, fact in facts.items()})
    frequency = quintiles({member: fact[1] for member, fact in facts.items()})
    monetary = quintiles({member: fact[2] for member, fact in facts.items()})
    shop, head = sold.shop, sold.shop.head()
    asked = v.ListRfmMembersRequest(span=span(sold, as_of, window_days), page_size=7, min_position=head)
    scores = list(rfm_members(shop, asked))
    assert [one.member for one in scores] == sorted(facts)
    for one in scores:
        last, sales, net = facts[one.member]
        assert (one.recency, one.frequency, one.monetary) == (
            recency[one.member],
            frequency[one.member],
            monetary[one.member],
        )
        assert (one.recency_days, one.sales, one.net_minor) == ((as_of - last).days, sales, net)
        ranges = PUBLISHED[v.RfmGroup.Name(one.group).removeprefix("RFM_GROUP_")]
        for score, (least, most) in zip((one.recency, (one.frequency + one.monetary + 1) // 2), ranges, strict=True):
            assert least <= score <= most

    answer = shop.crm.GetRfm(
        v.GetRfmRequest(span=span(sold, as_of, window_days), min_position=head),
        metadata=shop.metadata,
        timeout=TIMEOUT_S,
    )
    assert (answer.members, answer.members_without_sale) == (len(facts), 24 - len(facts))
    cells = {(one.recency, one.frequency, one.monetary): one.members for one in answer.cells}
    counted: dict[tuple[int, int, int], int] = defaultdict(int)
    for one in scores:
        counted[one.recency, one.frequency, one.monetary] += 1
    assert cells == counted
    assert len(answer.groups) == len(PUBLISHED)
    for group in answer.groups:
        of_group = [one for one in scores if one.group == group.group]
        assert (group.members, group.sales) == (len(of_group), sum(one.sales for one in of_group))
        asked = v.ListRfmMembersRequest(span=span(sold, as_of, window_days), group=group.group, page_size=2)
        assert list(rfm_members(shop, asked)) == of_group


@pytest.mark.parametrize("by_margin", [False, True])
@pytest.mark.parametrize("of_total", [False, True])
def test_m3_members_of_high_value_and_why(sold: Sold, of_total: bool, by_margin: bool) -> None:
    """The top 30 % of members, or those who make up 60 % of the total, in order, with what it takes."""
    as_of = date(2026, 3, 1)
    facts = bought(sold, as_of)
    lines = dict.fromkeys(facts, 0)
    voided = {one.number for one in sold.receipts if one.kind == "reversal"}
    for one in sold.receipts:
        if one.kind == "sale" and one.number not in voided:
            lines[one.member] += 300
    values = {m: lines[m] * 2 // 3 if by_margin else facts[m][2] for m in facts}
    ranked = sorted((m for m in values if values[m] > 0), key=lambda m: (-values[m], m))
    total = sum(values[m] for m in ranked)
    expected, sum_before = [], 0
    for rank, member in enumerate(ranked, start=1):
        if sum_before * 10 < total * 6 if of_total else (rank - 1) * 10 < len(facts) * 3:
            expected.append((member, rank))
        sum_before += values[member]
    request = v.ListHighValueMembersRequest(
        span=span(sold, as_of),
        measure=v.ValueMeasure.VALUE_MEASURE_MARGIN if by_margin else v.ValueMeasure.VALUE_MEASURE_UNSPECIFIED,
        share_of=v.ShareOf.SHARE_OF_TOTAL if of_total else v.ShareOf.SHARE_OF_UNSPECIFIED,
        share_millionths=600_000 if of_total else 300_000,
        page_size=3,
        min_position=sold.shop.head(),
    )
    shop = sold.shop
    first = shop.crm.ListHighValueMembers(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    found = list(high_value(shop, request))
    assert [(one.member, one.rank) for one in found] == expected
    assert (first.high_value_members, first.members_total, first.total_minor) == (len(expected), len(facts), total)
    assert first.threshold_minor == values[expected[-1][0]]
    for high in found:
        assert (high.net_minor, high.sales) == (facts[high.member][2], facts[high.member][1])
        assert (high.margin_minor, high.net_with_cost_minor) == (lines[high.member] * 2 // 3, lines[high.member])
        assert high.share_millionths == values[high.member] * MILLIONTHS // total
        assert f"ranks {high.rank} of {len(facts)}" in high.reason.en
        assert ("margin" in high.reason.en) == by_margin
        assert f"{len(facts)} सदस्यों में स्थान {high.rank}" in high.reason.hi


@pytest.mark.parametrize("by_enrolment", [False, True])
def test_cohorts(sold: Sold, by_enrolment: bool) -> None:
    """Members by the month in which they began, and who of them bought in each month since."""
    as_of = date(2025, 9, 15)
    shop = sold.shop
    request = v.GetCohortsRequest(
        span=span(sold, as_of),
        by=v.CohortBy.COHORT_BY_ENROLMENT if by_enrolment else v.CohortBy.COHORT_BY_UNSPECIFIED,
        min_position=shop.head(),
    )
    answer = shop.crm.GetCohorts(request, metadata=shop.metadata, timeout=TIMEOUT_S)
    seen = [one for one in sold.receipts if one.day <= as_of]
    voided = {one.number for one in seen if one.kind == "reversal"}
    sales = [one for one in seen if one.kind == "sale" and one.number not in voided]
    began = {one.member: min(s.day for s in sales if s.member == one.member).month for one in sales}
    if by_enrolment:
        began = dict.fromkeys(sold.members, 1)
    assert [one.cohort for one in answer.cohorts] == [f"2025-{month:02}" for month in sorted(set(began.values()))]
    for cohort, month in zip(answer.cohorts, sorted(set(began.values())), strict=True):
        members = [member for member in began if began[member] == month]
        assert cohort.members == len(members)
        assert [one.month for one in cohort.months] == list(range(10 - month))
        for one in cohort.months:
            of_month = [s for s in sales if s.member in members and s.day.month == month + one.month]
            active = len({s.member for s in of_month})
            assert (one.sales, one.active_members) == (len(of_month), active)
            assert one.active_millionths == active * MILLIONTHS // len(members)
            assert one.net_minor == sum(
                r.net_minor for r in seen if r.member in members and max(r.day.month, month) == month + one.month
            )


def test_what_a_member_has_been_worth(open_shop: OpenShop) -> None:
    """Spend, discounts, points, and margin where costs are known; what came back is none of it."""
    shop = open_shop(program())
    member = shop.member()
    first = shop.sale(
        member, [line(10_00, "A", discount_minor=1_00, unit_cost_minor=4_00), line(5_00, "B")], at="2026-01-10T12:00"
    )
    shop.sale(member, [line(20_00, "A", quantity=2, unit_cost_minor=6_00)], at="2026-01-11T12:00")
    third = shop.sale(member, [line(7_00, "C", discount_minor=50, unit_cost_minor=1_00)], at="2026-01-12T12:00")
    shop.give_back(first.outcome.transaction, [ReturnLine(line_id="2")], at="2026-01-12T13:00")
    shop.reverse(third.outcome.transaction, at="2026-01-13T12:00")
    answer = member_value(shop, member)
    so_far = answer.so_far
    assert (so_far.sales, so_far.net_minor, so_far.discount_minor) == (2, 29_00, 1_00)
    assert (so_far.margin_minor, so_far.net_with_cost_minor) == (9_00 - 4_00 + 20_00 - 12_00, 29_00)
    assert so_far.points == 14 + 20 + 6
    assert not answer.HasField("estimate")
    prove(shop, member)


def member_value(shop: Shop, member: str) -> v.GetMemberValueResponse:
    """GetMemberValue now."""
    request = v.GetMemberValueRequest(member=member, min_position=shop.head())
    return shop.crm.GetMemberValue(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def test_tokens_belong_to_their_list(sold: Sold) -> None:
    """A token of another list, or one that somebody made up, is a bad field."""
    shop = sold.shop
    asked = v.ListRfmMembersRequest(span=span(sold, date(2026, 3, 1)), page_size=2)
    token_of_all = shop.crm.ListRfmMembers(asked, metadata=shop.metadata, timeout=TIMEOUT_S).next_page_token
    other = v.ListRfmMembersRequest(span=span(sold, date(2026, 3, 2)), page_size=2)
    ranked = v.ListHighValueMembersRequest(span=span(sold, date(2026, 3, 1)), share_millionths=1)
    forged = [token_of_all[:40], token_of_all[:-4], token_of_all + "AAAA", "!", "A" * 300]
    wrong: Sequence[tuple[Any, Any, str]] = [
        (shop.crm.ListRfmMembers, other, token_of_all),
        (shop.crm.ListHighValueMembers, ranked, token_of_all),
        *((shop.crm.ListRfmMembers, asked, one) for one in forged),
    ]
    for call, request, text in wrong:
        request.page_token = text
        with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
            call(request, metadata=shop.metadata, timeout=TIMEOUT_S)


def test_nobody_looks_into_another_program(
    channel: grpc.Channel, server: ServerProcess, sold: Sold, open_shop: OpenShop
) -> None:
    """A credential that is bound to a program finds no other; a program without sales has nobody."""
    other = open_shop(program())
    bound = Shop(channel, token(server.database_url, "crm", program=other.program))
    crm = bound.crm
    options: Any = {"metadata": bound.metadata, "timeout": TIMEOUT_S}
    foreign = span(sold, date(2026, 1, 1))
    calls: list[Callable[[], object]] = [
        lambda: crm.GetRfm(v.GetRfmRequest(span=foreign), **options),
        lambda: crm.ListRfmMembers(v.ListRfmMembersRequest(span=foreign), **options),
        lambda: crm.ListHighValueMembers(v.ListHighValueMembersRequest(span=foreign, share_millionths=1), **options),
        lambda: crm.GetCohorts(v.GetCohortsRequest(span=foreign), **options),
        lambda: crm.GetValueModel(v.GetValueModelRequest(program=sold.shop.program), **options),
    ]
    for call in calls:
        with refused("PROGRAM_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
            call()
    with refused("MEMBER_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        crm.GetMemberValue(v.GetMemberValueRequest(member=sold.members[0]), **options)
    nothing = v.SalesSpan(program=other.program)
    answer = crm.GetRfm(v.GetRfmRequest(span=nothing), **options)
    assert (answer.members, answer.members_without_sale) == (0, 0)
    ranked = v.ListHighValueMembersRequest(span=nothing, share_millionths=1)
    assert not crm.ListHighValueMembers(ranked, **options).members
    with refused("VALUE_MODEL_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        crm.GetValueModel(v.GetValueModelRequest(program=other.program), **options)


@pytest.fixture(scope="module")
def fitted(server: ServerProcess, sold: Sold) -> dict[str, Any]:
    """A model of the sales up to the end of June, fitted by the command, once the view has them."""
    sold.shop.crm.GetRfm(
        v.GetRfmRequest(span=v.SalesSpan(program=sold.shop.program), min_position=sold.shop.head()),
        metadata=sold.shop.metadata,
        timeout=TIMEOUT_S,
    )
    done: dict[str, Any] = json.loads(fit(server, sold, "--json"))
    return done


def fit(server: ServerProcess, sold: Sold, *options: str, as_of: str = "2025-06-30", status: int = 0) -> str:
    """What `loyalty value fit` prints."""
    words = ("value", "fit", "--program", sold.shop.program, "--as-of", as_of)
    return loyalty(*words, "--database-url", server.database_url, *options, status=status)


def purchases(sold: Sold, as_of: date) -> dict[str, tuple[int, int, int, int]]:
    """Repeat purchases, days from the first to the last, days since the first, and net spend of the repeats."""
    seen = [one for one in sold.receipts if one.day <= as_of]
    voided = {one.number for one in seen if one.kind == "reversal"}
    day_of = {one.number: one.day for one in seen if one.kind == "sale" and one.number not in voided}
    found = {}
    for member in sold.members:
        net: Counter[date] = Counter()
        for one in seen:
            if one.member == member and one.number in day_of:
                net[day_of[one.number]] += one.net_minor
        if net:
            first, last = min(net), max(net)
            repeat_net = net.total() - net[first]
            found[member] = (len(net) - 1, (last - first).days, (as_of - first).days, repeat_net)
    return found


def test_a_fit_is_stored_with_its_evidence(sold: Sold, fitted: dict[str, Any]) -> None:
    """The model knows what was bought by that day and no more, and GetValueModel shows it all."""
    shop = sold.shop
    request = v.GetValueModelRequest(program=shop.program, version=fitted["version"])
    model = shop.crm.GetValueModel(request, metadata=shop.metadata, timeout=TIMEOUT_S).model
    known = purchases(sold, date(2025, 6, 30))
    assert (model.as_of, model.members) == ("2025-06-30", len(known))
    assert model.repeat_members == sum(one[0] > 0 for one in known.values())
    x, t_x, age, _ = (np.array(column, dtype=np.float64) for column in zip(*known.values(), strict=True))
    histories = Histories(x, t_x / 7, age / 7, np.ones_like(x))
    purchase = PurchaseModel(model.r, model.alpha, model.a, model.b)
    assert purchase.log_likelihood(histories) == pytest.approx(model.log_likelihood)
    assert model.log_likelihood >= fit_purchases(histories).log_likelihood(histories) - 1e-3
    assert fitted["log_likelihood"] == model.log_likelihood
    before = purchases(sold, date(2025, 6, 30) - timedelta(days=model.holdout_days))
    assert model.holdout_days == max(one[2] for one in known.values()) // 3
    assert sum(one.members for one in model.holdout) == len(before)
    came = sum(max(known[member][0] - before[member][0], 0) for member in before if member in known)
    assert sum(one.purchases for one in model.holdout) == came
    assert "scipy" in model.method


def test_what_is_expected_of_each_member(server: ServerProcess, sold: Sold, fitted: dict[str, Any]) -> None:
    """As the models say of what they bought; the scores are those of the same day, and facts say the same."""
    shop = sold.shop
    known = purchases(sold, date(2025, 6, 30))
    purchase = PurchaseModel(fitted["r"], fitted["alpha"], fitted["a"], fitted["b"])
    spend = SpendModel(**fitted["spend"])
    scores = {one.member: one for one in rfm_members(shop, v.ListRfmMembersRequest(span=span(sold, date(2025, 6, 30))))}
    with psycopg.connect(server.database_url, row_factory=tuple_row) as connection:
        names = [name for name, fact in FACTS.items() if fact.group == "value"]
        at = instant("2026-07-01T12:00").seconds * 1_000_000
        facts = read_facts(connection.cursor(), shop.program, at, names, [last_id(one) for one in sold.members])
    for member in sold.members:
        answer = member_value(shop, member)
        told = facts[last_id(member)]
        assert answer.HasField("estimate") == (member in known)
        if member not in known:
            assert set(told.values()) == {None}
            continue
        x, t_x, age, net = known[member]
        history = (np.array([float(x)]), np.array([t_x / 7]), np.array([age / 7]))
        estimate = answer.estimate
        assert (estimate.as_of, estimate.repeat_purchases, estimate.rfm) == ("2025-06-30", x, scores[member])
        assert estimate.probability_active == pytest.approx(purchase.probability_active(*history)[0])
        assert estimate.churn_risk == 1 - estimate.probability_active
        bought_next = purchase.expected_purchases(*history, 365 / 7)[0]
        assert estimate.expected_purchases == pytest.approx(bought_next)
        spent = x if net > 0 else 0
        each = spend.expected_spend(np.array([float(spent)]), np.array([net / x if spent else 0.0]))[0]
        if math.isfinite(each):
            assert estimate.expected_spend_minor == round(float(bought_next * each))
        assert told["probability_active"] == estimate.probability_active
        assert told["churn_risk"] == estimate.churn_risk
        assert told["rfm_group"].upper() == v.RfmGroup.Name(estimate.rfm.group).removeprefix("RFM_GROUP_")
        assert (told["rfm_recency"], told["rfm_monetary"]) == (estimate.rfm.recency, estimate.rfm.monetary)
        if estimate.HasField("expected_spend_minor"):
            assert told["value_minor"] == estimate.rfm.net_minor + estimate.expected_spend_minor


def test_a_second_fit_is_a_second_version(server: ServerProcess, sold: Sold, fitted: dict[str, Any]) -> None:
    """The same sales give the same parameters; the first stays, and the estimates are those of the newest."""
    shop = sold.shop
    again = json.loads(fit(server, sold, "--json"))
    assert again == {**fitted, "version": fitted["version"] + 1}
    said = fit(server, sold, as_of="2025-05-31")
    assert f"model {again['version'] + 1} of {shop.program} as of 2025-05-31" in said
    assert member_value(shop, sold.members[0]).estimate.model_version == again["version"] + 1
    first = shop.crm.GetValueModel(
        v.GetValueModelRequest(program=shop.program, version=1), metadata=shop.metadata, timeout=TIMEOUT_S
    )
    assert first.model.r == fitted["r"]
    fit(server, sold)


def test_what_cannot_be_fitted_says_why(
    server: ServerProcess, sold: Sold, open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No program, no sales yet, nobody who came back, no day, no SciPy: one line each, and nothing is stored."""
    other = open_shop(program())
    empty = Sold(other, [], [])
    assert "has no members whose sales are known" in fit(server, empty, status=1)
    assert "has no sales up to 2024-12-31" in fit(server, sold, as_of="2024-12-31", status=1)
    member = other.member()
    other.sale(member, 10_00, at="2025-01-05T12:00")
    member_value(other, member)
    assert "nobody has bought on more than one day" in fit(server, empty, status=1)
    assert "give a day, as 2026-01-31" in fit(server, sold, as_of="June", status=1)
    assert "is not known yet: give a day up to" in fit(server, sold, as_of="2099-01-01", status=1)
    monkeypatch.setitem(sys.modules, "scipy", None)
    for name in [name for name in sys.modules if name.startswith(("scipy.", "ledger.value.", "projections.estimates"))]:
        monkeypatch.delitem(sys.modules, name)
    assert "pip install 'loyalty-ledger[value]'" in fit(server, sold, status=1)


def test_the_commands(server: ServerProcess, admin_token: str, sold: Sold) -> None:
    """Groups, members of high value and cohorts as CSV and JSON."""
    where = ("--program", sold.shop.program, "--address", server.address, "--token", admin_token)
    groups = list(
        csv.DictReader(loyalty("value", "rfm", *where, "--as-of", "2026-03-01", "--format", "csv").split("\n"))
    )
    facts = bought(sold, date(2026, 3, 1))
    assert sum(int(one["members"]) for one in groups) == len(facts)
    assert {one["group"].upper() for one in groups} == set(PUBLISHED)
    high = list(
        csv.DictReader(loyalty("value", "high-value", *where, "--percent", "50", "--format", "csv").split("\n"))
    )
    assert [one["rank"] for one in high] == [str(rank) for rank in range(1, (len(facts) + 1) // 2 + 1)]
    assert all(one["reason_en"] and one["reason_hi"] for one in high)
    cohorts = json.loads(loyalty("value", "cohorts", *where, "--by-enrolment", "--format", "json"))
    assert [one["cohort"] for one in cohorts["cohorts"]] == ["2025-01"]
    lines = loyalty("value", "cohorts", *where, "--as-of", "2025-03-01").splitlines()
    assert lines[0] == "cohort,members,month,active_members,active_millionths,sales,net_minor"
    assert "Traceback" not in loyalty("value", "rfm", *where)
