"""What the tests of the simulated light share: reading packed words, and counting coincidences independently."""

from __future__ import annotations

import numpy as np


def times_ps(words, channel):
    """Return the times of one channel."""
    return words[(words & 31) == channel] >> 5


def in_pulses(words, channel, period_ps, early_ps=400.0):
    """Return the pulse of each tag, counting what comes up to ``early_ps`` before it."""
    return np.floor((times_ps(words, channel) + early_ps) / period_ps).astype(np.int64)


def pulse_pairs(first, second, lag=0):
    """Return pairs of tags ``lag`` pulses apart, of sorted pulse numbers."""
    one, n_one = np.unique(first + lag, return_counts=True)
    two, n_two = np.unique(second, return_counts=True)
    _, i, j = np.intersect1d(one, two, return_indices=True)
    return int((n_one[i] * n_two[j]).sum())


def differences(first, second, edges_ps):
    """Return a histogram of second - first over edges, without any of the library's kernels."""
    counts = np.zeros(len(edges_ps) - 1, np.int64)
    low = np.searchsorted(second, first + edges_ps[0])
    for step in range(64):
        place = low + step
        inside = place < second.size
        delay = second[np.minimum(place, second.size - 1)] - first
        inside &= delay < edges_ps[-1]
        if not inside.any():
            return counts
        counts += np.histogram(delay[inside], edges_ps)[0]
    raise AssertionError("more than 64 partners of one tag")


def pieces(stream, durations_ps):
    """Return an acquisition in takes, as one array."""
    return np.concatenate([stream.take(duration) for duration in durations_ps])
