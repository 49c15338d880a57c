"""What may be published: each rule can be broken, and each problem names its field."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.earning_pb2 import EarningRule, SpendRule
from loyalty.v1.expiry_pb2 import (
    CalendarPeriod,
    CalendarUnit,
    EndOfUnitExpiry,
    ExpiryPolicy,
    FixedDateExpiry,
    InactivityExpiry,
    NeverExpiry,
    RollingExpiry,
)
from loyalty.v1.program_pb2 import Program, RestoreExpired, Store
from loyalty.v1.reward_pb2 import Cashback, OrderDiscount, Reward
from loyalty.v1.sale_pb2 import LineKind
from loyalty.v1.tier_pb2 import Tier

from ledger.domain.program import Program as Compiled
from ledger.domain.publish import (
    GRACE_DAYS_MAX,
    HOLD_TIMEOUT_MAX_S,
    STORE_ID_CHARACTERS_MAX,
    STORES_MAX,
    problems,
)
from ledger.domain.publish_earning import FILTER_ENTRIES_MAX, RULES_MAX
from ledger.domain.publish_expiry import PENDING_DAYS_MAX
from ledger.domain.publish_rewards import REWARDS_MAX
from ledger.domain.publish_tiers import TIERS_MAX
from ledger.sample_program import demo_program, sample_program

Change = Callable[[Program], object]

MONTH = CalendarUnit.CALENDAR_UNIT_MONTH


def paths(definition: Program) -> list[str]:
    """The fields at fault."""
    return [path for path, what in problems(definition) if what]


def after(change: Change) -> list[str]:
    """The fields at fault after a change to the sample program."""
    definition = sample_program()
    change(definition)
    return paths(definition)


@pytest.mark.parametrize("definition", [sample_program(), demo_program()], ids=lambda d: d.name)
def test_our_own_programs_can_be_published(definition: Program) -> None:
    """And compiled."""
    assert problems(definition) == []
    assert Compiled(definition).name == definition.name


def test_the_smallest_program_can_be_published() -> None:
    """Rules, tiers and rewards may come later."""
    smallest = Program(name="programs/p", currency="JPY", time_zone="Asia/Tokyo", default_region="JP")
    assert problems(smallest) == []


def test_all_problems_are_named_at_once() -> None:
    """A manager corrects a program once, not field by field."""
    assert paths(Program()) == ["name", "currency", "time_zone", "default_region"]

    def change(definition: Program) -> None:
        definition.ClearField("currency")
        definition.earning_rules[0].spend.ClearField("points")
        definition.tiers[2].ClearField("threshold")
        definition.rewards[1].cashback.ClearField("points")

    assert after(change) == [
        "currency",
        "earning_rules[0].spend.points",
        "tiers[2].threshold",
        "rewards[1].cashback.points",
    ]


def put(name: str, value: object) -> Change:
    """A change of one field of the program."""

    def change(definition: Program) -> None:
        message: Any = definition
        *path, field = name.split(".")
        for part in path:
            message = getattr(message, part)
        setattr(message, field, value)

    return change


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "sample"),
        ("name", "programs/"),
        ("name", "programs/Sample"),
        ("name", "programs/a_b"),
        ("name", f"programs/{'a' * 64}"),
        ("name", "programs/a\n"),
        ("currency", "inr"),
        ("currency", "XXX"),
        ("currency", "DEM"),
        ("currency", "₹"),
        ("time_zone", "India"),
        ("time_zone", "asia/kolkata"),
        ("time_zone", "+05:30"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", "America"),
        ("time_zone", "localtime"),
        ("time_zone", "a\0b"),
        ("default_region", "91"),
        ("default_region", "in"),
        ("default_region", "XX"),
        ("pending.days", -1),
        ("pending.days", 3_651),
        ("duplicate_enrolment", 3),
    ],
)
def test_single_fields_are_checked(name: str, value: object) -> None:
    """Currency of ISO 4217, zone of IANA, region of ISO 3166-1."""
    assert after(put(name, value)) == [name]


@pytest.mark.parametrize(
    ("timeout", "is_right"),
    [
        (Duration(seconds=1), True),
        (Duration(seconds=30 * 86_400), True),
        (Duration(nanos=999_999_999), False),
        (Duration(), False),
        (Duration(seconds=-1), False),
        (Duration(seconds=30 * 86_400, nanos=1_000), False),
    ],
)
def test_a_hold_lasts_from_a_second_to_30_days(timeout: Duration, is_right: bool) -> None:
    """Absent is 30 minutes."""
    assert after(lambda p: p.hold_timeout.CopyFrom(timeout)) == ([] if is_right else ["hold_timeout"])
    assert after(lambda p: p.ClearField("hold_timeout")) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: setattr(s, "points", 0), ["points"]),
        (lambda s: setattr(s, "points", -1), ["points"]),
        (lambda s: setattr(s, "per_minor", 0), ["per_minor"]),
        (lambda s: setattr(s, "rounding", 5), ["rounding"]),
        (lambda s: setattr(s, "basis", 99), ["basis"]),
        (lambda s: setattr(s, "minimum_minor", -1), ["minimum_minor"]),
        (lambda s: s.only.SetInParent(), ["only"]),
        (lambda s: s.only.skus.append(""), ["only.skus[0]"]),
        (lambda s: s.only.labels.append("x" * 101), ["only.labels[0]"]),
        (lambda s: s.only.brands.append("a\0"), ["only.brands[0]"]),
        (lambda s: s.only.categories.append("food"), []),
        (lambda s: s.excluding.kinds.append(LineKind.LINE_KIND_UNSPECIFIED), ["excluding.kinds[1]"]),
        (lambda s: s.excluding.kinds.append(LineKind.ValueType(9)), ["excluding.kinds[1]"]),
        (lambda s: s.excluding.Clear(), []),
        (lambda s: s.only.kinds.append(LineKind.LINE_KIND_GIFT_CARD), ["excluding"]),
        (lambda s: s.excluding.kinds.extend([1, 2, 3]), ["excluding.kinds"]),
        (lambda s: (s.only.skus.append("a"), s.excluding.skus.extend("ab")), ["excluding"]),
        (lambda s: (s.only.skus.extend("ab"), s.excluding.skus.append("a")), []),
        (lambda s: (s.only.skus.append("a"), s.excluding.labels.append("a")), []),
        (lambda s: (s.only.skus.append("a"), s.excluding.kinds.extend([1, 2, 3])), ["excluding"]),
        (lambda s: s.only.skus.extend(["a"] * FILTER_ENTRIES_MAX), []),
        (lambda s: s.only.skus.extend(["a"] * (FILTER_ENTRIES_MAX + 1)), ["only"]),
    ],
)
def test_a_spend_rule_is_checked(change: Callable[[SpendRule], object], expected: list[str]) -> None:
    """Also for being of no use: a rule that no line can ever match is a mistake."""
    assert after(lambda p: change(p.earning_rules[0].spend)) == [f"earning_rules[0].spend.{path}" for path in expected]


def test_a_rule_has_an_id_of_its_own_and_a_kind() -> None:
    """Awards name the rule that gave them."""
    spend = SpendRule(points=1, per_minor=1)
    assert after(
        lambda p: p.earning_rules.extend(
            [
                EarningRule(rule_id="spend", spend=spend),
                EarningRule(rule_id="Spend", spend=spend),
                EarningRule(rule_id="visit"),
            ]
        )
    ) == [
        "earning_rules[1].rule_id",
        "earning_rules[2].rule_id",
        "earning_rules[3].spend",
    ]


def period(**lengths: int) -> CalendarPeriod:
    """A calendar period."""
    return CalendarPeriod(**lengths)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ({"days": 1}, []),
        ({"days": 36_500}, []),
        ({"months": 1_200}, []),
        ({"years": 100}, []),
        ({"days": 36_501}, [".days"]),
        ({"months": 1_201}, [".months"]),
        ({"years": 101}, [".years"]),
        ({"days": -1}, [".days"]),
        ({}, [""]),
        ({"days": 1, "months": 1}, [""]),
        ({"months": 12, "years": -1}, ["", ".years"]),
    ],
)
def test_a_period_is_one_length_of_one_unit(lengths: dict[str, int], expected: list[str]) -> None:
    """In every policy that has one."""
    length = period(**lengths)
    for policy, path in (
        (ExpiryPolicy(rolling=RollingExpiry(period=length)), "rolling.period"),
        (ExpiryPolicy(inactivity=InactivityExpiry(period=length)), "inactivity.period"),
        (ExpiryPolicy(end_of_unit=EndOfUnitExpiry(unit=MONTH, after=length)), "end_of_unit.after"),
    ):
        definition = sample_program()
        definition.expiry.CopyFrom(policy)
        assert paths(definition) == [f"expiry.{path}{end}" for end in expected]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ExpiryPolicy(), []),
        (ExpiryPolicy(never=NeverExpiry()), []),
        (ExpiryPolicy(rolling=RollingExpiry()), ["expiry.rolling.period"]),
        (ExpiryPolicy(end_of_unit=EndOfUnitExpiry()), ["expiry.end_of_unit.unit"]),
        (ExpiryPolicy(end_of_unit=EndOfUnitExpiry(unit=CalendarUnit.CALENDAR_UNIT_YEAR)), []),
        (ExpiryPolicy(end_of_unit=EndOfUnitExpiry(unit=CalendarUnit.ValueType(4))), ["expiry.end_of_unit.unit"]),
        (ExpiryPolicy(fixed_date=FixedDateExpiry(month=2, day=29)), []),
        (ExpiryPolicy(fixed_date=FixedDateExpiry(month=2, day=30)), ["expiry.fixed_date.day"]),
        (ExpiryPolicy(fixed_date=FixedDateExpiry(month=4, day=31)), ["expiry.fixed_date.day"]),
        (ExpiryPolicy(fixed_date=FixedDateExpiry(month=12, day=31)), []),
        (ExpiryPolicy(fixed_date=FixedDateExpiry(month=12)), ["expiry.fixed_date.day"]),
        (ExpiryPolicy(fixed_date=FixedDateExpiry(month=13, day=1)), ["expiry.fixed_date.month"]),
        (ExpiryPolicy(fixed_date=FixedDateExpiry(day=1)), ["expiry.fixed_date.month"]),
    ],
)
def test_an_expiry_policy_is_checked(policy: ExpiryPolicy, expected: list[str]) -> None:
    """29 February is a day; other days that do not exist are not."""
    assert after(lambda p: p.expiry.CopyFrom(policy)) == expected


@pytest.mark.parametrize(
    ("thresholds", "wrong"),
    [
        ([], []),
        ([0], []),
        ([0, 1], []),
        ([1], [0]),
        ([-1, 5], [0]),
        ([0, 5, 5], [2]),
        ([0, 5, 4, 6], [2]),
        ([0, 0], [1]),
    ],
)
def test_every_tier_can_be_reached(thresholds: list[int], wrong: list[int]) -> None:
    """Thresholds ascend from 0; two alike make one of them unreachable."""

    def change(definition: Program) -> None:
        del definition.tiers[:]
        for index, threshold in enumerate(thresholds):
            definition.tiers.add(tier_id=f"t{index}", threshold=threshold)

    assert after(change) == [f"tiers[{index}].threshold" for index in wrong]


def test_tiers_are_told_apart() -> None:
    """By their ids."""
    assert after(lambda p: p.tiers.append(Tier(tier_id="gold", threshold=30_000))) == ["tiers[3].tier_id"]


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (Reward(cost_points=1), [""]),
        (Reward(order_discount=OrderDiscount(amount_minor=1)), [".cost_points"]),
        (Reward(cost_points=-1, order_discount=OrderDiscount(amount_minor=1)), [".cost_points"]),
        (Reward(cost_points=1, order_discount=OrderDiscount()), [".order_discount"]),
        (
            Reward(cost_points=1, order_discount=OrderDiscount(percent_hundredths=1, amount_minor=1)),
            [".order_discount"],
        ),
        (Reward(cost_points=1, order_discount=OrderDiscount(percent_hundredths=10_000)), []),
        (
            Reward(cost_points=1, order_discount=OrderDiscount(percent_hundredths=10_001)),
            [".order_discount.percent_hundredths"],
        ),
        (
            Reward(cost_points=1, order_discount=OrderDiscount(percent_hundredths=-1)),
            [".order_discount.percent_hundredths"],
        ),
        (
            Reward(cost_points=1, order_discount=OrderDiscount(amount_minor=-1)),
            [".order_discount.amount_minor"],
        ),
        (
            Reward(cost_points=1, order_discount=OrderDiscount(amount_minor=1, maximum_minor=-1)),
            [".order_discount.maximum_minor"],
        ),
        (Reward(cashback=Cashback(points=1, value_minor=1)), []),
        (Reward(cost_points=1, cashback=Cashback(points=1, value_minor=1)), [".cost_points"]),
        (Reward(cashback=Cashback(value_minor=1)), [".cashback.points"]),
        (Reward(cashback=Cashback(points=1)), [".cashback.value_minor"]),
    ],
)
def test_a_reward_is_checked(reward: Reward, expected: list[str]) -> None:
    """Of one kind, with one price, worth something."""

    def change(definition: Program) -> None:
        reward.reward_id = "r"
        definition.rewards.append(reward)

    assert after(change) == [f"rewards[2]{path}" for path in expected]


@pytest.mark.parametrize(
    ("grace_days", "restore", "expected"),
    [
        (0, RestoreExpired.RESTORE_EXPIRED_FORFEIT, []),
        (1, RestoreExpired.RESTORE_EXPIRED_FORFEIT, ["returns.grace_days"]),
        (1, RestoreExpired.RESTORE_EXPIRED_UNSPECIFIED, ["returns.grace_days"]),
        (0, RestoreExpired.RESTORE_EXPIRED_GRACE, ["returns.grace_days"]),
        (1, RestoreExpired.RESTORE_EXPIRED_GRACE, []),
        (3_650, RestoreExpired.RESTORE_EXPIRED_GRACE, []),
        (3_651, RestoreExpired.RESTORE_EXPIRED_GRACE, ["returns.grace_days"]),
        (0, RestoreExpired.ValueType(7), ["returns.restore_expired"]),
    ],
)
def test_grace_days_belong_to_grace(grace_days: int, restore: RestoreExpired.ValueType, expected: list[str]) -> None:
    """Given exactly when they are used."""

    def change(definition: Program) -> None:
        definition.returns.restore_expired = restore
        definition.returns.grace_days = grace_days

    assert after(change) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (LocalizedText(), []),
        (LocalizedText(en="Gold", hi="गोल्ड"), []),
        (LocalizedText(en="Gold"), [".hi"]),
        (LocalizedText(hi="गोल्ड"), [".en"]),
        (LocalizedText(en="Gold", hi=" "), [".hi"]),
        (LocalizedText(en="x" * 101, hi="a\nb"), [".en", ".hi"]),
    ],
)
def test_a_name_is_in_both_languages(name: LocalizedText, expected: list[str]) -> None:
    """Wherever there is one; none at all is allowed."""

    def change(definition: Program) -> None:
        for named in (
            definition,
            definition.earning_rules[0],
            definition.tiers[2],
            definition.rewards[1],
        ):
            named.display_name.CopyFrom(name)

    assert after(change) == [
        f"{path}display_name{end}" for path in ("", "earning_rules[0].", "tiers[2].", "rewards[1].") for end in expected
    ]


def test_lists_have_limits() -> None:
    """One more than the limit is one problem, not one for each entry."""

    def change(definition: Program) -> None:
        spend = SpendRule(points=1, per_minor=1)
        definition.earning_rules.extend(EarningRule(rule_id=f"r{index}", spend=spend) for index in range(RULES_MAX))
        definition.tiers.extend(Tier(tier_id=f"t{index}", threshold=20_001 + index) for index in range(TIERS_MAX))

    assert after(change) == ["earning_rules", "tiers"]


@pytest.mark.parametrize(
    ("store_id", "expected"),
    [("S 12/3", []), ("", [".store_id"]), ("x" * 65, [".store_id"]), ("s-1", [".store_id"])],
)
def test_stores_are_told_apart(store_id: str, expected: list[str]) -> None:
    """By any text that the retailer uses."""
    stores = [Store(store_id="s-1"), Store(store_id=store_id)]
    assert after(lambda p: p.stores.extend(stores)) == [f"stores[1]{path}" for path in expected]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda p: setattr(p.returns, "claw_back", 3), ["returns.claw_back"]),
        (lambda p: setattr(p.returns, "unknown_sale", -1), ["returns.unknown_sale"]),
        (lambda p: setattr(p, "version", -5), []),
        (lambda p: setattr(p, "etag", "?"), []),
    ],
)
def test_what_is_left(change: Change, expected: list[str]) -> None:
    """Enums are known; version and etag are the server's."""
    assert after(change) == expected


@pytest.mark.parametrize(
    "phrase",
    [
        f"at most {RULES_MAX:,} rules",
        f"Tiers by ascending threshold: at most {TIERS_MAX}",
        f"at most {REWARDS_MAX:,} rewards",
        f"at most {STORES_MAX:,}; none for any store",
        f"1 to {GRACE_DAYS_MAX:,}.",
        f"At most {HOLD_TIMEOUT_MAX_S // 86_400} days.",
        f"1 to {STORE_ID_CHARACTERS_MAX} characters",
    ],
)
def test_limits_are_the_documented_ones(phrase: str) -> None:
    """The contract tells a programme manager what is checked here."""
    protos = Path(__file__).parents[2] / "protos" / "loyalty" / "v1"
    assert phrase in (protos / "program.proto").read_text(encoding="utf-8")


def test_the_longest_pending_is_the_documented_one() -> None:
    """In days, where the policy is."""
    expiry = Path(__file__).parents[2] / "protos" / "loyalty" / "v1" / "expiry.proto"
    assert f"1 to {PENDING_DAYS_MAX:,}." in expiry.read_text(encoding="utf-8")


def test_the_limits_belong_to_what_is_allowed() -> None:
    """As many entries as the limit says are right, one more is not."""

    def change(more: int) -> Change:
        def run(definition: Program) -> None:
            del definition.tiers[:]
            definition.tiers.extend(Tier(tier_id=f"t{at}", threshold=at) for at in range(TIERS_MAX + more))
            definition.stores.extend(Store(store_id=f"s{at}") for at in range(STORES_MAX + more))

        return run

    assert after(change(0)) == []
    assert after(change(1)) == ["tiers", "stores"]


def test_rewards_are_told_apart_and_stores_have_names_in_both_languages() -> None:
    """As rules and tiers do."""
    twice = Reward(reward_id="cashback", cashback=Cashback(points=1, value_minor=1))
    assert after(lambda p: p.rewards.append(twice)) == ["rewards[2].reward_id"]
    half = Store(store_id="s", display_name=LocalizedText(en="Station"))
    assert after(lambda p: p.stores.append(half)) == ["stores[0].display_name.hi"]
