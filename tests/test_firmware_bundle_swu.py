"""SWUpdate and RAUC files inside bundles: every member described, nothing else in the file."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from bundles_made import HARDWARE, NOW, made_bundle, made_trust
from swu_made import archive, description, made_swu, member

from qdhil.errors import RefusedError
from qdhil.firmware.bundle import find_bundle
from qdhil.firmware.image_facts import format_of, read_facts
from qdhil.firmware.libconfig import parse_libconfig
from qdhil.firmware.swu import read_swu

CONTENT = b"root file system"
needs_rauc = pytest.mark.skipif(
    shutil.which("rauc") is None or shutil.which("mksquashfs") is None, reason="rauc or squashfs-tools not installed"
)


def refused(data: bytes, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        read_swu(data)


def test_a_file_says_version_and_hardware_and_a_bundle_derives_them(tmp_path):
    facts = read_swu(made_swu())
    assert (facts.version, facts.hardware, facts.members) == ("1.5.0", (HARDWARE,), ("sw-description", "rootfs.img"))
    bundle = made_bundle(tmp_path / "b", made_swu(), hardware=())
    assert (bundle.version, bundle.manifest.hardware, bundle.manifest.format) == ("1.5.0", [HARDWARE], "swu")
    found = find_bundle(str(tmp_path / "b"), tmp_path, hardware=HARDWARE, trust=made_trust(tmp_path), now=NOW)
    assert found.boot_digest == found.sha256


def test_a_manifest_of_another_version_or_hardware_is_refused(tmp_path):
    for number, (options, why) in enumerate(
        [({"version": "1.5.1"}, "says version 1.5.0"), ({"hardware": (HARDWARE, "psc-3")}, "is for hardware")]
    ):
        with pytest.raises(RefusedError, match=why):
            made_bundle(tmp_path / str(number), made_swu(), **options)


def test_json_and_nested_boards_are_read_too():
    import hashlib

    text = {
        "software": {
            "version": "2.0.0",
            "psc-2": {
                "hardware-compatibility": ["rev-b", "rev-a"],
                "stable": {"main": {"images": [{"filename": "a", "sha256": hashlib.sha256(b"x").hexdigest()}]}},
            },
        }
    }
    facts = read_swu(archive([("sw-description", json.dumps(text).encode()), ("a", b"x")], magic=b"070701"))
    assert (facts.version, facts.hardware) == ("2.0.0", ("rev-a", "rev-b"))


def test_members_must_be_described_and_be_what_is_described():
    text = description(CONTENT).encode()
    good = [("sw-description", text), ("rootfs.img", CONTENT)]
    assert read_swu(archive(good))
    refused(archive([("sw-description", text), ("rootfs.img", CONTENT + b"!")]), "is not the file")
    refused(archive([*good, ("extra.sh", b"#!")]), "extra.sh: not described")
    refused(archive(good[:1]), "is not there")
    refused(archive(good[::-1]), "first member is not sw-description")
    refused(archive([("sw-description", text.replace(b"sha256", b"sha1")), good[1]]), "without its SHA-256")
    refused(archive([*good, good[1]]), "a member twice")
    refused(archive([*good, ("../etc", b"")]), "strange name")
    refused(archive(good, mode=0o120777), "no file")


def test_every_byte_of_the_archive_has_its_place():
    data = made_swu()
    refused(data + b"x", "something follows")
    refused(data + made_swu(), "something follows")
    refused(data + bytes(1 << 17), "something follows")
    refused(data[:200], r"cut off|kind newc")
    refused(member("sw-description", b"x")[:-40], r"cut off|kind newc|no text|not libconfig|NAME = VALUE|software")
    at = data.index(b"rootfs.img\0") + len("rootfs.img\0")
    padding = data[at : at + 2]
    assert padding == b"\0\0" or padding[0] != 0
    checksum = data.index(b"rootfs.img") - 8
    refused(data[:checksum] + b"00000001" + data[checksum + 8 :], "checksum is wrong")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("software = { version = 1; }", "no software.version"),
        ("software = 1;", "no group software"),
        ('software = { version = "1.0.0"; version = "1.0.1"; }', "'version' twice"),
        ('software = { version = "1.0.0"; hardware-compatibility = "x"; }', "list of texts"),
        ('software = { version = "1.0.0"; hardware-compatibility = ["#RE:^psc"]; }', "pattern"),
        ('@include "other"', "not libconfig"),
        ("software = {", "NAME = VALUE"),
        ('software = { version = "1.0.0\\q"; }', "no escape"),
        ("software = " + "(" * 5000, "nested too deep"),
        ('{"software": {"version": "1", "version": "2"}}', "not plain JSON"),
    ],
)
def test_descriptions_that_say_nothing_or_two_things_are_refused(text, why):
    refused(archive([("sw-description", text.encode())]), why)


def test_libconfig_values():
    text = 'a = 1; b: -0x1F, c = 2.5e1\nd = TRUE; e = "x\\"\\x41\\n"; f = (1, {g = [1, 2,];}, ()); h = 10L;'
    assert parse_libconfig(text, "t") == {
        "a": 1,
        "b": -31,
        "c": 25.0,
        "d": True,
        "e": 'x"A\n',
        "f": [1, {"g": [1, 2]}, []],
        "h": 10,
    }


def test_a_rauc_bundle_says_only_what_the_manifest_says_where_rauc_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    image = b"hsqs" + bytes(100)
    assert format_of(image) == "raucb"
    facts = read_facts("raucb", image)
    assert facts.version is None
    assert "not installed" in facts.notes["rauc"]


@pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")
@pytest.mark.parametrize("kind", ["crc", "newc"])
def test_an_archive_of_the_program_is_read(tmp_path, kind):
    (tmp_path / "sw-description").write_text(description(CONTENT))
    (tmp_path / "rootfs.img").write_bytes(CONTENT)
    names = b"sw-description\nrootfs.img\n"
    made = subprocess.run(["cpio", "-o", "-H", kind], cwd=tmp_path, input=names, capture_output=True, check=True)
    assert read_swu(made.stdout).version == "1.5.0"


@needs_rauc
def test_a_rauc_bundle_is_read_by_rauc(tmp_path):
    content = tmp_path / "content"
    content.mkdir()
    (content / "rootfs.img").write_bytes(bytes(4096))
    (content / "manifest.raucm").write_text(
        f"[update]\ncompatible={HARDWARE}\nversion=1.5.0\n[bundle]\nformat=plain\n[image.rootfs]\nfilename=rootfs.img\n"
    )
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2"]
    subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    file = tmp_path / "update.raucb"
    subprocess.run(
        ["rauc", "bundle", f"--cert={certificate}", f"--key={key}", content, file], check=True, capture_output=True
    )
    bundle = made_bundle(tmp_path / "b", Path(file).read_bytes(), hardware=())
    assert (bundle.version, bundle.manifest.hardware, bundle.manifest.format) == ("1.5.0", [HARDWARE], "raucb")
    with pytest.raises(RefusedError, match="rauc info can't read it"):
        read_facts("raucb", file.read_bytes()[:-100])
