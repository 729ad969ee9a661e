"""The value of a metric with everything needed to judge or recompute it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from qdhil.metrics.histogram import Histogram

_OPTIONAL = ("corrected_low", "corrected_high", "systematic", "histogram")


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
    corrected_low, corrected_high
        Confidence interval of ``corrected``, where the correction's own uncertainty is known.
    systematic
        Standard uncertainty of ``corrected`` (of ``value`` where nothing was corrected) by calibrations that
        no longer run reduces; kept apart from the interval, which is statistical.
    histogram
        The histogram that was fitted, where ``counts`` alone can't restore it.
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
    corrected_low: float | None = None
    corrected_high: float | None = None
    systematic: float | None = None
    histogram: Histogram | None = None

    def record(self) -> dict[str, Any]:
        """Return the estimate as plain data, ready for JSON; what only some estimates have is left out of the rest."""
        record = {name: value for name, value in asdict(self).items() if name not in _OPTIONAL or value is not None}
        if self.histogram is not None:
            record["histogram"] = self.histogram.record()
        return record
