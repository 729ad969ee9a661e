"""Pairs by delay, and which of them lie in the windows of a comb's peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.comb import Comb
from qdhil.metrics.correlate import cross_correlate
from qdhil.metrics.histogram import Histogram

SPAN_PS, BIN_PS = 500_000, 20


@dataclass(frozen=True)
class DelayCounts:
    """Pairs by delay, shape (bins,), and where each bin of a comb's peaks lies; delays in ps."""

    counts: npt.NDArray[np.int64]
    first_ps: float
    bin_ps: float

    @property
    def plain(self) -> Histogram:
        """Return the same as a histogram to be fitted."""
        return Histogram.of(self.counts, first_ps=self.first_ps, bin_ps=self.bin_ps)

    @property
    def delays_ps(self) -> npt.NDArray[np.float64]:
        """Mean delay of each bin, shape (bins,)."""
        return self.first_ps + self.bin_ps * np.arange(self.counts.size, dtype=np.float64)

    def lags(self, comb: Comb, window_ps: int) -> tuple[int, int]:
        """Return the first and last lag whose window lies wholly in the histogram."""
        half = window_ps / 2
        last_ps = self.first_ps + self.bin_ps * (self.counts.size - 1)
        first = math.ceil((self.first_ps + half - comb.phase_ps) / comb.period_ps)
        return first, math.floor((last_ps - half - comb.phase_ps) / comb.period_ps)

    def by_lag(self, comb: Comb, window_ps: int, first: int, last: int) -> npt.NDArray[np.int64]:
        """Return the pairs in the window of each lag; a bin belongs where its delay lies."""
        centres = comb.phase_ps + np.arange(first, last + 1) * comb.period_ps
        running = np.concatenate(([0], np.cumsum(self.counts)))
        low = np.ceil((centres - window_ps / 2 - self.first_ps) / self.bin_ps).astype(np.int64)
        high = np.ceil((centres + window_ps / 2 - self.first_ps) / self.bin_ps).astype(np.int64)
        pairs: npt.NDArray[np.int64] = running[high] - running[low]
        return pairs


def delay_counts(
    t_a: npt.NDArray[np.int64], t_b: npt.NDArray[np.int64], span_ps: int = SPAN_PS, bin_ps: int = BIN_PS
) -> DelayCounts:
    """Return the pairs of two channels by delay t_b - t_a up to ``span_ps`` either side."""
    counts = cross_correlate(t_a, t_b, window_ps=span_ps, bin_ps=bin_ps)
    # a bin holds the whole delays from its edge on: its mean delay is half a bin less half a ps further
    return DelayCounts(counts, -span_ps + (bin_ps - 1) / 2, bin_ps)
