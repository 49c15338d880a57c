"""Item 8, what gave nothing: ExplainTransaction names each rule and promotion that did not match, and why."""

import re
from typing import Any, Final

import pytest
from loyalty.v1 import explain_pb2 as pb
from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.earning_pb2 import Cap, Combination, Conditions, EarningRule, LineFilter, Promotion, Stacking
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.program_pb2 import Program, Store
from loyalty.v1.sale_pb2 import TenderKind

from ledger.api.explain_unmatched import UNMATCHED_MAX
from tests.conftest import OpenShop
from tests.programs import activity, item, labelled, limit, plus, program, spend, tiers, times, visit, window
from tests.proof import prove
from tests.shop import Shop, line

MONDAY: Final = "2026-03-02T14:30:00+01:00"

TRIPLE: Final = LocalizedText(en="Triple coffee points", hi="कॉफ़ी पर तिगुने पॉइंट")


def unmatched(shop: Shop, transaction: str) -> dict[str, tuple[str, str, str]]:
    """By rule or promotion: the reason, what it asks for, and what was given instead."""
    return {
        one.rule: (
            pb.UnmatchedReason.Name(one.reason).removeprefix("UNMATCHED_REASON_"),
            one.asks.en,
            one.better_rule,
        )
        for one in shop.explain(transaction).unmatched
    }


def told(shop: Shop, transaction: str) -> tuple[list[str], list[str]]:
    """What is said of what gave nothing, in English and in Hindi."""
    english, hindi = (list(text.lines) for text in shop.explain(transaction).texts)
    assert len(english) == len(hindi)
    assert all(re.search("[\u0900-\u097f]", text) for text in hindi)
    at = next(number for number, text in enumerate(english) if text.startswith("What gave nothing"))
    return english[at + 1 :], hindi[at + 1 :]


def on(**fields: Any) -> Conditions:
    """Conditions."""
    return Conditions(**fields)


CASES: Final[list[tuple[str, EarningRule | Promotion, tuple[str, str, str]]]] = [
    ("store", visit(1, "r", conditions=on(stores=["s-2", "s-3"])), ("STORE", "Harbour, s-3", "")),
    ("channel", visit(1, "r", conditions=on(channels=[Channel.CHANNEL_APP])), ("CHANNEL", "app", "")),
    ("tier", visit(1, "r", conditions=on(tiers=["gold"])), ("TIER", "gold", "")),
    ("tender", visit(1, "r", conditions=on(tenders=[TenderKind.TENDER_KIND_CARD])), ("TENDER", "card", "")),
    ("window", visit(1, "r", conditions=on(windows=[window("2026-03-03T00:00:00")])), ("WINDOW", "", "")),
    (
        "expression",
        visit(1, "r", conditions=on(expression='attributes.app == "yes"')),
        ("EXPRESSION", 'attributes.app == "yes"', ""),
    ),
    (
        "expression on the member",
        visit(1, "r", conditions=on(expression="member.available_points > 5")),
        ("EXPRESSION", "member.available_points > 5", ""),
    ),
    ("minimum of a visit", visit(1, "r", minimum_minor=20_00), ("MINIMUM", "EUR 20.00", "")),
    ("minimum of spend", spend(1, 1_00, "r", minimum_minor=20_00), ("MINIMUM", "EUR 20.00", "")),
    ("lines", item(1, "coffee", "r"), ("LINES", "", "")),
    ("lines of spend", spend(1, 1_00, "r", only=labelled("coffee")), ("LINES", "", "")),
    ("lines by expression", spend(1, 1_00, "r", only=LineFilter(expression='line.sku == "x"')), ("LINES", "", "")),
    ("step", spend(1, 50_00, "r"), ("STEP", "", "")),
    ("step of goods", item(1, "tea", "r", per_units=2), ("STEP", "", "")),
    ("an activity", activity(50, "birthday", "r"), ("OCCASION", "birthday", "")),
    ("a promotion's lines", plus(3, "r", only=labelled("coffee")), ("LINES", "", "")),
    ("a promotion's tier", times(3_000, "r", conditions=on(tiers=["gold"])), ("TIER", "gold", "")),
    ("a promotion that adds too little", times(1_001, "r"), ("STEP", "", "")),
]


@pytest.mark.parametrize(("_case", "rule", "expected"), CASES, ids=[case[0] for case in CASES])
def test_8_why_not(open_shop: OpenShop, _case: str, rule: EarningRule | Promotion, expected: tuple[str, ...]) -> None:
    """Each condition, minimum, line filter and step, of a sale of 12.00 for tea on a Monday, paid in cash."""
    rules = {"promotions": [rule]} if isinstance(rule, Promotion) else {}
    given = [rule] if isinstance(rule, EarningRule) else []
    stores = [
        Store(store_id="s-1"),
        Store(store_id="s-2", display_name=LocalizedText(en="Harbour", hi="बंदरगाह")),
        Store(store_id="s-3"),
    ]
    rule.display_name.CopyFrom(TRIPLE)
    shop = open_shop(program(spend(), *given, tiers=tiers(base=0, gold=1_000), stores=stores, **rules))
    member = shop.member()
    request = shop.sale_request(member, [line(12_00, "tea")], at=MONDAY)
    request.sale.tenders.add(kind=TenderKind.TENDER_KIND_CASH, amount_minor=12_00)
    request.sale.attributes["app"] = "no"
    sale = shop.record(request)
    assert unmatched(shop, sale.outcome.transaction) == {"r": expected}
    english, hindi = told(shop, sale.outcome.transaction)
    assert english[0].startswith("Triple coffee points: ")
    assert hindi[0].startswith("कॉफ़ी पर तिगुने पॉइंट: ")
    if expected[1]:
        assert expected[1] in english[0]
    prove(shop, member)


def test_8_the_tier_before_the_sale_counts(open_shop: OpenShop) -> None:
    """A sale that makes a member gold is not yet a gold member's; the next one is."""
    gold = plus(5, "gold-bonus", conditions=on(tiers=["gold"]))
    shop = open_shop(program(spend(), promotions=[gold], tiers=tiers(base=0, gold=100)))
    member = shop.member()
    first, second = (shop.sale(member, 100_00, at=MONDAY).outcome.transaction for _ in range(2))
    assert unmatched(shop, first) == {"gold-bonus": ("TIER", "gold", "")}
    assert unmatched(shop, second) == {}
    prove(shop, member)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"combination": Combination.COMBINATION_BEST, "promotion_stacking": Stacking.STACKING_BEST},
            {"few": ("WORSE", "", "many"), "small": ("WORSE", "", "large")},
        ),
        (
            {"combination": Combination.COMBINATION_FIRST, "promotion_stacking": Stacking.STACKING_FIRST},
            {"many": ("STOPPED", "", "few"), "large": ("STOPPED", "", "small")},
        ),
    ],
)
def test_8_loses_against_another(
    open_shop: OpenShop, fields: dict[str, Any], expected: dict[str, tuple[str, str, str]]
) -> None:
    """Only the best, or only the first by priority, of rules and of promotions; a cap changes nothing of that."""
    shop = open_shop(
        program(
            visit(1, "few", priority=2),
            visit(8, "many", priority=1),
            promotions=[plus(1, "small", priority=2), plus(9, "large", priority=1)],
            caps=[Cap(cap_id="sale", per_sale=True, points=1)],
            **fields,
        )
    )
    member = shop.member()
    sale = shop.sale(member, 10_00, at=MONDAY).outcome.transaction
    assert unmatched(shop, sale) == expected
    english, _ = told(shop, sale)
    if "few" in expected:
        assert english == [
            "few: only the best counts, and that was many.",
            "small: only the best counts, and that was large.",
        ]
    prove(shop, member)


def test_8_a_rule_that_stops_others(open_shop: OpenShop) -> None:
    """Only where it gave points."""
    shop = open_shop(program(visit(5, "from-20", minimum_minor=20_00, priority=1, stop=True), spend()))
    member = shop.member()
    small, large = (shop.sale(member, amount, at=MONDAY).outcome.transaction for amount in (10_00, 20_00))
    assert unmatched(shop, small) == {"from-20": ("MINIMUM", "EUR 20.00", "")}
    assert unmatched(shop, large) == {"spend": ("STOPPED", "", "from-20")}
    prove(shop, member)


def test_8_a_limit_that_is_used_up(open_shop: OpenShop) -> None:
    """Where another rule comes instead; where none does, the award says it."""
    rules: Program = program(
        visit(5, "once-a-day", limits=[limit("day", times=1)], priority=1),
        visit(1, "always"),
        combination=Combination.COMBINATION_FIRST,
    )
    shop = open_shop(rules)
    member = shop.member()
    first, second = (shop.sale(member, 10_00, at=MONDAY).outcome.transaction for _ in range(2))
    assert unmatched(shop, first) == {"always": ("STOPPED", "", "once-a-day")}
    assert unmatched(shop, second) == {"once-a-day": ("LIMIT", "once a day", "")}
    assert told(shop, second) == (
        ["once-a-day: used up; the most is once a day."],
        ["once-a-day: सीमा पूरी हो चुकी; अधिकतम सीमा: हर दिन 1 बार।"],
    )
    prove(shop, member)


def test_8_limits_and_points_of_then_are_not_guessed(open_shop: OpenShop) -> None:
    """Where either may have been it, neither is claimed."""
    rule = visit(5, "rich", limits=[limit("day", times=1)], conditions=on(expression="member.available_points > 5"))
    shop = open_shop(program(rule))
    member = shop.member()
    sale = shop.sale(member, 10_00, at=MONDAY).outcome.transaction
    assert unmatched(shop, sale) == {"rich": ("UNKNOWN", "", "")}
    prove(shop, member)


def test_8_no_points_no_promotion(open_shop: OpenShop) -> None:
    """E6, explained."""
    shop = open_shop(program(spend(1, 50_00), promotions=[plus(3)]))
    member = shop.member()
    sale = shop.sale(member, 10_00, at=MONDAY).outcome.transaction
    assert unmatched(shop, sale) == {"spend": ("STEP", "", ""), "plus": ("NO_BASE", "", "")}
    assert told(shop, sale)[0] == [
        "spend: what counted was too little for a point.",
        "plus: only on top of points by rules, and there were none.",
    ]
    prove(shop, member)


def test_8_an_activity(open_shop: OpenShop) -> None:
    """Rules of other activities and of purchases are for other occasions."""
    shop = open_shop(program(spend(), activity(5, "review"), activity(50, "birthday", "birthday")))
    member = shop.member()
    done = shop.activity(member, "review", at=MONDAY).outcome.transaction
    assert unmatched(shop, done) == {"birthday": ("OCCASION", "birthday", ""), "spend": ("OCCASION", "", "")}
    assert told(shop, done) == (
        ["birthday: only for the activity birthday.", "spend: only for purchases."],
        ["birthday: केवल गतिविधि birthday के लिए।", "spend: केवल ख़रीद के लिए।"],
    )
    prove(shop, member)


def test_8_the_list_is_bounded(open_shop: OpenShop) -> None:
    """The first 50 in order, and how many more; of the version that decided, whatever was published since."""
    rules = [item(1, f"sku-{number:02}", f"item-{number:02}") for number in range(UNMATCHED_MAX + 3)]
    shop = open_shop(program(*rules))
    member = shop.member()
    sale = shop.sale(member, [line(1_00, "sku-00")], at=MONDAY).outcome.transaction
    shop.publish(program(spend()))
    found = shop.explain(sale)
    assert [one.rule for one in found.unmatched] == [f"item-{number:02}" for number in range(1, UNMATCHED_MAX + 1)]
    assert found.unmatched_left_out == 2
    assert told(shop, sale)[0][-1] == "2 more gave nothing."
    prove(shop, member)


def test_8_what_was_given_is_not_unmatched(open_shop: OpenShop) -> None:
    """Neither what an award, nor what a failed condition tells of; a refusal and a return have no such list."""
    shop = open_shop(
        program(spend(), promotions=[plus(7, "broken", conditions=on(expression='int(attributes["n"]) > 1'))])
    )
    member = shop.member()
    sale = shop.sale(member, 10_00, at=MONDAY).outcome.transaction
    assert unmatched(shop, sale) == {}
    back = shop.give_back(sale, at=MONDAY).outcome.transaction
    assert unmatched(shop, back) == {}
    prove(shop, member)
