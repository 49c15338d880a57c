"""Fits of the value models, made from the view of sales and stored beside it. Needs SciPy, the extra `value`."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
from psycopg import Cursor
from psycopg.rows import tuple_row

from ledger.domain.rounding import INT64_MAX
from ledger.value.fit import Fitted, Holdout, Purchases, fit, hold_out, method
from ledger.value.rfm import FLAT_GRID
from projections.hub import connect
from projections.sql import statements

HOLDOUT_DAYS: Final = 91
"""What is held out for evidence: a quarter, or a third of the history where that is shorter."""

HOLDOUT_PART: Final = 3

_SQL: Final = statements("estimates.sql")


class NothingKnown(Exception):
    """The program has no sales to learn from. The message says so."""


class Done(NamedTuple):
    """A fit that was stored."""

    program: str
    version: int
    as_of: date
    members: int
    fitted: Fitted
    holdout: Holdout | None


def fit_and_store(database_url: str, program: str, as_of: date | None, now: int) -> Done:
    """Fits a program's models as of a day (None: the last one that is over), and stores what they expect of members.

    One transaction: readers see the estimates of the fit before until all of this one are there. Raises FitFailed,
    NothingKnown and psycopg.Error.
    """
    with connect(database_url, "value") as connection, connection.transaction():
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("LOCK TABLE estimates.models IN SHARE ROW EXCLUSIVE MODE")  # one fit at a time; readers go on
        cursor.execute("SET LOCAL work_mem = '128MB'")
        today = cursor.execute(_SQL["today"], {"program": program, "now": now}).fetchone()
        position = cursor.execute(_SQL["position"]).fetchone()
        if today is None or position is None:
            raise NothingKnown(f"{program} has no members whose sales are known")
        if as_of is not None and as_of > today[0]:
            raise NothingKnown(f"what will have been sold by {as_of} is not known yet: give a day up to {today[0]}")
        span = {"program": program, "as_of": as_of or today[0] - timedelta(days=1), "position": position[0]}
        return _fit(cursor, span, now)


def _fit(cursor: Cursor[Any], span: Mapping[str, Any], now: int) -> Done:
    rows = _rows(cursor, "purchases", span)
    if not rows:
        raise NothingKnown(f"{span['program']} has no sales up to {span['as_of']}")
    purchases = _purchases([row[1:] for row in rows])
    fitted = fit(purchases)
    holdout = _holdout(cursor, span, int(purchases.age_days.max()))
    version = _store_model(cursor, span, now, fitted, holdout)
    cursor.execute(_SQL["begin_expectations"])
    with cursor.copy(_SQL["copy_expectations"]) as copy:
        copy.set_types(["uuid", "int8", "float8", "float8", "int8"])
        spend = [_minor(value) for value in fitted.expectations.spend.tolist()]
        for row, active, bought, spent in zip(
            rows,
            fitted.expectations.probability_active.tolist(),
            fitted.expectations.purchases.tolist(),
            spend,
            strict=True,
        ):
            copy.write_row((row[0], row[1], active, bought, spent))
    cursor.execute(_SQL["forget_members"], span)
    cursor.execute(_SQL["add_members"], {**span, "version": version, "grid": FLAT_GRID})
    return Done(span["program"], version, span["as_of"], len(rows), fitted, holdout)


def _holdout(cursor: Cursor[Any], span: Mapping[str, Any], history_days: int) -> Holdout | None:
    days = min(HOLDOUT_DAYS, history_days // HOLDOUT_PART)
    if not days:
        return None
    rows = _rows(cursor, "holdout", {**span, "before": span["as_of"] - timedelta(days=days)})
    came = np.array([row[4] for row in rows], dtype=np.int64)
    return hold_out(_purchases([row[:4] for row in rows]), came, days)


def _store_model(
    cursor: Cursor[Any], span: Mapping[str, Any], now: int, fitted: Fitted, holdout: Holdout | None
) -> int:
    """Stores the parameters with their evidence; returns the version."""
    ((version,),) = cursor.execute(_SQL["version"], span).fetchall()
    spend = {"p": 0.0, "q": 0.0, "v": 0.0} if fitted.spend is None else fitted.spend._asdict()
    parameters = {
        **span,
        **fitted.purchase._asdict(),
        **spend,
        **fitted.evidence._asdict(),
        "version": version,
        "fitted_at": now,
        "method": method(),
        "holdout_days": 0 if holdout is None else holdout.days,
        "holdout_mean_absolute_error": 0.0 if holdout is None else holdout.mean_absolute_error,
    }
    cursor.execute(_SQL["add_model"], parameters)
    for line in () if holdout is None else holdout.lines:
        cursor.execute(_SQL["add_holdout"], {**span, "version": version, **line._asdict()})
    return int(version)


def _rows(cursor: Cursor[Any], question: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return cursor.execute(_SQL[question], parameters, prepare=False).fetchall()


def _purchases(rows: Sequence[tuple[Any, ...]]) -> Purchases:
    repeats, last, age, net = list(zip(*rows, strict=True)) or [()] * 4
    return Purchases(
        np.array(repeats, dtype=np.int64),
        np.array(last, dtype=np.int64),
        np.array(age, dtype=np.int64),
        np.array(net, dtype=np.float64),
    )


def _minor(spend: float) -> int | None:
    """An expectation in whole minor units; None where there is none."""
    return round(spend) if abs(spend) <= INT64_MAX else None
