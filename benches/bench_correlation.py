"""Cross-correlation of two channels: qdhil with one and two threads, pytimetag, and reading the tags once.

Two channels of 2 Mcps Poisson clicks, ±200 ns, 100 ps bins; Mtags/s counts the tags of both channels. The
ratios are taken within one process, in turn, so that they mean something on a shared machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from qdhil.metrics import count_peaks, cross_correlate

SECONDS, RATE_HZ = 1.0, 2e6
WINDOW_PS, BIN_PS = 200_000, 100


@cache
def _channels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20)
    count = int(SECONDS * RATE_HZ)
    first, second = (np.cumsum(rng.exponential(1e12 / RATE_HZ, count)).astype(np.int64) for _ in range(2))
    return first, second


def _in_turn(*works: Callable[[], object], rounds: int = 9) -> list[float]:
    """Return the shortest time of each in s; they run in turn, so that a busy machine slows all alike."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for i, work in enumerate(works):
            started = time.perf_counter()
            work()
            best[i] = min(best[i], time.perf_counter() - started)
    return best


def _qdhil(threads: int = 1) -> np.ndarray:
    return cross_correlate(*_channels(), window_ps=WINDOW_PS, bin_ps=BIN_PS, threads=threads)


def _pytimetag() -> np.ndarray:
    histogram = pytest.importorskip("pytimetag.analysers.HistogramAnalyser")
    bins = 2 * WINDOW_PS // BIN_PS
    counts: np.ndarray = histogram.analysisOneListJIT(*_channels(), -float(WINDOW_PS), float(WINDOW_PS), bins, 1)
    return counts


def _read_once() -> int:
    return int(sum(int(times.sum()) for times in _channels()))


def _record(benchmark, mine: Callable[[], object], **others: Callable[[], object]) -> None:
    tags = sum(times.size for times in _channels())
    mine_s, *others_s = _in_turn(mine, *others.values())
    benchmark.extra_info["mtags_per_s"] = round(tags / mine_s / 1e6, 1)
    for name, theirs_s in zip(others, others_s, strict=True):
        benchmark.extra_info[f"{name}_mtags_per_s"] = round(tags / theirs_s / 1e6, 1)
        benchmark.extra_info[f"speed_over_{name}"] = round(theirs_s / mine_s, 3)


@pytest.mark.parametrize("threads", [1, 2])
def test_cross_correlate(benchmark, threads):
    counts = benchmark.pedantic(_qdhil, (threads,), rounds=7, warmup_rounds=1)
    assert np.array_equal(counts, _qdhil())
    _pytimetag()  # compiles
    _record(benchmark, lambda: _qdhil(threads), pytimetag=_pytimetag, read_once=_read_once)
    theirs = _pytimetag()
    benchmark.extra_info["pairs"] = int(counts.sum())
    # pytimetag puts a delay of exactly +window into its last bin, where the bins here are half-open
    benchmark.extra_info["bins_that_pytimetag_differs_in"] = int(np.count_nonzero(counts != theirs))
    assert np.array_equal(counts[:-1], theirs[:-1])


def test_count_peaks(benchmark):
    def work() -> np.ndarray:
        return count_peaks(*_channels(), period_ps=12_500.0, delay_ps=1_250, window_ps=3_000, max_lag=20)

    counts = benchmark.pedantic(work, rounds=7, warmup_rounds=1)
    assert counts.size == 41
    _record(benchmark, work, read_once=_read_once)
