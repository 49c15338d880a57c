"""The year in the independent model."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Final

from ledger.demo.failure import DemoFailed
from ledger.demo.grocery_year import ALL_BASKETS, Basket, GroceryYear, Product
from ledger.demo.loader import LANES
from tests.model.dates import NEVER
from tests.model.purse import Purse
from tests.model.reference import World
from tests.model.scheme import Limit, Line, Place, Rules
from tests.year.sheet import Issued, Sheet

Drawn = tuple[str, int]
"""A rule or promotion that all members share a limit on, and points that it gave."""

FEW: Final = 20_000
"""Up to so many baskets it is not worth while to start processes."""


class BudgetReached(DemoFailed):
    """What all members share is used up, and to whom it went last depends on who came first."""


def by_model(rules: Rules, baskets: int | None, until: int, processes: int = 2) -> Sheet:
    """What the first baskets come to by some rules, and what is left of it at an instant."""
    if baskets is not None and baskets <= FEW:
        processes = 1
    shares = [range(first, LANES, processes) for first in range(processes)]
    share = partial(_share, rules, baskets, until)
    sheet, drawn = Sheet(), list[Drawn]()
    # Spawned, because a process that speaks gRPC must not be forked.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for part, given in pool.map(share, shares) if processes > 1 else map(share, shares):
            sheet.take_over(part)
            drawn += given
    _check_budgets(rules, drawn)
    return sheet


def _share(rules: Rules, baskets: int | None, until: int, lanes: Sequence[int]) -> tuple[Sheet, list[Drawn]]:
    """The households of some lanes, and what they drew from the limits of all members together."""
    world = World(rules, ())
    with GroceryYear(baskets, lanes=LANES) as year:
        products = year.products()
        left_out = [0 if lane in lanes else ALL_BASKETS for lane in range(LANES)]
        sheet = _lived(world, year.baskets(left_out), products, until)
    owners = {owner for owner, _ in _shared_limits(rules)}
    return sheet, [(one.owner, one.points) for one in world.everybody.given if one.owner in owners]


def _shared_limits(rules: Rules) -> list[tuple[str, Limit]]:
    return [
        *((rule.rule_id, limit) for rule in rules.earning for limit in rule.terms.limits if limit.shared),
        *((one.promotion_id, limit) for one in rules.promotions for limit in one.terms.limits if limit.shared),
    ]


def _check_budgets(rules: Rules, drawn: Sequence[Drawn]) -> None:
    """Raises BudgetReached where the order in which households came would decide who gets something."""
    for owner, limit in _shared_limits(rules):
        given = [points for who, points in drawn if who == owner]
        if (limit.times and len(given) >= limit.times) or (limit.points and sum(given) >= limit.points):
            raise BudgetReached(f"{owner} gave {sum(given):,} points: its limit for all members may have been reached")


def _lived(world: World, baskets: Iterator[Basket], products: Mapping[int, Product], until: int) -> Sheet:
    sheet = Sheet()
    for basket in baskets:
        household, name = f"household {basket.household_id}", str(basket.basket_id)
        purse = world.purses.setdefault(household, Purse(world.rules))
        first_lot = purse.lot_number
        figures = world.sale(name, household, basket.sold_at_us, _lines(basket, products), place=_place(basket))
        del world.done[name], world.owner[name]  # nothing ever comes back in this year
        sheet.receipts[f"{household}, basket {name}"] = figures
        sheet.issued[household] = sheet.issued.get(household, 0) + figures.earned
        for lot in purse.lots:
            if lot.number >= first_lot:
                sheet.lots[f"{household}, lot {lot.number}"] = Issued(lot.points, lot.active, lot.gone)
    for household, purse in world.purses.items():
        figures = world.look(household, until)
        sheet.available[household] = figures.available
        sheet.pending[household] = figures.pending
        sheet.tiers[household] = figures.tier
        for lot in purse.lots:
            if lot.gone < NEVER:
                name = f"{household}, at {lot.gone}"
                sheet.expiring[name] = sheet.expiring.get(name, 0) + lot.points
    return sheet


def _lines(basket: Basket, products: Mapping[int, Product]) -> list[Line]:
    lines = []
    for number, (product_id, quantity, net, discount) in enumerate(basket.lines, 1):
        product = products.get(product_id, Product("", ""))
        tags = {f"skus:{product_id}", f"categories:{product.category}", f"brands:{product.brand}", "kinds:PRODUCT"}
        lines.append(Line(str(number), net + discount, discount, quantity, frozenset(tags)))
    return lines


def _place(basket: Basket) -> Place:
    return Place(str(basket.store_id), "STORE", frozenset({"VOUCHER"} if basket.coupon_minor else ()))
