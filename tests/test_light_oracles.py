"""Exact p-values of the simulated light are uniform: its counts have the law that the statistics assume."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tags_made import in_pulses

from qdhil.statistics.intervals import clopper_pearson
from qdhil_sim.light import LightStream, PulseControls, Setup
from qdhil_sim.light.closed_form import predict

REPLICATES, PULSES, LAGS = 1000, 200_000, 10


def central_and_side():
    """Return central and side counts of independent acquisitions, and the true odds of a central one."""
    detector = {"efficiency": 1.0, "jitter_ps": 20.0}
    setup = Setup(
        rep_rate_hz=80e6,
        transmission=0.04,
        sync_divider=10_000,
        emitter={"lifetime_ps": 200.0, "overlap": 1.0, "leak_photons": 0.045},
        detector_a=detector,
        detector_b=detector,
    )
    controls = PulseControls(pulse_fwhm_ps=10)
    stream = LightStream(setup, controls, "hbt", seed=31)
    central, side = np.zeros((2, REPLICATES), np.int64)
    for replicate in range(REPLICATES):
        words = stream.take(PULSES * 12_500)
        first, second = (
            np.bincount(in_pulses(words, channel, 12_500) - replicate * PULSES, minlength=PULSES + 1).astype(np.int8)
            for channel in (2, 3)
        )
        inner = np.flatnonzero(first[LAGS : PULSES - LAGS]) + LAGS
        around = second[inner[:, None] + np.arange(-LAGS // 2, LAGS // 2 + 1)] * first[inner, None]
        central[replicate] = around[:, LAGS // 2].sum(dtype=np.int64)
        side[replicate] = around.sum(dtype=np.int64) - central[replicate]
    g2 = predict(setup, controls).g2
    return central, side, g2 / (g2 + LAGS)


@pytest.fixture(scope="module")
def counts():
    return central_and_side()


def test_p_values_are_uniform(counts):
    """Kolmogorov-Smirnov on 1000 randomised exact p-values; by chance below 1e-4 1 in 10 000."""
    central, side, odds = counts
    assert central.mean() > 5
    law = stats.binom(central + side, odds)
    p_values = law.cdf(central - 1) + np.random.default_rng(1).random(REPLICATES) * law.pmf(central)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-4


def test_exact_intervals_cover(counts):
    """At least 95 %; fewer than 924 of 1000 has odds of 1 in 5000 then."""
    central, side, odds = counts
    bounds = [clopper_pearson(int(n), int(n + m), 0.95) for n, m in zip(central, side, strict=True)]
    assert sum(low <= odds <= high for low, high in bounds) >= 924
