"""Tags kept or dropped by time: a gate after every pulse, and intervals of the measurement."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdhil.metrics.arrays import sorted_times
from qdhil.metrics.pulse_train import PulseTrain


def in_gate(
    t: npt.ArrayLike, train: PulseTrain, *, open_ps: int, close_ps: int, delay_ps: int = 0
) -> npt.NDArray[np.bool_]:
    """Tell which clicks lie in a gate that opens and closes after every pulse: open <= phase < close.

    A gate is a temporal filter: it changes g2 and indistinguishability, so it belongs to their definition.

    Parameters
    ----------
    t
        Sorted times in ps, shape (n,), any integer type; clicks outside the sync tags are in no gate.
    train
        The pulses, from (divided) sync tags.
    open_ps, close_ps
        The gate after each pulse, in ps.
    delay_ps
        Delay of the clicks' channel against the pulses; it is taken off.

    Returns
    -------
    bool array of shape (n,)

    Raises
    ------
    ValueError
        If the clicks aren't sorted, or the gate isn't within a period.
    """
    check_gate(train, open_ps, close_ps)
    phase_ps = train.locate(t, delay_ps=delay_ps)[1]
    inside: npt.NDArray[np.bool_] = (phase_ps >= open_ps) & (phase_ps < close_ps)
    return inside


def check_gate(train: PulseTrain, open_ps: int, close_ps: int) -> None:
    """Refuse (ValueError) a gate that isn't within a period."""
    if not 0 <= open_ps < close_ps <= train.period_ps + 1:
        raise ValueError(f"no gate from {open_ps} to {close_ps} ps in a period of {train.period_ps:.1f} ps")


def outside_intervals(t: npt.ArrayLike, begins_ps: npt.ArrayLike, ends_ps: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Tell which tags lie in none of the intervals begin <= t < end, such as those of a lost lock.

    Parameters
    ----------
    t
        Sorted times in ps, shape (n,), any integer type.
    begins_ps, ends_ps
        Bounds of the intervals, shapes (m,); they may overlap, in any order.

    Returns
    -------
    bool array of shape (n,)

    Raises
    ------
    ValueError
        If the tags aren't sorted, or an interval ends before it begins.
    """
    times = sorted_times(t, "t")
    begins, ends = np.atleast_1d(np.asarray(begins_ps)), np.atleast_1d(np.asarray(ends_ps))
    if begins.shape != ends.shape or np.any(ends < begins):
        raise ValueError("every interval must have an end at or after its begin")
    outside = np.ones(times.size, np.bool_)
    for first, last in zip(np.searchsorted(times, begins), np.searchsorted(times, ends), strict=True):
        outside[first:last] = False
    return outside
