"""Checks of a sale: its lines, discounts and means of payment.

The usual sale is checked in one pass that makes nothing but short strings. Where that pass finds
something it does not know to be right, it asks a slower function that knows exactly what is wrong.
"""

import re
from collections.abc import Sequence
from typing import Final

from loyalty.v1.sale_pb2 import LineKind, Sale, SaleLine, TenderKind

from ledger.api.fields import TEXT_CHARACTERS_MAX, Problems, check_attributes, check_enum, check_text
from ledger.domain.basket import LINES_MAX, Basket
from ledger.domain.rounding import INT64_MAX

LABELS_MAX: Final = 50
"""Labels of a line."""

UNIT_COST_MAX: Final = 1_000_000_000_000
"""What a unit may have cost, in minor units."""

DISCOUNTS_MAX: Final = 50
"""Discounts on an order."""

TENDERS_MAX: Final = 20
"""Means of payment of a sale."""

_CURRENCY: Final = re.compile("[A-Z]{3}").fullmatch
_LINE_KINDS: Final = frozenset(LineKind.values())
_TENDER_KINDS: Final = frozenset(TenderKind.values())


def check_sale(sale: Sale, problems: Problems) -> None:
    """Adds what is wrong with a sale to the problems of its request."""
    found = len(problems)
    if sale.currency and not _CURRENCY(sale.currency):
        problems.append(("sale.currency", "must be an ISO 4217 code in capitals, or empty"))
    if _lines(sale.lines, problems):
        _line_ids(sale, problems)
    if sale.discounts:
        _discounts(sale, problems)
        if len(problems) == found:
            _discounts_fit(sale, problems)
    if sale.tenders:
        _tenders(sale, problems)
    if sale.attributes:
        check_attributes(sale.attributes, "sale.attributes", problems)


def _lines(lines: Sequence[SaleLine], problems: Problems) -> bool:
    """Checks the lines of a sale each by itself, and says whether any of them has an id."""
    count = len(lines)
    if not 1 <= count <= LINES_MAX:
        problems.append(("sale.lines", f"must be 1 to {LINES_MAX} lines; there are {count}"))
        lines = lines[:LINES_MAX]
    total = 0
    has_ids = False
    for index, line in enumerate(lines):
        price = line.price_minor
        total += price
        texts = line.line_id
        if texts:
            has_ids = True
        texts += line.sku + line.category + line.brand
        labels = line.labels
        if labels:
            texts += "".join(labels)
        if (
            not 0 <= line.discount_minor <= price
            or not 0 <= line.tax_minor <= price
            or line.quantity < 0
            or line.kind not in _LINE_KINDS
            or len(texts) > TEXT_CHARACTERS_MAX
            or not texts.isprintable()
            or not (price or line.HasField("price_minor"))
            or (labels and len(labels) > LABELS_MAX)
            or not 0 <= line.unit_cost_minor <= UNIT_COST_MAX
        ):
            _line(line, f"sale.lines[{index}]", problems)
    if total > INT64_MAX:
        problems.append(("sale.lines", f"must not come to more than {INT64_MAX} minor units"))
    return has_ids


def _line(line: SaleLine, path: str, problems: Problems) -> None:
    """What is wrong with a line, in full. Every line that the pass over a sale lets go is right."""
    price = line.price_minor
    if not line.HasField("price_minor"):
        problems.append((f"{path}.price_minor", "is required; 0 for a free item"))
    elif price < 0:
        problems.append((f"{path}.price_minor", "must be 0 or more; send returns by ReturnSale"))
    elif not 0 <= line.discount_minor <= price:
        problems.append((f"{path}.discount_minor", "must be from 0 to the price"))
    if price >= 0 and not 0 <= line.tax_minor <= price:
        problems.append((f"{path}.tax_minor", "must be from 0 to the price, which contains it"))
    if line.quantity < 0:
        problems.append((f"{path}.quantity", "must be 0 or more; send returns by ReturnSale"))
    if not 0 <= line.unit_cost_minor <= UNIT_COST_MAX:
        problems.append((f"{path}.unit_cost_minor", f"must be from 0 to {UNIT_COST_MAX}"))
    check_enum(line.kind, _LINE_KINDS, f"{path}.kind", problems)
    check_text(line.line_id, f"{path}.line_id", problems)
    check_text(line.sku, f"{path}.sku", problems)
    check_text(line.category, f"{path}.category", problems)
    check_text(line.brand, f"{path}.brand", problems)
    if len(line.labels) > LABELS_MAX:
        problems.append((f"{path}.labels", f"must be at most {LABELS_MAX}"))
    for index, label in enumerate(line.labels[:LABELS_MAX]):
        check_text(label, f"{path}.labels[{index}]", problems)


def _line_ids(sale: Sale, problems: Problems) -> None:
    seen: set[str] = set()
    for number, line in enumerate(sale.lines[:LINES_MAX], 1):
        line_id = line.line_id or str(number)
        if line_id in seen:
            problems.append(
                (
                    f"sale.lines[{number - 1}].line_id",
                    "must be unique in the sale; an empty one stands for the line's number",
                )
            )
        seen.add(line_id)


def _discounts(sale: Sale, problems: Problems) -> None:
    if len(sale.discounts) > DISCOUNTS_MAX:
        problems.append(("sale.discounts", f"must be at most {DISCOUNTS_MAX}"))
    for index, discount in enumerate(sale.discounts[:DISCOUNTS_MAX]):
        if discount.amount_minor <= 0:
            problems.append((f"sale.discounts[{index}].amount_minor", "must be more than 0"))
        if discount.code:
            check_text(discount.code, f"sale.discounts[{index}].code", problems)
        if discount.line_ids:
            _discounted_lines(sale, discount.line_ids, f"sale.discounts[{index}]", problems)


def _discounted_lines(sale: Sale, named: Sequence[str], path: str, problems: Problems) -> None:
    if len(named) > LINES_MAX:
        problems.append((f"{path}.line_ids", f"must be at most {LINES_MAX}"))
    known = {line.line_id or str(number) for number, line in enumerate(sale.lines, 1)}
    for index, line_id in enumerate(named[:LINES_MAX]):
        if line_id not in known:
            problems.append((f"{path}.line_ids[{index}]", "must be the id of a line of the sale"))


def _discounts_fit(sale: Sale, problems: Problems) -> None:
    """Takes the discounts of a sale that is right so far off its lines, as the domain will."""
    lines = list(sale.lines)
    if any(discount.line_ids for discount in sale.discounts):
        named = Sale(lines=lines)
        fill_line_ids(named)
        lines = list(named.lines)
    basket = Basket(lines, [line.price_minor - line.discount_minor for line in lines])
    for index, discount in enumerate(sale.discounts):
        taken = basket.take_off(discount.amount_minor, frozenset(discount.line_ids))
        if taken < discount.amount_minor:
            problems.append(
                (
                    f"sale.discounts[{index}].amount_minor",
                    f"must not be more than what is left of its lines, which is {taken}",
                )
            )


def _tenders(sale: Sale, problems: Problems) -> None:
    if len(sale.tenders) > TENDERS_MAX:
        problems.append(("sale.tenders", f"must be at most {TENDERS_MAX}"))
    for index, tender in enumerate(sale.tenders[:TENDERS_MAX]):
        if tender.kind not in _TENDER_KINDS:
            check_enum(tender.kind, _TENDER_KINDS, f"sale.tenders[{index}].kind", problems)
        if tender.amount_minor <= 0:
            problems.append((f"sale.tenders[{index}].amount_minor", "must be more than 0"))


def fill_line_ids(sale: Sale) -> None:
    """Names the lines that have no id by their number in the sale, from "1"."""
    for number, line in enumerate(sale.lines, 1):
        if not line.line_id:
            line.line_id = str(number)
