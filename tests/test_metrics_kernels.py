"""The kernels that count pairs: against brute force, in every way they can go, and at the bounds of int64."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.metrics import _pairs, count_peaks, cross_correlate, pairs
from qdhil.metrics.bins import EvenBins, Windows, reciprocal
from qdhil.metrics.peaks import peak_bounds, peak_windows

HUGE = 1 << 62
times = st.lists(st.integers(-2_000, 2_000), max_size=60).map(sorted)
WAYS = [((0,) * 8, False), ((0,) * 16, False), ((0,) * 24, False), ((0,) * 32, False), ((0,) * 8, True)]


def brute_force(a, b, window, bin_ps):
    tau = (np.asarray(b, np.int64)[None, :] - np.asarray(a, np.int64)[:, None]).ravel()
    inside = tau[(tau >= -window) & (tau < window)]
    return np.bincount((inside + window) // bin_ps, minlength=2 * window // bin_ps)


def channels(rate_hz, count, seed):
    rng = np.random.default_rng(seed)
    return [np.cumsum(rng.exponential(1e12 / rate_hz, n)).astype(np.int64) for n in count]


@pytest.fixture(params=WAYS, ids=["8 lanes", "16 lanes", "24 lanes", "32 lanes", "plain"])
def way(request, monkeypatch):
    monkeypatch.setattr(pairs, "quickest_way", lambda *_: request.param)


def two_pointers(a, b, window, bin_ps):
    """Count by numpy alone: for each start, the stops between two searches."""
    low, high = (np.searchsorted(b, a + edge) for edge in (-window, window))
    number = high - low
    first = np.repeat(np.arange(a.size), number)
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    tau = b[low[first] + within] - a[first]
    return np.bincount((tau + window) // bin_ps, minlength=2 * window // bin_ps)


@settings(deadline=None, max_examples=60)
@given(
    a=times,
    b=times,
    bins=st.integers(1, 50),
    bin_ps=st.integers(1, 60),
    threads=st.integers(1, 4),
    lanes=st.sampled_from(WAYS),
)
def test_every_way_counts_every_pair_once(a, b, bins, bin_ps, threads, lanes):
    window = bins * bin_ps
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "quickest_way", lambda *_: lanes)
        counted = cross_correlate(
            np.array(a, np.int64), np.array(b, np.int64), window_ps=window, bin_ps=bin_ps, threads=threads
        )
    assert counted.tolist() == brute_force(a, b, window, bin_ps).tolist()


@pytest.mark.parametrize("sizes", [(30_000, 30_000), (3_000, 40_000), (40_000, 3_000), (17, 20_000)])
@pytest.mark.parametrize("rate_hz", [1e5, 2e6, 2e7, 2e8])
@pytest.mark.parametrize("threads", [1, 3])
def test_long_channels_agree_with_numpy(way, sizes, rate_hz, threads):
    a, b = channels(rate_hz, sizes, seed=1)
    a = a * (b[-1] / a[-1])  # the same span, whatever the rates
    a = a.astype(np.int64)
    window, bin_ps = 20_000, 100
    counted = cross_correlate(a, b, window_ps=window, bin_ps=bin_ps, threads=threads)
    assert np.array_equal(counted, two_pointers(a, b, window, bin_ps))


def test_bursts_longer_than_the_buffer(way):
    rng = np.random.default_rng(2)
    a = np.sort(np.concatenate([rng.integers(0, 10**9, 3_000), np.full(50, 5 * 10**8)]))
    b = np.sort(np.concatenate([rng.integers(0, 10**9, 3_000), 5 * 10**8 + rng.integers(-900, 900, 9_000)]))
    assert np.array_equal(cross_correlate(a, b, window_ps=1_000, bin_ps=1), two_pointers(a, b, 1_000, 1))


def test_equal_times_are_pairs(way):
    same = np.full(3_000, 77)
    counted = cross_correlate(same, same[:1_000], window_ps=2, bin_ps=1)
    assert counted.tolist() == [0, 0, 3_000_000, 0]


@settings(deadline=None, max_examples=60)
@given(a=times, b=times, shift=st.one_of(st.integers(-HUGE + 2_000, HUGE - 2_000), st.just(HUGE - 2_000)))
def test_a_shift_in_time_changes_nothing(a, b, shift):
    a, b = np.array(a, np.int64), np.array(b, np.int64)
    plain = cross_correlate(a, b, window_ps=600, bin_ps=20)
    assert cross_correlate(a + shift, b + shift, window_ps=600, bin_ps=20).tolist() == plain.tolist()


@settings(deadline=None, max_examples=60)
@given(a=times, b=times)
def test_swapped_channels_mirror_up_to_the_half_open_edges(a, b):
    a, b = np.array(a, np.int64), np.array(b, np.int64)
    forward = cross_correlate(a, b, window_ps=500, bin_ps=1)
    backward = cross_correlate(b, a, window_ps=500, bin_ps=1)
    assert forward[1:].tolist() == backward[1:][::-1].tolist()


def test_the_ends_of_the_range_do_not_wrap(way):
    edges = np.array([-HUGE] * 40 + [0] + [HUGE] * 40)
    assert cross_correlate(edges, edges, window_ps=1, bin_ps=1).tolist() == [0, 2 * 1_600 + 1]
    far = count_peaks(edges, edges, period_ps=1e17, delay_ps=0, window_ps=2, max_lag=3)
    assert far.tolist() == [0, 0, 0, 2 * 1_600 + 1, 0, 0, 0]


@pytest.mark.parametrize("window_ps", [1 << 30, 1 << 33])
def test_windows_too_wide_for_32_bits(window_ps):
    a, b = channels(1e3, (200, 300), seed=4)
    bin_ps = window_ps // 512
    assert np.array_equal(
        cross_correlate(a, b, window_ps=window_ps, bin_ps=bin_ps), brute_force(a, b, window_ps, bin_ps)
    )


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 97, 100, 1_000, 12_347, 999_999])
def test_division_by_multiplication_is_exact_for_every_offset(divisor):
    span = 2_000_000
    factor, shift = reciprocal(span, divisor)
    every = np.arange(span, dtype=np.uint64)
    assert np.array_equal((every * np.uint64(factor)) >> np.uint64(shift), every // np.uint64(divisor))


@settings(max_examples=300)
@given(span=st.integers(1, (1 << 31) - 1), data=st.data())
def test_division_by_multiplication_is_exact_at_the_ends_of_bins(span, data):
    divisor = data.draw(st.integers(1, span))
    factor, shift = reciprocal(span, divisor)
    quotient = data.draw(st.integers(0, (span - 1) // divisor))
    # floor is monotonic, so that both ends of a bin prove the bin
    for value in (quotient * divisor, min((quotient + 1) * divisor, span) - 1, span - 1):
        assert value * factor < 1 << 64
        assert value * factor >> shift == value // divisor


@pytest.mark.parametrize(("span", "divisor"), [(0, 1), (1 << 31, 1), (10, 0)])
def test_no_reciprocal_is_promised_where_none_is_exact(span, divisor):
    with pytest.raises(ValueError, match="reciprocal"):
        reciprocal(span, divisor)


@settings(deadline=None, max_examples=80)
@given(
    period=st.floats(2, 900),
    share=st.floats(0.05, 1),
    delay=st.integers(-700, 700),
    max_lag=st.integers(0, 6),
    swap=st.booleans(),
    comb=st.booleans(),
)
def test_both_rules_for_windows_hold_for_every_delay(period, share, delay, max_lag, swap, comb):
    window = max(1, int(share * period))
    windows = peak_windows(period_ps=period, delay_ps=delay, window_ps=window, max_lag=max_lag)
    if not comb:  # bounds that no comb fits are found cell by cell
        windows = Windows(windows.lower, windows.upper, 1.0)
    assert bool(windows.rule()[6]) == comb or comb
    start = np.zeros(1, np.int64)
    stops = np.arange(windows.first_ps - 3, windows.first_ps + windows.span_ps + 3)
    counted = pairs.count_by_delay(start, stops, windows, names=("a", "b"))
    if swap:
        counted = pairs.count_by_delay(np.sort(-stops), -start, windows, names=("a", "b"))
    assert counted.tolist() == (windows.upper - windows.lower).tolist()


def test_common_combs_need_no_cells():
    for period, window in ((12_500.0, 3_000), (12_499.37, 3_000), (13_123.456, 13_123), (1_000.0, 1_000)):
        assert peak_windows(period_ps=period, delay_ps=1_250, window_ps=window, max_lag=20).rule()[6] > 0


def test_peaks_of_long_channels(way):
    a, b = channels(5e6, (30_000, 35_000), seed=3)
    lower, upper = peak_bounds(period_ps=12_499.37, window_ps=3_000, max_lag=20)
    fine = two_pointers(a + 1_250, b, 300_000, 1)
    expected = [int(fine[300_000 + lo : 300_000 + up].sum()) for lo, up in zip(lower, upper, strict=True)]
    for threads in (1, 3):
        for first, second, delay, order in ((a, b, 1_250, 1), (b, a, -1_250, -1)):
            counted = count_peaks(
                first,
                second,
                period_ps=12_499.37,
                delay_ps=delay,
                window_ps=3_000,
                max_lag=20,
                threads=threads,
            )
            if order == 1:
                assert counted.tolist() == expected
            else:  # half-open at the other end: only pairs at a bound may differ
                assert abs(counted[::-1] - np.array(expected)).max() <= 3


@settings(deadline=None, max_examples=100)
@given(at=st.integers(0, 39_999), which=st.booleans(), threads=st.integers(1, 5), back=st.integers(1, 10**7))
def test_one_tag_out_of_order_is_found_wherever_it_is(at, which, threads, back):
    a, b = channels(2e6, (40_000, 40_000), seed=6)
    damaged = (a if which else b).copy()
    damaged[at] -= back
    is_damaged = bool(np.any(np.diff(damaged) < 0))
    first, second = (damaged, b) if which else (a, damaged)
    if is_damaged:
        with pytest.raises(ValueError, match=f"t{1 if which else 2} is not sorted"):
            cross_correlate(first, second, window_ps=200_000, bin_ps=100, threads=threads)
    else:
        cross_correlate(first, second, window_ps=200_000, bin_ps=100, threads=threads)


@pytest.mark.parametrize("threads", [1, 4])
def test_shuffled_tags_are_refused_and_leave_memory_whole(threads, way):
    rng = np.random.default_rng(8)
    for _ in range(20):
        a, b = (rng.integers(-HUGE, HUGE, 20_000) for _ in range(2))
        for first, second in ((np.sort(a), b), (a, np.sort(b)), (a, b)):
            with pytest.raises(ValueError, match="not sorted"):
                cross_correlate(first, second, window_ps=200_000, bin_ps=100, threads=threads)


def test_order_is_checked_beyond_the_windows():
    with pytest.raises(ValueError, match="t2 is not sorted"):
        cross_correlate([5], [1, 10**9, 10**9 - 1], window_ps=10, bin_ps=1)
    with pytest.raises(ValueError, match="t2 is not sorted"):
        cross_correlate([], [2, 1], window_ps=10, bin_ps=1)


def test_the_way_follows_the_rate():
    def way_at(rate_hz):
        lanes, dense = pairs.quickest_way(*channels(rate_hz, (9_999, 9_999), 1), 400_000)
        return len(lanes), dense

    assert [way_at(rate)[0] for rate in (2e6, 2e7, 3e7, 6e7)] == [8, 16, 24, 32]
    assert [way_at(rate)[1] for rate in (6e7, 2e8)] == [False, True]


def test_a_second_process_compiles_nothing():
    code = (
        "import numpy as np\n"
        "from qdhil.metrics import cross_correlate, count_peaks, _pairs\n"
        "for rate in (5e5, 5e4, 35e3, 2e4, 5e3):\n"
        "    t = np.arange(0, 10**9, int(rate))\n"
        "    cross_correlate(t, t, window_ps=200_000, bin_ps=100)\n"
        "    count_peaks(t, t, period_ps=12_500.0, delay_ps=0, window_ps=3_000, max_lag=3)\n"
        "print(sum(_pairs.count_pairs.stats.cache_misses.values()))\n"
    )
    for _ in range(2):
        ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "0"


def test_even_bins_and_windows_mirror_twice_to_themselves():
    assert EvenBins(-500, 1_000, 10).mirrored().mirrored() == EvenBins(-500, 1_000, 10)
    assert _pairs.Bins(*EvenBins(-500, 1_000, 10).rule()).span_ps == 1_000
