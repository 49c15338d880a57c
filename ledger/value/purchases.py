"""BG/NBD: when members buy, and whether they still will.

While active, a member buys at a rate of their own, gamma distributed over members with shape r and rate alpha; after
each purchase they become inactive with a chance of their own, beta distributed with a and b. Peter S. Fader, Bruce G.
S. Hardie and Ka Lok Lee, "'Counting Your Customers' the Easy Way: An Alternative to the Pareto/NBD Model", Marketing
Science 24 (2005) 275-284. A history is how many purchases followed the first (x), how long after the first the last
was (t_x), and how long ago the first was (T), in weeks as in the paper.

Needs SciPy, the extra `value`.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import digamma, expit, gammaln, hyp2f1

Vector = NDArray[np.float64]

STARTS: Final = ((0.5, 1.0, 1.0, 2.0), (1.0, 3.0, 0.5, 5.0))
"""Where the search begins: r, alpha as a multiple of the mean T over 10, a, b. The better end counts."""

LOG_PARAMETER_MAX: Final = 12.0
"""Bounds of the logarithms of the parameters: beyond them members do not differ, and nothing changes any more."""

POLE_WIDTH: Final = 1e-5
"""How near a may be to 1, where the formula of expected purchases is 0 / 0."""

TOLERANCE: Final = 1e-9
"""By which rounding may put a result beyond its bounds."""


class Histories(NamedTuple):
    """Histories of purchases, each with how many members have it."""

    x: Vector
    t_x: Vector
    age: Vector
    """T."""
    members: Vector


class FitFailed(Exception):
    """There is no model of these histories. The message says why."""


class PurchaseModel(NamedTuple):
    """The parameters of BG/NBD."""

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, histories: Histories) -> float:
        """Of the histories, all members together."""
        return -_minus_log_likelihood(np.log(np.array(self)), histories)[0]

    def probability_active(self, x: Vector, t_x: Vector, age: Vector) -> Vector:
        """That a member with a history is still active; 1 for whoever has bought only once.

        Fader, Hardie and Lee, "Computing P(alive) using the BG/NBD model" (2008).
        """
        active: Vector = expit(-self._log_odds_inactive(x, t_x, age))
        return active

    def expected_purchases(self, x: Vector, t_x: Vector, age: Vector, weeks: float) -> Vector:
        """In so many weeks to come: equation (10) of the paper."""
        while_active = self._while_active(x, weeks / (self.alpha + age))
        expected: Vector = while_active * self.probability_active(x, t_x, age)
        return expected

    def _while_active(self, x: Vector, ratio: Vector) -> Vector:
        """Of members who are active now, in a time to come that is so many times alpha + T.

        By Euler's transformation of the paper's hypergeometric function, whose parameters then do not grow with x: the
        series converges quickly. Where a is so large that it overflows, members hardly differ in their chance p to
        become inactive: two values a deviation from its mean then stand for all. What is right lies between what
        comes at the mean of p, since that is convex in p, and what comes at p = 0.
        """
        r, _, a, b = self
        if abs(a - 1.0) < POLE_WIDTH:
            a = 1.0 + POLE_WIDTH
        shape, total = r + x, a + b + x
        with np.errstate(all="ignore"):
            rest = 1.0 / (1.0 + ratio)
            series = hyp2f1(a + b - 1.0 - r, a - 1.0, total - 1.0, 1.0 - rest)
            exact = (total - 1.0) / (a - 1.0) * (1.0 - rest ** (a - 1.0) * series)
        mean = a / total
        deviation = mean * np.sqrt((b + x) / (a * (total + 1.0)))
        least, most = _at_chance(mean, shape, ratio), shape * ratio
        sound = (exact >= least * (1.0 - TOLERANCE)) & (exact <= most * (1.0 + TOLERANCE))
        low, high = np.maximum(mean - deviation, mean * TOLERANCE), np.minimum(mean + deviation, 1.0)
        alike = (_at_chance(low, shape, ratio) + _at_chance(high, shape, ratio)) / 2.0
        return np.where(sound, exact, np.clip(alike, least, most))

    def _log_odds_inactive(self, x: Vector, t_x: Vector, age: Vector) -> Vector:
        r, alpha, a, b = self
        repeats = np.maximum(x, 1.0)
        odds = np.log(a) - np.log(b + repeats - 1.0) + (r + x) * np.log((alpha + age) / (alpha + t_x))
        return np.where(x > 0, odds, -np.inf)


def _at_chance(p: Vector, shape: Vector, ratio: Vector) -> Vector:
    """Purchases to come of members who become inactive with a chance p after each, over their gamma rates."""
    purchases: Vector = -np.expm1(-shape * np.log1p(p * ratio)) / p
    return purchases


def fit_purchases(histories: Histories) -> PurchaseModel:
    """The most likely parameters. The same histories give the same ones. Raises FitFailed."""
    if not histories.x.size or not (histories.x > 0).any():
        raise FitFailed("nobody has bought on more than one day: there is nothing to learn from")
    scale = float(np.average(histories.age, weights=histories.members)) / 10
    if scale <= 0:
        raise FitFailed("all histories begin and end on one day")
    ends = []
    for r, alpha, a, b in STARTS:
        found = minimize(
            _mean_minus_log_likelihood,
            np.log([r, alpha * scale, a, b]),
            args=(histories,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-LOG_PARAMETER_MAX, LOG_PARAMETER_MAX)] * 4,
            options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1_000, "maxls": 50},
        )
        ends.append((float(found.fun), tuple(found.x)))
    value, logs = min(ends)
    if not np.isfinite(value):
        raise FitFailed("no parameters make these histories likely")
    return PurchaseModel(*(float(parameter) for parameter in np.exp(logs)))


def _mean_minus_log_likelihood(logs: Vector, histories: Histories) -> tuple[float, Vector]:
    value, gradient = _minus_log_likelihood(logs, histories)
    members = float(histories.members.sum())
    return value / members, gradient / members


def _minus_log_likelihood(logs: Vector, histories: Histories) -> tuple[float, Vector]:
    """And its gradient by the logarithms of the parameters.

    As the authors' note on its implementation has it: ln A1 + ln A2 + ln(exp(ln A3) + exp(ln A4)), the last only for
    x > 0.
    """
    r, alpha, a, b = np.exp(logs)
    x, t_x, age, members = histories
    bought = x > 0
    repeats = np.maximum(x, 1.0)
    log_age, log_last = np.log(alpha + age), np.log(alpha + t_x)
    active = -(r + x) * log_age
    inactive = np.where(bought, np.log(a) - np.log(b + repeats - 1.0) - (r + x) * log_last, -np.inf)
    either = np.logaddexp(active, inactive)
    terms = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + either
    terms += gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
    weight = np.exp(inactive - either)  # of having become inactive after the last purchase
    by_r = digamma(r + x) - digamma(r) + np.log(alpha) - (1 - weight) * log_age - weight * log_last
    by_alpha = r / alpha - (r + x) * ((1 - weight) / (alpha + age) + weight / (alpha + t_x))
    both = digamma(a + b) - digamma(a + b + x)
    by_a = both + weight / a
    by_b = both + digamma(b + x) - digamma(b) - weight / (b + repeats - 1.0)
    gradient = np.array([np.dot(members, by) for by in (by_r * r, by_alpha * alpha, by_a * a, by_b * b)])
    return -float(np.dot(members, terms)), -gradient
