"""The count rate over time, as counted and as it would be without dead time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import sorted_times


@dataclass(frozen=True)
class RateTrace:
    """Clicks by time bin.

    Parameters
    ----------
    counts
        Clicks per bin, int64, shape (bins,).
    begin_ps, bin_ps
        Begin of the first bin and width of a bin, in ps.
    dead_time_ps
        Dead time that :attr:`corrected_hz` takes into account.
    """

    counts: npt.NDArray[np.int64]
    begin_ps: int
    bin_ps: int
    dead_time_ps: int

    @property
    def rate_hz(self) -> npt.NDArray[np.float64]:
        """Clicks per second as counted, m."""
        rate: npt.NDArray[np.float64] = self.counts / (self.bin_ps * 1e-12)
        return rate

    @property
    def corrected_hz(self) -> npt.NDArray[np.float64]:
        """Clicks per second without dead time, n = m/(1 - m·τ) (non-paralysable); infinite where m·τ >= 1."""
        dead = self.counts * self.dead_time_ps / self.bin_ps
        corrected: npt.NDArray[np.float64] = np.divide(
            self.rate_hz, 1 - dead, out=np.full(dead.shape, np.inf), where=dead < 1
        )
        return corrected

    @property
    def corrected_error_hz(self) -> npt.NDArray[np.float64]:
        """Standard error of :attr:`corrected_hz`, sqrt(n·(1 + n·τ)/T).

        Dead time thins the clicks evenly: the variance of the counts is n·T/(1 + n·τ)^3 (Müller, Nucl. Instrum.
        Methods 112, 47 (1973)), and dn/dm = (1 + n·τ)^2.
        """
        corrected = self.corrected_hz
        error: npt.NDArray[np.float64] = np.sqrt(
            corrected * (1 + corrected * self.dead_time_ps * 1e-12) / (self.bin_ps * 1e-12)
        )
        return error


def count_rate(
    t: npt.ArrayLike,
    *,
    bin_ps: int,
    begin_ps: int | None = None,
    end_ps: int | None = None,
    dead_time_ps: int = 0,
) -> RateTrace:
    """Count clicks by time bin; a last bin that the end cuts is left out.

    Parameters
    ----------
    t
        Sorted times in ps, shape (n,), any integer type.
    bin_ps
        Width of a bin, in ps.
    begin_ps, end_ps
        The time measured; without them, from the first click to the last, which is right to a click or two.
    dead_time_ps
        Dead time of the detector, non-paralysable.

    Raises
    ------
    ValueError
        If the clicks aren't sorted, ``bin_ps`` isn't positive, the dead time is negative, or no bin fits.
    """
    times = sorted_times(t, "t")
    if bin_ps <= 0 or dead_time_ps < 0:
        raise ValueError(f"bin_ps must be positive and dead_time_ps not negative: {bin_ps} and {dead_time_ps}")
    if not times.size and (begin_ps is None or end_ps is None):
        raise ValueError("without clicks, begin_ps and end_ps must be given")
    begin = int(times[0]) if begin_ps is None else int(begin_ps)
    end = int(times[-1]) if end_ps is None else int(end_ps)
    bins = (end - begin) // bin_ps
    if bins < 1:
        raise ValueError(f"no bin of {bin_ps} ps fits between {begin} and {end} ps")
    edges = begin + bin_ps * np.arange(bins + 1, dtype=np.int64)
    return RateTrace(np.diff(np.searchsorted(times, edges)).astype(np.int64), begin, bin_ps, dead_time_ps)
