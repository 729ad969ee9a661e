"""Single-photon detectors and the inputs of the tagger behind them, as a profile describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qdhil.model_files import Strict
from qdhil_sim.light.excitation import Probability


class BiasResponse(Strict):
    """How a superconducting detector answers to its bias current, relative to nominal bias."""

    nominal_ua: float = Field(default=18.0, gt=0)
    switching_ua: float = Field(default=20.0, gt=0)
    """Current at which it turns normal and counts nothing."""
    half_efficiency_ua: float = Field(default=10.0, gt=0)
    """Current of half the plateau's efficiency."""
    efficiency_width_ua: float = Field(default=1.0, gt=0)
    dark_decade_ua: float = Field(default=2.0, gt=0)
    """Rise of the bias that makes ten times the dark counts."""


class Detector(Strict):
    """A single-photon detector with its tagger input."""

    efficiency: Probability
    jitter_ps: float = Field(default=0.0, ge=0)
    """Standard deviation of the Gaussian timing jitter in ps."""
    dark_rate_hz: float = Field(default=0.0, ge=0, le=1e9)
    dead_time_ps: int = Field(default=0, ge=0, le=10**9)
    """Dead time after each click, in ps."""
    dead_time_kind: Literal["non-paralysable", "paralysable"] = "non-paralysable"
    """Whether a photon within the dead time restarts it (paralysable) or is without effect."""
    afterpulse_probability: float = Field(default=0.0, ge=0, lt=1)
    """Probability that a click is followed by a false one."""
    afterpulse_decay_ps: float = Field(default=30_000.0, gt=0)
    """Decay time of the afterpulses' delay beyond the dead time."""
    bias: BiasResponse | None = None
    """For a superconducting detector."""

    @property
    def has_plain_dead_time(self) -> bool:
        """Whether a dead time that nothing extends is all that a click does to later ones."""
        return self.dead_time_kind == "non-paralysable" and self.afterpulse_probability == 0


class TaggerInputs(Strict):
    """What the tagger itself adds."""

    dead_time_ps: int = Field(default=0, ge=0, le=10**9)
    """Time after a tag during which the same input records nothing."""
    crosstalk_probability: Probability = 0.0
    """Probability that a click of one detector makes a false one of the other."""
    crosstalk_delay_ps: int = Field(default=0, ge=0, le=10**6)
