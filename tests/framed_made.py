"""Instruments served for a test: their transports on a loopback address, and raw sockets to them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from qdhil_sim.clock import Clock
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.connection import Connections
from qdhil_sim.protocol.server import Endpoint, Server


def make(kind: type[Any], clock: str = "turbo") -> tuple[Any, Environment]:
    """Return a device and the bench that it acts on."""
    environment = Environment()
    return kind("SN1", environment, Clock(clock), threading.RLock()), environment


@contextlib.contextmanager
def served(device: Any, host: str) -> Iterator[None]:
    """Serve every transport of a device."""
    with Server() as server:
        for port, transport in device.transports().items():
            server.bind(Endpoint(host, port, transport, device, Connections(), type(device).__name__))
        server.listen()
        yield


class Line:
    """A raw socket: what is written, and what comes back up to an end."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=5.0)
        self._received = b""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read_until(self, end: bytes) -> bytes:
        while end not in self._received:
            data = self._socket.recv(1 << 16)
            assert data, f"closed after {self._received!r}"
            self._received += data
        answer, _, self._received = self._received.partition(end)
        return answer

    def ask(self, data: bytes, end: bytes = b"\n") -> bytes:
        self.write(data)
        return self.read_until(end)

    def quiet(self, for_s: float = 0.1) -> bool:
        """Return whether nothing comes for a while."""
        self._socket.settimeout(for_s)
        try:
            self._received += self._socket.recv(1 << 16)
        except TimeoutError:
            pass
        finally:
            self._socket.settimeout(5.0)
        return not self._received


def wait_until(done: Any, limit_s: float = 5.0) -> None:
    end_s = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.005)
