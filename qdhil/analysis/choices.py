"""What a caller may fix of an analysis; everything else is told by the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from qdhil.errors import ConfigurationError

Kind = Literal["auto", "hbt", "hom", "cw", "decay", "trace", "spectrum"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Choices:
    """What the caller knows of a measurement.

    Parameters
    ----------
    kind
        What to take the recording for; ``auto`` decides by the data.
    window_ps
        Full width of a peak's window; by default the smallest round one that holds 97 % of a peak.
    channels
        The two detectors, or one for ``decay`` and ``trace``; by default all pairs are tried.
    confidence
        Nominal coverage of the intervals.
    irf_ps
        Standard deviation of the delay's blur, sqrt(σ1² + σ2²) of both detectors; without it, a dip is taken as it
        is seen, which is said in a note.
    delay_periods
        Delay of the interferometer in pulses.
    g2, g2_sd
        g2(0) of the same source, measured apart, and its standard uncertainty; for M_tot.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    kind: Kind = "auto"
    window_ps: int | None = None
    channels: tuple[int, ...] | None = None
    confidence: float = 0.95
    irf_ps: float | None = None
    delay_periods: int = 1
    g2: float | None = None
    g2_sd: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigurationError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")
        if not 0 < self.confidence < 1:
            raise ConfigurationError(f"confidence must lie in (0, 1), not {self.confidence}")
        if self.irf_ps is not None and not 0 <= self.irf_ps < 1e9:
            raise ConfigurationError(f"the response must be a standard deviation in ps, not {self.irf_ps}")
        if not 1 <= self.delay_periods <= 1000:
            raise ConfigurationError(f"the interferometer's delay must be 1 to 1000 pulses, not {self.delay_periods}")
        if self.g2 is not None and not (0 <= self.g2 < 1 and 0 <= self.g2_sd < 1):
            raise ConfigurationError(f"g2(0) and its uncertainty must lie in [0, 1), not {self.g2} and {self.g2_sd}")

    def allows(self, kind: Kind) -> bool:
        """Return whether a recording may be taken for ``kind``."""
        return self.kind in ("auto", kind)
