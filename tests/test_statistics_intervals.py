"""Exact intervals: known values, coverage, and edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qdhil.statistics import clopper_pearson, poisson_interval, poisson_ratio_interval


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (3, 10**6), (0, 1)])
def test_clopper_pearson_is_scipys(k, n):
    reference = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    # scipy stops its root search at 1e-7 relative
    assert clopper_pearson(k, n) == pytest.approx((reference.low, reference.high), rel=1e-6, abs=1e-15)


def test_calibration_success_of_59_in_59_claims_95_percent():
    assert clopper_pearson(59, 59, 0.90)[0] == pytest.approx(0.9505, abs=1e-4)
    assert clopper_pearson(95, 100, 0.90)[0] == pytest.approx(0.898, abs=1e-3)


@pytest.mark.parametrize("k", [0, 1, 7, 10**6])
def test_garwood_ends_have_the_tail_probability(k):
    low, high = poisson_interval(k, 0.95)
    assert stats.poisson.cdf(k, high) == pytest.approx(0.025, rel=1e-6)
    assert low == 0 if k == 0 else stats.poisson.sf(k - 1, low) == pytest.approx(0.025, rel=1e-6)


def test_ratio_interval_without_denominator_is_open():
    low, high = poisson_ratio_interval(5, 0)
    assert high == math.inf
    assert low > 0
    assert poisson_ratio_interval(0, 0) == (0.0, math.inf)


@pytest.mark.parametrize("mean_central", [1.0, 10.0])
def test_ratio_interval_covers_where_square_root_errors_do_not(mean_central):
    # odds of a false alarm: the interval is exact, so coverage below 0.94 in 4000 trials has odds < 0.2 %
    rng = np.random.default_rng(11)
    truth = mean_central / 5000
    hits = 0
    for central, side in zip(rng.poisson(mean_central, 4000), rng.poisson(5000, 4000), strict=True):
        low, high = poisson_ratio_interval(int(central), int(side))
        hits += low <= truth <= high
    assert hits / 4000 >= 0.94


@pytest.mark.parametrize(
    "call",
    [
        lambda: clopper_pearson(3, 2),
        lambda: clopper_pearson(-1, 2),
        lambda: clopper_pearson(1, 2, 1.0),
        lambda: poisson_interval(-1),
        lambda: poisson_interval(1, 0.0),
    ],
)
def test_impossible_arguments_are_refused(call):
    with pytest.raises(ValueError, match="must"):
        call()


@pytest.mark.parametrize("n", [2_000_001_000, 200_001_000, 20_001_000])
def test_few_counts_among_billions_have_poisson_limits(n):
    """At p of 1e-6 the binomial is Poisson's to some 1e-6; SciPy's own quantile is off by a factor of two here."""
    low, high = clopper_pearson(1000, n)
    assert (low * n, high * n) == pytest.approx(poisson_interval(1000), rel=1e-4)
