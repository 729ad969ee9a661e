"""What is served beside TCP: firmware management over UDP or a serial port, and instruments over ZeroMQ.

Both need packages of their own, the extras ``smp`` and ``zmq``; where one is missing the service is left
out and said to be, and the rest of the rack is as always.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from qdhil.instruments.firmware_settings import Smp
from qdhil_sim.devices.controller import Controller
from qdhil_sim.protocol.framing.smp_console import SmpConsoleFraming
from qdhil_sim.protocol.link_faults import Buffer
from qdhil_sim.protocol.serial_link import SerialLink
from qdhil_sim.protocol.udp import UdpService


class Service(Protocol):
    """Something that is bound already and can be started and stopped."""

    def listen(self) -> None:
        """Answer from now on."""

    def close(self) -> None:
        """Stop."""


def firmware_management(label: str, controller: Controller, host: str, settings: Smp | None) -> Service | None:
    """Return the controller's SMP server: where the rack file has it, else on UDP port 1337 of its host."""
    if not _available(f"{label} over SMP", "cbor2", "smp"):
        return None
    from qdhil_sim.devices.smp_server import PORT, SmpServer
    from qdhil_sim.devices.smp_slots import ControllerSlots

    server = SmpServer(ControllerSlots(controller))

    def respond(packet: bytes) -> bytes | None:
        if controller.silent or controller.link.half_open:
            return None
        answer = server.respond(packet)
        return None if controller.link.happens("silent") else answer

    if settings is None:
        return UdpService(host, PORT, respond, label)
    if settings.udp is not None:
        return UdpService(*settings.udp, respond, label)
    return SerialLink(Path(settings.address), _Console(respond))


class _Console:
    """A serial console that carries SMP packets."""

    streams = False

    def __init__(self, respond: Callable[[bytes], bytes | None]) -> None:
        self._respond = respond

    def framing(self) -> SmpConsoleFraming:
        return SmpConsoleFraming()

    def respond(self, message: bytes) -> list[Buffer]:
        answer = self._respond(message)
        return [] if answer is None else [answer]

    def timestamps(self, stopped: Callable[[], bool]) -> Iterable[bytes]:
        del stopped
        return ()


def over_zmq(label: str, device: Any, host: str, port: int) -> Service | None:
    """Return the requests and the raw outputs of an instrument over ZeroMQ."""
    if not _available(label, "zmq", "zmq"):
        return None
    from qdhil_sim.devices.id900 import INPUTS, RAW_PORT
    from qdhil_sim.protocol.zmq_service import ZmqService

    return ZmqService(host, port, device, {number: RAW_PORT + number for number in INPUTS}, label)


def _available(label: str, package: str, extra: str) -> bool:
    if importlib.util.find_spec(package) is not None:
        return True
    sys.stderr.write(f"qdhil-sim: {label}: not served, it needs qdhil[{extra}]\n")
    return False
