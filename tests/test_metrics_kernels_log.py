"""Correlation over decades: against brute force and against the histogram of even bins."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.metrics import cross_correlate
from qdhil.metrics.log_correlate import log_correlate, log_edges

times = st.lists(st.integers(-2_000, 2_000), max_size=60).map(lambda t: np.array(sorted(t), np.int64))


@settings(deadline=None, max_examples=150)
@given(
    a=times,
    b=times,
    edges=st.lists(st.integers(-4_500, 4_500), min_size=2, max_size=11, unique=True).map(sorted),
    threads=st.integers(1, 4),
)
def test_every_pair_is_in_its_half_open_bin(a, b, edges, threads):
    tau = (b[None, :] - a[:, None]).ravel()
    expected = [int(np.sum((tau >= lo) & (tau < hi))) for lo, hi in pairwise(edges)]
    assert log_correlate(a, b, edges_ps=np.array(edges), threads=threads).tolist() == expected


@pytest.mark.parametrize("sizes", [(30_000, 30_000), (500, 60_000), (60_000, 500), (3, 8), (8, 9)])
@pytest.mark.parametrize("threads", [1, 3])
def test_long_channels_agree_with_a_search_for_every_start(sizes, threads):
    rng = np.random.default_rng(1)
    a, b = (np.sort(rng.integers(0, 10**10, n)) for n in sizes)
    b[b.size // 2 :][:200] = b[b.size // 2]  # more at one time than is looked ahead
    b.sort()
    edges = log_edges(1_000, 10**11, per_decade=7)
    below = np.array([np.searchsorted(b, a + edge).sum() for edge in edges])
    assert log_correlate(a, b, edges_ps=edges, threads=threads).tolist() == np.diff(below).tolist()


def test_even_edges_give_the_histogram():
    rng = np.random.default_rng(2)
    a, b = (np.sort(rng.integers(0, 10**9, 20_000)) for _ in range(2))
    edges = np.arange(-50_000, 50_001, 1_000)
    assert np.array_equal(log_correlate(a, b, edges_ps=edges), cross_correlate(a, b, window_ps=50_000, bin_ps=1_000))


def test_edges_are_whole_rising_and_end_where_asked():
    edges = log_edges(1, 10**12, per_decade=10)
    assert edges[0] == 1
    assert edges[-1] == 10**12
    assert np.all(np.diff(edges) > 0)
    assert log_edges(1_000, 10**12).size == 91


@pytest.mark.parametrize("edges", [[1], [2, 1], [1, 1], [0.5, 1.5], [[1, 2]], [0, 1 << 61]])
def test_bad_edges_are_refused(edges):
    with pytest.raises(ValueError, match="edges_ps must"):
        log_correlate([1], [2], edges_ps=edges)


@pytest.mark.parametrize(("first", "last", "per_decade"), [(0, 5, 1), (5, 5, 1), (1, 5, 0)])
def test_no_edges_where_there_is_no_logarithm(first, last, per_decade):
    with pytest.raises(ValueError, match="no logarithmic bins"):
        log_edges(first, last, per_decade=per_decade)


def test_unsorted_tags_are_refused():
    for a, b in (([2, 1], [1]), ([1], [2, 1])):
        with pytest.raises(ValueError, match="not sorted"):
            log_correlate(a, b, edges_ps=[0, 1])
