"""ABBA quads: exact cancellation of linear drift, and honest false-alarm rates under drift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qdhil.statistics import quad_contrasts, t_comparison

ABBA = ["baseline", "candidate", "candidate", "baseline"]


def test_linear_drift_of_the_logarithm_cancels_exactly():
    values = np.exp(0.1 * np.arange(16)) * np.tile([1, 1.05, 1.05, 1], 4)
    assert quad_contrasts(values, ABBA * 4) == pytest.approx([math.log(1.05)] * 4, abs=1e-12)


def test_mirrored_quads_are_welcome():
    mirrored = ["candidate", "baseline", "baseline", "candidate"]
    assert quad_contrasts([2, 1, 1, 2], mirrored) == pytest.approx([math.log(2)])


@pytest.mark.parametrize(
    ("values", "arms"),
    [
        ([1, 1, 1], ABBA[:3]),
        ([1, 1, 1, 1], ["baseline", "candidate", "baseline", "candidate"]),
        ([1, 0, 1, 1], ABBA),
        ([1, math.nan, 1, 1], ABBA),
        ([1, 1, 1, 1], ["a", "b", "b", "a"]),
    ],
)
def test_what_is_no_quad_is_refused(values, arms):
    with pytest.raises(ValueError, match="quad"):
        quad_contrasts(values, arms)


def test_t_comparison_is_scipys():
    contrasts = [0.01, -0.02, 0.015, 0.005, -0.001]
    mine = t_comparison(contrasts, null=-0.01)
    theirs = stats.ttest_1samp(contrasts, -0.01, alternative="greater")
    assert mine.p_greater == pytest.approx(theirs.pvalue)
    assert mine.p_less == pytest.approx(1 - theirs.pvalue)
    interval = stats.ttest_1samp(contrasts, 0).confidence_interval(0.95)
    assert (mine.low, mine.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("contrasts", [[], [0.1], [0.1, 0.1], [0.1, math.nan], [[0.1, 0.2]]])
def test_too_little_to_judge_by_is_refused(contrasts):
    with pytest.raises(ValueError, match=r"quads|equal|finite"):
        t_comparison(contrasts)


def _ornstein_uhlenbeck(rng, blocks, spread, blocks_of_memory):
    keep = math.exp(-1 / blocks_of_memory)
    drift = np.empty(blocks)
    drift[0] = rng.normal(0, spread)
    for i in range(1, blocks):
        drift[i] = keep * drift[i - 1] + rng.normal(0, spread * math.sqrt(1 - keep**2))
    return drift


@pytest.mark.parametrize("drift", ["linear", "ornstein-uhlenbeck"])
def test_false_alarm_rate_holds_under_drift(drift):
    """One-sided 5 % level, truth = no change; 15 quads of 1 Mcps x 20 s blocks, 2000 campaigns.

    The bound 0.07 lies 4 standard errors above 0.05: odds of a false alarm about 3·10^-5 each. A comparison of
    before and after would alarm in half of the campaigns or more.
    """
    rng = np.random.default_rng(34)
    blocks = 60
    alarms = before_after = 0
    for _ in range(2000):
        slope = -0.02 * np.arange(blocks) / blocks
        wander = slope if drift == "linear" else _ornstein_uhlenbeck(rng, blocks, 0.01, 30)
        counts = rng.poisson(2e7 * np.exp(wander)).astype(float)
        alarms += t_comparison(quad_contrasts(counts, ABBA * 15)).p_less < 0.05
        halves = stats.ttest_ind(counts[30:], counts[:30], alternative="less").pvalue
        before_after += halves < 0.05
    assert alarms / 2000 < 0.07
    assert before_after / 2000 > 0.4
