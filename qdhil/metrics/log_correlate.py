"""Correlation over many decades of delay, exact: every pair in every bin, however far apart."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import sorted_times

Times = npt.NDArray[np.int64]

_FARTHEST_PS = 1 << 61


def log_edges(first_ps: int, last_ps: int, *, per_decade: int = 10) -> Times:
    """Return whole delays from first to last in ps, evenly spaced by logarithm, without repeats.

    Raises
    ------
    ValueError
        If not 0 < first < last, or ``per_decade`` < 1.
    """
    if not 0 < first_ps < last_ps or per_decade < 1:
        raise ValueError(f"no logarithmic bins from {first_ps} to {last_ps} ps with {per_decade} in a decade")
    number = max(1, round(per_decade * float(np.log10(last_ps / first_ps))))
    edges = np.geomspace(first_ps, last_ps, number + 1).round().astype(np.int64)
    edges[0], edges[-1] = first_ps, last_ps
    return np.unique(edges)


def log_correlate(t1: npt.ArrayLike, t2: npt.ArrayLike, *, edges_ps: npt.ArrayLike, threads: int = 1) -> Times:
    """Count all pairs of tags by their delay t2 - t1 in bins of any width.

    The pairs below an edge are the sum, over the starts, of the stops before start + edge, as in Laurence,
    Fore, Huser, "Fast, flexible algorithm for calculating photon correlations", Opt. Lett. 31, 829 (2006);
    so the cost is that of the edges, not of the pairs. For g2, divide bin k by the mean number of pairs of
    uncorrelated light, n1·n2·(edge[k + 1] - edge[k])/T for a measuring time T long against the edge.

    Parameters
    ----------
    t1, t2
        Sorted times in ps, shapes (n1,) and (n2,), any integer type.
    edges_ps
        Rising delays in ps, shape (bins + 1,); bin k holds edge[k] <= tau < edge[k + 1]. See :func:`log_edges`.
    threads
        Slices of ``t1`` that are summed at once; the result is the same for every number.

    Returns
    -------
    int64 array of shape (bins,)

    Raises
    ------
    ValueError
        If a channel isn't sorted, the edges don't rise or lie beyond 2^61 ps, or ``threads`` < 1.
    """
    from qdhil.metrics._ranks import add_ranks

    edges = np.asarray(edges_ps)
    if edges.ndim != 1 or edges.size < 2 or edges.dtype.kind not in "iu" or not np.all(edges[1:] > edges[:-1]):
        raise ValueError("edges_ps must be at least two rising whole delays in ps")
    if max(-int(edges[0]), int(edges[-1])) >= _FARTHEST_PS:
        raise ValueError("edges_ps must lie within 2^61 ps")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    starts, stops = sorted_times(t1, "t1"), sorted_times(t2, "t2")
    delays = np.pad(edges.astype(np.int64), (0, -edges.size % 4), mode="edge")
    sums = np.zeros((threads, delays.size), np.int64)

    def add(part: int) -> None:
        piece = starts[starts.size * part // threads : starts.size * (part + 1) // threads]
        if piece.size:
            add_ranks(piece, stops, delays, np.searchsorted(stops, piece[0] + delays), sums[part])

    if threads == 1:
        add(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(add, range(threads)))
    counts: Times = np.diff(sums.sum(axis=0)[: edges.size])
    return counts
