"""Sweeps and traces of an optical spectrum analyser: the line as the instrument's resolution shows it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

RESOLUTIONS_NM = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
SENSITIVITIES = ("NHLD", "NAUT", "MID", "HIGH1", "HIGH2", "HIGH3", "NORMAL")
_SECONDS_PER_POINT = (1e-4, 2e-4, 1e-3, 5e-3, 2e-2, 8e-2, 5e-4)
NOISE_DBM = (-60.0, -65.0, -70.0, -80.0, -85.0, -90.0, -75.0)
AVERAGED_SWEEPS = 10
_MOST_POINTS, _FEWEST_POINTS = 50001, 51


@dataclass
class Sweep:
    """What is swept, and how finely."""

    center_nm: float
    span_nm: float
    resolution_nm: float = 0.1
    sensitivity: int = 2
    fixed_points: int | None = None
    speed: int = 0

    @property
    def start_nm(self) -> float:
        """Shortest wavelength."""
        return self.center_nm - self.span_nm / 2

    @property
    def stop_nm(self) -> float:
        """Longest wavelength."""
        return self.center_nm + self.span_nm / 2

    @property
    def points(self) -> int:
        """Samples of one sweep; without a fixed number five for each resolution."""
        if self.fixed_points is not None:
            return self.fixed_points
        return min(max(_FEWEST_POINTS, 1 + round(5 * self.span_nm / self.resolution_nm)), _MOST_POINTS)

    @property
    def duration_s(self) -> float:
        """Time of one sweep."""
        return 0.1 + self.points * _SECONDS_PER_POINT[self.sensitivity] / (1 + self.speed)

    def choose_resolution(self, wanted_nm: float) -> None:
        """Take the resolution nearest to ``wanted_nm``."""
        self.resolution_nm = min(RESOLUTIONS_NM, key=lambda known: abs(math.log(known / wanted_nm)))

    def wavelengths_nm(self) -> list[float]:
        """Return the samples' wavelengths."""
        step_nm = self.span_nm / (self.points - 1)
        return [self.start_nm + index * step_nm for index in range(self.points)]

    def levels_dbm(self, line_nm: float, linewidth_nm: float, peak_dbm: float, generator: random.Random) -> list[float]:
        """Return the levels of a line of that width on the noise floor.

        The line is a Gaussian of the resolution's full width at half maximum; what is narrower than the
        resolution keeps its power, so ``peak_dbm`` is the power in the resolution's bandwidth.
        """
        width_nm = math.hypot(self.resolution_nm, linewidth_nm)
        floor_mw = 10 ** (NOISE_DBM[self.sensitivity] / 10)
        peak_mw = 10 ** (peak_dbm / 10) * self.resolution_nm / width_nm
        levels = []
        for wavelength_nm in self.wavelengths_nm():
            shape = math.exp(-4 * math.log(2) * ((wavelength_nm - line_nm) / width_nm) ** 2)
            level_mw = peak_mw * shape + floor_mw * (0.5 + generator.expovariate(2.0))
            levels.append(10 * math.log10(level_mw))
        return levels


@dataclass
class Trace:
    """One trace: its mode and what it holds."""

    mode: str = "FIX"
    wavelengths_nm: list[float] = field(default_factory=list)
    levels_dbm: list[float] = field(default_factory=list)

    def take(self, wavelengths_nm: list[float], levels_dbm: list[float]) -> None:
        """Take a sweep as the mode says; a fixed trace keeps what it has."""
        if self.mode in {"FIX", "CALC"}:
            return
        if self.mode in {"MAX", "MIN", "RAVG"} and self.wavelengths_nm == wavelengths_nm:
            levels_dbm = [self._combined(old, new) for old, new in zip(self.levels_dbm, levels_dbm, strict=True)]
        self.wavelengths_nm, self.levels_dbm = wavelengths_nm, levels_dbm

    def _combined(self, old: float, new: float) -> float:
        if self.mode == "RAVG":
            return old + (new - old) / AVERAGED_SWEEPS
        return max(old, new) if self.mode == "MAX" else min(old, new)

    def peak(self) -> tuple[float, float]:
        """Return wavelength in nm and level in dBm of the highest sample; NaN for an empty trace."""
        if not self.levels_dbm:
            return math.nan, math.nan
        level_dbm = max(self.levels_dbm)
        return self.wavelengths_nm[self.levels_dbm.index(level_dbm)], level_dbm

    def width_nm(self, down_db: float = 3.0) -> float:
        """Return the width between the outermost samples within ``down_db`` of the peak."""
        _, peak_dbm = self.peak()
        inside = [nm for nm, dbm in zip(self.wavelengths_nm, self.levels_dbm, strict=True) if dbm >= peak_dbm - down_db]
        return max(inside) - min(inside) if inside else math.nan
