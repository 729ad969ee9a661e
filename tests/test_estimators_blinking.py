"""Blinking by the envelope of the side peaks and by the trace of the count rate."""

from __future__ import annotations

import numpy as np
import pytest

from qdhil.metrics import PeakCounts, count_peaks, fit_envelope, trace_blinking

PERIOD = 12_500.0
LAGS = np.abs(np.arange(-40, 41))


def _envelope(rng, far, g_long, on, time_ps):
    expected = far * (1 + (1 - on) / on * np.exp(-LAGS * PERIOD / time_ps))
    expected[40] = far * g_long
    return PeakCounts(tuple(int(n) for n in rng.poisson(expected)), 1, 1, 1, 1.0, 3000, PERIOD, 0)


def _fitted(rng, far, on):
    counts = _envelope(rng, far, 0.05, on, 1e5)
    try:
        return fit_envelope(counts)
    except ValueError:
        return None


@pytest.mark.parametrize(("far", "on"), [(60, 0.6), (5000, 0.8)], ids=["low", "high"])
@pytest.mark.parametrize("replicates", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_envelope_covers(far, on, replicates):
    """Fewer than 88 of 100 have odds of 1 in 680 at 95 %; fewer than 930 of 1000 1 in 430."""
    rng = np.random.default_rng(1)
    # one in 200 looks slower than the peaks reach, and is refused: it counts as a miss
    found = [b for b in (_fitted(rng, far, on) for _ in range(replicates)) if b is not None]
    least = 88 if replicates == 100 else 930
    for truth, of in (
        (on, lambda b: b.on_fraction),
        (1e5, lambda b: b.time),
        (0.05 * on, lambda b: b.g2_near),
        (0.05, lambda b: b.g2_long),
    ):
        assert sum(of(b).low <= truth <= of(b).high for b in found) >= least


def test_envelope_of_a_telegraph_event_by_event():
    """A pulsed source that blinks: β = 0.5, 1/τ_b = 1/τ_on + 1/τ_off, within 4 standard errors."""
    rng = np.random.default_rng(2)
    pulses, dwell = 4_000_000, 20.0
    flips = np.cumsum(rng.geometric(1 / dwell, round(1.2 * pulses / dwell)))
    on = np.searchsorted(flips, np.arange(pulses), side="right") % 2 == 0
    clicks = [np.flatnonzero(on & (rng.random(pulses) < 0.1)) * 12_500 for _ in range(2)]
    peaks = count_peaks(*clicks, period_ps=PERIOD, delay_ps=0, window_ps=3000, max_lag=100)
    blinking = fit_envelope(PeakCounts(tuple(int(n) for n in peaks), 1, 1, 1, 1.0, 3000, PERIOD, 0))
    # memory per pulse: (1 - 1/dwell)·2 - 1
    time_ps = -PERIOD / np.log(1 - 2 / dwell)
    error = (blinking.time.high - blinking.time.low) / 3.92
    assert blinking.time.value == pytest.approx(time_ps, abs=4 * error)
    error = (blinking.on_fraction.high - blinking.on_fraction.low) / 3.92
    assert blinking.on_fraction.value == pytest.approx(0.5, abs=4 * error + 0.005)
    # independent clicks of one pulse: 1 against the on-state, 1/β against the whole
    assert blinking.g2_near.value == pytest.approx(1, abs=0.03)
    assert blinking.g2_long.value == pytest.approx(2, abs=0.06)


def test_steady_or_too_slow_light_is_refused():
    rng = np.random.default_rng(3)
    with pytest.raises(ValueError, match="no blinking"):
        fit_envelope(_envelope(rng, 5000, 0.05, 1.0, 1e5))
    with pytest.raises(ValueError, match=r"longer than the peaks reach|exponential"):
        fit_envelope(_envelope(rng, 5000, 0.05, 0.3, 3e6))
    with pytest.raises(ValueError, match="lags a side"):
        fit_envelope(_envelope(rng, 50, 0.05, 0.5, 1e5), exclude_lags=31)
    with pytest.raises(ValueError, match="no envelope"):
        fit_envelope(_envelope(rng, 0, 0.05, 0.5, 1e5))


def _trace(rng, bins, on_bins, off_bins, levels=(100, 10)):
    number = round(3 * bins / (on_bins + off_bins)) + 10
    dwells = np.stack((rng.exponential(on_bins, number), rng.exponential(off_bins, number)), axis=1).ravel()
    edges = np.concatenate(([0.0], np.cumsum(dwells)))
    # time spent on within each bin
    whole = np.arange(bins + 1, dtype=np.float64)
    spent = np.interp(whole, edges, np.concatenate(([0.0], np.cumsum(np.where(np.arange(dwells.size) % 2, 0, dwells)))))
    share = np.diff(spent)
    return rng.poisson(levels[0] * share + levels[1] * (1 - share))


@pytest.mark.parametrize("bins", [4000, 50_000], ids=["about-10-dwells", "about-120-dwells"])
def test_trace_covers(bins):
    """Fewer than 275 of 300 have odds of 1 in 200 at 95 %, and of 1 in 3 at 92 %."""
    rng = np.random.default_rng(4)
    found = [trace_blinking(_trace(rng, bins, 250, 150), bin_s=0.01) for _ in range(300)]
    for truth, of in (
        (2.5, lambda b: b.on_time),
        (1.5, lambda b: b.off_time),
        (0.625, lambda b: b.on_fraction),
    ):
        assert sum(of(b).low <= truth <= of(b).high for b in found) >= 275
    assert np.mean([b.on_rate_hz for b in found]) == pytest.approx(10_000, rel=0.02)


@pytest.mark.parametrize(
    ("trace", "match"),
    [
        (np.random.default_rng(5).poisson(50, 2000), "overlap|one state"),
        (_trace(np.random.default_rng(6), 4000, 2000, 1500), "too few"),
        (_trace(np.random.default_rng(7), 4000, 250, 150, (20, 10)), "overlap"),
        (_trace(np.random.default_rng(8), 4000, 5, 5), "more than two states"),
        (np.zeros(50, np.int64), "100 bins"),
        (np.full(500, 0.5), "whole counts"),
    ],
    ids=["steady", "few-dwells", "overlapping", "fast", "short", "rates"],
)
def test_traces_that_tell_nothing_are_refused(trace, match):
    with pytest.raises(ValueError, match=match):
        trace_blinking(trace, bin_s=0.01)
