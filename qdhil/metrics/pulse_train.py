"""The laser's pulses as its divided sync tags tell them: which pulse a click follows, and by how much."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import sorted_times
from qdhil.metrics.sync import sync_period

Times = npt.NDArray[np.int64]

_CLICKS = 1 << 16
"""Clicks located at a time: their pulses and phases stay in the cache."""


class PulseTrain:
    """Pulses evenly spaced between each two sync tags, so that a slow drift of the laser does no harm.

    Parameters
    ----------
    sync
        Sorted times of the sync tags in ps, shape (n,), any integer type; missing ones are bridged.
    sync_divider
        Pulses per sync tag.

    Attributes
    ----------
    period_ps
        Mean time between two pulses.
    pulses
        Pulses from the first sync tag to the last.

    Raises
    ------
    ValueError
        If the tags don't tell a period (see :func:`~qdhil.metrics.sync.sync_period`), or lie so far apart
        that phases would overflow.
    """

    def __init__(self, sync: npt.ArrayLike, *, sync_divider: int = 1) -> None:
        self._sync = sorted_times(sync, "sync")
        self.period_ps = sync_period(self._sync, sync_divider=sync_divider)
        intervals = np.diff(self._sync)
        steps = np.rint(intervals / (self.period_ps * sync_divider)).astype(np.int64) * sync_divider
        if float(steps.max()) * float(intervals.max()) >= 2.0**62:
            raise ValueError("sync tags lie too far apart")
        self._number = np.concatenate(([0], np.cumsum(steps)))
        self.pulses = int(self._number[-1])

    def locate(self, t: npt.ArrayLike, *, delay_ps: int = 0) -> tuple[Times, Times]:
        """Return the pulse that each click follows and the time since it in whole ps, rounded down.

        Parameters
        ----------
        t
            Sorted times in ps, shape (n,), any integer type.
        delay_ps
            Delay of the clicks' channel against the pulses; it is taken off.

        Returns
        -------
        pulse
            int64, shape (n,): 0 is the pulse of the first sync tag; -1 outside the sync tags.
        phase_ps
            int64, shape (n,), in [0, period); -1 outside the sync tags.

        Raises
        ------
        ValueError
            If the clicks aren't sorted.
        """
        from qdhil.metrics._pulses import locate

        times = sorted_times(t, "t")
        pulse, phase_ps = np.empty_like(times), np.empty_like(times)
        if times.size:
            first = max(0, int(np.searchsorted(self._sync, int(times[0]) - delay_ps, side="right")) - 1)
            locate(times, delay_ps, self._sync[first:], self._number[first:], pulse, phase_ps)
        return pulse, phase_ps

    def located(self, t: npt.ArrayLike, *, delay_ps: int = 0) -> Iterator[tuple[Times, Times]]:
        """Yield pulses and phases of a cacheful of clicks at a time, those outside the sync tags left out.

        Raises
        ------
        ValueError
            If the clicks aren't sorted.
        """
        times = sorted_times(t, "t")
        for begin in range(0, times.size, _CLICKS):
            pulse, phase_ps = self.locate(times[begin : begin + _CLICKS], delay_ps=delay_ps)
            known = pulse >= 0
            yield pulse[known], phase_ps[known]
