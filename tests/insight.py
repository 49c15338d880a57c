"""Questions about what members bought, through the API."""

from typing import Any

from loyalty.v1 import insight_pb2 as i

from tests.shop import TIMEOUT_S, Shop


def _header(shop: Shop, request: Any) -> Any:
    request.program = request.program or shop.program
    request.min_position = shop.head()
    return request


def sales_figures(shop: Shop, *group_by: str, **fields: Any) -> list[i.SalesFigures]:
    """Figures of sales by dimensions, which are named without their prefix; `filter` is a dict."""
    request = i.ReadSalesFiguresRequest(
        group_by=[i.SalesDimension.Value(f"SALES_DIMENSION_{name.upper()}") for name in group_by], **fields
    )
    answers = shop.crm.ReadSalesFigures(_header(shop, request), metadata=shop.metadata, timeout=TIMEOUT_S)
    return [line for answer in answers for line in answer.lines]


def offer_figures(shop: Shop, *group_by: str, **fields: Any) -> list[i.OfferFigures]:
    """Figures of offers."""
    request = i.ReadOfferFiguresRequest(
        group_by=[i.SalesDimension.Value(f"SALES_DIMENSION_{name.upper()}") for name in group_by], **fields
    )
    answers = shop.crm.ReadOfferFigures(_header(shop, request), metadata=shop.metadata, timeout=TIMEOUT_S)
    return [line for answer in answers for line in answer.lines]


def pairs(shop: Shop, item: str = "category", **fields: Any) -> list[i.Pair]:
    """What is bought together."""
    request = i.ReadPairsRequest(item=i.Item.Value(f"ITEM_{item.upper()}"), **fields)
    answers = shop.crm.ReadPairs(_header(shop, request), metadata=shop.metadata, timeout=TIMEOUT_S)
    return [pair for answer in answers for pair in answer.pairs]


def won_and_lost(shop: Shop, *days: str, item: str = "category", **fields: Any) -> Any:
    """Members won and lost between two periods, each from a day to a day; lines, and members."""
    first_from, first_until, second_from, second_until = days
    request = i.ReadWonAndLostRequest(
        item=i.Item.Value(f"ITEM_{item.upper()}"),
        first_from_date=first_from,
        first_until_date=first_until,
        second_from_date=second_from,
        second_until_date=second_until,
        **fields,
    )
    answers = list(shop.crm.ReadWonAndLost(_header(shop, request), metadata=shop.metadata, timeout=TIMEOUT_S))
    return [line for one in answers for line in one.lines], [member for one in answers for member in one.members]


def demand(shop: Shop, first: str, until: str, **chosen: Any) -> list[i.Demand]:
    """Demand in a period."""
    request = i.ReadDemandRequest(filter=i.SalesFilter(from_date=first, until_date=until, **chosen))
    answers = shop.crm.ReadDemand(_header(shop, request), metadata=shop.metadata, timeout=TIMEOUT_S)
    return [line for answer in answers for line in answer.lines]
