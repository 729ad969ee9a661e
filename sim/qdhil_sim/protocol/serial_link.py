"""Serial devices: a pseudo terminal with a link to it at a chosen path, for clients that open a serial port."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import threading
import tty
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from qdhil.errors import ConfigurationError
from qdhil_sim.protocol.framing.framing import Framing, MessageTooLong
from qdhil_sim.protocol.link_faults import Buffer

_RECEIVE_BYTES = 1 << 12
_LOOK_S = 0.2


class SerialDevice(Protocol):
    """What speaks over the link."""

    def framing(self) -> Framing:
        """Return the framing of the connection."""

    def respond(self, message: bytes) -> list[Buffer]:
        """Return the answer to one message."""

    @property
    def streams(self) -> bool:
        """Whether ``COUNTS?`` starts a stream."""

    def timestamps(self, stopped: Callable[[], bool]) -> Iterable[bytes]:
        """Yield the stream."""


class SerialTransport:
    """Serves the device over TCP, as a serial device server does."""

    def __init__(self, device: SerialDevice) -> None:
        self._device = device

    def serve(self, connection: socket.socket) -> None:
        """Serve one connection until the client closes it; whatever it sends ends a stream."""
        framing = self._device.framing()
        while data := connection.recv(_RECEIVE_BYTES):
            for message in framing.messages(data):
                for answer in _answers(
                    self._device, framing, message, lambda: bool(select.select([connection], [], [], 0)[0])
                ):
                    connection.sendall(answer)


def _answers(device: SerialDevice, framing: Framing, message: bytes, stopped: Callable[[], bool]) -> Iterable[bytes]:
    if device.streams and message.strip().upper() == b"COUNTS?":
        yield from device.timestamps(stopped)
    elif answer := device.respond(message):
        yield b"".join(bytes(part) for part in framing.frame(answer))


class SerialLink:
    """A pseudo terminal for one device; a context manager.

    Parameters
    ----------
    path
        Where the link to the terminal is put; whatever link was there is replaced.

    Raises
    ------
    ConfigurationError
        If no link can be put there.
    """

    def __init__(self, path: Path, device: SerialDevice) -> None:
        self._device = device
        self._path = path
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        try:
            if path.is_symlink():
                path.unlink()
            path.symlink_to(os.ttyname(self._slave))
        except OSError as error:
            os.close(self._master)
            os.close(self._slave)
            raise ConfigurationError(f"can't make the serial link {path}: {error.strerror}") from error
        self._open = True
        self._messages: queue.Queue[bytes | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=run, name=f"{path.name}", daemon=True) for run in (self._receive, self._answer)
        ]

    def __enter__(self) -> SerialLink:
        self.listen()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def listen(self) -> None:
        """Answer from now on."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop, and remove the link."""
        self._open = False
        self._messages.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=2.0)
        self._path.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)

    def _receive(self) -> None:
        framing = self._device.framing()
        while self._open:
            if not select.select([self._master], [], [], _LOOK_S)[0]:
                continue
            with contextlib.suppress(MessageTooLong):
                for message in framing.messages(os.read(self._master, _RECEIVE_BYTES)):
                    self._messages.put(message)

    def _answer(self) -> None:
        framing = self._device.framing()
        while (message := self._messages.get()) is not None:
            for answer in _answers(self._device, framing, message, lambda: not self._messages.empty()):
                self._write(answer)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._open:
            # a terminal nobody reads is full soon: look again rather than hang
            if select.select([], [self._master], [], _LOOK_S)[1]:
                view = view[os.write(self._master, view[:1024]) :]
