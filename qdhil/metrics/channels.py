"""Correlations of any number of channels of one merged stream, in one pass over it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import integer_times
from qdhil.metrics.correlator import Correlator

_TAGS = 1 << 17
"""Tags taken apart at a time: they and their channels stay in the cache until they are counted."""


class ChannelCorrelator:
    """Histograms of t_b - t_a for pairs (a, b) of channels of a merged stream, block by block.

    A pair of a channel with itself is its auto-correlation, without the pairs of a tag with itself.

    Parameters
    ----------
    pairs
        Which channels to correlate.
    window_ps, bin_ps
        Half the span and the width of a bin, in ps.
    threads
        Slices that are counted at once.

    Raises
    ------
    ValueError
        If the window isn't a positive whole number of bins, or there is no pair.
    """

    def __init__(self, pairs: Iterable[tuple[int, int]], *, window_ps: int, bin_ps: int, threads: int = 1) -> None:
        self._correlators = {pair: Correlator(window_ps=window_ps, bin_ps=bin_ps, threads=threads) for pair in pairs}
        if not self._correlators:
            raise ValueError("there is no pair of channels to correlate")
        self._zero = window_ps // bin_ps

    def add(self, t_ps: npt.ArrayLike, channel: npt.ArrayLike) -> Self:
        """Count a block.

        Parameters
        ----------
        t_ps
            Sorted times in ps of all channels, shape (n,), any integer type.
        channel
            The channel of each, shape (n,), any integer type.

        Raises
        ------
        ValueError
            If the shapes differ, or the tags aren't sorted or begin before an earlier block's last tag;
            blocks that this is found in may be counted in part.
        """
        times, labels = integer_times(t_ps, "t_ps"), np.asarray(channel)
        if labels.shape != times.shape or labels.dtype.kind not in "iu":
            raise ValueError(f"channel must hold {times.size} integers, not {labels.dtype} of shape {labels.shape}")
        for begin in range(0, times.size, _TAGS):
            self._add(times[begin : begin + _TAGS], labels[begin : begin + _TAGS])
        return self

    def _add(self, times: npt.NDArray[np.int64], labels: npt.NDArray[np.integer]) -> None:
        used = {number for pair in self._correlators for number in pair}
        by_channel = {number: times[labels == number] for number in used}
        for (first, second), correlator in self._correlators.items():
            correlator.add(by_channel[first], by_channel[second])

    @property
    def counts(self) -> dict[tuple[int, int], npt.NDArray[np.int64]]:
        """Pairs so far, by pair of channels: int64 arrays of shape (2·window/bin,)."""
        found = {pair: correlator.counts.copy() for pair, correlator in self._correlators.items()}
        for (first, second), counts in found.items():
            if first == second:
                counts[self._zero] -= self._correlators[first, second].singles[0]
        return found


def correlate_channels(
    t_ps: npt.ArrayLike,
    channel: npt.ArrayLike,
    pairs: Iterable[tuple[int, int]],
    *,
    window_ps: int,
    bin_ps: int,
    threads: int = 1,
) -> dict[tuple[int, int], npt.NDArray[np.int64]]:
    """Count all pairs of tags of each pair of channels (a, b) by their delay t_b - t_a, in one pass.

    Parameters
    ----------
    t_ps, channel
        Sorted times in ps of all channels and the channel of each, shapes (n,), any integer type.
    pairs, window_ps, bin_ps, threads
        As of :class:`ChannelCorrelator`.

    Returns
    -------
    by pair of channels, an int64 array of shape (2·window/bin,)

    Raises
    ------
    ValueError
        As :class:`ChannelCorrelator` and its ``add``.
    """
    correlator = ChannelCorrelator(pairs, window_ps=window_ps, bin_ps=bin_ps, threads=threads)
    return correlator.add(t_ps, channel).counts
