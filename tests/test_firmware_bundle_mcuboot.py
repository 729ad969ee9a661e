"""MCUboot images of the real imgtool, read strictly."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from bundles_made import BOOT, BUILD, HARDWARE, OTHER_BOOT, mcuboot_image, payload
from imgtool.image import TLV_VALUES, Image
from imgtool.keys import Ed25519, load
from imgtool.version import decode_version
from signing_made import write_key

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.firmware.image_facts import read_facts
from qdhil.firmware.mcuboot import key_hash_of, parse_mcuboot, signer_of
from qdhil.firmware.mcuboot_build import wrap_payload

KEYS = {"boot": BOOT.public_key, "build": BUILD.public_key}


def imgtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "imgtool"
    return subprocess.run([str(program), *map(str, words)], capture_output=True, text=True, check=False)


def signed_by_the_program(folder: Path, *options: str, key: str = "boot.pem") -> bytes:
    """An image as the command ``imgtool sign`` makes it."""
    (folder / "app.bin").write_bytes(payload() * 40)
    words = ["--version", "1.4.2+7", "--header-size", "0x200", "--pad-header", "--slot-size", "0x10000", "--align", "4"]
    done = imgtool("sign", "-k", folder / key, *words, *options, folder / "app.bin", folder / "signed.bin")
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "signed.bin").read_bytes()


@pytest.fixture
def keys(tmp_path) -> Path:
    write_key(tmp_path, "boot", BOOT)
    return tmp_path


def test_an_image_of_the_program_is_read_as_the_program_reads_it(keys):
    image = signed_by_the_program(keys, "--security-counter", "9")
    parsed = parse_mcuboot(image)
    assert (parsed.version, parsed.numbers, parsed.security_counter) == ("1.4.2.7", (1, 4, 2, 7), 9)
    assert parsed.payload == payload() * 40
    assert signer_of(parsed, KEYS) == "boot"
    told = imgtool("verify", "-k", keys / "boot.pem", keys / "signed.bin")
    assert told.returncode == 0
    assert parsed.digest.hex() in told.stdout


def test_the_program_verifies_an_image_of_ours(keys):
    (keys / "ours.bin").write_bytes(mcuboot_image("1.5.0+7"))
    told = imgtool("verify", "-k", keys / "boot.pem", keys / "ours.bin")
    assert told.returncode == 0, told.stdout
    assert "Image version: 1.5.0+7" in told.stdout
    parsed = parse_mcuboot(mcuboot_image("1.5.0"))
    assert (parsed.version, parsed.hardware, parsed.security_counter) == ("1.5.0", (HARDWARE,), 3)


def test_the_key_hash_is_the_one_that_imgtool_compiles_into_bootloaders(keys):
    text = imgtool("getpubhash", "-k", keys / "boot.pem").stdout
    numbers = bytes(int(word.strip(" ,"), 16) for word in text.replace("\n", " ").split() if word.startswith("0x"))
    assert key_hash_of(BOOT.public_key) == numbers


def test_what_imgtool_accepts_and_a_gate_must_not(keys):
    """Another key's hash over the right signature passes ``imgtool verify``."""
    image = bytearray(mcuboot_image())
    at = image.index(key_hash_of(BOOT.public_key) or b"")
    image[at] ^= 1
    (keys / "changed.bin").write_bytes(image)
    assert imgtool("verify", "-k", keys / "boot.pem", keys / "changed.bin").returncode == 0
    with pytest.raises(RefusedError, match="not among the trusted"):
        signer_of(parse_mcuboot(bytes(image)), KEYS)


@pytest.mark.parametrize("options", [["--pad"], ["--pad", "--confirm"], ["--public-key-format", "full"]])
def test_other_layouts_are_refused(keys, options):
    with pytest.raises(RefusedError, match=r"trailer is wrong|unprotected entries"):
        parse_mcuboot(signed_by_the_program(keys, "--security-counter", "9", *options))


def test_other_kinds_of_keys_and_hashes_are_refused(keys):
    imgtool("keygen", "-k", keys / "p256.pem", "-t", "ecdsa-p256")
    for image in (
        signed_by_the_program(keys, "--security-counter", "9", key="p256.pem"),
        signed_by_the_program(keys, "--security-counter", "9", "--sha", "512"),
    ):
        with pytest.raises(RefusedError, match="unprotected entries"):
            parse_mcuboot(image)


def test_an_encrypted_image_is_refused(keys):
    imgtool("keygen", "-k", keys / "x.pem", "-t", "x25519")
    with pytest.raises(RefusedError, match="encrypted"):
        parse_mcuboot(signed_by_the_program(keys, "--security-counter", "9", "--encrypt", str(keys / "x.pem")))


def test_an_image_without_a_counter_is_no_bundle(keys):
    with pytest.raises(RefusedError, match="no security counter among its protected entries"):
        read_facts("mcuboot", signed_by_the_program(keys))


def test_a_counter_outside_the_protected_entries_is_refused():
    image = mcuboot_image()
    info = image.rindex(struct.pack("<H", 0x6907))
    entry = struct.pack("<HHI", TLV_VALUES["SEC_CNT"], 4, 99)
    total = struct.unpack_from("<H", image, info + 2)[0] + len(entry)
    moved = image[: info + 2] + struct.pack("<H", total) + image[info + 4 :] + entry
    with pytest.raises(RefusedError, match="unprotected entries"):
        parse_mcuboot(moved)


@pytest.mark.parametrize("more", [b"\x00", b"\xff" * 16, mcuboot_image()])
def test_trailing_bytes_are_refused(more):
    with pytest.raises(RefusedError, match="bytes follow it"):
        parse_mcuboot(mcuboot_image() + more)


def test_protected_entries_are_known_and_there_once():
    def image(tlvs: dict[int | str, bytes]) -> bytes:
        made = Image(version=decode_version("1.0.0"), pad_header=True, security_counter=3)
        made.payload = bytes(32) + payload()
        made.create(Ed25519.generate(), "hash", None, custom_tlvs=tlvs)
        return bytes(made.payload)

    assert parse_mcuboot(image({0x31A0: b"a lab's own"})).security_counter == 3
    for tlvs, why in (
        ({"ENCKW": b"what"}, "0x0031 that nobody knows"),
        ({0x01B1: b"own", "SEC_CNT": b"\x63\x00\x00\x00"}, "0x0050 twice"),
        ({"UUID_CID": b"short"}, "0x0075 has 5 bytes"),
        ({0x71A0: b"\xff"}, "no text"),
    ):
        with pytest.raises(RefusedError, match=why):
            parse_mcuboot(image(tlvs))


@pytest.mark.parametrize("image", [b"", b"\x3d\xb8\xf3\x96", mcuboot_image()[:31], mcuboot_image()[:-1], bytes(300)])
def test_pieces_of_images_are_refused(image):
    with pytest.raises(RefusedError):
        parse_mcuboot(image)


def test_an_unsigned_image_has_facts_but_no_signer(tmp_path):
    made = Image(version=decode_version("1.0.0"), pad_header=True, security_counter=3)
    made.payload = bytes(32) + payload()
    made.create(None, "hash", None)
    parsed = parse_mcuboot(bytes(made.payload))
    assert (parsed.version, parsed.signature) == ("1.0.0", None)
    with pytest.raises(RefusedError, match="not signed"):
        signer_of(parsed, KEYS)


def test_the_named_key_must_have_signed():
    image = bytearray(mcuboot_image(signer=OTHER_BOOT))
    at = image.index(key_hash_of(OTHER_BOOT.public_key) or b"")
    image[at : at + 32] = key_hash_of(BOOT.public_key) or b""
    with pytest.raises(RefusedError, match="the signature of key boot is not its signature of this image"):
        signer_of(parse_mcuboot(bytes(image)), KEYS)


def test_what_mcuboot_cannot_hold_is_a_mistake(tmp_path):
    for version in ("256.0.0", "1.256.0", "1.0.65536"):
        with pytest.raises(ConfigurationError, match=r"255\.255\.65535"):
            wrap_payload(b"x", version, BOOT, security_counter=1, hardware=[HARDWARE])
    imgtool("keygen", "-k", tmp_path / "p256.pem", "-t", "ecdsa-p256")
    assert load(str(tmp_path / "p256.pem"))
    from qdhil.keys.signers import load_signer

    with pytest.raises(ConfigurationError, match="Ed25519"):
        wrap_payload(b"x", "1.0.0", load_signer(str(tmp_path / "p256.pem")), security_counter=1, hardware=[HARDWARE])
