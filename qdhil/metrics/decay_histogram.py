"""The histogram of the time from a laser pulse to the click that follows it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from qdhil.metrics.pulse_train import PulseTrain

_PERIOD_DIGITS = 3
"""A fitted period that is longer than a whole number of bins by rounding alone needs no further bin."""


def decay_histogram(t: npt.ArrayLike, train: PulseTrain, *, bin_ps: int, delay_ps: int = 0) -> npt.NDArray[np.int64]:
    """Count clicks by the time since the pulse before them, folded over all pulses.

    Parameters
    ----------
    t
        Sorted times in ps, shape (n,), any integer type; clicks outside the sync tags don't count.
    train
        The pulses, from (divided) sync tags.
    bin_ps
        Width of a bin in ps; bin i holds i·bin <= phase < (i + 1)·bin. The last bin is cut by the period.
    delay_ps
        Delay of the clicks' channel against the pulses; it is taken off, so that it says where the
        histogram begins.

    Returns
    -------
    int64 array of shape (ceil(period/bin),)

    Raises
    ------
    ValueError
        If the clicks aren't sorted, or ``bin_ps`` isn't in [1, period].
    """
    if not 1 <= bin_ps <= train.period_ps:
        raise ValueError(f"bin_ps must lie in [1, {train.period_ps:.1f}], the period, not {bin_ps}")
    bins = math.ceil(round(train.period_ps, _PERIOD_DIGITS) / bin_ps)
    counts = np.zeros(bins, np.int64)
    for _, phase_ps in train.located(t, delay_ps=delay_ps):
        # where jitter makes a period longer than the mean, its end counts in the last bin
        counts += np.bincount(np.minimum(phase_ps // bin_ps, bins - 1), minlength=bins)
    return counts
