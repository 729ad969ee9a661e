"""TCP connections of one instrument: sending many buffers, receiving exactly, closing all at once."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence

from qdhil_sim.protocol.instrument import Buffer

_JOIN_BELOW_BYTES = 1 << 16


class Connections:
    """The open connections of one instrument; a reboot or the end of the process closes them."""

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sockets)

    def add(self, connection: socket.socket) -> None:
        """Keep track of a connection."""
        with self._lock:
            self._sockets.add(connection)

    def close(self, connection: socket.socket) -> None:
        """Close one connection and forget it."""
        with self._lock:
            self._sockets.discard(connection)
        hang_up(connection)
        connection.close()

    def close_all(self) -> None:
        """End every connection; the thread that serves it then closes it."""
        with self._lock:
            for connection in self._sockets:
                hang_up(connection)


def hang_up(connection: socket.socket) -> None:
    """Shut both directions down, so that a thread reading or writing there returns."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def send_buffers(connection: socket.socket, buffers: Sequence[Buffer]) -> None:
    """Send buffers in order; small ones are joined into one packet, large ones are not copied."""
    pending = bytearray()
    for buffer in buffers:
        if len(buffer) < _JOIN_BELOW_BYTES:
            pending += buffer
            continue
        if pending:
            connection.sendall(pending, socket.MSG_MORE)
            pending = bytearray()
        connection.sendall(buffer)
    if pending:
        connection.sendall(pending)


def receive_exactly(connection: socket.socket, length: int) -> bytearray:
    """Receive ``length`` bytes.

    Raises
    ------
    ConnectionError
        If the peer closes before.
    """
    data = bytearray(length)
    view = memoryview(data)
    while view:
        received = connection.recv_into(view)
        if received == 0:
            raise ConnectionError("closed by the peer")
        view = view[received:]
    return data
