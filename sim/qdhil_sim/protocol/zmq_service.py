"""Instruments over ZeroMQ: text requests of REQ sockets, tags on PAIR sockets. Needs the extra ``zmq``."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Protocol

from qdhil.errors import ConfigurationError
from qdhil_sim.protocol.link_faults import Buffer

_LOOK_MS = 200
_QUEUED_MESSAGES = 64


class ZmqDevice(Protocol):
    """What is spoken to."""

    lock: threading.RLock
    send: Callable[[int, bytes], bool]

    def respond(self, message: bytes) -> list[Buffer]:
        """Return the answer to one request; empty if there is none."""

    def collect(self) -> bool:
        """Do what is due."""

    def accepts_connections(self) -> bool:
        """Return whether the device is there."""


class ZmqService:
    """Serves one device; a context manager.

    Parameters
    ----------
    streams
        Ports of the PAIR sockets by the number the device calls them.

    Raises
    ------
    ConfigurationError
        If an address can't be used or the package ``pyzmq`` is missing.
    """

    def __init__(self, host: str, port: int, device: ZmqDevice, streams: dict[int, int], label: str = "zmq") -> None:
        try:
            import zmq
        except ImportError as error:
            raise ConfigurationError(f"{label}: ZeroMQ is needed: install qdhil[zmq]") from error
        self._device = device
        self._context = zmq.Context()
        self._requests = self._context.socket(zmq.ROUTER)
        self._streams = {number: self._context.socket(zmq.PAIR) for number in streams}
        sockets = [(self._requests, port), *((self._streams[number], at) for number, at in streams.items())]
        for each, at in sockets:
            each.setsockopt(zmq.LINGER, 0)
            each.setsockopt(zmq.SNDHWM, _QUEUED_MESSAGES)
            try:
                each.bind(f"tcp://{host}:{at}")
            except zmq.ZMQError as error:
                self._context.destroy(linger=0)
                raise ConfigurationError(f"{label}: can't listen on {host} port {at}: {error}") from error
        self._open = True
        self._thread = threading.Thread(target=self._serve, name=f"{label}:{port}", daemon=True)

    def __enter__(self) -> ZmqService:
        self.listen()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def listen(self) -> None:
        """Answer from now on."""
        self._device.send = self._send
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._open = False
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        self._context.destroy(linger=0)

    def _serve(self) -> None:
        # The sockets belong to this thread alone: ZeroMQ's are not for several.
        while self._open:
            if not self._requests.poll(_LOOK_MS):
                with self._device.lock:
                    self._device.collect()
                continue
            *route, request = self._requests.recv_multipart()
            try:
                answer = self._device.respond(request)
            except Exception:
                traceback.print_exc()
                continue
            if answer:  # a silent device leaves its client waiting
                self._requests.send_multipart([*route, b"".join(bytes(part) for part in answer)])

    def _send(self, number: int, data: bytes) -> bool:
        import zmq

        if not data:
            return True
        try:
            self._streams[number].send(data, zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True
