"""The rate limit, by a clock that stands still until it is moved."""

import pytest

from ledger.api.rate import BUCKETS_MAX, Rate


def test_a_minutes_worth_at_once_and_then_evenly() -> None:
    """Sixty a minute: sixty now, then one each second, and never more than sixty saved up."""
    now = 0.0
    rate = Rate(60, clock=lambda: now)
    assert [rate.take("till") for _ in range(60)] == [0.0] * 60
    assert rate.take("till") == pytest.approx(1.0)
    assert rate.take("other") == 0.0
    now += 0.25
    assert rate.take("till") == pytest.approx(0.75)
    now += 0.75
    assert rate.take("till") == 0.0
    assert rate.take("till") == pytest.approx(1.0)
    now += 3_600
    assert [rate.take("till") for _ in range(60)] == [0.0] * 60
    assert rate.take("till") > 0


def test_only_so_many_credentials_are_remembered() -> None:
    """The one that was quiet longest is forgotten."""
    rate = Rate(1, clock=lambda: 0.0)
    for number in range(BUCKETS_MAX):
        assert rate.take(f"till-{number}") == 0.0
    assert rate.take("till-0") > 0
    assert rate.take("one more") == 0.0
    assert rate.take("till-0") > 0, "it was not quiet"
    assert rate.take("till-1") == 0.0, "it was"


def test_a_debt_is_paid_before_anything_else() -> None:
    """What is charged beyond the last token is waited for; without a debt nobody waits."""
    now = 0.0
    rate = Rate(60, clock=lambda: now)
    for _ in range(60):
        rate.charge("till")
    assert rate.debt_s("till") == 0.0, "it has paid with what it had"
    rate.charge("till")
    rate.charge("till")
    assert rate.debt_s("till") == pytest.approx(2.0)
    assert rate.take("till") == pytest.approx(3.0)
    assert rate.debt_s("other") == 0.0
    now += 2.0
    assert rate.debt_s("till") == 0.0
    assert rate.take("till") == pytest.approx(1.0)
