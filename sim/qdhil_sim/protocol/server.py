"""Listening: one thread accepts for every instrument, one thread serves each connection."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from qdhil.errors import ConfigurationError
from qdhil_sim.protocol.connection import Connections
from qdhil_sim.protocol.instrument import Instrument

_BACKLOG = 64
_IGNORED_BYTES = 1 << 16
_NO_ROOM_S = 0.01
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Transport(Protocol):
    """How one connection is served."""

    def serve(self, connection: socket.socket) -> None:
        """Serve until the connection ends."""


@dataclass(frozen=True)
class Endpoint:
    """An address of an instrument: where, how, and what the user calls it."""

    host: str
    port: int
    transport: Transport
    instrument: Instrument
    connections: Connections
    label: str


class Server:
    """Serves endpoints; a context manager that closes everything at the end.

    Raises
    ------
    ConfigurationError
        From :meth:`bind` if an address can't be used.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listeners: list[tuple[socket.socket, Endpoint]] = []
        self._open = True

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def bind(self, endpoint: Endpoint) -> None:
        """Claim an address; connections are refused until :meth:`listen`."""
        family, _, _, _, address = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            listener.close()
            raise _cannot_listen(endpoint, error) from error
        self._listeners.append((listener, endpoint))

    def listen(self) -> None:
        """Take connections on every bound address, in a thread of their own."""
        for listener, endpoint in self._listeners:
            try:
                listener.listen(_BACKLOG)
            except OSError as error:
                raise _cannot_listen(endpoint, error) from error
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, endpoint)
        threading.Thread(target=self._accept_all, name="accept", daemon=True).start()

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._open = False
        for listener, endpoint in self._listeners:
            listener.close()
            endpoint.connections.close_all()

    def _accept_all(self) -> None:
        while self._open:
            for key, _ in self._selector.select(timeout=0.5):
                try:
                    self._accept(key.fileobj, key.data)
                except (OSError, RuntimeError):
                    # No descriptor or no thread left: the others must stay reachable, and the host must not spin.
                    time.sleep(_NO_ROOM_S)

    def _accept(self, listener: object, endpoint: Endpoint) -> None:
        if not isinstance(listener, socket.socket):
            return
        connection, _ = listener.accept()
        connection.setblocking(True)
        name = f"{endpoint.label}:{endpoint.port}"
        threading.Thread(target=_serve, args=(endpoint, connection), name=name, daemon=True).start()


def _serve(endpoint: Endpoint, connection: socket.socket) -> None:
    # Asked here and not where connections are accepted: a busy rig must not keep others waiting.
    with endpoint.instrument.lock:
        accepted = endpoint.instrument.accepts_connections()
        if accepted:
            endpoint.connections.add(connection)
    if not accepted:
        # A booting instrument has no TCP stack: the client gets a reset, not an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        connection.close()
        return
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if endpoint.instrument.link.half_open:
            _ignore(connection)
            return
        endpoint.transport.serve(connection)
    except OSError:
        pass  # The client is gone; there is nobody left to tell.
    finally:
        endpoint.connections.close(connection)


def _ignore(connection: socket.socket) -> None:
    """Take what comes and do nothing with it until the client gives up."""
    while connection.recv(_IGNORED_BYTES):
        pass


def _cannot_listen(endpoint: Endpoint, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{endpoint.label}: can't listen on {endpoint.host} port {endpoint.port}: {error.strerror}"
    )
