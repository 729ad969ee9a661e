"""The tag block as it travels from a time tagger: a 64-byte header and packed little-endian int64.

Payload ``PACK64``: each tag is ``(t_ps << 5) | channel``, so that a block sorts by time and a
signed 64-bit word spans 80 hours at 1 ps; channel 31 is reserved for markers. Header, little-endian::

    offset size field
         0    8  magic            b"QDHILTAG"
         8    2  version          1
        10    2  header_bytes     64
        12    4  sequence         0, 1, 2, ... within an acquisition
        16    8  acquisition      id of the acquisition
        24    8  count            tags in the payload
        32    8  t_first_ps       first tag (0 when count is 0)
        40    8  t_last_ps        last tag (0 when count is 0)
        48    8  dropped          tags lost so far in this acquisition
        56    4  payload_crc      CRC-32 of the payload
        60    4  header_crc       CRC-32 of bytes 0 to 59

A block that fails any check raises :class:`~qdhil.errors.TagFault`: a tagger's bug must not pass for physics.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.errors import TagFault

MAGIC = b"QDHILTAG"
VERSION = 1
CHANNEL_BITS = 5
CHANNEL_MASK = (1 << CHANNEL_BITS) - 1
_FIELDS = struct.Struct("<8sHHIQQqqQI")
_CRC = struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CRC.size


@dataclass(frozen=True)
class TagBlock:
    """One decoded block: where it belongs in its acquisition, and its packed tags (int64, sorted)."""

    sequence: int
    acquisition: int
    dropped: int
    packed: npt.NDArray[np.int64]


def pack(t_ps: npt.NDArray[np.int64], channel: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Pack times (ps) and channels (0 to 30) into sorted-by-time int64 words."""
    return (t_ps << CHANNEL_BITS) | channel.astype(np.int64)


def unpack(packed: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Return times (ps) and channels of packed tags."""
    return packed >> CHANNEL_BITS, (packed & CHANNEL_MASK).astype(np.uint8)


def encode_block(packed: npt.NDArray[np.int64], *, sequence: int, acquisition: int, dropped: int) -> bytes:
    """Return header and payload of one block."""
    payload = np.ascontiguousarray(packed, dtype="<i8").tobytes()
    t_first_ps = int(packed[0]) >> CHANNEL_BITS if packed.size else 0
    t_last_ps = int(packed[-1]) >> CHANNEL_BITS if packed.size else 0
    head = _FIELDS.pack(
        MAGIC,
        VERSION,
        HEADER_BYTES,
        sequence,
        acquisition,
        packed.size,
        t_first_ps,
        t_last_ps,
        dropped,
        zlib.crc32(payload),
    )
    return head + _CRC.pack(zlib.crc32(head)) + payload


def decode_block(data: bytes | memoryview) -> TagBlock:
    """Decode and check one block.

    Raises
    ------
    TagFault
        If the length, magic, version, either CRC, the order of the tags or the first and last time
        of the header disagree with the payload.
    """
    view = memoryview(data)
    if len(view) < HEADER_BYTES:
        raise TagFault("tag block length", f"{len(view)} B", f"at least {HEADER_BYTES} B")
    head = bytes(view[: _FIELDS.size])
    (
        magic,
        version,
        header_bytes,
        sequence,
        acquisition,
        count,
        t_first_ps,
        t_last_ps,
        dropped,
        payload_crc,
    ) = _FIELDS.unpack(head)
    if magic != MAGIC:
        raise TagFault("tag block magic", magic, repr(MAGIC))
    header_crc = _CRC.unpack(view[_FIELDS.size : HEADER_BYTES])[0]
    if zlib.crc32(head) != header_crc:
        raise TagFault("header CRC", f"{header_crc:#010x}", f"{zlib.crc32(head):#010x}")
    if version != VERSION or header_bytes != HEADER_BYTES:
        raise TagFault("tag block version", f"{version} ({header_bytes} B)", f"{VERSION} ({HEADER_BYTES} B)")
    payload = view[HEADER_BYTES:]
    if len(payload) != 8 * count:
        raise TagFault("payload length", f"{len(payload)} B", f"{8 * count} B ({count} tags)")
    if zlib.crc32(payload) != payload_crc:
        raise TagFault("payload CRC", f"{zlib.crc32(payload):#010x}", f"{payload_crc:#010x}")
    packed = np.frombuffer(payload, dtype="<i8").astype(np.int64, copy=False)
    _check_times(packed, t_first_ps, t_last_ps)
    return TagBlock(sequence, acquisition, dropped, packed)


def _check_times(packed: npt.NDArray[np.int64], t_first_ps: int, t_last_ps: int) -> None:
    if packed.size == 0:
        return
    falls = np.flatnonzero(np.diff(packed) < 0)
    if falls.size:
        raise TagFault("order of tags", f"falling at tag {int(falls[0]) + 1}", "non-decreasing times")
    span = (int(packed[0]) >> CHANNEL_BITS, int(packed[-1]) >> CHANNEL_BITS)
    if span != (t_first_ps, t_last_ps):
        raise TagFault("first and last time", f"{span} ps", f"{(t_first_ps, t_last_ps)} ps as in the header")
