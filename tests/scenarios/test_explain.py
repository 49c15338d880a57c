"""ExplainTransaction: each point with its rule, lines, limits and lots, and each refusal with its reason."""

import re
from typing import Final

import grpc
import pytest
from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.commands_pb2 import PointsPayment
from loyalty.v1.earning_pb2 import Cap, Conditions, EarningRule, Excess, Period
from loyalty.v1.events_pb2 import Event
from loyalty.v1.explain_pb2 import (
    BASIS_UNIT_MONEY,
    BASIS_UNIT_OCCASION,
    BASIS_UNIT_POINTS,
    BASIS_UNIT_UNITS,
    Explanation,
)
from typer.testing import CliRunner

from ledger.api.explain_texts import ENGLISH, HINDI
from ledger.cli.till import app
from tests.conftest import OpenShop
from tests.programs import activity, cashback, discount, item, limit, plus, program, rolling, spend, tiers, times
from tests.proof import prove
from tests.running import ServerProcess, token
from tests.shop import Shop, line, new_id, refused

AT: Final = "2026-03-02T14:30:00+01:00"


def name(en: str, hi: str) -> LocalizedText:
    """What something is called."""
    return LocalizedText(en=en, hi=hi)


def says(explanation: Explanation) -> list[str]:
    """The English lines. The Hindi ones are as many, and Hindi."""
    english, hindi = explanation.texts
    assert (english.language_code, hindi.language_code) == ("en", "hi")
    assert len(english.lines) == len(hindi.lines)
    assert all(re.search("[\u0900-\u097f]", text) for text in hindi.lines)
    return list(english.lines)


def called(rule: EarningRule, en: str, hi: str) -> EarningRule:
    """A rule with a name."""
    rule.display_name.CopyFrom(name(en, hi))
    return rule


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A program with all that an explanation can name."""
    return open_shop(
        program(
            called(spend(1, 1_00), "Base points", "मूल पॉइंट"),
            called(item(5, "mug", "mug"), "Mugs", "मग"),
            activity(20, "review", "review", limits=[limit("day", times=1)]),
            display_name=name("Corner Rewards", "कॉर्नर रिवॉर्ड्स"),
            promotions=[
                times(
                    2_000, "double", display_name=name("Double points", "दोगुने पॉइंट"), limits=[limit("week", points=60)]
                ),
                plus(7, "broken", conditions=Conditions(expression='int(attributes["n"]) > 1')),
            ],
            caps=[Cap(cap_id="daily", period=Period.PERIOD_DAY, points=150, excess=Excess.EXCESS_CUT)],
            expiry=rolling(years=1),
            tiers=tiers(bronze=0, silver=100),
            rewards=[cashback(), discount(40)],
        )
    )


def test_a_sale(shop: Shop) -> None:
    """Rules and promotions by name, lines, what limit and cap took off, lots, tier, and the condition that failed."""
    member = shop.member()
    sale = shop.sale(member, [line(100_00, "tea"), line(20_00, "mug", quantity=2)], at=AT)
    found = shop.explain(sale.outcome.transaction)
    assert (found.type, found.program, found.program_version) == ("SaleRecorded", shop.program, 1)
    assert found.member == member
    assert found.origin.store == shop.store
    awards = {award.rule: award for award in found.awards}
    assert {
        rule: (award.asked_points, award.points, award.basis, award.basis_unit) for rule, award in awards.items()
    } == {
        "spend": (120, 120, 120_00, BASIS_UNIT_MONEY),
        "mug": (10, 10, 2, BASIS_UNIT_UNITS),
        "double": (130, 20, 130, BASIS_UNIT_POINTS),
    }
    assert [(one.line_id, one.sku, one.basis) for one in awards["mug"].lines] == [("2", "mug", 2)]
    assert [(one.limit, one.points, one.rule.en) for one in awards["double"].reductions] == [
        ("double/week/points", 70, "60 points a week"),
        ("daily", 40, "150 points a day"),
    ]
    assert [failure.rule for failure in found.failures] == ["broken"]
    assert sum(lot.points for lot in found.lots) == sale.receipt.earned_points == 150
    assert [(change.from_tier, change.to_tier) for change in found.tier_changes] == [("bronze", "silver")]
    error = found.failures[0].error
    assert says(found) == [
        "Sale of 2 March 2026, 14:30.",
        "Decided by version 1 of Corner Rewards.",
        "Mugs: 10 points; units that counted: 2.",
        "Lines that counted: 2 (SKU mug).",
        "Base points: 120 points for EUR 120.00.",
        "Double points: 20 points more; points that counted: 130.",
        "Lines that counted: 1 (SKU tea), 2 (SKU mug).",
        "It would have been 70 points more; the most is 60 points a week.",
        "It would have been 40 points more; the most is 150 points a day.",
        f"broken did not apply: its condition could not be evaluated ({error}).",
        "150 points can be spent at once.",
        "Valid through 2 March 2027.",
        "Tier silver instead of bronze: what counts came to 150.",
        "What gave nothing, worked out again by the rules of that version:",
        "review: only for the activity review.",
    ]
    prove(shop, member)


def test_names_stay_those_of_the_version_that_decided(shop: Shop) -> None:
    """A rule that was renamed since is explained as it was."""
    sale = shop.sale(shop.member(), 10_00, at=AT)
    shop.publish(program(called(spend(3, 1_00), "Triple", "तिगुना")))
    found = shop.explain(sale.outcome.transaction)
    assert (found.program_version, found.awards[0].display_name.en) == (1, "Base points")


def test_a_refusal(shop: Shop) -> None:
    """The reason, its figures and what would help, in both languages."""
    member = shop.member()
    request_id = new_id()
    with refused("INSUFFICIENT_POINTS"):
        shop.reserve(member, "discount", request_id=request_id, at=AT)
    found = shop.explain(f"transactions/{request_id}")
    assert found.type == "CommandRefused"
    assert dict(found.refusal.metadata) == {"needed_points": "40", "available_points": "0"}
    assert says(found) == [
        "Refused on 2 March 2026, 14:30.",
        "Decided by version 1 of Corner Rewards.",
        "Not enough points: 40 needed, 0 available. Offer a cheaper reward or another payment.",
    ]
    assert "पॉइंट कम हैं" in found.refusal.message.hi


def test_what_came_of_a_sale_since(shop: Shop) -> None:
    """What it redeemed, and what returns and a reversal took back."""
    member = shop.member()
    shop.sale(member, 100_00, at="2026-02-20T12:00")
    sale = shop.sale(
        member, [line(10_00), line(20_00)], at=AT, points_payment=PointsPayment(reward_id="cashback", points=5)
    )
    back = shop.give_back(sale.outcome.transaction, ["2"], at=AT)
    found = shop.explain(sale.outcome.transaction)
    assert [(one.redemption.reward_id, one.redemption.points) for one in found.redemptions] == [("cashback", 5)]
    assert [(one.transaction, one.reversal) for one in found.undone] == [(back.outcome.transaction, False)]
    told = says(found)
    assert "cashback: 5 points used." in told
    assert f"Goods came back with {back.outcome.transaction}." in told
    assert "Lines that came back: 2." in told
    own = shop.explain(back.outcome.transaction)
    assert own.type == "SaleReturned"
    assert says(own)[0] == "Return of 2 March 2026, 14:30."
    assert f"{back.receipt.clawed_back_points} points were taken back." in says(own)
    reversal = shop.reverse(sale.outcome.transaction, at=AT)
    assert f"Cancelled with {reversal.outcome.transaction}." in says(shop.explain(sale.outcome.transaction))


def test_everything_else(shop: Shop) -> None:
    """Enrolment, activity, reservation, commitment, adjustment, publication, and a reversal that came first."""
    enrolled = shop.enroll()
    member = enrolled.member
    adjusted = shop.adjust(member, 100, at=AT)
    first = shop.activity(member, "review", at=AT)
    held = shop.reserve(member, "discount", at=AT)
    done = (enrolled, adjusted, first, held, shop.commit(held.hold, at=AT), shop.publish(program()))
    told = [says(shop.explain(one.outcome.transaction))[0] for one in done]
    assert [re.sub(" (on|of) .*", "", text) for text in told] == [
        "Enrolment",
        "Points adjusted by hand",
        "Activity",
        "Reward reserved",
        "Reward redeemed",
        "Program published",
    ]
    assert shop.explain(first.outcome.transaction).awards[0].basis_unit == BASIS_UNIT_OCCASION
    never = new_id()
    awaited = shop.reverse(original_request_id=never, at=AT)
    assert says(shop.explain(awaited.outcome.transaction))[0].startswith("Cancellation of 2 March 2026, 13:30.")
    assert says(shop.explain(f"transactions/{never}")) == [
        "This transaction was cancelled on 2 March 2026, 13:30, before it arrived."
    ]


def test_who_may_see_it(shop: Shop, server: ServerProcess) -> None:
    """Those who may see the transaction; to a credential of another program it does not exist."""
    sale = shop.sale(shop.member(), 10_00)
    bound = token(server.database_url, "manager", program="programs/other")
    shop.metadata = (("authorization", f"Bearer {bound}"),)
    for transaction in (sale.outcome.transaction, f"transactions/{new_id()}"):
        with refused("TRANSACTION_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
            shop.explain(transaction)


def test_the_command(shop: Shop, server: ServerProcess, admin_token: str) -> None:
    """`loyalty till explain` prints it in the language asked for."""
    sale = shop.sale(shop.member(), 10_00, at=AT)
    at = ("--address", server.address, "--token", admin_token)
    done = CliRunner().invoke(app, ["explain", sale.outcome.transaction, *at])
    assert done.stdout.startswith(
        "Sale of 2 March 2026, 14:30.\nDecided by version 1 of Corner Rewards.\nBase points: 10"
    )
    done = CliRunner().invoke(app, ["explain", sale.outcome.transaction, "--language", "hi", *at])
    assert done.stdout.startswith("2 मार्च 2026, 14:30 की बिक्री।")


@pytest.mark.parametrize("phrase", ENGLISH)
def test_both_languages_say_the_same(phrase: str) -> None:
    """Each phrase is in both and names the same figures."""
    named = {frozenset(re.findall(r"{(\w+)}", text)) for text in (*ENGLISH[phrase], *HINDI[phrase])}
    assert len(named) == 1
    assert all(re.search("[\u0900-\u097f]", text) for text in HINDI[phrase])
    assert not re.search("[A-Za-z]", re.sub(r"{\w+}", "", "".join(HINDI[phrase])))
    assert set(ENGLISH) == set(HINDI)


def test_every_main_event_has_a_title() -> None:
    """What a command can come to can be explained."""
    kinds = [field.message_type for field in Event.DESCRIPTOR.oneofs_by_name["event"].fields]
    mains = {
        kind.name
        for kind in kinds
        if kind is not None and ("request" in kind.fields_by_name or "request" in kind.oneofs_by_name)
    }
    assert mains | {"CommandBlocked"} <= ENGLISH.keys()
