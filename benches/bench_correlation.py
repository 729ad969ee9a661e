"""Pairs counted, qdhil with one and two threads beside its peers and beside reading the tags once.

Two channels of Poisson clicks, 40 Mtags in all at 2 Mcps and 20 Mcps a channel, ±200 ns, 100 ps bins. Mtags/s
counts the tags of both channels.
"""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import pytest

from qdhil.metrics import count_peaks, cross_correlate
from qdhil.metrics.log_correlate import log_correlate, log_edges
from qdhil.metrics.multi_tau import multi_tau

TAGS = int(float(os.environ.get("QDHIL_BENCH_MTAGS", "40")) * 1e6)
RATES_HZ = (2e6, 20e6)
WINDOW_PS, BIN_PS = 200_000, 100
PEAKS = {"period_ps": 12_500.0, "delay_ps": 1_250, "window_ps": 3_000, "max_lag": 16}
EDGES_PS = log_edges(1_000, 10**12)


@cache
def channels(rate_hz: float, tags: int = TAGS) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20)
    first, second = (np.cumsum(rng.exponential(1e12 / rate_hz, tags // 2)).astype(np.int64) for _ in range(2))
    return first, second


def pytimetag(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    histogram = pytest.importorskip("pytimetag.analysers.HistogramAnalyser")
    bins = 2 * WINDOW_PS // BIN_PS
    counts: np.ndarray = histogram.analysisOneListJIT(first, second, -float(WINDOW_PS), float(WINDOW_PS), bins, 1)
    return counts


def read_once(first: np.ndarray, second: np.ndarray) -> int:
    return int(first.max()) + int(second.max())


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("threads", [1, 2])
def test_cross_correlate(benchmark, side_by_side, threads, rate_hz):
    tags = channels(rate_hz)

    def work() -> np.ndarray:
        return cross_correlate(*tags, window_ps=WINDOW_PS, bin_ps=BIN_PS, threads=threads)

    counts, theirs = work(), pytimetag(*tags)
    # pytimetag puts a delay of exactly +window into its last bin, where the bins here are half-open
    assert np.array_equal(counts[:-1], theirs[:-1])
    benchmark.extra_info["pairs"] = int(counts.sum())
    side_by_side(TAGS, qdhil=work, pytimetag=lambda: pytimetag(*tags), read_once=lambda: read_once(*tags))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("threads", [1, 2])
def test_count_peaks(side_by_side, threads, rate_hz):
    tags = channels(rate_hz)
    assert count_peaks(*tags, **PEAKS, threads=threads).size == 33
    side_by_side(
        TAGS,
        qdhil=lambda: count_peaks(*tags, **PEAKS, threads=threads),
        qdhil_histogram=lambda: cross_correlate(*tags, window_ps=WINDOW_PS, bin_ps=BIN_PS, threads=threads),
        pytimetag=lambda: pytimetag(*tags),
    )


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("threads", [1, 2])
def test_log_correlate(side_by_side, threads, rate_hz):
    pycorrelate = pytest.importorskip("pycorrelate")
    tags = channels(rate_hz, min(TAGS, 8_000_000))

    def work() -> np.ndarray:
        return log_correlate(*tags, edges_ps=EDGES_PS, threads=threads)

    def peer() -> np.ndarray:
        rates: np.ndarray = pycorrelate.pcorrelate(*tags, EDGES_PS)
        return rates

    assert np.array_equal(work(), np.rint(peer() * np.diff(EDGES_PS)).astype(np.int64))
    side_by_side(2 * tags[0].size, rounds=3, qdhil=work, pycorrelate=peer)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_multi_tau(side_by_side, rate_hz):
    tttrlib = pytest.importorskip("tttrlib")
    first, second = channels(rate_hz, min(TAGS, 8_000_000))
    last_ps = int(first[-1] // 10)
    weights = np.ones(first.size)
    whole_ns = [(times // 1_000).astype(np.uint64) for times in (first, second)]

    def peer() -> np.ndarray:
        correlator = tttrlib.Correlator()
        correlator.method = "felekyan"  # the quickest of its methods that gives a curve
        correlator.n_bins, correlator.n_casc = 8, int(np.log2(last_ps / 8_000)) + 1
        correlator.set_macrotimes(*whole_ns)
        correlator.set_weights(weights, weights)
        correlator.run()
        curve: np.ndarray = np.array(correlator.y)
        return curve

    def work() -> np.ndarray:
        return multi_tau(first, second, last_ps=last_ps).g2

    assert work()[-1] == pytest.approx(1, abs=0.01)
    assert np.nanmedian(peer()) == pytest.approx(1, abs=0.05)  # its last lags are not cut to the recording
    side_by_side(2 * first.size, rounds=3, qdhil=work, tttrlib=peer)
