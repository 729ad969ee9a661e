"""What is served beside TCP: firmware management over UDP, and instruments over ZeroMQ.

Both need packages of their own, the extras ``smp`` and ``zmq``; where one is missing the service is left
out and said to be, and the rest of the rack is as always.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any, Protocol

from qdhil_sim.devices.controller import Controller
from qdhil_sim.protocol.udp import UdpService


class Service(Protocol):
    """Something that is bound already and can be started and stopped."""

    def listen(self) -> None:
        """Answer from now on."""

    def close(self) -> None:
        """Stop."""


def firmware_management(label: str, controller: Controller, host: str) -> Service | None:
    """Return the controller's SMP server on UDP port 1337 of its host."""
    if not _available(f"{label} on UDP", "cbor2", "smp"):
        return None
    from qdhil_sim.devices.smp_server import PORT, SmpServer
    from qdhil_sim.devices.smp_slots import ControllerSlots

    return UdpService(host, PORT, SmpServer(ControllerSlots(controller)).respond, label)


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
