"""Control charts of a quantity measured now and then: is the rig still what it was.

Level and spread come from the first points of a series. The exponentially weighted moving average answers to
small lasting shifts, the tabular CUSUM accumulates them. Both are for looking after rigs: consecutive values of a
rig are neither independent nor compared on the same night, so that nothing here can judge a firmware.

Roberts, Technometrics 1, 239 (1959); Page, Biometrika 41, 100 (1954); limits as in Montgomery, *Introduction to
Statistical Quality Control*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

REFERENCE = 20
"""So many first points say what is usual."""
EWMA_WEIGHT = 0.2
EWMA_LIMIT = 3.5
"""In standard deviations of the average."""
CUSUM_SLACK = 0.5
CUSUM_LIMIT = 7.0
"""Slack and limit in standard deviations of a point.

Both limits are wider than the textbook's (2.96 and 5), because level and spread are known from a few points only.
"""
_MOVING_RANGE = 2 / math.sqrt(math.pi)
"""Mean range of two normal values, in standard deviations."""


@dataclass(frozen=True)
class ControlChart:
    """A series with its marks; arrays have one element a point.

    Parameters
    ----------
    level, spread
        Mean of the first points, and their standard deviation from successive differences.
    ewma, ewma_reach
        Moving average, and how far from ``level`` it may be.
    cusum_up, cusum_down
        Accumulated excess over and under the level, in standard deviations.
    marks
        ``""``, ``"ewma"``, ``"cusum"`` or ``"ewma cusum"``. No point of the reference is marked.
    """

    level: float
    spread: float
    ewma: npt.NDArray[np.float64]
    ewma_reach: npt.NDArray[np.float64]
    cusum_up: npt.NDArray[np.float64]
    cusum_down: npt.NDArray[np.float64]
    marks: tuple[str, ...]


def control_chart(values: Sequence[float], reference: int = REFERENCE) -> ControlChart | None:
    """Return the chart of a series in the order of time; ``None`` where it is too short to have one.

    Raises
    ------
    ValueError
        If a value isn't finite, or there are fewer than two reference points.
    """
    series = np.asarray(values, dtype=np.float64)
    if reference < 2:
        raise ValueError(f"{reference} reference points: at least 2 are needed")
    if not bool(np.all(np.isfinite(series))):
        raise ValueError("values of a chart must be finite")
    if series.size <= reference:
        return None
    level = float(series[:reference].mean())
    spread = float(np.abs(np.diff(series[:reference])).mean()) / _MOVING_RANGE
    if spread == 0:
        return None
    steps = np.arange(1, series.size + 1)
    reach = EWMA_LIMIT * spread * np.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT) * (1 - (1 - EWMA_WEIGHT) ** (2 * steps)))
    ewma, up, down = np.empty((3, series.size))
    average, high, low = level, 0.0, 0.0
    for number, value in enumerate(series):
        average += EWMA_WEIGHT * (value - average)
        z = (value - level) / spread
        high, low = max(0.0, high + z - CUSUM_SLACK), max(0.0, low - z - CUSUM_SLACK)
        ewma[number], up[number], down[number] = average, high, low
    outside = {"ewma": np.abs(ewma - level) > reach, "cusum": np.maximum(up, down) > CUSUM_LIMIT}
    marks = tuple(
        " ".join(name for name, flags in outside.items() if flags[number]) if number >= reference else ""
        for number in range(series.size)
    )
    return ControlChart(level, spread, ewma, reach, up, down, marks)
