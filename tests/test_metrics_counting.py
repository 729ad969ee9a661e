"""Counting pairs: against brute force, at the bounds, and for every number of threads."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.metrics import count_peaks, cross_correlate, sync_period

times = st.lists(st.integers(-2_000, 2_000), max_size=40).map(sorted)


def _pairs(a, b):
    return (np.asarray(b, np.int64)[None, :] - np.asarray(a, np.int64)[:, None]).ravel()


@settings(deadline=None, max_examples=150)
@given(a=times, b=times, bins=st.integers(1, 50), bin_ps=st.integers(1, 60), threads=st.integers(1, 4))
def test_every_pair_is_counted_once_in_its_half_open_bin(a, b, bins, bin_ps, threads):
    window = bins * bin_ps
    tau = _pairs(a, b)
    inside = tau[(tau >= -window) & (tau < window)]
    expected = np.bincount((inside + window) // bin_ps, minlength=2 * bins)
    counted = cross_correlate(
        np.array(a, np.int64), np.array(b, np.int64), window_ps=window, bin_ps=bin_ps, threads=threads
    )
    assert counted.dtype == np.int64
    assert counted.tolist() == expected.tolist()


@settings(deadline=None, max_examples=150)
@given(
    a=times,
    b=times,
    period=st.floats(10, 900),
    share=st.floats(0.05, 1),
    delay=st.integers(-700, 700),
    max_lag=st.integers(0, 5),
)
def test_peaks_are_half_open_windows_of_full_width(a, b, period, share, delay, max_lag):
    window = max(1, int(share * period))
    tau = _pairs(a, b) - delay
    expected = [
        int(np.count_nonzero((tau >= m * period - window / 2) & (tau < m * period + window / 2)))
        for m in range(-max_lag, max_lag + 1)
    ]
    counted = count_peaks(
        np.array(a, np.int64),
        np.array(b, np.int64),
        period_ps=period,
        delay_ps=delay,
        window_ps=window,
        max_lag=max_lag,
    )
    assert counted.tolist() == expected


def test_threads_do_not_change_a_large_result():
    rng = np.random.default_rng(5)
    a, b = (np.sort(rng.integers(0, 10**11, 200_000)) for _ in range(2))
    one = cross_correlate(a, b, window_ps=200_000, bin_ps=100)
    assert one.sum() > 100_000
    for threads in (2, 3, 8):
        assert np.array_equal(one, cross_correlate(a, b, window_ps=200_000, bin_ps=100, threads=threads))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64])
def test_any_integer_type_is_accepted(dtype):
    a, b = np.array([0, 100], dtype), np.array([3, 103], dtype)
    assert cross_correlate(a, b, window_ps=10, bin_ps=1)[13] == 2


@pytest.mark.parametrize(
    ("t1", "match"),
    [
        (np.array([2, 1]), "not sorted"),
        (np.array([1.0, 2.0]), "integer"),
        (np.array([[1, 2]]), "one-dimensional"),
        (np.array([1, 2**63], np.uint64), r"2\^62"),
        (np.array([-(2**63), 0]), r"2\^62"),
    ],
)
def test_bad_times_are_refused(t1, match):
    good = np.array([1, 2])
    for first, second in ((t1, good), (good, t1)):
        with pytest.raises(ValueError, match=match):
            cross_correlate(first, second, window_ps=10, bin_ps=1)
        with pytest.raises(ValueError, match=match):
            count_peaks(first, second, period_ps=10, delay_ps=0, window_ps=5, max_lag=2)


@pytest.mark.parametrize(("window", "bin_ps", "threads"), [(10, 3, 1), (0, 1, 1), (10, 0, 1), (10, 1, 0)])
def test_bad_bins_are_refused(window, bin_ps, threads):
    with pytest.raises(ValueError, match=r"must be|whole number"):
        cross_correlate([1], [2], window_ps=window, bin_ps=bin_ps, threads=threads)


@pytest.mark.parametrize(("period", "window", "lag"), [(10, 11, 1), (10, 0, 1), (10, 5, -1), (float("nan"), 5, 1)])
def test_bad_peaks_are_refused(period, window, lag):
    with pytest.raises(ValueError, match="must"):
        count_peaks([1], [2], period_ps=period, delay_ps=0, window_ps=window, max_lag=lag)


def test_sync_period_survives_missing_tags_and_jitter():
    rng = np.random.default_rng(2)
    number = np.arange(5_000)
    number = np.delete(number, rng.choice(number[1:-1], 500, replace=False))
    sync = np.rint(number * 8192 * 12_499.37 + rng.normal(0, 5, number.size)).astype(np.int64) + 10**12
    # slope error 5 ps·sqrt(12)/(4500^1.5·8192) = 7e-9 ps: far below the bound
    assert sync_period(sync, sync_divider=8192) == pytest.approx(12_499.37, abs=1e-6)


@pytest.mark.parametrize("sync", [[], [5], [5, 5, 5], [0, 10, 25, 33, 47, 51, 70, 74]])
def test_what_is_no_sync_is_refused(sync):
    with pytest.raises(ValueError, match="sync"):
        sync_period(np.array(sync, np.int64), sync_divider=1)


def test_import_brings_neither_numba_nor_scipy():
    code = (
        "import sys, qdhil.metrics, qdhil.tags, qdhil.statistics, qdhil.cli.analyze;"
        "sys.exit(any(m in sys.modules for m in ('numba', 'scipy', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
