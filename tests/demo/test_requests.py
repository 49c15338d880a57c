"""Baskets as commands, on real rows."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from loyalty.v1.origin_pb2 import Channel
from loyalty.v1.sale_pb2 import TenderKind

from ledger.api.check import CHECKS
from ledger.demo.grocery_year import Basket, GroceryYear, Household, Line, Product
from ledger.demo.requests import enroll_member, publish_program, record_sale
from ledger.sample_program import demo_program

MEMBER = "members/01234567-89ab-7def-8123-456789abcdef"
LATER = 1_800_000_000_000_000

BASKET = Basket(
    basket_id=31198570044,
    household_id=900,
    store_id=330,
    sold_at_us=1_483_271_606_000_000,
    lane=0,
    lines=[Line(25671, 2, 350, 49), Line(99, 0, 0, 0)],
    coupon_minor=75,
)


@pytest.fixture(scope="module")
def year() -> Iterator[GroceryYear]:
    """A part of the year that is long enough for its rarities."""
    with GroceryYear(20_000, lanes=1) as year:
        yield year


def test_a_line_comes_to_exactly_what_the_retailer_received() -> None:
    """Price less discount is the net amount, to the cent, also for lines of nothing."""
    sale = record_sale(BASKET, MEMBER, {25671: Product("GROCERY", "National")}).sale
    known, unknown = sale.lines
    assert (known.sku, known.quantity, known.price_minor, known.discount_minor) == (
        "25671",
        2,
        399,
        49,
    )
    assert (known.category, known.brand) == ("GROCERY", "National")
    assert (unknown.sku, unknown.quantity, unknown.price_minor) == ("99", 0, 0)
    assert unknown.HasField("price_minor")
    assert unknown.HasField("quantity")
    assert (unknown.category, unknown.brand) == ("", "")


def test_a_manufacturers_coupon_is_a_means_of_payment() -> None:
    """The retailer gets its amount, so it takes nothing off what points are earned on."""
    (tender,) = record_sale(BASKET, MEMBER, {}).sale.tenders
    assert (tender.kind, tender.amount_minor) == (TenderKind.TENDER_KIND_VOUCHER, 75)
    assert not record_sale(BASKET._replace(coupon_minor=0), MEMBER, {}).sale.tenders


def test_the_till_says_where_and_when() -> None:
    """The instant is kept in UTC; the business date is that of the store's clock."""
    origin = record_sale(BASKET, MEMBER, {}).origin
    assert (origin.store, origin.terminal, origin.channel) == ("330", "demo", Channel.CHANNEL_STORE)
    assert origin.occurred_at.ToJsonString() == "2017-01-01T11:53:26Z"
    assert origin.till.sequence == BASKET.basket_id
    assert origin.till.business_date == "2017-01-01"
    night = BASKET._replace(sold_at_us=1_514_779_280_000_000)  # 2018-01-01T04:01:20Z
    assert record_sale(night, MEMBER, {}).origin.till.business_date == "2017-12-31"


def test_the_same_basket_makes_the_same_command() -> None:
    """Kept bytes: with other ids or other content, a load that was cut off could not go on."""
    sale = record_sale(BASKET, MEMBER, {})
    assert sale.request_id == "4e6b799a-d2ca-5b29-b89d-69c674a20e17"
    household = Household(900, 330, BASKET.sold_at_us)
    assert enroll_member(household, "programs/demo").request_id == "7b12540c-b76a-5053-926f-85b8671c18d1"
    assert record_sale(BASKET, MEMBER, {}) == sale
    ids = {record_sale(BASKET._replace(basket_id=number), MEMBER, {}).request_id for number in range(1_000)}
    assert len(ids) == 1_000


def test_every_command_passes_the_checks_of_the_api(year: GroceryYear) -> None:
    """Real baskets: none has too many lines, a text too long or an amount below zero."""
    products = year.products()
    without_money = without_quantity = 0
    for basket in year.baskets([0]):
        sale = record_sale(basket, MEMBER, products)
        CHECKS[type(sale)](sale, LATER)
        net = [line.price_minor - line.discount_minor for line in sale.sale.lines]
        assert net == [line.net_minor for line in basket.lines]
        without_money += sum(net) == 0
        without_quantity += any(line.quantity == 0 for line in sale.sale.lines)
    assert without_money
    assert without_quantity
    for household in year.households():
        enrolment = enroll_member(household, "programs/demo")
        CHECKS[type(enrolment)](enrolment, LATER)
    publication = publish_program(demo_program())
    CHECKS[type(publication)](publication, LATER)
    assert UUID(publication.request_id).version == 5
