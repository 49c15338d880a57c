"""M2: segments by what members bought, where, how often and for how much; entered and left once each."""

from loyalty.v1.earning_pb2 import EarningRule, SpendRule
from loyalty.v1.program_pb2 import Program

from tests.conftest import OpenShop
from tests.proof import prove
from tests.segmenting import Measure, Segments


def program() -> Program:
    """A point for each euro."""
    return Program(earning_rules=[EarningRule(rule_id="spend", spend=SpendRule(points=1, per_minor=100))])


IN_STORE_1 = Measure(measure_id="here", stores=["s-1"])


def test_m2_segments_follow_what_members_buy(open_shop: OpenShop) -> None:
    """Each criterion of the scenario; a sale makes members enter and leave, and its return makes them go back."""
    shop = open_shop(program())
    segments = Segments(shop)
    criteria = {
        "in-store-s": "here.sales > 0",
        "two-or-more": "sales >= 2",
        "exactly-one": "sales == 1",
        "average-above": "average_basket_minor > 4000",
        "average-below": "average_basket_minor < 4000",
        "total-below": "spent_minor < 4000",
        "both": "sales >= 2 && average_basket_minor > 4000",
        "either": "sales >= 2 || average_basket_minor > 4000",
        "neither": "!(sales >= 2 || average_basket_minor > 4000)",
    }
    for segment_id, expression in criteria.items():
        segments.save(segment_id, expression, *([IN_STORE_1] if "here" in expression else []))
    none, small, large, twice = (shop.member() for _ in range(4))
    shop.sale(small, 3_999)
    shop.store = "s-2"
    shop.sale(large, 4_001)
    shop.store = "s-1"
    shop.sale(twice, 3_000)
    last = shop.sale(twice, 6_000)

    def who(segment_id: str) -> set[str]:
        return set(segments.members(segment_id))

    assert who("in-store-s") == {small, twice}
    assert who("two-or-more") == {twice}
    assert who("exactly-one") == {small, large}
    assert who("average-above") == {large, twice}
    assert who("average-below") == {small}
    assert who("total-below") == {none, small}
    assert who("both") == {twice}
    assert who("either") == {large, twice}
    assert who("neither") == {small}, "who never bought has no average: it cannot be evaluated"
    assert segments.get("total-below").member_count == 2

    shop.reverse(last.outcome.transaction)
    assert who("two-or-more") == set()
    assert who("exactly-one") == {small, large, twice}
    assert who("either") == {large}
    assert segments.moves("two-or-more") == [("+", twice), ("-", twice)]
    assert [one.segment for one in segments.of(twice, current_only=True)]
    for member in (none, small, large, twice):
        prove(shop, member)
