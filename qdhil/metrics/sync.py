"""The pulse period as the laser's sync tags tell it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import sorted_times

_OFF_COMB = 0.2
"""An interval further than this fraction from a whole number of sync periods is no sync interval."""


def sync_period(sync: npt.ArrayLike, *, sync_divider: int) -> float:
    """Return the time between two pulses in ps: least squares through the sync tags.

    Each tag is first given its number in the train, by the whole number of median intervals since the
    tag before, so that missing sync tags do no harm.

    Parameters
    ----------
    sync
        Sorted times of the sync tags in ps, shape (n,).
    sync_divider
        Pulses per sync tag.

    Raises
    ------
    ValueError
        If there are fewer than two sync tags, ``sync_divider`` < 1, or the tags aren't periodic.
    """
    times = sorted_times(sync, "sync")
    if times.size < 2:
        raise ValueError(f"{times.size} sync tags: at least 2 are needed to measure the period")
    if sync_divider < 1:
        raise ValueError(f"sync_divider must be at least 1, not {sync_divider}")
    intervals = np.diff(times).astype(np.float64)
    median = float(np.median(intervals))
    if median <= 0:
        raise ValueError("sync tags are not periodic: their median interval is 0 ps")
    steps = np.rint(intervals / median)
    odd = np.abs(intervals / median - steps) > _OFF_COMB
    if np.any(steps < 1) or float(odd.mean()) > 0.01:
        raise ValueError(f"sync tags are not periodic: intervals do not fit a period of {median:.0f} ps")
    number = np.concatenate(([0.0], np.cumsum(steps)))
    number -= number.mean()
    elapsed = (times - times[0]).astype(np.float64)
    slope = float(number @ (elapsed - elapsed.mean()) / (number @ number))
    return slope / sync_divider
