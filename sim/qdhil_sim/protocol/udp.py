"""Datagram servers: a packet in, a packet out, in a thread of their own."""

from __future__ import annotations

import contextlib
import socket
import threading
import traceback
from collections.abc import Callable

from qdhil.errors import ConfigurationError

_LONGEST_PACKET_BYTES = 1 << 16


class UdpService:
    """Answers the datagrams that come to one address; a context manager.

    Raises
    ------
    ConfigurationError
        If the address can't be used.
    """

    def __init__(self, host: str, port: int, respond: Callable[[bytes], bytes | None], label: str = "udp") -> None:
        self._respond = respond
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.bind(address)
        except OSError as error:
            self._socket.close()
            raise ConfigurationError(f"{label}: can't listen on {host} UDP port {port}: {error.strerror}") from error
        self._open = True
        self._thread = threading.Thread(target=self._serve, name=f"{label}:{port}", daemon=True)

    def __enter__(self) -> UdpService:
        self.listen()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def listen(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._open = False
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        self._socket.close()

    def _serve(self) -> None:
        while self._open:
            try:
                packet, sender = self._socket.recvfrom(_LONGEST_PACKET_BYTES)
            except OSError:
                return
            if not self._open:
                return
            try:
                answer = self._respond(packet)
            except Exception:
                traceback.print_exc()
                continue
            if answer is not None:
                with contextlib.suppress(OSError):
                    self._socket.sendto(answer, sender)
