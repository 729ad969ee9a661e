"""MCUboot images, read strictly: every byte belongs to the hash, the signature, or one fixed structure.

An image is a header, a payload and protected type-length-value (TLV) entries, all hashed; behind them come
exactly three unprotected entries: the SHA-256, the hash of the public key, and the Ed25519 signature of the
SHA-256 (MCUboot design document, "Image format"). What a bootloader would skip is refused here: an entry
nobody knows, one twice, trailing bytes, padding.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from qdhil.errors import RefusedError
from qdhil.keys.extra import PublicKey, signing

HEADER_MAGIC = 0x96F3B83D
HARDWARE_TLV = 0x71A0
"""Vendor entry, protected: the hardware revisions that may run the image, with commas between."""
_INFO_MAGIC, _PROTECTED_INFO_MAGIC = 0x6907, 0x6908
_HEADER = struct.Struct("<IIHHIIBBHII")
_TLV_HEAD = struct.Struct("<HH")
_KEYHASH, _SHA256, _ED25519, _COUNTER = 0x01, 0x10, 0x24, 0x50
_DEPENDENCY, _BOOT_RECORD, _VENDOR_ID, _CLASS_ID = 0x40, 0x60, 0x74, 0x75
_ONCE = {_COUNTER: 4, _VENDOR_ID: 16, _CLASS_ID: 16}
"""Protected entries with one meaning and one length."""
_VENDOR_RANGE = range(0xA0, 0xFF)
_KNOWN_FLAGS = 0x1 | 0x20 | 0x100
"""Position-independent, RAM-load, fixed ROM address; what is encrypted or compressed can't be checked here."""
_DER_PREFIX = bytes.fromhex("302a300506032b6570032100")
"""SubjectPublicKeyInfo of an Ed25519 key, before its 32 bytes (RFC 8410)."""


@dataclass(frozen=True)
class McubootImage:
    """An image whose structure and hash are right; whose signature it has, :func:`signer_of` says.

    Parameters
    ----------
    numbers
        Major, minor, revision, build.
    digest
        SHA-256 of header, payload and protected entries: what the bootloader reports as the image's hash.
    security_counter
        Counter in the protected entries.
    hardware
        Hardware revisions in the protected entries.
    key_hash, signature
        SHA-256 of the signing key's public half, and its signature of ``digest``; ``None`` if unsigned.
    payload
        What the image carries.
    """

    numbers: tuple[int, int, int, int]
    digest: bytes
    security_counter: int | None
    hardware: tuple[str, ...] | None
    key_hash: bytes | None
    signature: bytes | None
    payload: bytes

    @property
    def version(self) -> str:
        """The version as MCUboot and mcumgr spell it: ``1.4.2``, or ``1.4.2.7`` with a build number."""
        return ".".join(map(str, self.numbers if self.numbers[3] else self.numbers[:3]))


def parse_mcuboot(data: bytes) -> McubootImage:
    """Read an image and check its structure and its hash.

    Raises
    ------
    RefusedError
        With what is wrong.
    """
    if len(data) < _HEADER.size or data[:4] != HEADER_MAGIC.to_bytes(4, "little"):
        raise _refused("it does not begin like one")
    _, _, header_size, protected_size, image_size, flags, major, minor, revision, build, pad = _HEADER.unpack_from(data)
    payload_end = header_size + image_size
    hashed_end = payload_end + protected_size
    if header_size < _HEADER.size or hashed_end > len(data) or pad:
        raise _refused("its header is wrong")
    if flags & ~_KNOWN_FLAGS:
        raise _refused("it is encrypted, compressed, or has flags that nobody knows")
    protected = _entries(data[payload_end:hashed_end], _PROTECTED_INFO_MAGIC) if protected_size else []
    entries = _entries(data[hashed_end:], _INFO_MAGIC)
    digest = hashlib.sha256(data[:hashed_end]).digest()
    key_hash, signature = _hash_and_signature(entries, digest)
    facts = _protected_facts(protected)
    return McubootImage(
        numbers=(major, minor, revision, build),
        digest=digest,
        security_counter=int.from_bytes(facts[_COUNTER], "little") if _COUNTER in facts else None,
        hardware=_hardware(facts[HARDWARE_TLV]) if HARDWARE_TLV in facts else None,
        key_hash=key_hash,
        signature=signature,
        payload=data[header_size:payload_end],
    )


def signer_of(image: McubootImage, keys: Mapping[str, PublicKey]) -> str:
    """Return the name of the trusted key that signed an image.

    Parameters
    ----------
    image
        What was read.
    keys
        Keys that sign images, by name; only Ed25519 keys count.

    Raises
    ------
    RefusedError
        If it is not signed, by a key that is not trusted, or not by the key that it names.
    """
    if image.signature is None or image.key_hash is None:
        raise _refused("it is not signed")
    library = signing()
    for name, key in keys.items():
        if key_hash_of(key) != image.key_hash:
            continue
        try:
            key.verify_signature(library.Signature(key.keyid, image.signature.hex()), image.digest)
        except library.UnverifiedSignatureError as error:
            raise _refused(f"the signature of key {name} is not its signature of this image") from error
        return name
    raise _refused(f"it names the key {image.key_hash.hex()[:12]}, which is not among the trusted that sign images")


def key_hash_of(key: PublicKey) -> bytes | None:
    """Return the hash by which an image names an Ed25519 key; ``None`` for another kind of key."""
    values = getattr(key, "keyval", {})
    if getattr(key, "scheme", None) != "ed25519":
        return None
    return hashlib.sha256(_DER_PREFIX + bytes.fromhex(values["public"])).digest()


def _entries(data: bytes, magic: int) -> list[tuple[int, bytes]]:
    """Return the entries of one TLV area that must fill its bytes exactly."""
    if len(data) < _TLV_HEAD.size or _TLV_HEAD.unpack_from(data) != (magic, len(data)):
        raise _refused("its trailer is wrong, or bytes follow it")
    entries, at = [], _TLV_HEAD.size
    while at < len(data):
        if at + _TLV_HEAD.size > len(data):
            raise _refused("its trailer ends inside an entry")
        kind, length = _TLV_HEAD.unpack_from(data, at)
        at += _TLV_HEAD.size
        if at + length > len(data):
            raise _refused("its trailer ends inside an entry")
        entries.append((kind, data[at : at + length]))
        at += length
    return entries


def _hash_and_signature(entries: list[tuple[int, bytes]], digest: bytes) -> tuple[bytes | None, bytes | None]:
    kinds = [kind for kind, _ in entries]
    if kinds not in ([_SHA256], [_SHA256, _KEYHASH, _ED25519]):
        raise _refused("its unprotected entries must be SHA-256, key hash and Ed25519 signature, and nothing else")
    values = [value for _, value in entries]
    if values[0] != digest:
        raise _refused("its hash is wrong")
    if len(values) == 1:
        return None, None
    if len(values[1]) != hashlib.sha256().digest_size:
        raise _refused("its key hash is no SHA-256")
    return values[1], values[2]


def _protected_facts(entries: list[tuple[int, bytes]]) -> dict[int, bytes]:
    facts: dict[int, bytes] = {}
    for kind, value in entries:
        if kind not in (*_ONCE, _DEPENDENCY, _BOOT_RECORD) and kind & 0xFF not in _VENDOR_RANGE:
            raise _refused(f"a protected entry 0x{kind:04x} that nobody knows")
        if kind in facts and kind != _DEPENDENCY:
            raise _refused(f"the protected entry 0x{kind:04x} twice")
        if len(value) != _ONCE.get(kind, len(value)):
            raise _refused(f"the protected entry 0x{kind:04x} has {len(value)} bytes")
        facts[kind] = value
    return facts


def _hardware(value: bytes) -> tuple[str, ...]:
    try:
        return tuple(value.decode("ascii").split(","))
    except UnicodeDecodeError as error:
        raise _refused("its hardware revisions are no text") from error


def _refused(why: str) -> RefusedError:
    return RefusedError(f"MCUboot image: {why}")
