"""A fit: models of a program's purchases and spend, the evidence for them, and what they expect of each member.

Needs SciPy, the extra `value`.
"""

from importlib.metadata import version
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ledger.value.purchases import FitFailed, Histories, PurchaseModel, Vector, fit_purchases
from ledger.value.spend import SpendModel, fit_spend

HORIZON_DAYS: Final = 365
"""Over which purchases and spend are expected."""

WEEK_DAYS: Final = 7.0

HOLDOUT_LINES: Final = 8
"""Lines of the comparison with a holdout: members with 0 to 6 repeat purchases before it, and with 7 or more."""

DAY_BITS: Final = 20
"""Of a number of days: two thousand years."""


class Purchases(NamedTuple):
    """How members have purchased until a day, one entry for each member."""

    repeats: NDArray[np.int64]
    """Days with purchases after the first one."""
    last_after_days: NDArray[np.int64]
    """Days from the first purchase to the last."""
    age_days: NDArray[np.int64]
    """Days from the first purchase on."""
    repeat_net: Vector
    """Spend of the repeat purchases together, in minor units."""


class HoldoutLine(NamedTuple):
    """Members with the same number of repeat purchases before the holdout; the last line has those with more, too."""

    repeats: int
    members: int
    purchases: int
    expected: float


class Holdout(NamedTuple):
    """What a model that knew only what was before it foretold of the last days."""

    days: int
    lines: list[HoldoutLine]
    mean_absolute_error: float


class Evidence(NamedTuple):
    """How much a fit is founded on."""

    members: int
    repeat_members: int
    log_likelihood: float
    spend_members: int
    spend_log_likelihood: float
    spend_correlation: float


class Expectations(NamedTuple):
    """What is expected of each member, in the order of the purchases."""

    probability_active: Vector
    purchases: Vector
    """In HORIZON_DAYS."""
    spend: Vector
    """In HORIZON_DAYS, in minor units; not finite where the models cannot say."""


class Fitted(NamedTuple):
    """A fit."""

    purchase: PurchaseModel
    spend: SpendModel | None
    """None where too few members have bought twice."""
    evidence: Evidence
    expectations: Expectations


def method() -> str:
    """What fits, with the versions on which the last digits depend."""
    return f"BG/NBD and Gamma-Gamma, scipy {version('scipy')}, numpy {version('numpy')}"


def fit(purchases: Purchases) -> Fitted:
    """Fits both models. Raises FitFailed where there are no repeat purchases."""
    histories, of_member = _histories(purchases)
    purchase = fit_purchases(histories)
    spends = (purchases.repeats > 0) & (purchases.repeat_net > 0)
    x = purchases.repeats.astype(np.float64)
    mean = np.where(spends, purchases.repeat_net / np.maximum(x, 1.0), 0.0)
    spend, spend_likelihood, correlation = _fit_spend(x[spends], mean[spends])
    weeks = HORIZON_DAYS / WEEK_DAYS
    known = (histories.x, histories.t_x, histories.age)
    expected = purchase.expected_purchases(*known, weeks)[of_member]
    each = np.full(x.size, np.inf) if spend is None else spend.expected_spend(np.where(spends, x, 0.0), mean)
    return Fitted(
        purchase,
        spend,
        Evidence(
            x.size,
            int((purchases.repeats > 0).sum()),
            purchase.log_likelihood(histories),
            int(spends.sum()),
            spend_likelihood,
            correlation,
        ),
        Expectations(purchase.probability_active(*known)[of_member], expected, expected * each),
    )


def hold_out(before: Purchases, came: NDArray[np.int64], days: int) -> Holdout | None:
    """Fits what was before a holdout of so many days, and compares what it expects with the purchases that came.

    None where there is nothing to fit.
    """
    histories, of_member = _histories(before)
    try:
        model = fit_purchases(histories)
    except FitFailed:
        return None
    expected = model.expected_purchases(histories.x, histories.t_x, histories.age, days / WEEK_DAYS)[of_member]
    line_of = np.minimum(before.repeats, HOLDOUT_LINES - 1)
    lines = []
    for repeats in range(HOLDOUT_LINES):
        of_line = line_of == repeats
        if of_line.any():
            lines.append(
                HoldoutLine(repeats, int(of_line.sum()), int(came[of_line].sum()), float(expected[of_line].sum()))
            )
    return Holdout(days, lines, float(np.abs(came - expected).mean()))


def _fit_spend(x: Vector, mean: Vector) -> tuple[SpendModel | None, float, float]:
    """The model, its likelihood and the correlation that it takes for 0."""
    try:
        spend = fit_spend(x, mean)
    except FitFailed:
        return None, 0.0, 0.0
    differ = np.ptp(x) > 0 and np.ptp(mean) > 0
    correlation = float(np.corrcoef(x, mean)[0, 1]) if differ else 0.0
    return spend, spend.log_likelihood(x, mean), correlation


def _histories(purchases: Purchases) -> tuple[Histories, NDArray[np.intp]]:
    """Each history once with the number of members who have it, and which one each member has."""
    keys = (purchases.repeats << 2 * DAY_BITS) | (purchases.last_after_days << DAY_BITS) | purchases.age_days
    _, first, of_member, members = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    histories = Histories(
        purchases.repeats[first].astype(np.float64),
        purchases.last_after_days[first] / WEEK_DAYS,
        purchases.age_days[first] / WEEK_DAYS,
        members.astype(np.float64),
    )
    return histories, of_member
