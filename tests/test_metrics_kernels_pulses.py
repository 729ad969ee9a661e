"""What is counted pulse by pulse, gated, or over time: against definitions written out one click at a time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.metrics.count_rate import count_rate
from qdhil.metrics.decay_histogram import decay_histogram
from qdhil.metrics.gating import in_gate, outside_intervals
from qdhil.metrics.pulse_train import PulseTrain
from qdhil.metrics.start_stop import start_stop
from qdhil.metrics.triples import count_triples

clicks = st.lists(st.integers(-500, 12_000), max_size=60).map(lambda t: np.array(sorted(t), np.int64))


def written_out(t, sync, divider, steps):
    """Return pulse and exact phase of one click."""
    first = 0
    for begin, end, step in zip(sync[:-1], sync[1:], steps, strict=True):
        if begin <= t < end:
            period = Fraction(int(end - begin), divider * step)
            whole = (int(t) - int(begin)) // period
            return first + int(whole), int((int(t) - int(begin) - whole * period) // 1)
        first += divider * step
    return -1, -1


@settings(deadline=None, max_examples=100)
@given(t=clicks, divider=st.integers(1, 9), delay=st.integers(-300, 300), missing=st.booleans())
def test_clicks_are_located_between_the_sync_tags_around_them(t, divider, delay, missing):
    sync, steps = np.array([100, 1_101, 2_099, 3_100, 4_102, 5_100, 6_099, 7_100]), [1] * 7
    if missing:
        sync, steps = np.delete(sync, 3), [1, 1, 2, 1, 1, 1]
    train = PulseTrain(sync, sync_divider=divider)
    assert train.pulses == 7 * divider
    pulse, phase = train.locate(t, delay_ps=delay)
    assert list(zip(pulse, phase, strict=True)) == [written_out(x - delay, sync, divider, steps) for x in t]


def test_blocks_of_clicks_are_located_as_the_whole():
    rng = np.random.default_rng(1)
    train = PulseTrain(np.arange(0, 10**9, 100_000) + rng.integers(-5, 5, 10_000), sync_divider=8)
    t = np.sort(rng.integers(-(10**6), 10**9 + 10**6, 200_000))
    pulse, phase = train.locate(t)
    parts = list(train.located(t))
    assert len(parts) > 2
    assert np.array_equal(np.concatenate([part[0] for part in parts]), pulse[pulse >= 0])
    assert np.array_equal(np.concatenate([part[1] for part in parts]), phase[pulse >= 0])


def test_a_decay_folds_over_the_pulses_whatever_the_divider():
    rng = np.random.default_rng(2)
    pulses, period = np.arange(400_000), 12_500
    t = pulses[::7] * period + rng.integers(0, period, pulses[::7].size)
    expected = np.bincount((t % period) // 100, minlength=125)
    for divider in (1, 8, 100):
        train = PulseTrain(pulses[::divider] * period, sync_divider=divider)
        inside = t[t < (pulses[::divider] * period)[-1]]
        counts = decay_histogram(inside + 333, train, bin_ps=100, delay_ps=333)
        assert counts.tolist() == np.bincount((inside % period) // 100, minlength=125).tolist()
        assert abs(counts.sum() - expected.sum()) < 50


@pytest.mark.parametrize("bin_ps", [0, 1_002])
def test_bins_that_no_period_holds_are_refused(bin_ps):
    with pytest.raises(ValueError, match="bin_ps must lie"):
        decay_histogram([1], PulseTrain([0, 1_000, 2_000]), bin_ps=bin_ps)


def test_a_gate_is_half_open_and_shut_outside_the_sync_tags():
    train = PulseTrain([0, 1_000, 2_000])
    t = np.array([-1, 99, 100, 299, 300, 1_100, 2_000, 2_100])
    assert in_gate(t, train, open_ps=100, close_ps=300).tolist() == [0, 0, 1, 1, 0, 1, 0, 0]
    assert in_gate(t + 50, train, open_ps=100, close_ps=300, delay_ps=50).tolist() == [0, 0, 1, 1, 0, 1, 0, 0]
    for first, last in ((-1, 5), (5, 5), (0, 1_002)):
        with pytest.raises(ValueError, match="no gate"):
            in_gate(t, train, open_ps=first, close_ps=last)


@settings(max_examples=100)
@given(t=clicks, spans=st.lists(st.tuples(st.integers(-500, 12_000), st.integers(0, 3_000)), max_size=5))
def test_tags_in_any_interval_are_left_out(t, spans):
    begins = np.array([begin for begin, _ in spans], np.int64)
    ends = begins + np.array([length for _, length in spans], np.int64)
    expected = [not any(begin <= x < end for begin, end in zip(begins, ends, strict=True)) for x in t]
    assert outside_intervals(t, begins, ends).tolist() == expected


def test_an_interval_that_ends_before_it_begins_is_refused():
    with pytest.raises(ValueError, match="end at or after"):
        outside_intervals([1], [5], [4])


@settings(deadline=None, max_examples=60)
@given(a=clicks, b=clicks, c=clicks, max_lag=st.integers(0, 3))
def test_triples_are_pulses_in_which_all_three_clicked(a, b, c, max_lag):
    train = PulseTrain(np.arange(0, 11_000, 500), sync_divider=5)
    lit = []
    for t in (a, b, c):
        lit.append({int(x) // 100 for x in t if 0 <= x < 10_500 and 20 <= x % 100 < 80})
    expected = [
        [sum(k + m in lit[1] and k + n in lit[2] for k in lit[0]) for n in range(-max_lag, max_lag + 1)]
        for m in range(-max_lag, max_lag + 1)
    ]
    found = count_triples((a, b + 7, c - 9), train, open_ps=20, close_ps=80, delays_ps=(0, 7, -9), max_lag=max_lag)
    assert found.tolist() == expected


def test_triples_need_a_lag_that_is_not_negative():
    with pytest.raises(ValueError, match="max_lag"):
        count_triples(([1], [1], [1]), PulseTrain([0, 100, 200]), open_ps=0, close_ps=50, max_lag=-1)


def test_start_stop_loses_what_a_converter_loses():
    starts, stops = [0, 5, 12, 40, 300], [10, 11, 45, 380]
    # 0 stops at 10 and hides 5; 12 stops at 45 and hides 40; 300 has no stop within 50
    counts = start_stop(starts, stops, window_ps=50, bin_ps=1)
    assert np.flatnonzero(counts).tolist() == [10, 33]
    assert start_stop([0], [50], window_ps=50, bin_ps=10).sum() == 0
    assert start_stop([0, 49, 50], [55], window_ps=50, bin_ps=5).tolist() == [0, 1] + [0] * 8


def test_start_stop_of_a_pulsed_source_falls_as_it_is_known_to():
    rng = np.random.default_rng(3)
    p, pulses = 0.3, 400_000
    starts, stops = (np.flatnonzero(rng.random(pulses) < chance) * 1_000 for chance in (0.01, p))
    counts = start_stop(starts, stops + 500, window_ps=8_000, bin_ps=1_000)
    expected = counts.sum() / (1 - (1 - p) ** 8) * p * (1 - p) ** np.arange(8)
    # 5 sigma in any of 8 bins: odds 5e-6
    assert np.abs((counts - expected) / np.sqrt(expected)).max() < 5


def test_a_rate_trace_counts_every_click_once_and_corrects_for_dead_time():
    trace = count_rate([0, 5, 9, 10, 19, 20, 29, 31], bin_ps=10, begin_ps=0, end_ps=35)
    assert trace.counts.tolist() == [3, 2, 2]
    assert trace.rate_hz == pytest.approx(np.array([3e11, 2e11, 2e11]))
    assert count_rate([], bin_ps=10, begin_ps=0, end_ps=20).counts.tolist() == [0, 0]
    full = count_rate([0, 5], bin_ps=10, begin_ps=0, end_ps=10, dead_time_ps=5)
    assert np.isinf(full.corrected_hz).all()


def test_the_corrected_rate_and_its_error_are_those_of_the_light():
    rng = np.random.default_rng(4)
    rate_hz, dead_ps, bin_ps = 5e6, 50_000, 10**8
    gaps = rng.exponential(1e12 / rate_hz, 400_000) + dead_ps  # a dead time after every click
    t = np.cumsum(gaps).astype(np.int64)
    trace = count_rate(t, bin_ps=bin_ps, dead_time_ps=dead_ps)
    seconds = trace.counts.size * bin_ps * 1e-12
    # the error of the mean is 0.18 %, of the spread 3 %: 5 sigma, odds 6e-7 each
    mean_error = np.sqrt(rate_hz * (1 + rate_hz * dead_ps * 1e-12) / seconds)
    assert trace.corrected_hz.mean() == pytest.approx(rate_hz, abs=5 * mean_error)
    spread = trace.corrected_hz.std() / trace.corrected_error_hz.mean()
    assert spread == pytest.approx(1, abs=5 / np.sqrt(2 * trace.counts.size))


@pytest.mark.parametrize(
    "options",
    [{"bin_ps": 0}, {"bin_ps": 10, "dead_time_ps": -1}, {"bin_ps": 100}],
)
def test_a_trace_that_can_not_be_is_refused(options):
    with pytest.raises(ValueError, match=r"must|no bin"):
        count_rate([0, 50], **options)
    with pytest.raises(ValueError, match="without clicks"):
        count_rate([], bin_ps=10)
