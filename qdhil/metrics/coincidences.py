"""The sufficient statistics of pulsed coincidence measurements: small, additive, plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy.typing as npt

from qdhil.metrics.arrays import sorted_times
from qdhil.metrics.peaks import count_peaks
from qdhil.metrics.sync import sync_period

_SAME_PERIOD = 1e-3
"""Blocks whose periods differ by more than this fraction come from different pulse trains."""


@dataclass(frozen=True)
class PeakCounts:
    """Coincidences by peak, singles and exposure of one or more blocks; blocks add with ``+``.

    Parameters
    ----------
    peaks
        Coincidences by lag from -max_lag to max_lag; lag m pairs a click of a with one of b, m pulses later.
    singles_a, singles_b
        Clicks of each detector.
    triggers
        Laser pulses.
    dwell_s
        Time measured, in s.
    window_ps
        Full width of the window of a peak, in ps.
    period_ps
        Time between two pulses, in ps (mean over the blocks).
    delay_ps
        Delay t_b - t_a of the central peak, in ps.
    """

    peaks: tuple[int, ...]
    singles_a: int
    singles_b: int
    triggers: int
    dwell_s: float
    window_ps: int
    period_ps: float
    delay_ps: int

    def __post_init__(self) -> None:
        if len(self.peaks) % 2 == 0:
            raise ValueError(f"peaks must run from -max_lag to max_lag, not be {len(self.peaks)} in number")
        if min(*self.peaks, self.singles_a, self.singles_b, self.triggers, 0) < 0:
            raise ValueError("counts must not be negative")
        if not (self.dwell_s >= 0 and 0 < self.window_ps <= self.period_ps < math.inf):
            raise ValueError("dwell_s, window_ps or period_ps out of range")

    @property
    def max_lag(self) -> int:
        """Largest lag counted, in pulses."""
        return len(self.peaks) // 2

    @property
    def central(self) -> int:
        """Coincidences of clicks that belong to the same pulse."""
        return self.peaks[self.max_lag]

    def far(self, exclude_lags: int) -> tuple[int, int]:
        """Return the coincidences in the peaks beyond ``exclude_lags`` (abs(lag) above it), and their number.

        Raises
        ------
        ValueError
            If ``exclude_lags`` is negative or leaves no peak.
        """
        if exclude_lags < 0 or exclude_lags >= self.max_lag:
            raise ValueError(f"exclude_lags must lie in [0, {self.max_lag - 1}], not {exclude_lags}")
        near = self.peaks[self.max_lag - exclude_lags : self.max_lag + exclude_lags + 1]
        return sum(self.peaks) - sum(near), len(self.peaks) - len(near)

    def __add__(self, other: PeakCounts) -> PeakCounts:
        """Return the counts of both; refuse (ValueError) blocks counted by different definitions."""
        for name in ("window_ps", "delay_ps", "max_lag"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise ValueError(f"blocks differ in {name}: {mine} and {theirs}")
        if abs(self.period_ps - other.period_ps) > _SAME_PERIOD * self.period_ps:
            raise ValueError(f"blocks differ in period_ps: {self.period_ps} and {other.period_ps}")
        triggers = self.triggers + other.triggers
        share = other.triggers / triggers if triggers else 0.5
        return PeakCounts(
            peaks=tuple(a + b for a, b in zip(self.peaks, other.peaks, strict=True)),
            singles_a=self.singles_a + other.singles_a,
            singles_b=self.singles_b + other.singles_b,
            triggers=triggers,
            dwell_s=self.dwell_s + other.dwell_s,
            window_ps=self.window_ps,
            period_ps=self.period_ps + share * (other.period_ps - self.period_ps),
            delay_ps=self.delay_ps,
        )

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON; :meth:`from_record` restores it."""
        return {**asdict(self), "peaks": list(self.peaks)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Restore what :meth:`record` returned; refuse (ValueError) missing or unknown keys."""
        names = {field.name for field in fields(cls)}
        if set(record) != names:
            raise ValueError(f"a record of PeakCounts has the keys {sorted(names)}, not {sorted(record)}")
        return cls(**{**record, "peaks": tuple(int(count) for count in record["peaks"])})


def excluded_lags(*, period_ps: float, interferometer_periods: int = 1, dead_time_ps: float = 0.0) -> int:
    """Return the largest lag whose peak is no measure of uncorrelated light.

    Peaks up to the interferometer's delay carry interference. Peaks within the dead time are raised by
    1 + p, because a click on one detector means that the other one is more likely live; behind an
    interferometer that reaches its delay further, because a blind slot shares its light with later ones.
    """
    return interferometer_periods + math.floor(dead_time_ps / period_ps)


def count_block(
    t_a: npt.ArrayLike,
    t_b: npt.ArrayLike,
    sync: npt.ArrayLike,
    *,
    sync_divider: int,
    delay_ps: int,
    window_ps: int,
    max_lag: int = 20,
    dwell_s: float | None = None,
) -> PeakCounts:
    """Count one block of time tags; the period is measured by its own sync tags.

    Parameters
    ----------
    t_a, t_b, sync
        Sorted times in ps of the two detectors and the divided laser sync, any integer type.
    sync_divider
        Pulses per sync tag.
    delay_ps
        Delay t_b - t_a of the central peak in ps, from the rig's calibration.
    window_ps
        Full width of the window of a peak, in ps.
    max_lag
        Largest lag counted, in pulses.
    dwell_s
        Time over which the tags were taken, in s; without it the tags between the first and the last
        sync tag count, and that span is the dwell.

    Raises
    ------
    ValueError
        If the sync tags don't tell a period (see :func:`~qdhil.metrics.sync.sync_period`), a channel isn't
        sorted, or the window is wider than the period.
    """
    clicks_a, clicks_b = sorted_times(t_a, "t_a"), sorted_times(t_b, "t_b")
    marks = sorted_times(sync, "sync")
    period_ps = sync_period(marks, sync_divider=sync_divider)
    if dwell_s is None:
        clicks_a = clicks_a[slice(*clicks_a.searchsorted(marks[[0, -1]]))]
        clicks_b = clicks_b[slice(*clicks_b.searchsorted(marks[[0, -1]]))]
        dwell_s = int(marks[-1] - marks[0]) * 1e-12
    counts = count_peaks(
        clicks_a, clicks_b, period_ps=period_ps, delay_ps=delay_ps, window_ps=window_ps, max_lag=max_lag
    )
    return PeakCounts(
        peaks=tuple(int(count) for count in counts),
        singles_a=int(clicks_a.size),
        singles_b=int(clicks_b.size),
        triggers=round(dwell_s * 1e12 / period_ps),
        dwell_s=dwell_s,
        window_ps=window_ps,
        period_ps=period_ps,
        delay_ps=delay_ps,
    )
