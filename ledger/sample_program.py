"""Programs to start with: one to try things out, and one for the real baskets of the demo."""

from google.protobuf.duration_pb2 import Duration
from loyalty.v1.account_pb2 import LocalizedText
from loyalty.v1.earning_pb2 import EarningRule, LineFilter, Rounding, SpendRule
from loyalty.v1.expiry_pb2 import CalendarPeriod, CalendarUnit, EndOfUnitExpiry, ExpiryPolicy, NeverExpiry
from loyalty.v1.program_pb2 import Program
from loyalty.v1.reward_pb2 import Cashback, OrderDiscount, Reward
from loyalty.v1.sale_pb2 import LineKind
from loyalty.v1.tier_pb2 import Tier

TIERS = (
    ("bronze", "Bronze", "ब्रॉन्ज़", 0),
    ("silver", "Silver", "सिल्वर", 10_000),
    ("gold", "Gold", "गोल्ड", 20_000),
)


def sample_program() -> Program:
    """A retailer in India: 1 point per 10 rupees, three tiers, points valid for a year."""
    return Program(
        name="programs/sample",
        display_name=LocalizedText(en="Sample Rewards", hi="सैंपल रिवॉर्ड्स"),
        currency="INR",
        time_zone="Asia/Kolkata",
        default_region="IN",
        earning_rules=[
            EarningRule(
                rule_id="spend",
                display_name=LocalizedText(en="1 point per 10 rupees", hi="हर 10 रुपये पर 1 पॉइंट"),
                spend=SpendRule(
                    points=1,
                    per_minor=10_00,
                    excluding=LineFilter(kinds=[LineKind.LINE_KIND_GIFT_CARD]),
                ),
            )
        ],
        expiry=ExpiryPolicy(
            end_of_unit=EndOfUnitExpiry(unit=CalendarUnit.CALENDAR_UNIT_MONTH, after=CalendarPeriod(months=12))
        ),
        tiers=_tiers(),
        rewards=[
            Reward(
                reward_id="ten-percent",
                display_name=LocalizedText(en="10 % off, up to 500 rupees", hi="10 % की छूट, अधिकतम 500 रुपये"),
                cost_points=500,
                order_discount=OrderDiscount(percent_hundredths=10_00, maximum_minor=500_00),
            ),
            Reward(
                reward_id="cashback",
                display_name=LocalizedText(en="Pay with points", hi="पॉइंट से भुगतान"),
                cashback=Cashback(points=1, value_minor=25),
            ),
        ],
        hold_timeout=Duration(seconds=30 * 60),
    )


def demo_program() -> Program:
    """The grocer of the demo's data, in the United States: 1 point per whole dollar, for ever."""
    return Program(
        name="programs/demo",
        display_name=LocalizedText(en="Complete Journey", hi="कम्प्लीट जर्नी"),
        currency="USD",
        time_zone="America/New_York",
        default_region="US",
        earning_rules=[
            EarningRule(
                rule_id="spend",
                display_name=LocalizedText(en="1 point per dollar", hi="हर डॉलर पर 1 पॉइंट"),
                spend=SpendRule(points=1, per_minor=1_00, rounding=Rounding.ROUNDING_WHOLE_STEPS),
            )
        ],
        expiry=ExpiryPolicy(never=NeverExpiry()),
        minor_per_thousand_points=10_00,
        tiers=_tiers(),
        rewards=[
            Reward(
                reward_id="cashback",
                display_name=LocalizedText(en="Pay with points", hi="पॉइंट से भुगतान"),
                cashback=Cashback(points=100, value_minor=1_00),
            )
        ],
    )


def _tiers() -> list[Tier]:
    return [
        Tier(
            tier_id=tier_id,
            display_name=LocalizedText(en=english, hi=hindi),
            threshold=threshold,
        )
        for tier_id, english, hindi, threshold in TIERS
    ]
