"""Blocks give the counts of the whole, bit by bit, and memory stays bounded."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.metrics import count_peaks, cross_correlate
from qdhil.metrics.channels import ChannelCorrelator, correlate_channels
from qdhil.metrics.correlate import auto_correlate
from qdhil.metrics.correlator import Correlator, PeakCounter

times = st.lists(st.integers(-2_000, 2_000), max_size=50).map(lambda t: np.array(sorted(t), np.int64))
cuts = st.lists(st.integers(-2_100, 2_100), max_size=12).map(sorted)


def blocks(t, at):
    edges = [0, *np.searchsorted(t, at), t.size]
    return [t[first:last] for first, last in pairwise(edges)]


@settings(deadline=None, max_examples=100)
@given(a=times, b=times, at=cuts, window=st.integers(1, 3_000))
def test_blocks_give_the_histogram_of_the_whole(a, b, at, window):
    running = Correlator(window_ps=window, bin_ps=1)
    for first, second in zip(blocks(a, at), blocks(b, at), strict=True):
        running.add(first, second)
    assert running.counts.tolist() == cross_correlate(a, b, window_ps=window, bin_ps=1).tolist()
    assert running.singles == (a.size, b.size)


@settings(deadline=None, max_examples=100)
@given(a=times, b=times, at=cuts, delay=st.integers(-1_500, 1_500), max_lag=st.integers(0, 4))
def test_blocks_give_the_peaks_of_the_whole(a, b, at, delay, max_lag):
    comb = {"period_ps": 123.4, "delay_ps": delay, "window_ps": 60, "max_lag": max_lag}
    running = PeakCounter(**comb)
    for first, second in zip(blocks(a, at), blocks(b, at), strict=True):
        running.add(first, second)
    assert running.counts.tolist() == count_peaks(a, b, **comb).tolist()


def test_silence_changes_nothing():
    a, b = np.array([0, 5]), np.array([3])
    running = Correlator(window_ps=10, bin_ps=1).add(a, b)
    before = running.counts.copy()
    for _ in range(3):
        running.add([], [])
    assert np.array_equal(running.add([10**6], []).counts, before)


def test_a_block_out_of_turn_is_refused_and_not_counted():
    running = Correlator(window_ps=10, bin_ps=1).add([0, 7], [3, 9])
    before = running.counts.copy()
    for t1, t2, match in (
        ([8], [9], "t1 begins"),
        ([9], [8], "t2 begins"),
        ([12, 11], [13], "t1 is not sorted"),
    ):
        with pytest.raises(ValueError, match=match):
            running.add(t1, t2)
    assert np.array_equal(running.counts, before)
    assert np.array_equal(running.add([9], [9]).counts, cross_correlate([0, 7, 9], [3, 9, 9], window_ps=10, bin_ps=1))


def test_only_the_last_window_is_kept():
    rng = np.random.default_rng(1)
    running = Correlator(window_ps=1_000, bin_ps=10)
    for start in range(0, 10**7, 10**6):
        running.add(*(np.sort(rng.integers(start, start + 10**6, 5_000)) for _ in range(2)))
        assert sum(kept.nbytes for kept in running._kept) < 2 * 8 * 50  # noqa: SLF001
        assert all(kept.base is None for kept in running._kept)  # noqa: SLF001


@settings(deadline=None, max_examples=60)
@given(t=times, bins=st.integers(1, 30), bin_ps=st.integers(1, 40))
def test_auto_correlation_leaves_only_the_self_pairs_out(t, bins, bin_ps):
    window = bins * bin_ps
    expected = np.zeros(2 * bins, np.int64)
    for i, first in enumerate(t):
        for j, second in enumerate(t):
            if i != j and -window <= second - first < window:
                expected[(second - first + window) // bin_ps] += 1
    assert auto_correlate(t, window_ps=window, bin_ps=bin_ps).tolist() == expected.tolist()


def test_channels_of_a_stream_are_those_taken_apart():
    rng = np.random.default_rng(3)
    t, channel = np.sort(rng.integers(0, 10**10, 300_000)), rng.integers(0, 5, 300_000).astype(np.uint8)
    wanted = [(0, 1), (1, 0), (4, 4), (2, 3), (1, 9)]
    setting = {"window_ps": 50_000, "bin_ps": 100}
    whole = correlate_channels(t, channel, wanted, **setting)
    assert list(whole) == wanted
    for first, second in ((0, 1), (1, 0), (2, 3), (1, 9)):
        expected = cross_correlate(t[channel == first], t[channel == second], **setting)
        assert np.array_equal(whole[first, second], expected)
    assert np.array_equal(whole[4, 4], auto_correlate(t[channel == 4], **setting))
    running = ChannelCorrelator(wanted, **setting)
    for part in np.array_split(np.arange(t.size), 7):
        running.add(t[part], channel[part])
    assert all(np.array_equal(running.counts[pair], whole[pair]) for pair in wanted)


def test_bad_channels_are_refused():
    with pytest.raises(ValueError, match="no pair"):
        ChannelCorrelator([], window_ps=10, bin_ps=1)
    with pytest.raises(ValueError, match="channel must hold 2"):
        correlate_channels([1, 2], [1], [(0, 1)], window_ps=10, bin_ps=1)
    with pytest.raises(ValueError, match="not sorted"):
        correlate_channels([2, 1], [0, 0], [(0, 1)], window_ps=10, bin_ps=1)
