"""Demand for a SKU in a store: what the days on which it was sold say about all days of a period."""

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from math import sqrt
from typing import Any, Final

from loyalty.v1 import insight_pb2 as pb

WEEKDAYS: Final = 7


def demand_of(first: date, until: date) -> Callable[[Sequence[Any]], pb.Demand]:
    """What makes a line of a row about a period: store, SKU, days, units, their squares, weekdays, and so on."""
    days = (until - first).days

    def as_message(row: Sequence[Any]) -> pb.Demand:
        store, sku, days_sold, units, squares = row[:5]
        first_date, last_date, gap, offer_units = row[5 + WEEKDAYS :]
        # The variance times the square of the days is a whole number, and so exact.
        variance: Decimal = squares * days - units * units
        return pb.Demand(
            store=store,
            sku=sku,
            days=days,
            days_sold=days_sold,
            units=int(units),
            mean_units=float(units) / days,
            stddev_units=sqrt(variance) / days,
            weekday_units=[int(one) for one in row[5 : 5 + WEEKDAYS]],
            first_date=str(first_date),
            last_date=str(last_date),
            days_since=(until - last_date).days - 1,
            longest_gap_days=gap,
            offer_units=int(offer_units),
        )

    return as_message
