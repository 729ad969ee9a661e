"""The rack file: which rigs a host has, and how to reach their instruments.

``rack.toml`` describes physical and simulated rigs with the same words; only the resource strings
and the ``[rigs.NAME.simulation]`` table differ. Unknown keys are errors, and all errors are reported
at once with their path. See ``docs/rack.md`` for an annotated example.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from qdhil.instruments.config import Addressed, Controller, Cryostat, OtherInstrument, Switch, Tagger
from qdhil.instruments.firmware_settings import ChannelName, ScpiBlock, ScpiUrl, Smp
from qdhil.model_files import Strict, read_toml

REQUIRED_ROLES = ("controller", "tagger", "cryostat", "switch")
_NEVER_SHARED = ("controller", "tagger", "switch")
"""A cold finger may hold the dots of several rigs, and one spectrum analyser may look at them all."""


class Instruments(Strict):
    """The instruments of one rig by role."""

    controller: Controller
    tagger: Tagger
    cryostat: Cryostat
    switch: Switch
    others: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], OtherInstrument] = Field(default_factory=dict)
    """Further instruments by role: a campaign does not need them, but their identity is checked."""

    @model_validator(mode="after")
    def _roles_distinct(self) -> Instruments:
        if taken := self.others.keys() & set(REQUIRED_ROLES):
            raise ValueError(f"others must not repeat {', '.join(sorted(taken))}")
        return self

    def by_role(self) -> dict[str, Addressed]:
        """Return every instrument: the required ones, then the others."""
        return {role: getattr(self, role) for role in REQUIRED_ROLES} | self.others


class Calibration(Strict):
    """What was measured about the rig once and is needed to read its tags."""

    rep_rate_hz: float = Field(gt=0)
    delay_ps: int
    """Electrical and optical delay t_b - t_a of coincident photons, in ps."""
    dead_time_ps: int = Field(ge=0)
    """Dead time of the slower detector; side peaks inside it are not used."""
    interferometer_periods: int = Field(default=1, ge=1)
    """Delay of the Mach-Zehnder interferometer in pulse periods."""
    rep_rate_tolerance: float = Field(default=1e-4, gt=0)
    """Largest relative deviation of the measured repetition rate."""
    dark_rate_max_hz: float = Field(default=5000.0, gt=0)
    """Highest rate a detector may count on the blanked path."""
    count_rate_min_hz: float = Field(default=1000.0, ge=0)
    """Lowest rate a detector must count on a lit path; below it the light is lost, not dim."""


class FirmwareSource(Strict):
    """Which firmware is in service, and where bundles are found by version."""

    baseline: str
    candidate: str | None = None
    bundles: str
    """A folder relative to the rack file, or ``pkg:PACKAGE/FOLDER`` inside an installed package."""
    hardware: str
    """Hardware revision of the controller; a bundle for another one is refused."""
    bootloader: str | None = Field(default=None, pattern=r"^\d{1,9}(\.\d{1,9}){0,3}$")
    """Version of the controller's bootloader; without it a bundle's min_bootloader is not checked."""
    trust: str | None = Field(default=None, min_length=1)
    """The trust file whose keys must have signed a bundle, relative to the rack file."""
    unsigned: bool = False
    """Take bundles that nobody signed; a physical rig needs this or ``trust``."""
    history: str | None = Field(default=None, min_length=1)
    """The file that remembers what the rig has ever confirmed, relative to the rack file; ``{rig}`` is its name."""
    channel: ChannelName = "scpi-block"
    """The way an image gets to the controller; its settings are the table of the same name."""
    scpi_block: ScpiBlock | None = None
    scpi_url: ScpiUrl | None = None
    smp: Smp | None = None

    @model_validator(mode="after")
    def _trust_or_unsigned(self) -> FirmwareSource:
        if self.trust is not None and self.unsigned:
            raise ValueError("trust asks for signatures and unsigned does without them: keep one")
        return self

    @model_validator(mode="after")
    def _settings_of_the_channel(self) -> FirmwareSource:
        chosen = self.channel.replace("-", "_")
        tables = {name: getattr(self, name) for name in ("scpi_block", "scpi_url", "smp")}
        for name, table in tables.items():
            if table is not None and name != chosen:
                raise ValueError(f'{name} has settings of a channel that is not used: channel = "{self.channel}"')
        if tables[chosen] is None and chosen != "scpi_block":
            raise ValueError(f'channel = "{self.channel}" needs the table firmware.{chosen}')
        return self

    @property
    def channel_settings(self) -> ScpiBlock | ScpiUrl | Smp:
        """Settings of the channel that is used."""
        return self.smp or self.scpi_url or self.scpi_block or ScpiBlock()


class Simulation(Strict):
    """How a simulated rig is started; absent for a physical one."""

    provider: str = "qdhil-sim"
    """Entry point in the group ``qdhil.sims`` that serves this rig."""
    profile: str
    seed: int = Field(ge=0)
    clock: Literal["turbo", "realtime"] = "turbo"


class Rig(Strict):
    """One quantum-dot source under test with its instruments."""

    kind: Literal["physical", "simulated"]
    backend: str = "@py"
    """PyVISA backend; a simulated rig is always spoken to through ``@py``."""
    tags: dict[str, str] = Field(default_factory=dict)
    simulation: Simulation | None = None
    instruments: Instruments
    calibration: Calibration
    firmware: FirmwareSource

    @model_validator(mode="after")
    def _never_both(self) -> Rig:
        if (self.kind == "simulated") != (self.simulation is not None):
            raise ValueError("a simulated rig needs [simulation], a physical rig must not have one")
        return self

    @model_validator(mode="after")
    def _says_whose_firmware(self) -> Rig:
        if self.kind == "physical" and self.firmware.trust is None and not self.firmware.unsigned:
            raise ValueError("a physical rig needs firmware.trust, or firmware.unsigned = true")
        return self


class Rack(Strict):
    """The rigs of one host."""

    schema_version: Literal[1]
    lock_dir: str = "/tmp/qdhil-locks"
    """Folder of the lock files, relative to the rack file; every user of the host must mean the same one."""
    roles: str | None = None
    """The file that says who may do what, relative to the rack file; without one nobody is asked."""
    audit: str | None = None
    """The log of what was done, relative to the rack file."""
    rigs: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], Rig]

    @model_validator(mode="after")
    def _instruments_not_shared(self) -> Rack:
        owner: dict[str, str] = {}
        for name, rig in self.rigs.items():
            resources = [getattr(rig.instruments, role).resource for role in _NEVER_SHARED]
            resources += [rig.firmware.smp.address] if rig.firmware.smp is not None else []
            for resource in resources:
                if owner.setdefault(resource, name) != name:
                    raise ValueError(f"rigs {owner[resource]} and {name} share {resource}")
        return self

    @model_validator(mode="after")
    def _histories_not_shared(self) -> Rack:
        owner: dict[str, str] = {}
        for name, rig in self.rigs.items():
            history = rig.firmware.history
            if history is not None and owner.setdefault(history.replace("{rig}", name), name) != name:
                other = owner[history.replace("{rig}", name)]
                raise ValueError(f'rigs {other} and {name} share the history {history}: history = "{{rig}}.{history}"')
        return self


def load_rack(file: Path) -> Rack:
    """Read and check a rack file.

    Raises
    ------
    ConfigurationError
        With every error of the file and its path, one a line.
    """
    rack = read_toml(file, Rack, "rack file")
    return rack.model_copy(update={"lock_dir": str(file.parent.resolve() / rack.lock_dir)})
