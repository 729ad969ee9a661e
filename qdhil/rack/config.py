"""The rack file: which rigs a host has, and how to reach their instruments.

``rack.toml`` describes physical and simulated rigs with the same words; only the resource strings
and the ``[rigs.NAME.simulation]`` table differ. Unknown keys are errors, and all errors are reported
at once with their path. See ``docs/rack.md`` for an annotated example.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from qdhil.errors import ConfigurationError

_INSTR = re.compile(r"^(TCPIP\d+::[^:]+(::[A-Za-z][\w.]*(,\d+)?)?::INSTR|USB\d*::.+::INSTR|GPIB\d*::.+::INSTR)$")
_STREAM = re.compile(r"^(TCPIP\d+::[^:]+::\d+::SOCKET|ASRL.+::INSTR)$")

Path4 = Literal["hbt", "hom_parallel", "hom_orthogonal", "blanked"]
"""How the light is routed."""


def _resource(text: str) -> str:
    if not (_INSTR.fullmatch(text) or _STREAM.fullmatch(text)):
        raise ValueError(
            "not a canonical VISA resource such as 'TCPIP0::10.4.1.11::7777::SOCKET' "
            "or 'TCPIP0::10.4.1.11::hislip0::INSTR'"
        )
    return text


Resource = Annotated[str, AfterValidator(_resource)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Terminator(_Strict):
    """Line endings of a stream transport (SOCKET, serial)."""

    read: str = "\n"
    write: str = "\n"


class Instrument(_Strict):
    """What every instrument has: a model, a VISA resource, an identity, and a time-out."""

    model: str
    resource: Resource
    expect_idn: str
    """Shell-style pattern that the answer to ``*IDN?`` must match."""
    terminator: Terminator | None = None
    timeout_s: float = Field(default=2.0, gt=0, le=600)

    @model_validator(mode="after")
    def _stream_needs_terminator(self) -> Instrument:
        if _STREAM.fullmatch(self.resource) and self.terminator is None:
            raise ValueError(f"{self.resource} is a stream: terminator = {{ read = ..., write = ... }} is needed")
        return self


class Controller(Instrument):
    """The device under test: the source's controller, with two firmware slots."""

    model: Literal["psc-2"]
    boot_timeout_s: float = Field(default=120.0, gt=0)
    """How long a boot may take before the controller counts as lost."""
    lock_timeout_s: float = Field(default=60.0, gt=0)
    """How long the controller's feedback loops may take to lock after a boot."""


class Tagger(Instrument):
    """A time tagger that hands out tags in blocks of ``block_tags``."""

    model: Literal["qdhil-tagger"]
    channels: dict[Literal["sync", "a", "b"], Annotated[int, Field(ge=0, le=30)]]
    sync_divider: int = Field(default=1, ge=1)
    """Laser pulses per tag on the sync channel."""
    block_tags: int = Field(default=1 << 19, ge=1, le=1 << 23)

    @model_validator(mode="after")
    def _channels_distinct(self) -> Tagger:
        if set(self.channels) != {"sync", "a", "b"} or len(set(self.channels.values())) != 3:
            raise ValueError("channels needs sync, a and b, each on its own input")
        return self


class Cryostat(Instrument):
    """A temperature controller at the cold finger."""

    model: Literal["lakeshore-336"]
    sensor: Literal["A", "B", "C", "D"] = "A"
    temperature_band_k: tuple[float, float]
    """Lowest and highest temperature in K at which a block may be measured."""

    @model_validator(mode="after")
    def _band_ordered(self) -> Cryostat:
        if not self.temperature_band_k[0] < self.temperature_band_k[1]:
            raise ValueError("temperature_band_k must be [low, high] with low < high")
        return self


class Switch(Instrument):
    """An optical switch; ``paths`` says which output carries which configuration."""

    model: Literal["dicon-gp600"]
    module: str = "X1"
    paths: dict[Path4, Annotated[int, Field(ge=0)]]


class Instruments(_Strict):
    """The instruments of one rig by role."""

    controller: Controller
    tagger: Tagger
    cryostat: Cryostat
    switch: Switch


class Calibration(_Strict):
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


class FirmwareSource(_Strict):
    """Which firmware is in service, and where bundles are found by version."""

    baseline: str
    candidate: str | None = None
    bundles: str
    """A folder relative to the rack file, or ``pkg:PACKAGE/FOLDER`` inside an installed package."""
    hardware: str
    """Hardware revision of the controller; a bundle for another one is refused."""


class Simulation(_Strict):
    """How a simulated rig is started; absent for a physical one."""

    provider: str = "qdhil-sim"
    """Entry point in the group ``qdhil.sims`` that serves this rig."""
    profile: str
    seed: int = Field(ge=0)
    clock: Literal["turbo", "realtime"] = "turbo"


class Rig(_Strict):
    """One quantum-dot source under test with its instruments."""

    kind: Literal["physical", "simulated"]
    backend: str = "@py"
    """PyVISA backend; a simulated rig is always spoken to through ``@py``."""
    tags: dict[str, str] = {}
    simulation: Simulation | None = None
    instruments: Instruments
    calibration: Calibration
    firmware: FirmwareSource

    @model_validator(mode="after")
    def _never_both(self) -> Rig:
        if (self.kind == "simulated") != (self.simulation is not None):
            raise ValueError("a simulated rig needs [simulation], a physical rig must not have one")
        return self


class Rack(_Strict):
    """The rigs of one host."""

    schema_version: Literal[1]
    lock_dir: str = "/tmp/qdhil-locks"
    """Folder of the lock files; every user of the host must mean the same one."""
    rigs: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")], Rig]


def load_rack(file: Path) -> Rack:
    """Read and check a rack file.

    Raises
    ------
    ConfigurationError
        With every error of the file and its path, one a line.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(f"rack file {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"rack file {file}: not valid TOML: {error}") from error
    try:
        return Rack.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(f"rack file {file}:\n" + describe(error)) from error


def describe(error: ValidationError) -> str:
    """Return every error of a pydantic validation with its path, one a line."""
    return "\n".join(f"  {'.'.join(map(str, item['loc'])) or '(file)'}: {item['msg']}" for item in error.errors())
