"""Gamma-Gamma: the published example and simulated members."""

import numpy as np
import pytest

from ledger.value.purchases import FitFailed
from ledger.value.spend import SpendModel, _minus_log_likelihood, fit_spend
from tests.value import cdnow


def test_the_published_example() -> None:
    """The estimates for the 946 of CDNOW who came back; v is in dollars, or in cents where the money is."""
    histories, spend = cdnow.read()
    came_back = histories.x > 0
    assert came_back.sum() == 946
    x, mean = histories.x[came_back], spend[came_back]
    model = fit_spend(x, mean)
    assert model == pytest.approx((6.25, 3.74, 15.44), rel=2e-3)
    in_cents = fit_spend(x, mean * 100)
    assert in_cents[:2] == pytest.approx(model[:2], rel=1e-6)
    assert in_cents.v == pytest.approx(model.v * 100, rel=1e-6)
    known, nothing_known = model.expected_spend(np.array([2.0, 0.0]), np.array([22.35, 0.0]))
    assert known == pytest.approx(24.66, abs=0.01)
    assert nothing_known == pytest.approx(35.17, abs=0.01)  # the mean over all


def test_parameters_are_recovered() -> None:
    """From 20,000 simulated members, within 10 %."""
    truth = SpendModel(4.0, 3.0, 20.0)
    chance = np.random.default_rng(4)
    rates = chance.gamma(truth.q, 1 / truth.v, 20_000)
    x = chance.integers(1, 12, 20_000).astype(np.float64)
    mean = chance.gamma(truth.p * x, 1 / rates) / x
    assert fit_spend(x, mean) == pytest.approx(truth, rel=0.1)


def test_gradient() -> None:
    """Is that of differences."""
    x, mean = np.array([1.0, 3.0, 20.0]), np.array([5.0, 0.1, 900.0])
    at = np.array([0.3, -0.4, 1.5])
    _, gradient = _minus_log_likelihood(at, x, mean)
    for index, slope in enumerate(gradient):
        step = np.zeros(3)
        step[index] = 1e-6
        above, below = (_minus_log_likelihood(at + sign * step, x, mean)[0] for sign in (1, -1))
        assert slope == pytest.approx((above - below) / 2e-6, rel=1e-5)


def test_where_the_model_cannot_say() -> None:
    """With q up to 1 the mean over all members is not finite; of a member who is known it is."""
    nothing_known, known = SpendModel(2.0, 0.9, 10.0).expected_spend(np.array([0.0, 4.0]), np.array([0.0, 25.0]))
    assert not np.isfinite(nothing_known)
    assert known == pytest.approx(2.0 * (10.0 + 100.0) / (8.0 + 0.9 - 1.0))
    with pytest.raises(FitFailed, match="fewer than 3 members"):
        fit_spend(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
