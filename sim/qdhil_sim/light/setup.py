"""The optical setup of a simulated rig: what the source, the optics and the detectors are like.

A setup is read from a TOML file, one of the profiles shipped in :mod:`qdhil_sim.profiles` or a path.
What firmware controls is not here but in :class:`~qdhil_sim.light.controls.PulseControls`.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from qdhil.errors import ConfigurationError
from qdhil.model_files import Strict, describe
from qdhil_sim.light.detector import Detector, TaggerInputs
from qdhil_sim.light.emitter import Emitter
from qdhil_sim.light.excitation import Excitation, Probability, PulsePairs, Resonant

__all__ = [
    "Channels",
    "CouplingDrift",
    "Detector",
    "Emitter",
    "Interferometer",
    "Provenance",
    "Setup",
    "Splitter",
    "load_setup",
]


class Channels(Strict):
    """Tagger inputs (0 to 30) of the laser's sync and of detectors a and b."""

    sync: int = Field(default=1, ge=0, le=30)
    a: int = Field(default=2, ge=0, le=30)
    b: int = Field(default=3, ge=0, le=30)

    @model_validator(mode="after")
    def _distinct(self) -> Channels:
        if len({self.sync, self.a, self.b}) != 3:
            raise ValueError("sync, a and b each need their own input")
        return self


class Splitter(Strict):
    """The lossless splitter of the HBT path; what it transmits goes to detector a."""

    transmission: Probability = 0.5


class Interferometer(Strict):
    """The unbalanced Mach-Zehnder interferometer of the HOM paths.

    In the words of the area formulae: s = ``bs1_short``, l = 1 - s, T2 = ``bs2_transmission``,
    R2 = 1 - T2. The last splitter sends the short arm to detector a with T2 and the long arm with R2.
    """

    delay_periods: int = Field(default=1, ge=0, le=1024)
    """Delay n of the long arm in pulse periods; 0 is the separation of a pulse pair."""
    delay_error_ps: float = Field(default=0.0, ge=-1e4, le=1e4)
    """How much longer the long arm is than its nominal delay."""
    bs1_short: Probability = 0.5
    """Share of the intensity that the first splitter sends into the short arm."""
    bs2_transmission: Probability = 0.5
    """Intensity transmission T2 of the last splitter."""
    mode_mismatch: Probability = 0.0
    """ε: the classical fringe visibility of the interferometer is 1 - ε."""
    phase_scan_hz: float = Field(default=1000.0, ge=0)
    """Turns of the interferometer's phase per second, which scrambles the fringes of photon-number coherence."""
    transmission: Probability = 1.0
    """Transmission of the interferometer as a whole, beside its splitters."""


class CouplingDrift(Strict):
    """Slow Ornstein-Uhlenbeck drift of the coupling between dot and fibre."""

    coupling_sd: float = Field(default=0.0, ge=0, lt=1)
    """Stationary standard deviation of ln(coupling); the mean coupling is 1."""
    correlation_s: float = Field(default=600.0, gt=0)


class Provenance(Strict):
    """Where a number of a profile comes from."""

    tag: Literal["V", "D", "S", "M", "unknown"]
    """Read in the publication, derived, simulated, from memory, or not known and filled in."""
    source: str = ""
    """Citation, or why the value was chosen."""


class Setup(Strict):
    """Everything of a simulated rig's optics that firmware can't change."""

    schema_version: Literal[1] = 1
    title: str = ""
    rep_rate_hz: float = Field(gt=0, le=1e11)
    transmission: Probability
    """From the emitter to the fibre that feeds either path, at mean coupling."""
    delay_b_ps: int = Field(default=0, ge=-(10**6), le=10**6)
    """Electrical delay of detector b relative to a, in ps."""
    sync_divider: int = Field(default=1, ge=1)
    """Laser pulses per tag on the sync channel."""
    sync_input_jitter_ps: float = Field(default=5.0, ge=0)
    """Standard deviation of the tagger's jitter on the sync channel in ps."""
    emitter: Emitter
    excitation: Excitation = Resonant()
    hbt: Splitter = Splitter()
    interferometer: Interferometer = Interferometer()
    detector_a: Detector
    detector_b: Detector
    tagger: TaggerInputs = TaggerInputs()
    drift: CouplingDrift = CouplingDrift()
    provenance: dict[str, Provenance] = Field(default_factory=dict)
    """By the field's path in the profile, such as ``emitter.lifetime_ps``; and, under a measure's own name
    such as ``g2``, what was published of the source."""

    @model_validator(mode="after")
    def _matched(self) -> Setup:
        if isinstance(self.excitation, PulsePairs):
            if 2 * self.excitation.separation_ps > self.period_ps:
                raise ValueError("excitation.separation_ps must not exceed half the pulse period")
        elif self.interferometer.delay_periods == 0:
            raise ValueError("interferometer.delay_periods = 0 is the delay of pulse pairs alone")
        return self

    @property
    def period_ps(self) -> float:
        """Pulse period T in ps (of pulse pairs: from pair to pair)."""
        return 1e12 / self.rep_rate_hz

    @property
    def pulses_per_period(self) -> int:
        """Pulses a period: 2 for pulse pairs."""
        return 2 if isinstance(self.excitation, PulsePairs) else 1


def load_setup(name_or_path: str | Path) -> Setup:
    """Read a setup: a profile shipped with the simulator by name, or a TOML file by its path.

    Raises
    ------
    ConfigurationError
        With every error of the file and its path, one a line; or, for an unknown name, with the names
        there are.
    """
    label, text = _read(name_or_path)
    try:
        return Setup.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{label}: not valid TOML: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{label}:\n{describe(error)}") from error


def _read(name_or_path: str | Path) -> tuple[str, str]:
    name = str(name_or_path)
    try:
        if isinstance(name_or_path, Path) or "/" in name or name.endswith(".toml"):
            return f"profile file {name}", Path(name_or_path).read_text(encoding="utf-8-sig")
        folder = resources.files("qdhil_sim.profiles")
        known = sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if ".toml" in item.name)
        if name not in known:
            raise ConfigurationError(f"profile {name!r} is not known; there are: {', '.join(known)}")
        return f"profile {name}", (folder / f"{name}.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"profile file {name}: {error}") from error
