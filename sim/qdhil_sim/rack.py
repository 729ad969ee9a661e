"""The simulated rack: every instrument of every rig on the address of its resource string.

An instrument that speaks SCPI is served by raw SOCKET and by HiSLIP: the transport that the resource
names at its port, the other one at the port where such an instrument usually has it, unless another
instrument of the rack has that address already. An instrument with a dialect of its own has its own ports.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from qdhil.errors import ConfigurationError
from qdhil.instruments.config import HISLIP_PORT, tcp_address
from qdhil.rack.config import Rack, Rig
from qdhil_sim.catalogue import Model, TransportName, find_model
from qdhil_sim.devices.controller import Controller
from qdhil_sim.protocol.connection import Connections
from qdhil_sim.protocol.hislip import HislipTransport
from qdhil_sim.protocol.instrument import Instrument
from qdhil_sim.protocol.server import Endpoint, Server, Transport
from qdhil_sim.protocol.stream import StreamTransport
from qdhil_sim.protocol.vxi11 import Vxi11Transport
from qdhil_sim.scenario import Scenario
from qdhil_sim.side_services import Service, firmware_management, over_zmq
from qdhil_sim.world import RigWorld

FEED_S = 0.02


@runtime_checkable
class OwnTransports(Protocol):
    """An instrument whose dialect has a framing, and perhaps more ports, of its own."""

    port: ClassVar[int]

    def transports(self) -> Mapping[int, Transport]:
        """Return what serves each of its TCP ports."""


@dataclass(frozen=True)
class Address:
    """Where one instrument is served."""

    host: str
    stream_port: int
    hislip_port: int | None
    """``None`` for an instrument without HiSLIP."""
    named: TransportName
    """The transport that the resource names."""
    vxi11_port: int | None = None
    """Port of VXI-11, where the resource names it."""

    @property
    def ports(self) -> list[tuple[TransportName, int]]:
        """Transports and ports, the named transport first."""
        if self.hislip_port is None:
            return [(self.named, self.stream_port)]
        ports: dict[TransportName, int] = {"stream": self.stream_port, "hislip": self.hislip_port}
        if self.vxi11_port is not None:
            ports["vxi11"] = self.vxi11_port
        return sorted(ports.items(), key=lambda item: item[0] != self.named)


def address_of(label: str, resource: str, model: Model) -> Address:
    """Return where an instrument is served, from its resource string.

    Raises
    ------
    ConfigurationError
        If the resource is not over TCP, or names a transport that the model does not have.
    """
    try:
        host, port, named = tcp_address(resource)
    except ValueError as error:
        raise ConfigurationError(f"{label}: {resource} can't be simulated: {error}") from error
    if (named in ("hislip", "vxi11") and not model.hislip) or (named == "zmq") != model.zmq:
        raise ConfigurationError(f"{label}: {resource} can't be simulated: the instrument has another interface")
    if named == "hislip":
        return Address(host, model.port, port, named)
    if named == "vxi11":
        return Address(host, model.port, HISLIP_PORT, named, port)
    return Address(host, port, HISLIP_PORT if model.hislip else None, named)


def addresses_of(name: str, rig: Rig) -> dict[str, Address]:
    """Return where each instrument of a rig is served, by role.

    Raises
    ------
    ConfigurationError
        If one of them can't be simulated.
    """
    found = {}
    for role, instrument in rig.instruments.by_role().items():
        label = f"rig {name}, {role}"
        found[role] = address_of(label, instrument.resource, find_model(instrument.model, label))
    return found


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
        self._services: list[Service] = []
        self.worlds = {name: RigWorld(name, rack.rigs[name], rack_file, seed) for name in self.names}
        try:
            self._bind_all()
        except BaseException:
            self.close()
            raise

    def play(self, scenario: Scenario) -> None:
        """Set the faults of a scenario, their onsets counting from now.

        Raises
        ------
        ConfigurationError
            If it names a rig or an instrument that there is not.
        """
        roles = {name: tuple(world.instruments) for name, world in self.worlds.items()}
        for name, fault in scenario.for_rigs(roles):
            self.worlds[name].faults.add(fault)

    def listen(self) -> None:
        """Become reachable."""
        self.server.listen()
        for service in self._services:
            service.listen()
        if not all(world.clock.turbo for world in self.worlds.values()):
            threading.Thread(target=self._feed, name="light", daemon=True).start()

    def close(self) -> None:
        """End every connection; closing again does nothing."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self.server.close()
        for service in self._services:
            service.close()

    def _bind_all(self) -> None:
        addresses = [
            (name, role, address)
            for name in self.names
            for role, address in addresses_of(name, self._rack.rigs[name]).items()
        ]
        # Named transports first: another instrument's usual port must not take a named one away.
        connections = {(name, role): Connections() for name, role, _ in addresses}
        for named in (True, False):
            for name, role, address in addresses:
                instrument = self.worlds[name].instruments[role]
                instrument.disconnect = connections[name, role].close_all
                for place in _places(instrument, address, named=named):
                    if named or (address.host, place.port) not in self._claimed:
                        self._bind(f"rig {name}, {role}", instrument, address.host, place, connections[name, role])
        for name, role, address in addresses:
            label, instrument = f"rig {name}, {role}", self.worlds[name].instruments[role]
            if address.named == "zmq":
                self._add_service(address.host, label, over_zmq(label, instrument, address.host, address.stream_port))
            if isinstance(instrument, Controller):
                self._manage_firmware(name, label, instrument, address.host)

    def _manage_firmware(self, name: str, label: str, controller: Controller, host: str) -> None:
        settings = self._rack.rigs[name].firmware.smp
        if settings is not None and settings.udp is not None:
            host = settings.udp[0]
        self._add_service(host, label, firmware_management(label, controller, host, settings))

    def _add_service(self, host: str, label: str, service: Service | None) -> None:
        if service is not None:
            self._services.append(service)
            self._check_loopback(host, label)

    def _bind(self, label: str, instrument: Instrument, host: str, place: _Place, connections: Connections) -> None:
        self._check_loopback(host, label)
        if (host, place.port) in self._claimed:
            raise ConfigurationError(f"{label}: {host} port {place.port} belongs to another instrument too")
        self.server.bind(Endpoint(host, place.port, place.transport, instrument, connections, label))
        self._claimed.add((host, place.port))

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


@dataclass(frozen=True)
class _Place:
    """A port of an instrument and what serves it."""

    port: int
    transport: Transport


def _places(instrument: Instrument, address: Address, *, named: bool) -> Iterator[_Place]:
    """Yield the ports of the transport that the resource names, or those of the others."""
    for transport, port in address.ports:
        if (transport == address.named) != named or transport == "zmq":
            continue
        if transport == "hislip":
            yield _Place(port, HislipTransport(instrument))
        elif transport == "vxi11":
            yield _Place(port, Vxi11Transport(instrument))
        elif isinstance(instrument, OwnTransports):
            for own_port, served in instrument.transports().items():
                yield _Place(port if own_port == instrument.port else own_port, served)
        else:
            yield _Place(port, StreamTransport(instrument))
