"""The exact comparison of two count ratios."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import stats

from qdhil.statistics import ratio_interval, ratio_p_values


@pytest.mark.parametrize("table", [(3, 100, 5, 120), (0, 50, 2, 40), (20, 10_000, 30, 9_000), (500, 700, 400, 900)])
@pytest.mark.parametrize("ratio", [0.3, 1.0, 1.5, 4.0])
def test_p_values_are_scipys_noncentral_hypergeometric(table, ratio):
    a, b, c, d = table
    exact = stats.nchypergeom_fisher(a + b + c + d, a + c, a + b, ratio)
    p = exact.pmf(np.arange(min(a + c, a + b) + 1))
    greater, less = ratio_p_values((a, b), (c, d), null_ratio=ratio)
    assert greater == pytest.approx(p[a:].sum(), abs=1e-9)
    assert less == pytest.approx(p[: a + 1].sum(), abs=1e-9)


def test_null_of_one_is_fishers_exact_test():
    greater, less = ratio_p_values((8, 90), (2, 110))
    table = [[8, 90], [2, 110]]
    assert greater == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue, rel=1e-9)
    assert less == pytest.approx(stats.fisher_exact(table, alternative="less").pvalue, rel=1e-9)


def test_interval_ends_have_the_tail_probability():
    comparison = ratio_interval((12, 5_000), (20, 6_000), confidence=0.9)
    assert comparison.value == pytest.approx(12 * 6_000 / (5_000 * 20))
    assert ratio_p_values((12, 5_000), (20, 6_000), null_ratio=comparison.low)[0] == pytest.approx(0.05, rel=1e-6)
    assert ratio_p_values((12, 5_000), (20, 6_000), null_ratio=comparison.high)[1] == pytest.approx(0.05, rel=1e-6)


def test_zero_centrals_are_an_answer_not_an_error():
    both = ratio_interval((0, 100), (0, 120))
    assert (both.value, both.low, both.high) == (None, 0.0, math.inf)
    assert ratio_p_values((0, 100), (0, 120), null_ratio=1.5) == (1.0, 1.0)
    none_in_candidate = ratio_interval((0, 100), (5, 120))
    assert (none_in_candidate.value, none_in_candidate.low) == (0.0, 0.0)
    assert 1.0 < none_in_candidate.high < 2.0
    none_in_baseline = ratio_interval((5, 100), (0, 120))
    assert (none_in_baseline.value, none_in_baseline.high) == (math.inf, math.inf)
    assert none_in_baseline.low > 1.0


def test_no_side_counts_are_refused():
    with pytest.raises(ValueError, match="nothing to normalise with"):
        ratio_p_values((1, 0), (1, 10))


@pytest.mark.parametrize("null_ratio", [0.0, -1.0, math.inf, math.nan])
def test_impossible_null_is_refused(null_ratio):
    with pytest.raises(ValueError, match="null_ratio"):
        ratio_p_values((1, 10), (1, 10), null_ratio=null_ratio)


def test_large_counts_are_quick_and_agree_with_the_normal_limit():
    started = time.perf_counter()
    comparison = ratio_interval((1_000_000, 100_000_000), (1_010_000, 100_000_000))
    elapsed = time.perf_counter() - started
    spread = 1.959964 * math.sqrt(1 / 1e6 + 1 / 1.01e6 + 2e-8)
    middle = math.log(1e6 / 1.01e6)
    assert math.log(comparison.low) == pytest.approx(middle - spread, abs=2e-6)
    assert math.log(comparison.high) == pytest.approx(middle + spread, abs=2e-6)
    assert elapsed < 2.0


def test_far_tails_do_not_overflow():
    greater, less = ratio_p_values((0, 10**8), (10**6, 10**8))
    assert 0.0 <= less < 1e-300
    assert greater == pytest.approx(1.0)


@pytest.mark.parametrize(("expected", "size", "power"), [(1000, 0.045, 0.28), (2500, 0.042, 0.61), (5000, 0.038, 0.87)])
def test_size_and_power_of_the_margin_test(expected, size, power):
    """Margin 1.5 at g2 = 0.02, ten side peaks; published size and power, ±4 standard errors of 3000 trials.

    Odds of a false alarm: below 10^-4 for each of the six numbers; the size is exact, so never above 0.05 + error.
    """
    trials, k, g = 3000, 10, 0.02
    rng = np.random.default_rng(330)

    def passes(ratio):
        candidate = zip(rng.poisson(ratio * g * expected, trials), rng.poisson(k * expected, trials), strict=True)
        baseline = zip(rng.poisson(g * expected, trials), rng.poisson(k * expected, trials), strict=True)
        return np.mean(
            [
                ratio_p_values(tuple(map(int, c)), tuple(map(int, b)), null_ratio=1.5)[1] <= 0.05
                for c, b in zip(candidate, baseline, strict=True)
            ]
        )

    # the published numbers carry errors of their own: 0.01 covers them
    assert passes(1.5) == pytest.approx(size, abs=4 * math.sqrt(0.05 * 0.95 / trials) + 0.005)
    assert passes(1.0) == pytest.approx(power, abs=4 * math.sqrt(0.25 / trials) + 0.01)
