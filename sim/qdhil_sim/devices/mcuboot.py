"""MCUboot images: header, payload and trailer (MCUboot design document, "Image format").

The header starts with a magic number and holds sizes and the version; behind the payload come the
type-length-value entries, some of them protected by the hash. The hash TLV is the SHA-256 of header,
payload and protected entries; a signature TLV signs that digest with Ed25519.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass

HEADER_MAGIC = 0x96F3B83D
_INFO_MAGIC, _PROTECTED_INFO_MAGIC = 0x6907, 0x6908
_HEADER = struct.Struct("<IIHHIIBBHII")
_TLV_HEAD = struct.Struct("<HH")
_SHA256_TLV, _ED25519_TLV = 0x10, 0x24
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:[.+](\d+))?")


class BadImage(Exception):  # noqa: N818 - MCUboot's word for it
    """The bytes are no valid MCUboot image; ``reason`` says in a word what is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class McubootImage:
    """An image whose hash is right."""

    version: str
    payload: bytes
    digest: bytes
    signature: bytes | None


def is_mcuboot(data: bytes) -> bool:
    """Return whether the bytes begin like an MCUboot image."""
    return data[:4] == HEADER_MAGIC.to_bytes(4, "little")


def parse_mcuboot(data: bytes, public_key: bytes | None = None) -> McubootImage:
    """Read an image and check its hash, and its signature if a raw Ed25519 public key is given.

    Raises
    ------
    BadImage
        ``magic``, ``header``, ``trailer``, ``no hash``, ``hash``, ``no signature`` or ``signature``.
    """
    if not is_mcuboot(data):
        raise BadImage("magic")
    if len(data) < _HEADER.size:
        raise BadImage("header")
    _, _, header_size, protected_size, image_size, _, major, minor, revision, build, _ = _HEADER.unpack_from(data)
    end = header_size + image_size
    if header_size < _HEADER.size or end + protected_size > len(data):
        raise BadImage("header")
    entries = _entries(data, end + protected_size, _INFO_MAGIC)
    if protected_size:
        _entries(data, end, _PROTECTED_INFO_MAGIC)
    digest = hashlib.sha256(data[: end + protected_size]).digest()
    if _SHA256_TLV not in entries:
        raise BadImage("no hash")
    if entries[_SHA256_TLV] != digest:
        raise BadImage("hash")
    signature = entries.get(_ED25519_TLV)
    if public_key is not None:
        _verify(public_key, signature, digest)
    version = f"{major}.{minor}.{revision}" + (f".{build}" if build else "")
    return McubootImage(version, data[header_size:end], digest, signature)


def payload_of(data: bytes) -> bytes:
    """Return what an MCUboot image carries, or the bytes themselves if they are none.

    Raises
    ------
    BadImage
        If it is a broken MCUboot image.
    """
    return parse_mcuboot(data).payload if is_mcuboot(data) else data


def wrap_mcuboot(payload: bytes, version: str) -> bytes:
    """Return an unsigned image with a hash.

    Parameters
    ----------
    version
        ``major.minor[.revision][+build]``; what follows is left out.

    Raises
    ------
    ValueError
        If the version has another form.
    """
    match = _VERSION.match(version)
    if match is None:
        raise ValueError(f"not a version: {version}")
    numbers = [int(number or 0) for number in match.groups()]
    header = _HEADER.pack(HEADER_MAGIC, 0, _HEADER.size, 0, len(payload), 0, *numbers, 0)
    digest = hashlib.sha256(header + payload).digest()
    length = 2 * _TLV_HEAD.size + len(digest)
    trailer = _TLV_HEAD.pack(_INFO_MAGIC, length) + _TLV_HEAD.pack(_SHA256_TLV, len(digest)) + digest
    return header + payload + trailer


def _entries(data: bytes, start: int, magic: int) -> dict[int, bytes]:
    if start + _TLV_HEAD.size > len(data):
        raise BadImage("trailer")
    found, total = _TLV_HEAD.unpack_from(data, start)
    end = start + total
    if found != magic or end > len(data):
        raise BadImage("trailer")
    entries, at = {}, start + _TLV_HEAD.size
    while at + _TLV_HEAD.size <= end:
        kind, length = _TLV_HEAD.unpack_from(data, at)
        at += _TLV_HEAD.size
        if at + length > end:
            raise BadImage("trailer")
        entries[kind] = data[at : at + length]
        at += length
    return entries


def _verify(public_key: bytes, signature: bytes | None, digest: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if signature is None:
        raise BadImage("no signature")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, digest)
    except InvalidSignature as error:
        raise BadImage("signature") from error
