"""A scenario: the faults of a rack with onset, ramp, severity and recovery, as a TOML file.

``[[fault]]`` tables name a rig, an instrument (or ``light``), a kind, and times of device time, counted
from the moment the fault is set: at the start of the rack for a scenario file, at once for the control
port.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from qdhil.errors import ConfigurationError
from qdhil.model_files import Strict, read_toml
from qdhil_sim.protocol.link_faults import LINK_FAULTS

LIGHT = "light"
EVERY_RIG = "*"
TAGGER_FAULTS = ("crc", "sequence", "drop")
LIGHT_FAULTS = (
    "coupling_loss", "spectral_drift", "charge_noise", "laser_leak", "background", "detector_saturation",
    "laser_jitter", "electronics_jitter", "cryostat_warming", "blinking",
)  # fmt: skip


class Fault(Strict):
    """One fault of one rig."""

    rig: str
    """Name of the rig; ``*`` for every one."""
    instrument: str = LIGHT
    """Role of the instrument, or ``light`` for a fault of the physics."""
    kind: str
    onset_s: float = Field(default=0.0, ge=0)
    """Device time from setting the fault to its beginning."""
    ramp_s: float = Field(default=0.0, ge=0)
    """Device time in which the severity grows to its full value."""
    severity: float = Field(default=1.0, gt=0, le=1)
    recovery_s: float | None = Field(default=None, gt=0)
    """Device time from the onset to the end; without it the fault stays."""

    @model_validator(mode="after")
    def _kind_fits(self) -> Self:
        known = kinds(self.instrument)
        if self.kind not in known:
            raise ValueError(f"{self.instrument} has no fault {self.kind!r}; there are: {', '.join(known)}")
        return self

    def severity_at(self, since_s: float) -> float:
        """Return the severity ``since_s`` of device time after the fault was set."""
        begun_s = since_s - self.onset_s
        if begun_s < 0 or (self.recovery_s is not None and begun_s >= self.recovery_s):
            return 0.0
        return self.severity if begun_s >= self.ramp_s else self.severity * begun_s / self.ramp_s


class Scenario(Strict):
    """The faults of a rack."""

    schema_version: Literal[1]
    fault: tuple[Fault, ...] = ()

    def for_rigs(self, roles: Mapping[str, Collection[str]]) -> Iterator[tuple[str, Fault]]:
        """Yield rig and fault for rigs with their instruments' roles.

        Raises
        ------
        ConfigurationError
            If a fault names a rig or an instrument that there is not.
        """
        for position, fault in enumerate(self.fault):
            rigs = list(roles) if fault.rig == EVERY_RIG else [fault.rig]
            for rig in rigs:
                if rig not in roles:
                    raise ConfigurationError(f"fault.{position}.rig: no rig {rig!r}; there are: {', '.join(roles)}")
                if fault.instrument not in (LIGHT, *roles[rig]):
                    there = ", ".join((LIGHT, *roles[rig]))
                    raise ConfigurationError(
                        f"fault.{position}.instrument: {rig} has no {fault.instrument!r}; there are: {there}"
                    )
                yield rig, fault


def kinds(instrument: str) -> tuple[str, ...]:
    """Return the kinds of fault that an instrument, or ``light``, can have."""
    if instrument == LIGHT:
        return LIGHT_FAULTS
    return LINK_FAULTS + (TAGGER_FAULTS if instrument == "tagger" else ())


def load_scenario(file: Path) -> Scenario:
    """Read and check a scenario file.

    Raises
    ------
    ConfigurationError
        With every error of the file and its path, one a line.
    """
    return read_toml(file, Scenario, "scenario file")
