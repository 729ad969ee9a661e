"""Simple Management Protocol: the server that uploads, tests and confirms firmware images (mcumgr).

A packet is an eight-byte header (operation and version, flags, length, group, sequence, command) and a
CBOR map. Groups here: OS (echo, parameters, reset, information, bootloader) and image (state, upload,
erase); errors come in the form of the request's version (Zephyr documentation, "SMP protocol").
CBOR comes from the ``cbor2`` package, the extra ``smp``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any, TypeVar

from qdhil_sim.devices.smp_slots import ImageSlots, SlotRefused

PORT = 1337
_HEADER = struct.Struct("!BBHHBB")
_READ, _WRITE = 0, 2
_OS, _IMAGE = 0, 1
_EINVAL, _ENOENT, _ENOTSUP, _ECORRUPT = 3, 5, 8, 9
_INVALID_HASH, _INVALID_LENGTH, _TOO_LARGE = 24, 21, 30
BUFFER_BYTES, BUFFERS = 1500, 4
LARGEST_IMAGE_BYTES = 8 << 20

Answer = dict[str, Any]
Field = TypeVar("Field")


class Refused(Exception):  # noqa: N818 - the protocol's word for it
    """An error answer: a generic code, or a code of a group with the generic code that comes nearest."""

    def __init__(self, generic: int, group: int | None = None, code: int | None = None) -> None:
        super().__init__(generic, group, code)
        self.generic = generic
        self.group = group
        self.code = code

    def answer(self, version: int) -> Answer:
        """Return the map for a request of protocol version 0 or 1."""
        if version == 0 or self.group is None:
            return {"rc": self.generic}
        return {"err": {"group": self.group, "rc": self.code}}


class SmpServer:
    """Answers the packets of one device."""

    def __init__(self, slots: ImageSlots) -> None:
        self._slots = slots
        self._boots = slots.boots()
        self._upload = bytearray()
        self._upload_bytes = 0
        self._upload_sha: bytes | None = None
        self.undefined_commands = 0
        self._commands: dict[tuple[int, int, int], Callable[[Answer], Answer]] = {
            (_OS, 0, _WRITE): self._echo,
            (_OS, 0, _READ): self._echo,
            (_OS, 5, _WRITE): self._reset,
            (_OS, 6, _READ): self._parameters,
            (_OS, 7, _READ): self._information,
            (_OS, 8, _READ): self._bootloader,
            (_IMAGE, 0, _READ): self._states,
            (_IMAGE, 0, _WRITE): self._mark,
            (_IMAGE, 1, _WRITE): self._receive,
            (_IMAGE, 5, _WRITE): self._erase,
        }

    def respond(self, packet: bytes) -> bytes | None:
        """Return the answer to one packet; None if it is none, or nobody is there to answer."""
        import cbor2

        if len(packet) < _HEADER.size or not self._slots.reachable():
            return None
        if self._boots != self._slots.boots():
            self._boots = self._slots.boots()
            self._forget_upload()
        first, _, length, group, sequence, command = _HEADER.unpack_from(packet)
        operation, version = first & 0x07, first >> 3 & 0x03
        if operation not in {_READ, _WRITE} or length != len(packet) - _HEADER.size:
            return None
        try:
            answer = self._run(group, command, operation, cbor2.loads(packet[_HEADER.size :]) if length else {})
        except Refused as refused:
            answer = refused.answer(version)
        except SlotRefused as refused:
            answer = Refused(refused.generic, _IMAGE, refused.code).answer(version)
        except cbor2.CBORDecodeError:
            answer = Refused(_EINVAL).answer(version)
        body: bytes = cbor2.dumps(answer)
        head = _HEADER.pack(version << 3 | operation + 1, 0, len(body), group, sequence, command)
        return head + body

    def _run(self, group: int, command: int, operation: int, request: object) -> Answer:
        if not isinstance(request, dict):
            raise Refused(_EINVAL)
        run = self._commands.get((group, command, operation))
        if run is None:
            self.undefined_commands += 1
            raise Refused(_ENOTSUP)
        return run(request)

    # OS management.

    def _echo(self, request: Answer) -> Answer:
        return {"r": _field(request, "d", str)}

    def _reset(self, _request: Answer) -> Answer:
        self._slots.reset()
        return {}

    def _parameters(self, _request: Answer) -> Answer:
        return {"buf_size": BUFFER_BYTES, "buf_count": BUFFERS}

    def _information(self, request: Answer) -> Answer:
        wanted = _field(request, "format", str) if "format" in request else "s"
        running = self._slots.states()[0].version
        parts = {"s": "Zephyr", "n": "psc-2", "r": running, "v": running, "b": "unknown", "m": "arm",
                 "p": "cortex-m7", "i": "psc-2-rev-b", "o": "Zephyr"}  # fmt: skip
        order = "snrvbmpio" if "a" in wanted else [key for key in "snrvbmpio" if key in wanted]
        return {"output": " ".join(parts[key] for key in order)}

    def _bootloader(self, request: Answer) -> Answer:
        if "query" not in request:
            return {"bootloader": "MCUboot"}
        if request["query"] == "mode":
            return {"mode": 1}
        raise Refused(_ENOENT, _OS, 3)

    # Image management.

    def _states(self, _request: Answer) -> Answer:
        images = [
            {
                "image": 0,
                "slot": state.slot,
                "version": state.version,
                "hash": state.digest,
                "bootable": True,
                "pending": state.pending,
                "confirmed": state.confirmed,
                "active": state.active,
                "permanent": state.permanent,
            }
            for state in self._slots.states()
        ]
        return {"images": images, "splitStatus": 0}

    def _mark(self, request: Answer) -> Answer:
        permanent = bool(request.get("confirm", False))
        if request.get("hash") is not None:
            self._slots.mark(_field(request, "hash", bytes), permanent=permanent)
        elif permanent:
            self._slots.confirm()
        else:
            raise Refused(_EINVAL, _IMAGE, _INVALID_HASH)
        return self._states({})

    def _receive(self, request: Answer) -> Answer:
        """Take one piece of an image; the answer says which byte is awaited next."""
        offset, data = _field(request, "off", int), _field(request, "data", bytes)
        if offset == 0:
            resumed = self._begin(request)
            if resumed:
                return {"off": resumed}
        elif offset != len(self._upload) or not self._upload_bytes:
            return {"off": len(self._upload)}
        if len(self._upload) + len(data) > self._upload_bytes:
            raise Refused(_EINVAL, _IMAGE, _INVALID_LENGTH)
        self._upload += data
        offset = len(self._upload)
        return self._complete(offset) if offset == self._upload_bytes else {"off": offset}

    def _begin(self, request: Answer) -> int:
        """Start an upload; return where to go on if this one was broken off before, else 0."""
        length, sha = _field(request, "len", int), request.get("sha")
        if request.get("image", 0) != 0:
            raise Refused(_EINVAL, _IMAGE, 14)
        if not 0 < length <= LARGEST_IMAGE_BYTES:
            raise Refused(_EINVAL, _IMAGE, _TOO_LARGE)
        if sha is not None and sha == self._upload_sha and length == self._upload_bytes and self._upload:
            return len(self._upload)
        self._slots.erase()
        self._upload, self._upload_bytes, self._upload_sha = bytearray(), length, sha
        return 0

    def _complete(self, offset: int) -> Answer:
        data, sha = bytes(self._upload), self._upload_sha
        self._forget_upload()
        if sha is not None and sha != hashlib.sha256(data).digest():
            raise Refused(_ECORRUPT, _IMAGE, _INVALID_HASH)
        self._slots.store(data)
        return {"off": offset, "match": True}

    def _forget_upload(self) -> None:
        self._upload, self._upload_bytes, self._upload_sha = bytearray(), 0, None

    def _erase(self, request: Answer) -> Answer:
        if request.get("slot", 1) != 1:
            raise Refused(_EINVAL, _IMAGE, 14)
        self._slots.erase()
        return {}


def _field(request: Answer, name: str, kind: type[Field]) -> Field:
    value = request.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Refused(_EINVAL)
    return value
