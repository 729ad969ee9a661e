"""The VXI-11 transport: the core channel (ONC RPC program 395183) on a port of its own, without portmapper.

``TCPIP0::host,PORT::inst0::INSTR`` names the port, as PyVISA-py understands it. Each link has its own
output; a device clear drops it. There is no abort channel and no interrupt channel: rigs are polled.
Locks are granted to whoever asks: rigs are reserved by the rack's leases. (VXI-11 rev. 1.0, RFC 5531.)
"""

from __future__ import annotations

import itertools
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from qdhil_sim.protocol.connection import receive_exactly
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import Instrument, LastWords
from qdhil_sim.protocol.message import MESSAGE_LIMIT_BYTES, MessageSplitter

_LAST_FRAGMENT = 1 << 31
_CALL, _REPLY, _RPC_VERSION = 0, 1, 2
_PROGRAM, _VERSION = 0x0607AF, 1
_SUCCESS, _PROGRAM_UNAVAILABLE, _PROCEDURE_UNAVAILABLE, _GARBAGE = 0, 1, 3, 4
_NO_ERROR, _INVALID_LINK, _NOT_SUPPORTED, _IO_TIMEOUT = 0, 4, 8, 15
_END_FLAG, _TERMINATOR_FLAG = 0x08, 0x80
_COUNT_REASON, _TERMINATOR_REASON, _END_REASON = 1, 2, 4
_MESSAGE_AVAILABLE_BIT = 0x10
_MAX_RECEIVE_BYTES = 1 << 24


class Garbage(Exception):  # noqa: N818 - the RPC's word for it
    """Arguments that can't be decoded."""


class Arguments:
    """XDR data being read."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        self._at = 0

    def integers(self, count: int) -> tuple[int, ...]:
        """Return signed 32-bit numbers."""
        end = self._at + 4 * count
        if end > len(self._data):
            raise Garbage
        numbers = struct.unpack_from(f"!{count}i", self._data, self._at)
        self._at = end
        return numbers

    def opaque(self) -> bytes:
        """Return bytes of variable length."""
        (length,) = self.integers(1)
        end = self._at + length
        if length < 0 or end > len(self._data):
            raise Garbage
        data = bytes(self._data[self._at : end])
        self._at = end + -length % 4
        return data


def _integers(*numbers: int) -> bytes:
    return struct.pack(f"!{len(numbers)}i", *numbers)


def _opaque(data: bytes | bytearray) -> bytes:
    return _integers(len(data)) + data + bytes(-len(data) % 4)


@dataclass
class Link:
    """One link of a client."""

    splitter: MessageSplitter = field(default_factory=MessageSplitter)
    output: bytearray = field(default_factory=bytearray)


class Vxi11Transport:
    """Serves one instrument to any number of VXI-11 clients."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._ids = itertools.count(1)

    def serve(self, connection: socket.socket) -> None:
        """Serve one connection until it ends."""
        channel = _Channel(self._instrument, self._ids)
        while not channel.over:
            record = _receive_record(connection)
            reply = channel.call(record)
            connection.sendall(struct.pack("!I", _LAST_FRAGMENT | len(reply)) + reply)


def _receive_record(connection: socket.socket) -> bytearray:
    record = bytearray()
    while True:
        (head,) = struct.unpack("!I", receive_exactly(connection, 4))
        length = head & ~_LAST_FRAGMENT
        if len(record) + length > MESSAGE_LIMIT_BYTES:
            raise ConnectionError("record too long")
        record += receive_exactly(connection, length)
        if head & _LAST_FRAGMENT:
            return record


class _Channel:
    """The links of one connection and the procedures on them."""

    def __init__(self, instrument: Instrument, ids: itertools.count[int]) -> None:
        self._instrument = instrument
        self._ids = ids
        self._links: dict[int, Link] = {}
        self.over = False
        self._procedures: dict[int, Callable[[Arguments], bytes]] = {
            0: lambda _: b"",
            10: self._create_link,
            11: self._write,
            12: self._read,
            13: self._read_status,
            14: self._trigger,
            15: self._clear,
            16: self._nothing,
            17: self._nothing,
            18: self._nothing,
            19: self._nothing,
            20: self._nothing,
            22: lambda _: _integers(_NOT_SUPPORTED, 0),
            23: self._destroy_link,
            25: lambda _: _integers(_NOT_SUPPORTED),
            26: lambda _: _integers(_NOT_SUPPORTED),
        }

    def call(self, record: bytearray) -> bytes:
        """Run one call and return its reply."""
        arguments = Arguments(record)
        try:
            xid, kind, rpc, program, version, procedure = arguments.integers(6)
            for _ in ("credentials", "verifier"):
                arguments.integers(1)
                arguments.opaque()
        except Garbage as error:
            raise ConnectionError("no RPC call") from error
        if kind != _CALL or rpc != _RPC_VERSION:
            raise ConnectionError("no RPC call")
        status, results = _SUCCESS, b""
        if (program, version) != (_PROGRAM, _VERSION):
            status = _PROGRAM_UNAVAILABLE
        elif procedure not in self._procedures:
            status = _PROCEDURE_UNAVAILABLE
        else:
            try:
                results = self._procedures[procedure](arguments)
            except Garbage:
                status = _GARBAGE
        return _integers(xid, _REPLY, 0, 0, 0, status) + results

    def _create_link(self, arguments: Arguments) -> bytes:
        arguments.integers(3)
        arguments.opaque()
        link = next(self._ids)
        self._links[link] = Link()
        return _integers(_NO_ERROR, link, 0, _MAX_RECEIVE_BYTES)

    def _destroy_link(self, arguments: Arguments) -> bytes:
        (number,) = arguments.integers(1)
        return _integers(_INVALID_LINK if self._links.pop(number, None) is None else _NO_ERROR)

    def _write(self, arguments: Arguments) -> bytes:
        number, _, _, flags = arguments.integers(4)
        data = arguments.opaque()
        link = self._links.get(number)
        if link is None:
            return _integers(_INVALID_LINK, 0)
        try:
            messages = link.splitter.feed(data)
        except ScpiError as error:
            with self._instrument.lock:
                self._instrument.queue_error(error)
            return _integers(_NO_ERROR, len(data))
        if flags & _END_FLAG:
            messages += link.splitter.finish()
        for message in messages:
            answer = self._instrument.respond(message)
            self.over |= isinstance(answer, LastWords)
            for part in answer:
                link.output += part
        return _integers(_NO_ERROR, len(data))

    def _read(self, arguments: Arguments) -> bytes:
        number, wanted, timeout_ms, _, flags, terminator = arguments.integers(6)
        link = self._links.get(number)
        if link is None:
            return _integers(_INVALID_LINK, 0) + _opaque(b"")
        if not link.output:
            # nothing comes any more: messages are answered while they are written
            time.sleep(max(0, timeout_ms) / 1000)
            return _integers(_IO_TIMEOUT, 0) + _opaque(b"")
        end = min(max(0, wanted), len(link.output))
        reason = _COUNT_REASON if end == wanted else 0
        if flags & _TERMINATOR_FLAG:
            found = link.output.find(terminator & 0xFF, 0, end)
            if found >= 0:
                end, reason = found + 1, _TERMINATOR_REASON
        data = bytes(link.output[:end])
        del link.output[:end]
        return _integers(_NO_ERROR, reason | (0 if link.output else _END_REASON)) + _opaque(data)

    def _read_status(self, arguments: Arguments) -> bytes:
        link = self._links.get(arguments.integers(4)[0])
        if link is None:
            return _integers(_INVALID_LINK, 0)
        with self._instrument.lock:
            status = self._instrument.status_byte()
        return _integers(_NO_ERROR, status | (_MESSAGE_AVAILABLE_BIT if link.output else 0))

    def _trigger(self, arguments: Arguments) -> bytes:
        if arguments.integers(4)[0] not in self._links:
            return _integers(_INVALID_LINK)
        with self._instrument.lock:
            self._instrument.trigger()
        return _integers(_NO_ERROR)

    def _clear(self, arguments: Arguments) -> bytes:
        link = self._links.get(arguments.integers(4)[0])
        if link is None:
            return _integers(_INVALID_LINK)
        link.splitter.clear()
        link.output.clear()
        return _integers(_NO_ERROR)

    def _nothing(self, arguments: Arguments) -> bytes:
        return _integers(_NO_ERROR if arguments.integers(1)[0] in self._links else _INVALID_LINK)
