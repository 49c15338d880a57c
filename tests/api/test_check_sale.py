"""Field checks of sales."""

from typing import Final

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from loyalty.v1.commands_pb2 import (
    RecordSaleRequest,
    ReserveRewardRequest,
    ReturnSaleRequest,
)
from loyalty.v1.pos_service_pb2 import (
    GetBalanceRequest,
    QuoteSaleRequest,
)
from loyalty.v1.sale_pb2 import Sale, SaleLine

from ledger.api.check_commands import HOLDS_MAX
from ledger.api.check_sale import DISCOUNTS_MAX, LABELS_MAX, TENDERS_MAX, fill_line_ids
from ledger.api.fields import TEXT_CHARACTERS_MAX
from ledger.domain.basket import LINES_MAX
from ledger.domain.rounding import INT64_MAX
from tests.api.requests import HOLD, ID, MEMBER, NIL, OTHER, Change, add, after, drop, fields, name, put, sale


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sale.currency", "rupees"),
        ("sale.currency", "inr"),
        ("sale.lines[1].price_minor", -1),
        ("sale.lines[1].price_minor", -(2**63)),
        ("sale.lines[1].discount_minor", -1),
        ("sale.lines[1].discount_minor", 100_01),
        ("sale.lines[1].tax_minor", -1),
        ("sale.lines[1].tax_minor", 100_01),
        ("sale.lines[1].quantity", -1),
        ("sale.lines[1].kind", 5),
        ("sale.lines[1].kind", -1),
        ("sale.lines[1].line_id", "1"),
        ("sale.lines[1].line_id", "x" * (TEXT_CHARACTERS_MAX + 1)),
        ("sale.lines[1].sku", "a\0"),
        ("sale.lines[1].category", "a\x7f"),
        ("sale.lines[1].brand", "\x85"),
        ("sale.discounts[0].amount_minor", 0),
        ("sale.discounts[0].amount_minor", -1),
        ("sale.discounts[0].amount_minor", 190_01),
        ("sale.discounts[0].code", "x" * (TEXT_CHARACTERS_MAX + 1)),
        ("sale.tenders[1].kind", 6),
        ("sale.tenders[1].amount_minor", 0),
        ("sale.tenders[1].amount_minor", -1),
        ("points_payment.reward_id", ""),
        ("points_payment.points", -1),
        ("member", ""),
        ("member", MEMBER.upper()),
        ("member", f"{MEMBER}/holds/{ID}"),
        ("member", ID),
    ],
)
def test_what_is_wrong_with_a_sale_is_named(path: str, value: object) -> None:
    """By its path, alone, and in a quote below the sale."""
    changed = put(path, value)
    found = after(RecordSaleRequest, changed)
    assert found == [path]
    assert after(QuoteSaleRequest, lambda r: changed(r.sale)) == [f"sale.{field}" for field in found]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sale.currency", ""),
        ("sale.lines[1].quantity", 0),
        ("sale.lines[1].quantity", INT64_MAX),
        ("sale.lines[1].discount_minor", 100_00),
        ("sale.lines[1].tax_minor", 100_00),
        ("sale.lines[1].kind", 0),
        ("sale.lines[1].line_id", "a line"),
        ("sale.lines[1].sku", "x" * TEXT_CHARACTERS_MAX),
        ("sale.lines[1].category", "x" * TEXT_CHARACTERS_MAX),
        ("sale.lines[1].brand", "क्‍ष \u202eabc\u200f\u00a0😀"),
        ("sale.discounts[0].amount_minor", 190_00),
        ("sale.tenders[1].amount_minor", INT64_MAX),
        ("points_payment.points", INT64_MAX),
    ],
)
def test_the_bounds_belong_to_what_is_right(path: str, value: object) -> None:
    """Real data is at the bounds: coupons with quantity 0, free goods, right-to-left text."""
    assert after(RecordSaleRequest, put(path, value)) == []


def test_a_price_may_be_zero_but_not_missing() -> None:
    """A free item is said to be free."""
    request = RecordSaleRequest(request_id=ID, member=MEMBER, sale=Sale(lines=[SaleLine()]))
    assert fields(request) == ["sale.lines[0].price_minor"]
    request.sale.lines[0].price_minor = 0
    assert fields(request) == []


@pytest.mark.parametrize(
    ("prices", "is_right"),
    [
        ([INT64_MAX], True),
        ([INT64_MAX, 0], True),
        ([INT64_MAX, 1], False),
        ([2**62, 2**62], False),
        ([INT64_MAX] * 3, False),
    ],
)
def test_a_sale_fits_into_64_bits(prices: list[int], is_right: bool) -> None:
    """Each price does; the sum must too."""
    request = RecordSaleRequest(request_id=ID, member=MEMBER)
    for price in prices:
        request.sale.lines.add(price_minor=price)
    assert fields(request) == ([] if is_right else ["sale.lines"])


@pytest.mark.parametrize(
    ("path", "limit", "values"),
    [
        ("sale.lines", LINES_MAX, {"price_minor": 1}),
        ("sale.discounts", DISCOUNTS_MAX, {"amount_minor": 1}),
        ("sale.tenders", TENDERS_MAX, {"amount_minor": 1}),
    ],
)
def test_lists_have_limits(path: str, limit: int, values: dict[str, object]) -> None:
    """The limit is allowed, one more is not."""
    assert after(RecordSaleRequest, add(path, limit, **values)) == []
    assert after(RecordSaleRequest, add(path, limit + 1, **values)) == [path]


def test_labels_and_holds_have_limits() -> None:
    """Lists of text, too."""
    labels = [f"l{index}" for index in range(LABELS_MAX)]
    holds = [f"members/{ID}/holds/{ID[:-2]}{index:02}" for index in range(HOLDS_MAX)]

    def change(more: int) -> Change:
        def run(request: RecordSaleRequest) -> None:
            del request.sale.lines[0].labels[:]
            request.sale.lines[0].labels.extend([*labels, *["x"] * more])
            del request.holds[:]
            request.holds.extend([*holds, *[HOLD] * more])

        return run

    assert after(RecordSaleRequest, change(0)) == []
    assert after(RecordSaleRequest, change(1)) == ["sale.lines[0].labels", "holds"]


@pytest.mark.parametrize("label", ["a\0", "x" * (TEXT_CHARACTERS_MAX + 1)])
def test_a_label_is_text(label: str) -> None:
    """With its index."""
    assert after(RecordSaleRequest, lambda r: r.sale.lines[0].labels.append(label)) == ["sale.lines[0].labels[3]"]


def test_a_sale_must_be_there() -> None:
    """And must have a line."""
    assert after(RecordSaleRequest, drop("sale")) == ["sale"]
    assert after(RecordSaleRequest, lambda r: r.sale.Clear()) == ["sale.lines"]
    assert after(QuoteSaleRequest, drop("sale")) == ["sale"]


def test_a_quote_needs_no_request_id() -> None:
    """Nothing is written."""
    assert after(QuoteSaleRequest, lambda r: r.sale.ClearField("request_id")) == []
    assert after(QuoteSaleRequest, put("sale.request_id", NIL)) == ["sale.request_id"]
    assert after(QuoteSaleRequest, put("sale.origin.channel", 99)) == ["sale.origin.channel"]


def test_lines_get_their_numbers() -> None:
    """An empty line id stands for the line's number; others stay."""
    basket = sale()
    basket.lines[1].line_id = "b"
    fill_line_ids(basket)
    assert [line.line_id for line in basket.lines] == ["1", "b", "3"]


def test_a_line_id_must_not_be_another_line_s_number() -> None:
    """Or a return could mean either of the two."""
    assert after(RecordSaleRequest, put("sale.lines[0].line_id", "3")) == [
        "sale.lines[2].line_id",
        "sale.discounts[0].line_ids[0]",
    ]


def test_a_discount_names_lines_of_the_sale() -> None:
    """By id or by number."""

    def change(request: RecordSaleRequest) -> None:
        request.sale.lines[2].line_id = "c"
        request.sale.discounts[0].line_ids[:] = ["1", "2", "c", "3", "d"]

    assert after(RecordSaleRequest, change) == [
        "sale.discounts[0].line_ids[3]",
        "sale.discounts[0].line_ids[4]",
    ]


@pytest.mark.parametrize(
    ("amounts", "wrong"),
    [
        ([285_00], []),
        ([285_01], [0]),
        ([200_00, 85_00], []),
        ([200_00, 85_01], [1]),
        ([285_00, 1, 1], [1, 2]),
    ],
)
def test_discounts_take_off_no_more_than_there_is(amounts: list[int], wrong: list[int]) -> None:
    """After the lines' own discounts, one after the other."""

    def change(request: RecordSaleRequest) -> None:
        del request.sale.discounts[:]
        for amount in amounts:
            request.sale.discounts.add(amount_minor=amount)

    assert after(RecordSaleRequest, change) == [f"sale.discounts[{index}].amount_minor" for index in wrong]


def test_a_hold_is_redeemed_once() -> None:
    """And named in full."""
    assert after(RecordSaleRequest, lambda r: r.holds.append(HOLD)) == ["holds[1]"]
    assert after(RecordSaleRequest, lambda r: r.holds.append(OTHER)) == ["holds[1]"]


@pytest.mark.parametrize("kind", [RecordSaleRequest, ReserveRewardRequest, GetBalanceRequest], ids=name)
def test_somebody_is_named(kind: type[Message]) -> None:
    """By one of the ways; a return may leave it to its sale."""

    def change(request: Message) -> None:
        request.ClearField("member")
        request.ClearField("identifier")

    assert after(kind, change) == ["member"]
    assert after(ReturnSaleRequest, change) == []


LINE: Final = st.builds(
    SaleLine,
    line_id=st.sampled_from(["", "a", "a\n", "x" * 100, "x" * 101]),
    sku=st.sampled_from(["", "s", "s\u200d", "s\x9f", "s" * 50, "s" * 101]),
    category=st.sampled_from(["", "c", "c\0"]),
    brand=st.sampled_from(["", "b", "b" * 101]),
    labels=st.lists(st.sampled_from(["", "l", "l\r", "l" * 101]), max_size=2),
    quantity=st.sampled_from([0, 1, -1, INT64_MAX]) | st.none(),
    price_minor=st.sampled_from([0, 1, 5, -1, 100]) | st.none(),
    discount_minor=st.sampled_from([0, 1, 5, -1]),
    tax_minor=st.sampled_from([0, 1, 5, -1]),
    kind=st.sampled_from([0, 1, 4, 5, -1]),
    unit_cost_minor=st.sampled_from([0, 10**12, 10**12 + 1, -1]) | st.none(),
)


@given(lines=st.lists(LINE, min_size=1, max_size=3))
def test_the_quick_pass_lets_nothing_wrong_through(lines: list[SaleLine]) -> None:
    """A line is refused exactly when it breaks a rule; the rules are written down here again."""

    def is_text(text: str) -> bool:
        return len(text) <= TEXT_CHARACTERS_MAX and not any(
            ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F for character in text
        )

    def is_right(line: SaleLine) -> bool:
        return (
            line.HasField("price_minor")
            and line.price_minor >= 0
            and 0 <= line.discount_minor <= line.price_minor
            and 0 <= line.tax_minor <= line.price_minor
            and line.quantity >= 0
            and line.kind in range(5)
            and 0 <= line.unit_cost_minor <= 10**12
            and all(map(is_text, (line.line_id, line.sku, line.category, line.brand, *line.labels)))
        )

    request = RecordSaleRequest(request_id=ID, member=MEMBER, sale=Sale(lines=lines))
    numbers = {
        index
        for index in range(len(lines))
        if any(
            path.startswith(f"sale.lines[{index}].") and path != f"sale.lines[{index}].line_id"
            for path in fields(request)
        )
    }
    ids = {
        index
        for index, line in enumerate(lines)
        if not is_text(line.line_id)
        or (line.line_id or str(index + 1))
        in [earlier.line_id or str(at) for at, earlier in enumerate(lines[:index], 1)]
    }
    assert numbers | ids == {index for index, line in enumerate(lines) if not is_right(line)} | ids
