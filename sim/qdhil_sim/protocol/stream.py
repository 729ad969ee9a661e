"""The raw SOCKET transport: messages end at LF, CR or CRLF, answers at the instrument's terminator."""

from __future__ import annotations

import socket

from qdhil_sim.protocol.connection import send_buffers
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import Instrument, LastWords
from qdhil_sim.protocol.message import MessageSplitter

_RECEIVE_BYTES = 1 << 16


class StreamTransport:
    """Serves one instrument to any number of raw socket clients."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument

    def serve(self, connection: socket.socket) -> None:
        """Serve one connection until the client closes it."""
        splitter = MessageSplitter()
        while data := connection.recv(_RECEIVE_BYTES):
            # A client's next small write waits for this acknowledgement (Nagle), which Linux delays by 40 ms.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            try:
                messages = splitter.feed(data)
            except ScpiError as error:
                with self._instrument.lock:
                    self._instrument.queue_error(error)
                continue
            for message in messages:
                answer = self._instrument.respond(message)
                send_buffers(connection, answer)
                if isinstance(answer, LastWords):
                    return
