"""Mutated bundles, images and permissions: none is accepted with anything changed, none ends in anything but a refusal.

``--slow`` makes 10,000 mutants of bundles and 10,000 of the image alone; without it 500 of each.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles_made import (
    BOOT,
    BUILD,
    HARDWARE,
    NOW,
    RETURN,
    SECOND,
    STRANGER,
    made_bundle,
    made_trust,
    mcuboot_image,
    payload,
    permission_file,
)
from swu_made import made_swu
from test_attestation_fuzz import bytes_changed

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.firmware.bundle import ENVELOPE_NAME, find_bundle
from qdhil.firmware.downgrade import accept_permission
from qdhil.firmware.manifest import MANIFEST_NAME, MANIFEST_TYPE
from qdhil.firmware.mcuboot import key_hash_of, parse_mcuboot, signer_of
from qdhil.keys.envelope import seal
from qdhil.keys.trust import Trust

FEW, MANY = 500, 10_000
SMALL = mcuboot_image(content=b"qd")
INTERESTING = [
    0,
    1,
    -1,
    2**31,
    1e308,
    True,
    None,
    "",
    "raw",
    "mcuboot",
    [],
    {},
    "0" * 64,
    "2999-01-01T00:00:00Z",
    "9.9.9",
]
KEYS = {"boot": BOOT.public_key}
counts = [FEW, pytest.param(MANY, marks=pytest.mark.slow)]

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Files]:
    """Three bundles that are accepted: an MCUboot image, bytes, and a SWUpdate file."""
    folder = tmp_path_factory.mktemp("originals")
    made_bundle(folder / "mcuboot", mcuboot_image())
    made_bundle(folder / "raw", payload(), version="1.5.0", signers=[BUILD, SECOND])
    made_bundle(folder / "swu", made_swu())
    return [{file.name: file.read_bytes() for file in (folder / name).iterdir()} for name in ("mcuboot", "raw", "swu")]


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return made_trust(tmp_path_factory.mktemp("trust"))


def image_bytes(files: Files, rng: random.Random) -> None:
    files["image.bin"] = bytes_changed(files["image.bin"], rng)


def manifest_bytes(files: Files, rng: random.Random) -> None:
    files[MANIFEST_NAME] = bytes_changed(files[MANIFEST_NAME], rng)


def envelope_bytes(files: Files, rng: random.Random) -> None:
    files[ENVELOPE_NAME] = bytes_changed(files[ENVELOPE_NAME], rng)


def manifest_edited(files: Files, rng: random.Random) -> None:
    """Change, drop, add or rename a field, and keep it JSON."""
    manifest = json.loads(files[MANIFEST_NAME])
    name = rng.choice(list(manifest))
    match rng.randrange(4):
        case 0:
            del manifest[name]
        case 1:
            manifest[rng.choice(["note", "signed", name.upper()])] = manifest[name]
        case _:
            value = manifest[name]
            manifest[name] = value + 1 if isinstance(value, int) and rng.random() < 0.5 else rng.choice(INTERESTING)
    files[MANIFEST_NAME] = json.dumps(manifest, indent=rng.choice((None, 2))).encode()


def manifest_signed_by_another(files: Files, rng: random.Random) -> None:
    """An edited manifest with a signature that is good, of a key that counts for nothing."""
    manifest_edited(files, rng)
    signer = rng.choice([STRANGER, BOOT, RETURN])
    files[ENVELOPE_NAME] = seal(files[MANIFEST_NAME], [signer], payload_type=MANIFEST_TYPE).encode()


def both_rewritten(files: Files, rng: random.Random) -> None:
    """An edited manifest inside the envelope too, under the old signatures."""
    manifest_edited(files, rng)
    envelope = json.loads(files[ENVELOPE_NAME])
    envelope["payload"] = base64.b64encode(files[MANIFEST_NAME]).decode()
    files[ENVELOPE_NAME] = json.dumps(envelope).encode()


def image_fitted(files: Files, rng: random.Random) -> None:
    """A changed image, and a manifest that says its digest and length, unsigned or under the old signatures."""
    files["image.bin"] = bytes_changed(files["image.bin"], rng)
    manifest = json.loads(files[MANIFEST_NAME])
    manifest |= {"sha256": hashlib.sha256(files["image.bin"]).hexdigest(), "size_bytes": len(files["image.bin"])}
    files[MANIFEST_NAME] = json.dumps(manifest, indent=2).encode()
    if rng.random() < 0.3:
        del files[ENVELOPE_NAME]


def file_lost(files: Files, rng: random.Random) -> None:
    del files[rng.choice(list(files))]


MUTATIONS: list[Callable[[Files, random.Random], None]] = [
    image_bytes,
    manifest_bytes,
    envelope_bytes,
    manifest_edited,
    manifest_signed_by_another,
    both_rewritten,
    image_fitted,
    file_lost,
]


def content(files: Files) -> tuple[bytes | None, bytes | None]:
    return files.get(MANIFEST_NAME), files.get("image.bin")


@pytest.mark.parametrize("count", counts)
def test_no_mutated_bundle_is_accepted(originals, trust, tmp_path, count):
    rng = random.Random(20261123)
    folder, refused, same = tmp_path / "b", 0, 0
    for number in range(count):
        original = originals[number % len(originals)]
        files = dict(original)
        MUTATIONS[rng.randrange(len(MUTATIONS))](files, rng)
        if files == original:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        try:
            bundle = find_bundle(str(folder), tmp_path, hardware=HARDWARE, trust=trust, bootloader="1.0.0", now=NOW)
        except (RefusedError, ConfigurationError):
            refused += 1
            continue
        assert content(files) == content(original)  # what was added or lost is in the envelope's layout only
        assert bundle.image == original["image.bin"]
        same += 1
    assert refused > 0.95 * count
    assert same < 0.05 * count


def tlv_edited(image: bytes, rng: random.Random) -> bytes:
    """Add, drop, double, swap or resize entries behind the payload, and keep the lengths right."""
    header_size, protected_size, image_size = struct.unpack_from("<HHI", image, 8)
    end = header_size + image_size
    areas = [_entries(image, end), _entries(image, end + protected_size)]
    entries = rng.choice(areas)
    at = rng.randrange(len(entries))
    kind, value = entries[at]
    match rng.randrange(6):
        case 0:
            del entries[at]
        case 1:
            entries.insert(at, entries[at])
        case 2:
            entries.insert(
                at, (rng.choice([0x01, 0x02, 0x10, 0x24, 0x25, 0x40, 0x50, 0xA0, rng.randrange(1 << 16)]), value)
            )
        case 3:
            entries[at] = (kind ^ 1 << rng.randrange(16), value)
        case 4:
            entries[at] = (kind, bytes_changed(value, rng))
        case 5:
            rng.shuffle(entries)
    protected, plain = (_area(magic, found) for magic, found in zip((0x6908, 0x6907), areas, strict=True))
    head = image[:10] + struct.pack("<H", len(protected)) + image[12:end]
    if rng.random() < 0.5:
        digest = hashlib.sha256(head + protected).digest()  # an attacker can compute this one
        areas[1][:] = [(found, digest if found == 0x10 else value) for found, value in areas[1]]
        plain = _area(0x6907, areas[1])
    return head + protected + plain


def key_exchanged(image: bytes, rng: random.Random) -> bytes:
    """The entries of another key's signature of the same content."""
    del rng
    other = mcuboot_image(content=b"qd", signer=STRANGER)
    named = key_hash_of(BOOT.public_key) or b""
    return other.replace(key_hash_of(STRANGER.public_key) or b"", named)


def _entries(image: bytes, start: int) -> list[tuple[int, bytes]]:
    _, total = struct.unpack_from("<HH", image, start)
    at, entries = start + 4, []
    while at < start + total:
        kind, length = struct.unpack_from("<HH", image, at)
        entries.append((kind, image[at + 4 : at + 4 + length]))
        at += 4 + length
    return entries


def _area(magic: int, entries: list[tuple[int, bytes]]) -> bytes:
    data = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in entries)
    return struct.pack("<HH", magic, 4 + len(data)) + data


def image_accepted(image: bytes) -> bool:
    """Whether the image alone, without the digest in a manifest, is taken for one of the trusted key's."""
    try:
        signer_of(parse_mcuboot(image), KEYS)
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize("count", counts)
def test_no_mutated_mcuboot_image_is_accepted(count):
    rng = random.Random(7)
    changed = 0
    for _ in range(count):
        mutation = rng.choice([bytes_changed, bytes_changed, tlv_edited, tlv_edited, key_exchanged])
        mutant = mutation(SMALL, rng)
        if mutant != SMALL:
            changed += 1
            assert not image_accepted(mutant), mutant.hex()
    assert changed > 0.9 * count


def test_no_bit_of_an_image_is_free():
    assert image_accepted(SMALL)
    for bit in range(8 * len(SMALL)):
        mutant = bytearray(SMALL)
        mutant[bit // 8] ^= 1 << bit % 8
        assert not image_accepted(bytes(mutant)), bit


def test_no_cut_image_is_accepted():
    assert not any(image_accepted(SMALL[:length]) for length in range(len(SMALL)))


@pytest.mark.parametrize("count", counts)
def test_no_mutated_permission_opens_anything_else(trust, count):
    original, rng = permission_file("a" * 64, "b" * 64), random.Random(3)
    payload_of = json.loads(original)["payload"]
    for _ in range(count):
        mutant = bytes_changed(original, rng)
        try:
            accepted: Any = accept_permission(mutant, trust, "a" * 64, "b" * 64, HARDWARE, NOW)
        except RefusedError:
            continue
        assert accepted.to_sha256 == "b" * 64
        assert json.loads(mutant)["payload"] == payload_of


def test_what_is_not_changed_is_accepted(originals, trust, tmp_path):
    for number, files in enumerate(originals):
        folder = Path(tmp_path / str(number))
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        assert find_bundle(str(folder), tmp_path, hardware=HARDWARE, trust=trust, bootloader="1.0.0", now=NOW)
