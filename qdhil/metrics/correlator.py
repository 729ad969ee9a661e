"""Pairs counted while the tags arrive: blocks give exactly the counts of the whole, in bounded memory.

Only tags that can still pair with a later one are kept between blocks: those of the last window.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import integer_times
from qdhil.metrics.bins import EvenBins, Windows
from qdhil.metrics.correlate import even_bins
from qdhil.metrics.pairs import count_by_delay
from qdhil.metrics.peaks import peak_windows

Times = npt.NDArray[np.int64]


class PairCounter:
    """Counts of all pairs of two channels by their delay t2 - t1, block by block.

    Blocks follow one another in time: no tag of either channel lies before a tag of an earlier block.

    Parameters
    ----------
    bins
        Which delays count, and where.
    threads
        Slices of a block that are counted at once; the result is the same for every number.

    Attributes
    ----------
    counts
        Pairs so far, int64 of shape (bins.size,).
    singles
        Tags so far of either channel.
    """

    def __init__(self, bins: EvenBins | Windows, *, threads: int = 1) -> None:
        self.counts: Times = np.zeros(bins.size, np.int64)
        self.singles = (0, 0)
        self._bins, self._threads = bins, threads
        self._kept = np.empty(0, np.int64), np.empty(0, np.int64)
        self._end_ps: int | None = None

    def add(self, t1: npt.ArrayLike, t2: npt.ArrayLike) -> Self:
        """Count a block: its own pairs, and those with the tags of earlier blocks.

        Parameters
        ----------
        t1, t2
            Sorted times in ps, shapes (n1,) and (n2,), any integer type.

        Raises
        ------
        ValueError
            If a channel isn't sorted, or begins before an earlier block's last tag; then nothing is counted.
        """
        first, second = integer_times(t1, "t1"), integer_times(t2, "t2")
        for times, name in ((first, "t1"), (second, "t2")):
            if times.size and self._end_ps is not None and int(times[0]) < self._end_ps:
                raise ValueError(f"{name} begins at {times[0]} ps, before {self._end_ps} ps in an earlier block")
        counts = self._count(first, second)
        old_first, old_second = self._kept
        lowest, beyond = self._bins.first_ps, self._bins.first_ps + self._bins.span_ps
        if old_first.size:
            near = int(np.searchsorted(second, int(old_first[-1]) + beyond))
            counts += self._count(old_first, second[:near])
        if old_second.size:
            near = int(np.searchsorted(first, int(old_second[-1]) - lowest, side="right"))
            counts += self._count(first[:near], old_second)
        self.counts += counts
        self.singles = self.singles[0] + first.size, self.singles[1] + second.size
        self._keep(first, second)
        return self

    def _count(self, first: Times, second: Times) -> Times:
        return count_by_delay(first, second, self._bins, names=("t1", "t2"), threads=self._threads)

    def _keep(self, first: Times, second: Times) -> None:
        """Keep the tags that a tag from now on can still pair with."""
        ends = [int(times[-1]) for times in (first, second) if times.size]
        if not ends:
            return
        end = max(ends)
        beyond = self._bins.first_ps + self._bins.span_ps
        oldest = end - beyond + 1, end + self._bins.first_ps
        self._kept = tuple(  # type: ignore[assignment]
            np.concatenate([part[np.searchsorted(part, since) :] for part in (kept, times)])
            for kept, times, since in zip(self._kept, (first, second), oldest, strict=True)
        )
        self._end_ps = end


class Correlator(PairCounter):
    """The histogram of :func:`~qdhil.metrics.correlate.cross_correlate`, block by block.

    Parameters
    ----------
    window_ps, bin_ps
        Half the span and the width of a bin, in ps.
    threads
        Slices of a block that are counted at once.

    Raises
    ------
    ValueError
        If the window isn't a positive whole number of bins.
    """

    def __init__(self, *, window_ps: int, bin_ps: int, threads: int = 1) -> None:
        super().__init__(even_bins(window_ps, bin_ps), threads=threads)


class PeakCounter(PairCounter):
    """The counts of :func:`~qdhil.metrics.peaks.count_peaks`, block by block.

    Parameters
    ----------
    period_ps, delay_ps, window_ps, max_lag
        As of :func:`~qdhil.metrics.peaks.count_peaks`; they hold for all blocks.
    threads
        Slices of a block that are counted at once.

    Raises
    ------
    ValueError
        If the window or period can't be used.
    """

    def __init__(self, *, period_ps: float, delay_ps: int, window_ps: int, max_lag: int, threads: int = 1) -> None:
        windows = peak_windows(period_ps=period_ps, delay_ps=delay_ps, window_ps=window_ps, max_lag=max_lag)
        super().__init__(windows, threads=threads)
