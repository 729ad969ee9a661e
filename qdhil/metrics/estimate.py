"""The value of a metric with everything needed to judge or recompute it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """A metric's value that never travels without its definition, window, normalisation and counts.

    Parameters
    ----------
    definition
        Id of the definition, such as ``"g2.pulsed.area"``; two definitions have two ids.
    value
        The number to quote: the raw value, unless ``definition`` says otherwise.
    low, high
        Confidence interval of ``value``.
    confidence
        Nominal coverage of the interval.
    counts
        The sufficient statistics, by name.
    window_ps
        Full width of the peak window in ps (``None`` for metrics without one).
    delay_ps
        Where the central peak lies, t_b - t_a in ps.
    normalisation
        What the central peak was compared with, such as ``"far-peaks"``.
    raw
        Value without any correction.
    corrected
        Value after the correction named in ``correction``; ``None`` where nothing was corrected.
    correction
        What was corrected and with which numbers.
    """

    definition: str
    value: float
    low: float
    high: float
    confidence: float
    counts: Mapping[str, int | float]
    window_ps: int | None
    delay_ps: int | None
    normalisation: str
    raw: float
    corrected: float | None = None
    correction: str | None = None

    def record(self) -> dict[str, Any]:
        """Return the estimate as plain data, ready for JSON."""
        return asdict(self)
