"""Tier policies: G3 to G8 of the scenario book, every basis and period, and the order of a day's steps."""

from itertools import permutations

import grpc
import pytest
from loyalty.v1.account_pb2 import LocalizedText, TierProgress
from loyalty.v1.events_pb2 import TierChanged
from loyalty.v1.expiry_pb2 import CalendarUnit
from loyalty.v1.member_pb2 import Identifier, IdentifierType
from loyalty.v1.pos_service_pb2 import GetBalanceRequest, LookupMemberRequest
from loyalty.v1.tier_pb2 import CountByCalendar, TierChangeReason, TierPolicy

from tests.conftest import OpenShop
from tests.programs import fixed_date, pending, program, tier_policy, tiers
from tests.proof import fold, prove
from tests.shop import Details, Shop, instant, line, refused

METALS = {"bronze": 0, "silver": 10_000, "gold": 20_000, "platinum": 30_000}
YEAR = CalendarUnit.CALENDAR_UNIT_YEAR
QUARTER = CalendarUnit.CALENDAR_UNIT_QUARTER
INDIA = {"time_zone": "Asia/Kolkata"}


def at(shop: Shop, member: str, as_of: str) -> TierProgress:
    """The tier that GetBalance shows at an instant; nothing is recorded."""
    request = GetBalanceRequest(member=member, as_of=instant(as_of), min_position=shop.head())
    return shop.pos.GetBalance(request, metadata=shop.metadata).tier


def tier_at(shop: Shop, member: str, as_of: str) -> str:
    """Only its id."""
    return at(shop, member, as_of).tier


def changed(shop: Shop, member: str) -> list[TierChanged]:
    """The recorded changes."""
    return [event.tier_changed for event in shop.events(member, "TierChanged")]


def reasons(shop: Shop, member: str) -> list[str]:
    """Tier and reason of each recorded change."""
    return [
        f"{one.to_tier} {TierChangeReason.Name(one.reason).removeprefix('TIER_CHANGE_REASON_')}"
        for one in changed(shop, member)
    ]


@pytest.mark.parametrize(
    ("downgrade", "later"),
    [
        ("ONE_STEP", ["gold", "silver", "bronze", "bronze"]),
        ("TO_MATCH", ["bronze", "bronze", "bronze", "bronze"]),
        ("NEVER", ["platinum", "platinum", "platinum", "platinum"]),
    ],
)
@pytest.mark.parametrize("period", ["calendar", "rolling", "since_change"])
def test_g3_downgrades(open_shop: OpenShop, period: str, downgrade: str, later: list[str]) -> None:
    """One step from platinum with nothing earned is gold, and a period later silver; to match is the base."""
    policies = {
        "calendar": (tier_policy(calendar=YEAR, downgrade=downgrade), "01-01T00:00", 2022),
        "rolling": (tier_policy(rolling={"years": 1}, downgrade=downgrade), "06-16T00:00", 2021),
        "since_change": (tier_policy(since_change={"years": 1}, downgrade=downgrade), "06-16T00:00", 2021),
    }
    policy, day, first = policies[period]
    shop = open_shop(program(tiers=tiers(**METALS), tier_policy=policy, time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 30_000_00, at="2020-06-15T12:00")
    assert tier_at(shop, member, "2020-12-31T23:59:59") == "platinum"
    years = [f"{first + number}-{day}" for number in range(4)]
    assert [tier_at(shop, member, year) for year in years] == later
    assert tier_at(shop, member, f"{first - 1}-12-31T23:59:59") == "platinum"
    prove(shop, member)
    shop.adjust(member, 1, at=years[1])  # which records what was due
    assert changed(shop, member)[-1].to_tier == (later[1] if downgrade != "NEVER" else "platinum")
    assert [tier_at(shop, member, year) for year in years[1:]] == later[1:]
    prove(shop, member)


def test_g4_grace_ends_to_the_instant(open_shop: OpenShop) -> None:
    """The tier is kept through the grace, in program time; who reaches it again by then keeps it."""
    policy = tier_policy(calendar=YEAR, grace={"months": 1})
    shop = open_shop(program(tiers=tiers(**METALS), tier_policy=policy, **INDIA))
    lapsing, keeping = shop.member(), shop.member()
    for member in (lapsing, keeping):
        sale = shop.sale(member, 20_000_00, at="2020-03-01T12:00")
    progress = sale.receipt.tier
    assert progress.keep_until == instant("2022-02-01T00:00+05:30")
    assert progress.review_at == instant("2021-01-01T00:00+05:30")
    assert tier_at(shop, lapsing, "2022-01-31T23:59:59.999999+05:30") == "gold"
    assert tier_at(shop, lapsing, "2022-02-01T00:00+05:30") == "bronze"
    shop.sale(keeping, 20_000_00, at="2022-01-31T23:59+05:30")
    assert tier_at(shop, keeping, "2022-02-01T00:00+05:30") == "gold"
    assert reasons(shop, keeping) == ["gold EARNED"]
    shop.adjust(lapsing, 1, at="2022-03-01")
    (_, late) = changed(shop, lapsing)
    assert late.effective_at == instant("2022-02-01T00:00+05:30"), "recorded late, but with the deadline as its effect"
    assert reasons(shop, lapsing) == ["gold EARNED", "bronze REVIEWED"]
    for member in (lapsing, keeping):
        prove(shop, member)


def test_g5_a_pinned_floor_holds(open_shop: OpenShop) -> None:
    """Automatic changes go above the floor and come back to it, never below; letting go ends that."""
    shop = open_shop(program(tiers=tiers(**METALS), tier_policy=tier_policy(rolling={"months": 6}), time_zone="UTC"))
    member = shop.member()
    receipt = shop.pin(member, "silver", reason="the founder's sister", at="2020-01-01").receipt
    assert receipt.tier.tier == "silver"
    (event,) = shop.events(member, "TierFloorSet")
    assert (event.tier_floor_set.request.reason, event.tier_floor_set.origin.operator) == (
        "the founder's sister",
        "op-7",
    )
    shop.sale(member, 30_000_00, at="2020-02-10")
    assert tier_at(shop, member, "2020-08-10") == "platinum"
    progress = at(shop, member, "2020-08-11")
    assert (progress.tier, progress.amount_to_keep, progress.amount_to_next) == ("silver", 0, 20_000)
    assert tier_at(shop, member, "2030-01-01") == "silver"
    prove(shop, member)
    assert shop.pin(member, "", at="2020-09-01").receipt.tier.tier == "bronze"
    assert reasons(shop, member) == ["silver FLOOR", "platinum EARNED", "silver LAPSED", "bronze FLOOR"]
    prove(shop, member)


def test_g5_pinning_is_a_managers_command(open_shop: OpenShop) -> None:
    """It names a tier of the program, and the same command again changes nothing."""
    shop = open_shop(program(tiers=tiers(**METALS)))
    member = shop.member()
    with refused("TIER_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        shop.pin(member, "diamond")
    first = shop.pin(member, "gold", request_id="11111111-2222-4333-8444-55555555555a")
    again = shop.pin(member, "gold", request_id="11111111-2222-4333-8444-55555555555a")
    assert again.receipt == first.receipt
    assert reasons(shop, member) == ["gold FLOOR"]
    sale = shop.sale(member, 20_000_00)
    shop.reverse(sale.outcome.transaction)
    assert reasons(shop, member) == ["gold FLOOR"]
    prove(shop, member)


def test_g6_the_review_looks_first_and_resets_after(open_shop: OpenShop) -> None:
    """At the turn of the year what was counted decides the tier; then counting begins at 0."""
    shop = open_shop(program(tiers=tiers(**METALS), tier_policy=tier_policy(calendar=YEAR), **INDIA))
    member = shop.member()
    shop.sale(member, 12_000_00, at="2020-12-31T23:59:59+05:30")
    before = at(shop, member, "2020-12-31T23:59:59.999999+05:30")
    assert (before.tier, before.qualifying_amount, before.amount_to_keep) == ("silver", 12_000, 0)
    after = at(shop, member, "2021-01-01T00:00+05:30")
    assert (after.tier, after.qualifying_amount) == ("silver", 0)
    assert (after.amount_to_keep, after.amount_to_next) == (10_000, 20_000)
    assert after.review_at == after.keep_until == instant("2022-01-01T00:00+05:30")
    shop.sale(member, 9_999_00, at="2021-12-31T23:00+05:30")
    assert tier_at(shop, member, "2022-01-01T00:00+05:30") == "bronze"
    prove(shop, member)
    shop.sale(member, 5_00, at="2022-01-02T10:00+05:30")
    late = shop.sale(member, 1_00, at="2021-12-31T23:59+05:30").receipt.tier
    assert late.qualifying_amount == 10_000, "what was counted in its year"
    assert tier_at(shop, member, "2022-01-01T00:00+05:30") == "silver"
    prove(shop, member)


def test_g7_a_return_with_grace(open_shop: OpenShop) -> None:
    """A return that drops the sum leaves the tier for the grace, counted from the first whole day."""
    shop = open_shop(program(tiers=tiers(**METALS), tier_policy=tier_policy(grace={"days": 10}), time_zone="UTC"))
    member = shop.member()
    sale = shop.sale(member, 20_000_00, at="2020-03-01T12:00")
    receipt = shop.give_back(sale.outcome.transaction, at="2020-03-05T15:30").receipt
    assert (receipt.tier.tier, receipt.tier.qualifying_amount, receipt.tier.amount_to_keep) == ("gold", 0, 20_000)
    assert receipt.tier.keep_until == instant("2020-03-16T00:00")
    prove(shop, member)
    shop.sale(member, 10_000_00, at="2020-03-10T12:00")  # too little for gold: the grace goes on
    assert tier_at(shop, member, "2020-03-15T23:59:59") == "gold"
    assert tier_at(shop, member, "2020-03-16T00:00") == "silver"
    prove(shop, member)
    shop.sale(member, 10_000_00, at="2020-03-15T12:00")
    assert tier_at(shop, member, "2021-01-01") == "gold"
    assert reasons(shop, member) == ["gold EARNED"]
    second = shop.give_back(newest_sale(shop, member), at="2020-04-01T00:00").receipt.tier
    assert second.keep_until == instant("2020-04-11T00:00"), "the first whole day begins at once"
    shop.adjust(member, 1, at="2020-05-01")
    assert reasons(shop, member) == ["gold EARNED", "silver RETURNED"]
    prove(shop, member)


def newest_sale(shop: Shop, member: str) -> str:
    """The newest sale's transaction."""
    return shop.events(member, "SaleRecorded")[-1].transaction


def test_rolling_window(open_shop: OpenShop) -> None:
    """A day counts through the day that lies the period after it; the receipt says until when and what is missing."""
    policy = tier_policy(rolling={"months": 1})
    shop = open_shop(program(tiers=tiers(**METALS), tier_policy=policy, **INDIA))
    member = shop.member()
    shop.sale(member, 9_000_00, at="2020-01-31T10:00+05:30")
    progress = shop.sale(member, 3_000_00, at="2020-02-10T10:00+05:30").receipt.tier
    assert (progress.tier, progress.qualifying_amount, progress.amount_to_next) == ("silver", 12_000, 8_000)
    assert progress.keep_until == instant("2020-03-01T00:00+05:30"), "the month clamps to 29 February"
    assert progress.amount_to_keep == 7_000, "3,000 will be left"
    assert not progress.HasField("review_at")
    assert tier_at(shop, member, "2020-02-29T23:59:59+05:30") == "silver"
    after = at(shop, member, "2020-03-01T00:00+05:30")
    assert (after.tier, after.qualifying_amount) == ("bronze", 3_000)
    prove(shop, member)
    shop.sale(member, 7_000_00, at="2020-02-29T23:00+05:30")
    assert tier_at(shop, member, "2020-03-01T00:00+05:30") == "silver"
    assert tier_at(shop, member, "2020-03-11T00:00+05:30") == "bronze"
    prove(shop, member)


@pytest.mark.parametrize(
    "policy",
    [
        tier_policy(),
        tier_policy(basis="SPEND"),
        tier_policy(rolling={"days": 200}),
        tier_policy(calendar=YEAR),
        tier_policy(calendar=QUARTER, downgrade="ONE_STEP"),
    ],
    ids=["ever", "spend", "rolling", "year", "quarter"],
)
def test_c6_late_facts_count_when_they_happened(open_shop: OpenShop, policy: TierPolicy) -> None:
    """Sales and a return that arrive in any order, across a review, end in the same tier and standing."""
    thresholds = METALS if policy.basis != 2 else {tier: amount * 100 for tier, amount in METALS.items()}
    shop = open_shop(program(tiers=tiers(**thresholds), tier_policy=policy, time_zone="UTC"))
    amounts = (15_000_00, 9_000_00, 4_000_00)
    days = ("2020-11-01", "2020-12-30", "2021-01-02")
    returning = len(days)
    ends = set()
    for number, order in enumerate(permutations(range(4)), 1):
        member = shop.member()
        till = number * 10
        for step in order:
            if step == returning:
                shop.give_back(receipt=shop.reference(till + 2), member=member, at="2021-01-05")
            else:
                shop.sale(member, amounts[step], at=days[step], till=till + step + 1)
        account = fold(shop, member)
        standing = account.standing._replace(as_of=0)
        ends.add((account.tier, standing, *(tier_at(shop, member, f"202{year}-01-01") for year in range(1, 5))))
    assert len(ends) == 1, ends
    prove(shop, member)


@pytest.mark.parametrize(("basis", "unit"), [("SPEND", 1_00), ("VISITS", 1)])
def test_other_bases(open_shop: OpenShop, basis: str, unit: int) -> None:
    """Money after discounts, or sales that did not come back as a whole."""
    shop = open_shop(program(tiers=tiers(base=0, top=3 * unit), tier_policy=tier_policy(basis=basis)))
    member = shop.member()
    shop.sale(member, 1_00)
    half = shop.sale(member, 1_00)
    progress = shop.sale(member, 99).receipt.tier
    reached = basis == "VISITS"
    assert progress.tier == ("top" if reached else "base")
    assert progress.amount_to_next == (0 if reached else 1)
    whole = shop.sale(member, 1)
    assert whole.receipt.tier.tier == "top"
    shop.give_back(whole.outcome.transaction)
    progress = shop.give_back(half.outcome.transaction).receipt.tier
    assert progress.tier == "base"
    assert progress.qualifying_amount == (1_99 if basis == "SPEND" else 2)
    prove(shop, member)


def test_visits_count_until_all_is_back(open_shop: OpenShop) -> None:
    """Half a sale is a visit still."""
    shop = open_shop(program(tiers=tiers(base=0, top=1), tier_policy=tier_policy(basis="VISITS")))
    member = shop.member()
    lines = [line(5_00, line_id="a"), line(5_00, line_id="b")]
    sale = shop.sale(member, lines).outcome.transaction
    assert shop.give_back(sale, ["a"]).receipt.tier.tier == "top"
    assert shop.give_back(sale, ["b"]).receipt.tier.tier == "base"
    prove(shop, member)


def test_since_the_last_change(open_shop: OpenShop) -> None:
    """Counting begins anew with each change and review; a return of what reached the tier takes it again."""
    policy = tier_policy(since_change={"months": 6})
    shop = open_shop(program(tiers=tiers(**METALS), tier_policy=policy, time_zone="UTC"))
    member = shop.member()
    first = shop.sale(member, 12_000_00, at="2020-01-10T12:00")
    progress = first.receipt.tier
    assert (progress.tier, progress.qualifying_amount, progress.amount_to_next) == ("silver", 0, 20_000)
    assert (progress.review_at, progress.amount_to_keep) == (instant("2020-07-11"), 10_000)
    shop.sale(member, 10_000_00, at="2020-03-01")
    assert tier_at(shop, member, "2020-07-11") == "silver"
    after = at(shop, member, "2020-07-11")
    assert (after.qualifying_amount, after.review_at) == (0, instant("2021-01-11"))
    assert tier_at(shop, member, "2021-01-10T23:59:59") == "silver"
    assert tier_at(shop, member, "2021-01-11") == "bronze"
    prove(shop, member)
    shop.sale(member, 20_000_00, at="2020-09-01")
    assert tier_at(shop, member, "2020-09-01") == "gold"
    shop.give_back(newest_sale(shop, member), at="2020-09-02")
    assert fold(shop, member).tier == "bronze"
    prove(shop, member)


def test_since_the_last_change_without_reviews(open_shop: OpenShop) -> None:
    """Nothing takes the tier away, so nothing is missing to keep it; before the first change all counts as one."""
    shop = open_shop(program(tiers=tiers(**METALS), tier_policy=tier_policy(since_change={}), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 6_000_00, at="2020-01-10T12:00")
    late = shop.sale(member, 4_000_00, at="2020-01-09T12:00").receipt.tier
    assert (late.tier, late.qualifying_amount) == ("silver", 0), "it came late, and reached the tier"
    assert (late.amount_to_keep, late.amount_to_next) == (0, 20_000)
    assert not late.HasField("review_at")
    assert not late.HasField("keep_until")
    prove(shop, member)


def test_no_grace_for_what_never_counted(open_shop: OpenShop) -> None:
    """A sale older than the window counts for nothing, in whatever order it comes."""
    shop = open_shop(program(tiers=tiers(**METALS), tier_policy=tier_policy(rolling={"days": 30}), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 1_00, at="2020-06-01")
    old = shop.sale(member, 30_000_00, at="2020-03-01")
    assert (old.receipt.tier.tier, old.receipt.tier.qualifying_amount) == ("bronze", 1)
    assert shop.give_back(old.outcome.transaction, at="2020-06-02").receipt.tier.qualifying_amount == 1
    prove(shop, member)


def test_multiplier_of_a_tier(open_shop: OpenShop) -> None:
    """A tier's multiplier is an award under its id; the sale that reaches the tier does not earn by it yet."""
    ladder = tiers(base=0, gold=100)
    ladder[1].multiplier_thousandths = 1_500
    ladder[1].benefits.append(LocalizedText(en="Half as much again", hi="डेढ़ गुना पॉइंट"))
    shop = open_shop(program(tiers=ladder))
    member = shop.member()
    reaching = shop.sale(member, 100_00)
    assert (reaching.receipt.earned_points, reaching.receipt.tier.tier) == (100, "gold")
    sale = shop.sale(member, 5_00)
    assert [(award.rule, award.points) for award in sale.awards] == [("spend", 5), ("gold", 2)]
    assert sale.receipt.tier.qualifying_amount == 107
    shop.give_back(sale.outcome.transaction)
    prove(shop, member)


def test_a_till_is_told_the_benefits_of_a_tier(open_shop: OpenShop) -> None:
    """Who looks a member up or asks for the balance sees, in both languages, what the tier at that time brings."""
    ladder = tiers(base=0, gold=100)
    benefit = LocalizedText(en="Free delivery", hi="मुफ़्त डिलीवरी")
    ladder[1].benefits.append(benefit)
    shop = open_shop(program(tiers=ladder))
    card = Identifier(type=IdentifierType.IDENTIFIER_TYPE_CARD, value="7000-0001", program=shop.program)
    member = shop.enroll([card]).member
    shop.sale(member, 99_00, at="2024-01-01")
    assert not shop.get_balance(member).tier_benefits
    shop.sale(member, 1_00, at="2024-02-01")
    assert list(shop.get_balance(member).tier_benefits) == [benefit]
    looked_up = shop.pos.LookupMember(
        LookupMemberRequest(identifier=card, min_position=shop.head()), metadata=shop.metadata
    )
    assert list(looked_up.tier_benefits) == [benefit]


def test_a_day_activates_then_reviews_then_expires(open_shop: OpenShop) -> None:
    """At one instant points become active, then the tier changes, then points expire."""
    definition = program(
        tiers=tiers(base=0, top=10),
        tier_policy=tier_policy(calendar=YEAR),
        expiry=fixed_date(12, 31),
        pending=pending(1),
        time_zone="UTC",
    )
    shop = open_shop(definition)
    member = shop.member()
    shop.sale(member, 10_00, at="2019-12-31T12:00")  # active, and to expire a year later, from 2020 on
    assert tier_at(shop, member, "2020-12-31T23:59:59") == "top"
    shop.adjust(member, 1, at="2021-02-01")
    kinds = [event.WhichOneof("event") for event in shop.events(member)][-3:]
    assert kinds == ["tier_changed", "points_expired", "points_adjusted"]
    tier, expired, _ = shop.events(member)[-3:]
    assert tier.tier_changed.effective_at == expired.points_expired.effective_at == instant("2021-01-01")
    prove(shop, member)


def test_a_new_version_takes_tiers_at_the_next_review(open_shop: OpenShop) -> None:
    """Raised thresholds do not take a tier in the middle of a year; a date that was set stays."""
    shop = open_shop(program(tiers=tiers(**METALS), tier_policy=tier_policy(calendar=YEAR), time_zone="UTC"))
    member = shop.member()
    shop.sale(member, 20_000_00, at="2020-05-01")
    changed = tiers(bronze=0, silver=15_000, gold=40_000)
    shop.publish(program(tiers=changed, tier_policy=tier_policy(calendar=YEAR), time_zone="UTC"))
    progress = shop.sale(member, 1_00, at="2020-06-01").receipt.tier
    assert (progress.tier, progress.amount_to_keep) == ("gold", 19_999)
    prove(shop, member)


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        (tier_policy(rolling={"days": 732}), "tier_policy.rolling.period.days"),
        (tier_policy(rolling={}), "tier_policy.rolling.period"),
        (TierPolicy(calendar=CountByCalendar()), "tier_policy.calendar.unit"),
        (tier_policy(grace={"days": 1, "months": 1}), "tier_policy.grace"),
        (tier_policy(grace={"days": 1}, downgrade="NEVER"), "tier_policy.grace"),
        (tier_policy(calendar=QUARTER, grace={"months": 3}), "tier_policy.grace"),
        (tier_policy(downgrade="ONE_STEP"), "tier_policy.downgrade"),
        (tier_policy(since_change={}, downgrade="ONE_STEP"), "tier_policy.downgrade"),
        (tier_policy(since_change={"years": 101}), "tier_policy.since_change.review_after.years"),
        (TierPolicy(basis=9), "tier_policy.basis"),  # type: ignore[arg-type]  # a value of a later version
    ],
)
def test_policies_that_cannot_be_published(open_shop: OpenShop, policy: TierPolicy, path: str) -> None:
    """Each problem names its field."""
    with pytest.raises(grpc.RpcError) as error:
        open_shop(program(tiers=tiers(**METALS), tier_policy=policy))
    assert Details(error.value).fields == [f"program.{path}"]


def test_tiers_that_cannot_be_published(open_shop: OpenShop) -> None:
    """All problems at once."""
    ladder = tiers(base=0, spend=10)
    ladder[1].multiplier_thousandths = 2_000
    ladder[0].multiplier_thousandths = 900
    ladder[0].benefits.append(LocalizedText())
    with pytest.raises(grpc.RpcError) as error:
        open_shop(program(tiers=ladder))
    assert Details(error.value).fields == [
        "program.tiers[0].benefits[0]",
        "program.tiers[0].multiplier_thousandths",
        "program.tiers[1].tier_id",
    ]
    with pytest.raises(grpc.RpcError) as error:
        open_shop(program(tier_policy=tier_policy(calendar=YEAR)))
    assert Details(error.value).fields == ["program.tier_policy"]
