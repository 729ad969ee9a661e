"""How the controller's firmware is reached, by channel; part of the rack file.

A channel is a way to bring an image into the slot that does not run, to boot it on trial and to look what
runs; :mod:`qdhil.firmware.channels` has them.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from qdhil.model_files import Strict

ChannelName = Literal["scpi-block", "scpi-url", "smp"]
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})")
_UDP = "udp://"
_LARGEST_PORT = 65535


def host_and_port(text: str) -> tuple[str, int]:
    """Return host and port of ``host:port``; an IPv6 host stands in brackets.

    Raises
    ------
    ValueError
        If it has another form.
    """
    match = _HOST_PORT.fullmatch(text)
    if match is None or int(match["port"]) > _LARGEST_PORT:
        raise ValueError(f"{text!r} is not host:port")
    return match["host"].strip("[]"), int(match["port"])


def _checked_address(text: str) -> str:
    host_and_port(text)
    return text


def _serve_address(text: str) -> str:
    host, _ = host_and_port(text)
    if host in ("0.0.0.0", "::"):
        raise ValueError(f"{text} is every address of the host: name the one that the controller reaches")
    return text


def _smp_address(text: str) -> str:
    if text.startswith(_UDP):
        host_and_port(text.removeprefix(_UDP))
    elif not text.startswith("/"):
        raise ValueError(f"{text!r} is neither udp://host:port nor the path of a serial port such as /dev/ttyACM0")
    return text


class Upload(Strict):
    """What every channel has."""

    upload_timeout_s: float = Field(default=120.0, gt=0)
    """How long one image may take to be transferred and written."""
    attempts: int = Field(default=3, ge=1, le=100)
    """How often what breaks off is started in all."""


class ScpiBlock(Upload):
    """The image travels inside a SCPI command."""


class ScpiUrl(Upload):
    """The controller fetches the image over HTTP from this host."""

    serve: Annotated[str, AfterValidator(_serve_address)]
    """``host:port`` of this host as the controller reaches it; port 0 takes any that is free."""
    reached_as: Annotated[str, AfterValidator(_checked_address)] | None = None
    """``host:port`` that the controller is told instead, where something forwards it to ``serve``."""


class Smp(Upload):
    """The image goes to MCUboot's slots by the Simple Management Protocol."""

    address: Annotated[str, AfterValidator(_smp_address)]
    """``udp://host:port``, or the path of a serial port with the console framing."""
    baud_rate: int = Field(default=115200, gt=0)
    """Of the serial port."""
    mtu_bytes: int = Field(default=1500, ge=128, le=65535)
    """Largest IP packet over UDP."""
    timeout_s: float = Field(default=2.0, gt=0, le=600)
    """How long one request may go unanswered."""
    erase_timeout_s: float = Field(default=40.0, gt=0, le=600)
    """How long the first request of an upload may take: flash is erased before it is answered."""
    attempts: int = Field(default=5, ge=1, le=100)

    @property
    def udp(self) -> tuple[str, int] | None:
        """Host and port; ``None`` for a serial port."""
        return host_and_port(self.address.removeprefix(_UDP)) if self.address.startswith(_UDP) else None
