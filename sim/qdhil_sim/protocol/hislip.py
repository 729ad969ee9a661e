"""The HiSLIP transport (IVI-6.1): a synchronous channel for messages, an asynchronous one for control.

Synchronised mode only, as instruments without overlap announce. Answers carry the MessageID of the
message that asked, in Data messages no larger than the client said it takes. A device clear drops
what has not been sent. Locks are granted to whoever asks: rigs are reserved by the rack's leases.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from qdhil_sim.protocol.connection import hang_up, receive_exactly, send_buffers
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import Buffer, Instrument, LastWords
from qdhil_sim.protocol.message import MESSAGE_LIMIT_BYTES, MessageSplitter

_HEADER = struct.Struct("!2sBBIQ")
_SIZE = struct.Struct("!Q")
_VERSION_1_0 = 0x0100
_VENDOR_ID = int.from_bytes(b"QD", "big")
_SERVER_MAX_MESSAGE_BYTES = 1 << 24
_CLIENT_MAX_MESSAGE_BYTES = 1 << 20
_SUB_ADDRESS_LIMIT_BYTES = 256
_MESSAGE_AVAILABLE_BIT = 0x10
_DELIVERED = 0x01


class Kind(IntEnum):
    """HiSLIP message types (IVI-6.1, table 4)."""

    INITIALIZE = 0
    INITIALIZE_RESPONSE = 1
    FATAL_ERROR = 2
    ERROR = 3
    ASYNC_LOCK = 4
    ASYNC_LOCK_RESPONSE = 5
    DATA = 6
    DATA_END = 7
    DEVICE_CLEAR_COMPLETE = 8
    DEVICE_CLEAR_ACKNOWLEDGE = 9
    ASYNC_REMOTE_LOCAL_CONTROL = 10
    ASYNC_REMOTE_LOCAL_RESPONSE = 11
    TRIGGER = 12
    ASYNC_MAX_MSG_SIZE = 15
    ASYNC_MAX_MSG_SIZE_RESPONSE = 16
    ASYNC_INITIALIZE = 17
    ASYNC_INITIALIZE_RESPONSE = 18
    ASYNC_DEVICE_CLEAR = 19
    ASYNC_STATUS_QUERY = 21
    ASYNC_STATUS_RESPONSE = 22
    ASYNC_DEVICE_CLEAR_ACKNOWLEDGE = 23
    ASYNC_LOCK_INFO = 24
    ASYNC_LOCK_INFO_RESPONSE = 25


@dataclass(frozen=True)
class Message:
    """One received message."""

    kind: int
    control: int
    parameter: int
    payload: bytearray


@dataclass
class Session:
    """One client: its two channels and what it negotiated."""

    synchronous: socket.socket
    asynchronous: socket.socket | None = None
    client_max_bytes: int = _CLIENT_MAX_MESSAGE_BYTES
    clearing: threading.Event = field(default_factory=threading.Event)
    message_available: bool = False


def _receive(connection: socket.socket) -> Message:
    prologue, kind, control, parameter, length = _HEADER.unpack(receive_exactly(connection, _HEADER.size))
    if prologue != b"HS" or length > MESSAGE_LIMIT_BYTES:
        _send(connection, Kind.FATAL_ERROR, 1, 0, b"Poorly formed message header")
        raise ConnectionError("poorly formed HiSLIP header")
    return Message(kind, control, parameter, receive_exactly(connection, length))


def _send(connection: socket.socket, kind: Kind, control: int, parameter: int, payload: bytes = b"") -> None:
    connection.sendall(_HEADER.pack(b"HS", kind, control, parameter, len(payload)) + payload)


class HislipTransport:
    """Serves one instrument to any number of HiSLIP clients."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._sessions: dict[int, Session] = {}
        self._ids = itertools.count(1)

    def serve(self, connection: socket.socket) -> None:
        """Serve one channel until it ends; its session's other channel ends with it."""
        first = _receive(connection)
        if first.kind == Kind.INITIALIZE and len(first.payload) <= _SUB_ADDRESS_LIMIT_BYTES:
            self._serve_synchronous(connection)
        elif first.kind == Kind.ASYNC_INITIALIZE and self._waits_for_channel(first.parameter):
            self._serve_asynchronous(connection, self._sessions[first.parameter])
        else:
            _send(connection, Kind.FATAL_ERROR, 3, 0, b"Invalid Initialization sequence")

    def _waits_for_channel(self, session_id: int) -> bool:
        session = self._sessions.get(session_id)
        return session is not None and session.asynchronous is None

    def _serve_synchronous(self, connection: socket.socket) -> None:
        session_id = next(number for number in self._ids if number & 0xFFFF not in self._sessions) & 0xFFFF
        session = self._sessions[session_id] = Session(connection)
        try:
            _send(connection, Kind.INITIALIZE_RESPONSE, 0, _VERSION_1_0 << 16 | session_id)
            splitter = MessageSplitter()
            while True:
                self._handle_synchronous(session, _receive(connection), splitter)
        finally:
            del self._sessions[session_id]
            if session.asynchronous is not None:
                hang_up(session.asynchronous)

    def _handle_synchronous(self, session: Session, message: Message, splitter: MessageSplitter) -> None:
        if message.kind in (Kind.DATA, Kind.DATA_END):
            session.message_available = False
            if not session.clearing.is_set():
                self._run(session, message, splitter)
        elif message.kind == Kind.DEVICE_CLEAR_COMPLETE:
            splitter.clear()
            session.clearing.clear()
            session.message_available = False
            _send(session.synchronous, Kind.DEVICE_CLEAR_ACKNOWLEDGE, 0, 0)
        elif message.kind == Kind.TRIGGER:
            with self._instrument.lock:
                self._instrument.trigger()
        elif message.kind in (Kind.ERROR, Kind.FATAL_ERROR):
            raise ConnectionError(bytes(message.payload).decode("ascii", "replace"))
        else:
            _send(session.synchronous, Kind.ERROR, 1, 0, b"Unrecognized Message Type")

    def _run(self, session: Session, message: Message, splitter: MessageSplitter) -> None:
        try:
            lines = splitter.feed(message.payload)
        except ScpiError as error:
            with self._instrument.lock:
                self._instrument.queue_error(error)
            return
        if message.kind == Kind.DATA_END:
            lines += splitter.finish()
        for line in lines:
            if session.clearing.is_set():
                return
            answer = self._instrument.respond(line, abandoned=session.clearing.is_set)
            if answer:
                session.message_available = True
                _send_answer(session, message.parameter, answer)
            if isinstance(answer, LastWords):
                raise ConnectionError("ended by the instrument")

    def _serve_asynchronous(self, connection: socket.socket, session: Session) -> None:
        session.asynchronous = connection
        try:
            _send(connection, Kind.ASYNC_INITIALIZE_RESPONSE, 0, _VENDOR_ID)
            while True:
                self._handle_asynchronous(connection, session, _receive(connection))
        finally:
            hang_up(session.synchronous)

    def _handle_asynchronous(self, connection: socket.socket, session: Session, message: Message) -> None:
        if message.kind == Kind.ASYNC_MAX_MSG_SIZE and len(message.payload) == _SIZE.size:
            session.client_max_bytes = max(_SIZE.unpack(message.payload)[0], _HEADER.size + 1)
            _send(connection, Kind.ASYNC_MAX_MSG_SIZE_RESPONSE, 0, 0, _SIZE.pack(_SERVER_MAX_MESSAGE_BYTES))
        elif message.kind == Kind.ASYNC_DEVICE_CLEAR:
            session.clearing.set()
            _send(connection, Kind.ASYNC_DEVICE_CLEAR_ACKNOWLEDGE, 0, 0)
        elif message.kind == Kind.ASYNC_STATUS_QUERY:
            _send(connection, Kind.ASYNC_STATUS_RESPONSE, self._status(session, message), 0)
        elif message.kind == Kind.ASYNC_LOCK:
            _send(connection, Kind.ASYNC_LOCK_RESPONSE, 1, 0)
        elif message.kind == Kind.ASYNC_LOCK_INFO:
            _send(connection, Kind.ASYNC_LOCK_INFO_RESPONSE, 0, 0)
        elif message.kind == Kind.ASYNC_REMOTE_LOCAL_CONTROL:
            _send(connection, Kind.ASYNC_REMOTE_LOCAL_RESPONSE, 0, 0)
        else:
            _send(connection, Kind.ERROR, 1, 0, b"Unrecognized Message Type")

    def _status(self, session: Session, message: Message) -> int:
        if message.control & _DELIVERED:
            session.message_available = False
        with self._instrument.lock:
            status = self._instrument.status_byte()
        return status | (_MESSAGE_AVAILABLE_BIT if session.message_available else 0)


def _send_answer(session: Session, message_id: int, answer: Sequence[Buffer]) -> None:
    left = sum(map(len, answer))
    for payload in _cut(answer, session.client_max_bytes - _HEADER.size):
        if session.clearing.is_set():
            return
        length = sum(map(len, payload))
        left -= length
        kind = Kind.DATA if left or isinstance(answer, LastWords) else Kind.DATA_END
        send_buffers(session.synchronous, [_HEADER.pack(b"HS", kind, 0, message_id, length), *payload])


def _cut(buffers: Sequence[Buffer], size: int) -> Iterator[list[Buffer]]:
    """Cut buffers into groups of ``size`` bytes without copying them."""
    group: list[Buffer] = []
    room = size
    for buffer in buffers:
        view = memoryview(buffer)
        while view:
            group.append(view[:room])
            view = view[room:]
            room -= len(group[-1])
            if room == 0:
                yield group
                group, room = [], size
    if group:
        yield group
