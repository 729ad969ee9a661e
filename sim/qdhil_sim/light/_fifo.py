"""Which tags find room in a FIFO that empties at a steady rate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdhil_sim.light._compiled import compiled
from qdhil_sim.light._detection import Tags


@compiled
def admit(
    words: Tags,
    room: int,
    readout_per_ps: float,
    level: npt.NDArray[np.float64],
    at_ps: Tags,
    kept: npt.NDArray[np.bool_],
) -> None:
    """Fill ``kept``; ``level`` and ``at_ps`` hold how full the FIFO was, and when."""
    filled, last_ps = level[0], at_ps[0]
    for index in range(words.size):
        t_ps = words[index] >> 5
        filled = max(filled - (t_ps - last_ps) * readout_per_ps, 0.0)
        last_ps = t_ps
        kept[index] = filled + 1 <= room
        if kept[index]:
            filled += 1
    level[0], at_ps[0] = filled, last_ps
