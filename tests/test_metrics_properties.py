"""What must not matter: when a recording began, which channel is called first, and silence, cut up or prolonged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.metrics import (
    Histogram,
    PeakCounts,
    count_peaks,
    cross_correlate,
    dead_time,
    fit_decay,
    fit_line,
    g2_area,
    g2_comb_fit,
    log_correlate,
    v_unc,
)
from qdhil.metrics.correlator import Correlator
from qdhil.metrics.detector_memory import Intervals

WINDOW = 600
EDGES = np.array([1, 4, 20, 90, 600])
times = st.lists(st.integers(-2_000, 2_000), max_size=60).map(lambda t: np.array(sorted(t), np.int64))
gaps = st.lists(st.tuples(st.integers(-2_000, 2_000), st.integers(0, 10**12)), max_size=4)
quick = settings(deadline=None, max_examples=60)


def _counts(a, b):
    """What each kernel counts."""
    return [
        counted.tolist()
        for counted in (
            cross_correlate(a, b, window_ps=WINDOW, bin_ps=20),
            count_peaks(a, b, period_ps=123.4, delay_ps=17, window_ps=60, max_lag=4),
            log_correlate(a, b, edges_ps=EDGES),
        )
    ]


@quick
@given(a=times, b=times, shift=st.integers(-(2**60), 2**60))
def test_every_kernel_ignores_when_the_recording_began(a, b, shift):
    assert _counts(a + shift, b + shift) == _counts(a, b)


@quick
@given(a=times, b=times)
def test_peaks_mirror_when_the_channels_are_swapped(a, b):
    """With an odd delay and an even window no pair lies on the edge, which belongs to one side only."""
    a, b = 2 * a, 2 * b
    forward = count_peaks(a, b, period_ps=124, delay_ps=17, window_ps=60, max_lag=4)
    backward = count_peaks(b, a, period_ps=124, delay_ps=-17, window_ps=60, max_lag=4)
    assert forward.tolist() == backward[::-1].tolist()


@quick
@given(a=times, b=times, silences=gaps)
def test_every_kernel_ignores_how_long_a_silence_lasts(a, b, silences):
    """A silence beyond the window is put in wherever nothing correlates across it, and is then prolonged."""
    for at, longer in silences:
        silent = [np.where(t >= at, t + 2 * WINDOW, t) for t in (a, b)]
        prolonged = [np.where(t >= at, t + 2 * WINDOW + longer, t) for t in (a, b)]
        assert _counts(*prolonged) == _counts(*silent)


@quick
@given(a=times, b=times, parts=st.integers(1, 5))
def test_a_recording_and_its_repetition_after_a_silence_count_twice(a, b, parts):
    repeated = [np.concatenate([t + part * 10**6 for part in range(parts)]) for t in (a, b)]
    assert _counts(*repeated) == [[parts * n for n in counts] for counts in _counts(a, b)]


@quick
@given(a=times, b=times, silent=st.lists(st.booleans(), min_size=1, max_size=8))
def test_silent_blocks_between_others_change_nothing(a, b, silent):
    running = Correlator(window_ps=WINDOW, bin_ps=20)
    cuts = np.linspace(-2_001, 2_001, len(silent) + 1)
    for low, high, quiet in zip(cuts[:-1], cuts[1:], silent, strict=True):
        running.add(a[(a >= low) & (a < high)], b[(b >= low) & (b < high)])
        if quiet:
            running.add([], [])
    assert running.counts.tolist() == cross_correlate(a, b, window_ps=WINDOW, bin_ps=20).tolist()


@quick
@given(peaks=st.lists(st.integers(1, 500), min_size=21, max_size=21), singles=st.integers(1, 10**6))
def test_estimates_from_peaks_ignore_swapped_channels_and_dark_blocks(peaks, singles):
    def made(counts, one, other):
        return PeakCounts(tuple(counts), one, other, 10**8, 1.0, 3000, 12_500.0, 0)

    lit = made(peaks, singles, 7)
    swapped, padded = made(peaks[::-1], 7, singles), lit + made([0] * 21, 0, 0)
    for estimator in (g2_area, v_unc):
        found = [estimator(counts, exclude_lags=2) for counts in (lit, swapped, padded)]
        assert len({(e.value, e.low, e.high) for e in found}) == 1


@quick
@given(gaps=st.lists(st.integers(40_000, 10**7), min_size=3, max_size=50), shift=st.integers(0, 2**60))
def test_dead_time_ignores_when_the_recording_began(gaps, shift):
    clicks = np.cumsum([0, *gaps])
    assert dead_time(Intervals.of(clicks + shift)) == dead_time(Intervals.of(clicks))


@settings(deadline=None, max_examples=15)
@given(turn=st.integers(0, 249), seed=st.integers(0, 100))
def test_a_lifetime_ignores_where_in_the_period_the_pulse_comes(turn, seed):
    rng = np.random.default_rng(seed)
    arrival = 3000 + rng.normal(0, 60, 5000) + rng.exponential(400, 5000)
    counts = np.bincount((arrival % 12_500 // 50).astype(int), minlength=250) + rng.poisson(0.5, 250)
    here, there = (
        fit_decay(Histogram.of(shape, first_ps=25.0, bin_ps=50.0), period_ps=12_500.0, response=60.0)
        for shape in (counts, np.roll(counts, turn))
    )
    for one, other in ((here.lifetime, there.lifetime), (here.floor, there.floor)):
        width = one.high - one.low
        assert other.value == pytest.approx(one.value, abs=0.01 * width)
        assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=0.02 * width)


@settings(deadline=None, max_examples=10)
@given(shift=st.integers(-(10**6), 10**6), seed=st.integers(0, 100))
def test_a_comb_and_a_line_ignore_where_their_axis_begins(shift, seed):
    rng, axis = np.random.default_rng(seed), (np.arange(390) + 0.5) * 256
    since = np.abs((axis - 50_000 + 6250) % 12_500 - 6250)
    level = 5 + 100 * np.exp(-since / 1000) * np.where(np.abs(axis - 50_000) < 6250, 0.1, 1.0)
    counts = rng.poisson(level)
    here, there = (
        g2_comb_fit(
            Histogram.of(counts, first_ps=axis[0] + by, bin_ps=256.0),
            period_ps=12_500.0,
            delay_ps=50_100.0 + by,
        ).g2
        for by in (0, shift)
    )
    assert (there.value, there.low, there.high) == pytest.approx((here.value, here.low, here.high), abs=1e-3)
    energy = np.linspace(-10, 10, 101)
    spectrum = rng.poisson(5 + 500 / (1 + energy**2))
    one, other = (fit_line(energy + by, spectrum) for by in (0.0, shift / 1000))
    assert other.fwhm.value == pytest.approx(one.fwhm.value, abs=1e-3)
    assert other.centre.value - shift / 1000 == pytest.approx(one.centre.value, abs=1e-3)
