"""How the instruments of a rig are reached, by role; part of the rack file."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from qdhil.model_files import Strict
from qdhil.tags.acquisition import Configuration

HISLIP_PORT = 4880
_INSTR = re.compile(r"^(TCPIP\d+::[^:]+(::[A-Za-z][\w.]*(,\d+)?)?::INSTR|USB\d*::.+::INSTR|GPIB\d*::.+::INSTR)$")
_SOCKET = re.compile(r"TCPIP\d+::(?P<host>[^:]+)::(?P<port>\d+)::SOCKET")
_HISLIP = re.compile(r"TCPIP\d+::(?P<host>[^:]+)::hislip\d+(?:,(?P<port>\d+))?::INSTR")
_STREAM = re.compile(r"^(TCPIP\d+::[^:]+::\d+::SOCKET|ASRL.+::INSTR)$")
_SERIAL_SERVER = re.compile(r"ASRLsocket://(?P<host>[^:/]+):(?P<port>\d+)::INSTR")
_VXI11 = re.compile(r"TCPIP\d+::(?P<host>[^:,]+),(?P<port>\d+)::inst\d+::INSTR")
_ZMQ = re.compile(r"tcp://(?P<host>[^:/]+):(?P<port>\d+)")


def _resource(text: str) -> str:
    if not (_INSTR.fullmatch(text) or _STREAM.fullmatch(text)):
        raise ValueError(
            "not a canonical VISA resource such as 'TCPIP0::10.4.1.11::7777::SOCKET' "
            "or 'TCPIP0::10.4.1.11::hislip0::INSTR'"
        )
    return text


def _resource_or_zmq(text: str) -> str:
    return text if _ZMQ.fullmatch(text) else _resource(text)


Resource = Annotated[str, AfterValidator(_resource)]


class Terminator(Strict):
    """Line endings of a stream transport (SOCKET, serial)."""

    read: str = "\n"
    write: str = "\n"


class Addressed(Strict):
    """What every instrument has: a model, an address, perhaps an identity, and a time-out."""

    model: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    resource: str
    expect_idn: str | None = None
    """Shell-style pattern that the answer to ``*IDN?`` must match; without one nothing is asked."""
    terminator: Terminator | None = None
    timeout_s: float = Field(default=2.0, gt=0, le=600)

    @model_validator(mode="after")
    def _stream_needs_terminator(self) -> Self:
        if _STREAM.fullmatch(self.resource) and self.terminator is None:
            raise ValueError(f"{self.resource} is a stream: terminator = {{ read = ..., write = ... }} is needed")
        return self


class Instrument(Addressed):
    """An instrument that a campaign speaks to: its VISA resource and its identity are needed."""

    resource: Resource
    expect_idn: str


class OtherInstrument(Addressed):
    """A further instrument of a rig: qdhil checks its identity, and suites may speak to it."""

    resource: Annotated[str, AfterValidator(_resource_or_zmq)]
    """A VISA resource, or ``tcp://host:port`` for an instrument that is spoken to over ZeroMQ."""

    @property
    def is_visa(self) -> bool:
        """Whether PyVISA can open it."""
        return _ZMQ.fullmatch(self.resource) is None

    @model_validator(mode="after")
    def _identity_only_over_visa(self) -> Self:
        if self.expect_idn is not None and not self.is_visa:
            raise ValueError(f"{self.resource} is no VISA resource: leave expect_idn out, it can't be checked")
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
    paths: dict[Configuration, Annotated[int, Field(ge=0)]]


def tcp_address(resource: str) -> tuple[str, int, Literal["stream", "hislip", "vxi11", "zmq"]]:
    """Return host, port and transport of a resource over TCP: SOCKET, serial server, HiSLIP, VXI-11, ZeroMQ.

    Raises
    ------
    ValueError
        If the resource is of another kind.
    """
    if match := _SOCKET.fullmatch(resource):
        return match["host"], int(match["port"]), "stream"
    if match := _HISLIP.fullmatch(resource):
        return match["host"], int(match["port"] or HISLIP_PORT), "hislip"
    if match := _SERIAL_SERVER.fullmatch(resource):
        return match["host"], int(match["port"]), "stream"
    if match := _VXI11.fullmatch(resource):
        return match["host"], int(match["port"]), "vxi11"
    if match := _ZMQ.fullmatch(resource):
        return match["host"], int(match["port"]), "zmq"
    raise ValueError("it is neither SOCKET, ASRLsocket://, hislip ... INSTR, inst ... INSTR with a port, nor tcp://")
