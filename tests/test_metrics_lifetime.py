"""Lifetime from the tail of a decay."""

from __future__ import annotations

import numpy as np
import pytest

from qdhil.metrics import lifetime_tail


def _clicks(seed, *, lifetime_ps=150.0, clicks=30_000, noise=600, second_ps=None):
    rng = np.random.default_rng(seed)
    times = 2_000 + rng.normal(0, 30, clicks) + rng.exponential(lifetime_ps, clicks)
    if second_ps is not None:
        times = np.concatenate((times, 2_000 + rng.normal(0, 30, clicks) + rng.exponential(second_ps, clicks)))
    times = np.concatenate((times, rng.uniform(0, 12_500, noise)))
    return 16 * (times // 16).astype(np.int64)


def test_interval_covers():
    """95 % nominal; fewer than 180 of 200 have odds of 1 in 300 at the nominal rate."""
    estimates = [lifetime_tail(_clicks(seed), period_ps=12_500.0) for seed in range(200)]
    assert sum(e.low <= 150.0 <= e.high for e in estimates) >= 180
    # the mean of 200 has an error of 0.12 ps
    assert np.mean([e.value for e in estimates]) == pytest.approx(150.0, abs=0.5)


@pytest.mark.parametrize(
    ("clicks", "match"),
    [
        (_clicks(1, clicks=500, noise=10), "too few"),
        (_clicks(2, lifetime_ps=100, second_ps=1_000, clicks=200_000), "single exponential"),
        (_clicks(3, lifetime_ps=9_000, clicks=100_000), "single exponential"),
        (np.empty(0, np.int64), "no clicks"),
    ],
    ids=["few", "two-exponentials", "longer-than-the-period", "none"],
)
def test_what_is_no_single_decay_is_refused(clicks, match):
    with pytest.raises(ValueError, match=match):
        lifetime_tail(clicks, period_ps=12_500.0)
