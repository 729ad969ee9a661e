"""The simulated rack: every instrument of every rig on the address of its resource string.

Each instrument is served by raw SOCKET and by HiSLIP: the transport that the resource names at its
port, the other one at the port where such an instrument usually has it, unless another instrument of
the rack has that address already.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qdhil.errors import ConfigurationError
from qdhil.instruments.config import HISLIP_PORT, tcp_address
from qdhil.rack.config import Rack
from qdhil_sim.protocol.connection import Connections
from qdhil_sim.protocol.hislip import HislipTransport
from qdhil_sim.protocol.server import Endpoint, Server
from qdhil_sim.protocol.stream import StreamTransport
from qdhil_sim.world import RigWorld

SOCKET_PORTS = {"controller": 5025, "tagger": 5025, "cryostat": 7777, "switch": 10001}
FEED_S = 0.02


@dataclass(frozen=True)
class Address:
    """Where one instrument is served."""

    host: str
    stream_port: int
    hislip_port: int
    named: str
    """The transport that the resource names: ``stream`` or ``hislip``."""

    @property
    def ports(self) -> list[tuple[str, int]]:
        """Transports and ports, the named transport first."""
        both = [("stream", self.stream_port), ("hislip", self.hislip_port)]
        return both if self.named == "stream" else both[::-1]


def address_of(role: str, resource: str) -> Address:
    """Return where the instrument of a role is served, from its resource string.

    Raises
    ------
    ConfigurationError
        If the resource is neither SOCKET nor HiSLIP over TCP.
    """
    try:
        host, port, named = tcp_address(resource)
    except ValueError as error:
        raise ConfigurationError(f"{role}: {resource} can't be simulated: {error}") from error
    if named == "stream":
        return Address(host, port, HISLIP_PORT, named)
    return Address(host, SOCKET_PORTS[role], port, named)


def simulated_rigs(rack: Rack, names: Sequence[str]) -> list[str]:
    """Return the rigs to serve: those named, or every simulated one.

    Raises
    ------
    ConfigurationError
        If a name is unknown or not a simulated rig, or there is none at all.
    """
    simulated = [name for name, rig in rack.rigs.items() if rig.simulation is not None]
    unknown = [name for name in names if name not in simulated]
    if not simulated:
        raise ConfigurationError("the rack file has no simulated rig")
    if unknown:
        raise ConfigurationError(f"no simulated rig {', '.join(unknown)}; there are: {', '.join(simulated)}")
    return list(dict.fromkeys(names)) or simulated


class SimulatedRack:
    """The worlds of a rack's rigs and the server that makes their instruments reachable.

    Raises
    ------
    ConfigurationError
        If an address is taken, or is not loopback and ``allow_non_loopback`` is false.
    """

    def __init__(
        self,
        rack: Rack,
        rack_file: Path,
        names: Sequence[str] = (),
        *,
        allow_non_loopback: bool = False,
        seed: int | None = None,
    ) -> None:
        self.names = simulated_rigs(rack, names)
        self._rack = rack
        self._allow_non_loopback = allow_non_loopback
        self._claimed: set[tuple[str, int]] = set()
        self._stopped = threading.Event()
        self.server = Server()
        self.worlds = {name: RigWorld(name, rack.rigs[name], rack_file, seed) for name in self.names}
        try:
            self._bind_all()
        except BaseException:
            self.server.close()
            raise

    def listen(self) -> None:
        """Become reachable."""
        self.server.listen()
        if not all(world.clock.turbo for world in self.worlds.values()):
            threading.Thread(target=self._feed, name="light", daemon=True).start()

    def close(self) -> None:
        """End every connection."""
        self._stopped.set()
        self.server.close()

    def _bind_all(self) -> None:
        addresses = [
            (name, role, address_of(role, getattr(self._rack.rigs[name].instruments, role).resource))
            for name in self.names
            for role in SOCKET_PORTS
        ]
        # Named transports first: another instrument's usual port must not take a named one away.
        connections = {(name, role): Connections() for name, role, _ in addresses}
        for named in (True, False):
            for name, role, address in addresses:
                transport, port = address.ports[0 if named else 1]
                if named or (address.host, port) not in self._claimed:
                    self._bind(name, role, address.host, transport, port, connections[name, role])

    def _bind(self, name: str, role: str, host: str, transport: str, port: int, connections: Connections) -> None:
        instrument = self.worlds[name].instruments[role]
        instrument.disconnect = connections.close_all
        label = f"rig {name}, {role}"
        self._check_loopback(host, label)
        if (host, port) in self._claimed:
            raise ConfigurationError(f"{label}: {host} port {port} belongs to another instrument too")
        served = StreamTransport(instrument) if transport == "stream" else HislipTransport(instrument)
        self.server.bind(Endpoint(host, port, served, instrument, connections, label))
        self._claimed.add((host, port))

    def _check_loopback(self, host: str, label: str) -> None:
        try:
            resolved = socket.gethostbyname(host)
        except OSError as error:
            raise ConfigurationError(f"{label}: host {host} is not known: {error}") from error
        if not self._allow_non_loopback and not ipaddress.ip_address(resolved).is_loopback:
            raise ConfigurationError(
                f"{label}: {host} is not a loopback address; anybody could speak to it (--allow-non-loopback)"
            )

    def _feed(self) -> None:
        while not self._stopped.wait(FEED_S):
            for world in self.worlds.values():
                with world.lock:
                    world.tagger.feed()
