"""Three-fold coincidences, pulse by pulse."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdhil.metrics.gating import check_gate
from qdhil.metrics.pulse_train import PulseTrain

Times = npt.NDArray[np.int64]


def count_triples(
    channels: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    train: PulseTrain,
    *,
    open_ps: int,
    close_ps: int,
    delays_ps: tuple[int, int, int] = (0, 0, 0),
    max_lag: int = 0,
) -> Times:
    """Count the pulses k in which a clicked, with b in pulse k + m and c in pulse k + n.

    A detector clicks or doesn't: more clicks of one in a gate are one. The centre is the three-fold
    coincidence of one pulse; g3(0) is the centre over the mean far from all three diagonals m = 0, n = 0, m = n.

    Parameters
    ----------
    channels
        Sorted times of a, b and c in ps, shapes (n,), any integer type.
    train
        The pulses, from (divided) sync tags.
    open_ps, close_ps
        The gate after each pulse, in ps: open <= phase < close.
    delays_ps
        Delay of each channel against the pulses; it is taken off.
    max_lag
        Largest m and n, both ways.

    Returns
    -------
    int64 array of shape (2·max_lag + 1, 2·max_lag + 1), by m and n

    Raises
    ------
    ValueError
        If a channel isn't sorted, the gate isn't within a period, or ``max_lag`` is negative.
    """
    from qdhil.metrics._pulses import add_triples

    check_gate(train, open_ps, close_ps)
    if max_lag < 0:
        raise ValueError(f"max_lag must not be negative, not {max_lag}")
    lit = []
    for times, delay_ps in zip(channels, delays_ps, strict=True):
        parts = [
            pulse[(phase_ps >= open_ps) & (phase_ps < close_ps)]
            for pulse, phase_ps in train.located(times, delay_ps=delay_ps)
        ]
        lit.append(np.unique(np.concatenate([np.empty(0, np.int64), *parts])))
    counts = np.zeros((2 * max_lag + 1, 2 * max_lag + 1), np.int64)
    add_triples(*lit, max_lag, counts)
    return counts
