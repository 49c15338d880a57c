"""BG/NBD: the published example, simulated members, and what the formulas say by other ways to compute it."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import hyp2f1

from ledger.value.purchases import FitFailed, Histories, PurchaseModel, Vector, _minus_log_likelihood, fit_purchases
from tests.value import cdnow

PUBLISHED: Final = PurchaseModel(0.243, 4.414, 0.793, 2.426)
"""Fader, Hardie and Lee (2005), table 2."""

WEEKS: Final = 39.0


def one(value: float) -> Vector:
    """A figure of one member."""
    return np.array([value])


def integral(of: Callable[[float], float], low: float, high: float) -> float:
    """An integral, by adaptive quadrature."""
    return float(quad(of, low, high, epsabs=0, epsrel=1e-9, limit=200)[0])


def simulated(model: PurchaseModel, members: int, seed: int) -> Histories:
    """Members who do what the model says, each watched for 30 to 90 weeks."""
    chance = np.random.default_rng(seed)
    rates = chance.gamma(model.r, 1 / model.alpha, members)
    drops = chance.beta(model.a, model.b, members)
    ages = chance.uniform(30, 90, members)
    x, t_x = np.zeros(members), np.zeros(members)
    for member, (rate, drop, age) in enumerate(zip(rates, drops, ages, strict=True)):
        at = chance.exponential(1 / rate) if rate > 0 else math.inf
        while at <= age:
            x[member] += 1
            t_x[member] = at
            if chance.random() < drop:
                break
            at += chance.exponential(1 / rate)
    return Histories(x, t_x, ages, np.ones(members))


def test_the_published_example() -> None:
    """The estimates and the likelihood that the paper gives for CDNOW, and its customer 0001."""
    histories, _ = cdnow.read()
    assert histories.x.size == 2_357
    model = fit_purchases(histories)
    assert model == pytest.approx(PUBLISHED, abs=5e-4)
    assert model.log_likelihood(histories) == pytest.approx(-9_582.4, abs=0.05)
    history = (one(2), one(30.43), one(38.86))
    assert model.expected_purchases(*history, WEEKS)[0] == pytest.approx(1.226, abs=5e-4)
    assert model.probability_active(*history)[0] == pytest.approx(0.7266, abs=5e-4)
    assert fit_purchases(histories) == model


def test_equal_histories_count_together() -> None:
    """A fit to each history with its number of members is the fit to all members."""
    histories, _ = cdnow.read()
    rows, members = np.unique(np.stack(histories[:3]), axis=1, return_counts=True)
    together = Histories(rows[0], rows[1], rows[2], members.astype(np.float64))
    assert together.x.size < histories.x.size
    model = fit_purchases(together)
    assert model == pytest.approx(fit_purchases(histories), rel=1e-4)
    assert model.log_likelihood(together) == pytest.approx(model.log_likelihood(histories), rel=1e-12)


@pytest.mark.parametrize(
    "truth", [PurchaseModel(0.8, 6.0, 0.9, 3.0), PurchaseModel(2.0, 10.0, 0.4, 2.5)], ids=["spread", "alike"]
)
def test_parameters_are_recovered(truth: PurchaseModel) -> None:
    """From 20,000 simulated members: rates within 10 % and the mean chance to drop out within 10 %."""
    found = fit_purchases(simulated(truth, 20_000, seed=3))
    assert found[:2] == pytest.approx(truth[:2], rel=0.1)
    assert found[2:] == pytest.approx(truth[2:], rel=0.25)
    assert found.r / found.alpha == pytest.approx(truth.r / truth.alpha, rel=0.05)
    assert found.a / (found.a + found.b) == pytest.approx(truth.a / (truth.a + truth.b), rel=0.1)


@pytest.mark.parametrize("logs", [(0.1, 1.0, 0.2, 0.3), (-1.0, 2.0, 1.0, -1.0), (-9.0, 9.0, -9.0, 9.0)])
def test_gradient(logs: tuple[float, ...]) -> None:
    """Is that of differences."""
    histories, _ = cdnow.read()
    at = np.array(logs)
    _, gradient = _minus_log_likelihood(at, histories)
    for index, slope in enumerate(gradient):
        step = np.zeros(4)
        step[index] = 1e-5
        above, below = (_minus_log_likelihood(at + sign * step, histories)[0] for sign in (1, -1))
        assert slope == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(("x", "t_x", "age"), [(0, 0.0, 20.0), (2, 30.43, 38.86), (9, 20.0, 38.0), (26, 30.86, 31.0)])
def test_by_integration(x: int, t_x: float, age: float) -> None:
    """Likelihood, chance to be active and expected purchases, integrated over all rates and chances to drop out."""
    r, alpha, a, b = model = PUBLISHED
    log_norm = r * math.log(alpha) - math.lgamma(r)

    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    def over_rates(weeks: float, bought: Callable[[float], float]) -> float:
        """Of rate ** x * exp(-rate * weeks) * bought(rate), with the density of rates; the rate is exp(s)."""

        def density(s: float) -> float:
            rate = math.exp(s)
            return math.exp(log_norm + (r + x) * s - rate * (alpha + weeks)) * bought(rate)

        peak = math.log((r + x) / (alpha + weeks))
        return integral(density, -200, peak) + integral(density, peak, 10)

    def over_drops(drops: Callable[[float], float]) -> float:
        """Of drops(p), with the density of chances p to drop out; p is exp(s) up to a half, then 1 - exp(s)."""

        def density(p: float, q: float, width: float) -> float:
            return math.exp((a - 1) * math.log(p) + (b - 1) * math.log(q) - log_beta) * drops(p) * width

        low = integral(lambda s: density(math.exp(s), 1 - math.exp(s), math.exp(s)), -80, math.log(0.5))
        high = integral(lambda s: density(1 - math.exp(s), math.exp(s), math.exp(s)), -80, math.log(0.5))
        return low + high

    active = over_drops(lambda p: (1 - p) ** x) * over_rates(age, lambda _: 1)
    inactive = over_drops(lambda p: p * (1 - p) ** (x - 1)) * over_rates(t_x, lambda _: 1) if x else 0.0
    history = (one(x), one(t_x), one(age))
    likelihood = model.log_likelihood(Histories(*history, one(1)))
    assert likelihood == pytest.approx(math.log(active + inactive), rel=1e-8)
    assert model.probability_active(*history)[0] == pytest.approx(active / (active + inactive), rel=1e-6)

    def purchases(p: float) -> float:
        """Of a member who is active, with a chance p to drop out after each."""
        return over_rates(age, lambda rate: -math.expm1(-rate * p * WEEKS) / p) * (1 - p) ** x

    expected = over_drops(purchases) / (active + inactive)
    assert model.expected_purchases(*history, WEEKS)[0] == pytest.approx(expected, rel=1e-6)


def test_the_papers_own_formula() -> None:
    """Equation (10) word for word, where nothing in it overflows; a near 1, where it is 0 / 0, is between its sides."""
    for model in (PUBLISHED, PurchaseModel(1.4, 1.3, 1.7, 20.0)):
        r, alpha, a, b = model
        for x, t_x, age in ((0.0, 0.0, 30.0), (3.0, 7.0, 30.0), (20.0, 29.0, 30.0)):
            series = hyp2f1(r + x, b + x, a + b + x - 1, WEEKS / (alpha + age + WEEKS))
            top = (a + b + x - 1) / (a - 1) * (1 - ((alpha + age) / (alpha + age + WEEKS)) ** (r + x) * series)
            bottom = 1 + (x > 0) * a / (b + max(x, 1) - 1) * ((alpha + age) / (alpha + t_x)) ** (r + x)
            found = model.expected_purchases(one(x), one(t_x), one(age), WEEKS)[0]
            assert found == pytest.approx(top / bottom, rel=1e-9)
    near = [
        PurchaseModel(0.5, 4.0, a, 2.0).expected_purchases(one(3), one(20), one(30), WEEKS)[0]
        for a in (1 - 1e-3, 1 - 1e-7, 1.0, 1 + 1e-7, 1 + 1e-3)
    ]
    assert near == sorted(near, reverse=True)
    assert near[0] == pytest.approx(near[-1], rel=2e-3)


def test_long_histories_stay_finite() -> None:
    """Thousands of purchases over years: chances are chances, and nobody buys less than nothing."""
    x, age = np.array([0.0, 1.0, 900.0, 5_000.0]), np.full(4, 1_000.0)
    for model in (PUBLISHED, PurchaseModel(1.4, 1.4, 0.19, 278.0), PurchaseModel(50.0, 0.01, 1e-4, 1e4)):
        for t_x in (np.zeros(4), age / 2, age):
            active = model.probability_active(x, np.where(x > 0, t_x, 0), age)
            expected = model.expected_purchases(x, np.where(x > 0, t_x, 0), age, WEEKS)
            assert ((active >= 0) & (active <= 1)).all()
            assert (np.isfinite(expected) & (expected >= 0)).all()


@pytest.mark.parametrize("a", [30.0, 300.0, 1e4, 160_000.0])
@pytest.mark.parametrize("x", [0.0, 4.0, 200.0])
def test_members_who_hardly_differ(a: float, x: float) -> None:
    """With a so large that powers of it underflow, by integration over the narrow range of chances."""
    model = PurchaseModel(2.0, 0.5, a, 3 * a)
    b, age = model.b + x, 60.0
    mean = a / (a + b)
    width = 12 * mean * math.sqrt(b / (a * (a + b + 1)))
    ratio = WEEKS / (model.alpha + age)

    def density(p: float) -> float:
        return math.exp((a - 1) * (math.log(p) - math.log(mean)) + (b - 1) * (math.log1p(-p) - math.log1p(-mean)))

    def purchases(p: float) -> float:
        return -math.expm1(-(model.r + x) * math.log1p(p * ratio)) / p

    low, high = max(mean - width, 1e-9), min(mean + width, 1 - 1e-9)
    whole = integral(density, low, high)
    expected = integral(lambda p: density(p) * purchases(p), low, high) / whole
    assert model._while_active(one(x), one(ratio))[0] == pytest.approx(expected, rel=1e-5)


def test_nothing_to_learn_from() -> None:
    """No members, nobody who came back, or only one day: there is no model, and it says why."""
    nobody = Histories(*(np.array([]) for _ in range(4)))
    once = Histories(one(0), one(0), one(30), one(5))
    for histories in (nobody, once):
        with pytest.raises(FitFailed, match="more than one day"):
            fit_purchases(histories)
