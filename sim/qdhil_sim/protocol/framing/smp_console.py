"""SMP packets on a serial console: base64 lines among whatever else the console carries.

A packet's first line starts with 0x06 0x09, each further one with 0x04 0x14; the decoded lines together are
a length, the packet and its CRC16 (polynomial 0x1021, start 0). The length counts the CRC as well (Zephyr
documentation, "SMP over console").
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence

from qdhil_sim.protocol.link_faults import Buffer

_FIRST, _FURTHER = b"\x06\x09", b"\x04\x14"
_LENGTH = struct.Struct("!H")
_LONGEST_LINE_BYTES = 1 << 12
_LONGEST_PACKET_BYTES = 1 << 12
_CHARACTERS_A_LINE = 124


class SmpConsoleFraming:
    """Cuts a console's bytes into packets; lines that are none, or damaged, are passed over."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._body: bytearray | None = None

    def greeting(self) -> bytes:
        """Return nothing."""
        return b""

    def handshake(self, _message: bytes, /) -> bytes | None:
        """Return None: there is no login."""
        return None

    def messages(self, data: bytes) -> list[bytes]:
        """Return the packets that are complete now."""
        found = []
        for byte in data:
            if byte != ord("\n"):
                self._line.append(byte)
                del self._line[:-_LONGEST_LINE_BYTES]
                continue
            packet = self._end_line(bytes(self._line).rstrip(b"\r"))
            self._line.clear()
            if packet is not None:
                found.append(packet)
        return found

    def frame(self, answer: Sequence[Buffer]) -> list[Buffer]:
        """Return the lines of one packet."""
        packet = b"".join(bytes(part) for part in answer)
        check = binascii.crc_hqx(packet, 0)
        body = base64.b64encode(_LENGTH.pack(len(packet) + _LENGTH.size) + packet + _LENGTH.pack(check))
        starts = range(0, len(body), _CHARACTERS_A_LINE)
        return [(_FURTHER if at else _FIRST) + body[at : at + _CHARACTERS_A_LINE] + b"\n" for at in starts]

    def _end_line(self, line: bytes) -> bytes | None:
        """Take one line; return the packet that it completes."""
        if line[:2] == _FIRST:
            self._body = bytearray()
        elif line[:2] != _FURTHER or self._body is None:
            return None
        try:
            self._body += base64.b64decode(line[2:], validate=True)
        except binascii.Error:
            self._body = None
            return None
        return self._complete()

    def _complete(self) -> bytes | None:
        """Return the packet if all of it is there and its CRC is right."""
        body = self._body or bytearray()
        if len(body) > _LONGEST_PACKET_BYTES:
            self._body = None
        if len(body) < _LENGTH.size or len(body) - _LENGTH.size < _LENGTH.unpack_from(body)[0]:
            return None
        self._body = None
        framed = bytes(body[_LENGTH.size : _LENGTH.size + _LENGTH.unpack_from(body)[0]])
        packet = framed[: -_LENGTH.size]
        if len(framed) < _LENGTH.size or binascii.crc_hqx(framed, 0) != 0:
            return None
        return packet
