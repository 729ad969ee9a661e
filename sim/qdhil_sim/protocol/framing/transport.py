"""The transport of framed dialects over TCP."""

from __future__ import annotations

import socket
from collections.abc import Callable

from qdhil_sim.protocol.connection import send_buffers
from qdhil_sim.protocol.framing.framing import Framing, MessageTooLong
from qdhil_sim.protocol.instrument import Instrument, LastWords

_RECEIVE_BYTES = 1 << 16


class FramedTransport:
    """Serves one instrument to any number of clients, each with a framing of its own."""

    def __init__(self, instrument: Instrument, framing: Callable[[], Framing]) -> None:
        self._instrument = instrument
        self._framing = framing

    def serve(self, connection: socket.socket) -> None:
        """Serve one connection until the client closes it or never ends a message."""
        framing = self._framing()
        if greeting := framing.greeting():
            connection.sendall(greeting)
        while data := connection.recv(_RECEIVE_BYTES):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            try:
                messages = framing.messages(data)
            except MessageTooLong:
                return
            for message in messages:
                own = framing.handshake(message)
                if own is not None:
                    connection.sendall(own)
                    continue
                answer = self._instrument.respond(message)
                if isinstance(answer, LastWords):
                    send_buffers(connection, answer)
                    return
                if answer:
                    send_buffers(connection, framing.frame(answer))
