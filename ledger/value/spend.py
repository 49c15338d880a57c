"""Gamma-Gamma: what members spend when they buy.

Purchases of a member differ around a mean of their own; it is gamma distributed with shape p, at a rate that is gamma
distributed over members with shape q and rate v. Peter S. Fader and Bruce G. S. Hardie, "The Gamma-Gamma Model of
Monetary Value" (2013). It takes for granted that what members spend and how often they buy have nothing to do with
each other.

Needs SciPy, the extra `value`.
"""

from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import digamma, gammaln

from ledger.value.purchases import LOG_PARAMETER_MAX, FitFailed, Vector

STARTS: Final = ((2.0, 3.0), (10.0, 10.0))
"""Where the search begins: p and q. v follows from the mean spend."""

SPENDERS_MIN: Final = 3
"""Members with repeat purchases whose spend says anything about others."""


class SpendModel(NamedTuple):
    """The parameters of Gamma-Gamma. v has the unit of the money."""

    p: float
    q: float
    v: float

    def log_likelihood(self, x: Vector, mean: Vector) -> float:
        """Of x purchases with a mean spend each, of many members."""
        return -_minus_log_likelihood(np.log(np.array(self)), x, mean)[0]

    def expected_spend(self, x: Vector, mean: Vector) -> Vector:
        """Of a purchase to come, from x purchases so far: equation (5) of the note.

        Not finite where nothing is known of somebody and q says that the mean over all members is not.
        """
        weight = self.p * x + self.q - 1.0
        with np.errstate(divide="ignore"):
            spend = np.where(weight > 0, self.p * (self.v + mean * x) / weight, np.inf)
        expected: Vector = spend
        return expected


def fit_spend(x: Vector, mean: Vector) -> SpendModel:
    """The most likely parameters for members with x > 0 purchases and a mean spend above 0. Raises FitFailed."""
    if x.size < SPENDERS_MIN:
        raise FitFailed(f"fewer than {SPENDERS_MIN} members have bought on more than one day")
    unit = float(np.average(mean, weights=x))
    ends = []
    for p, q in STARTS:
        found = minimize(
            _mean_minus_log_likelihood,
            np.log([p, q, (q - 1.0) / p]),
            args=(x, mean / unit),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-LOG_PARAMETER_MAX, LOG_PARAMETER_MAX)] * 3,
            options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1_000, "maxls": 50},
        )
        ends.append((float(found.fun), tuple(found.x)))
    value, logs = min(ends)
    if not np.isfinite(value):
        raise FitFailed("no parameters make this spend likely")
    p, q, v = (float(parameter) for parameter in np.exp(logs))
    return SpendModel(p, q, v * unit)


def _mean_minus_log_likelihood(logs: Vector, x: Vector, mean: Vector) -> tuple[float, Vector]:
    value, gradient = _minus_log_likelihood(logs, x, mean)
    return value / x.size, gradient / x.size


def _minus_log_likelihood(logs: Vector, x: Vector, mean: Vector) -> tuple[float, Vector]:
    """And its gradient by the logarithms of the parameters."""
    p, q, v = np.exp(logs)
    shape, total = p * x + q, v + mean * x
    log_spend, log_total = np.log(mean * x), np.log(total)
    terms = gammaln(shape) - gammaln(p * x) - gammaln(q) + q * np.log(v) + p * x * log_spend - np.log(mean)
    terms -= shape * log_total
    by_p = x * (digamma(shape) - digamma(p * x) + log_spend - log_total)
    by_q = digamma(shape) - digamma(q) + np.log(v) - log_total
    by_v = q / v - shape / total
    gradient = np.array([(by_p * p).sum(), (by_q * q).sum(), (by_v * v).sum()])
    return -float(terms.sum()), -gradient
