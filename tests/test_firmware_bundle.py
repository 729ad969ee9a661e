"""Firmware bundles: what ships loads, what does not match is refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.firmware import Bundle, find_bundle
from qdhil.firmware.build import co_sign
from qdhil.firmware.bundle import load_bundle
from qdhil.rack.config import load_rack
from qdhil.rack.selection import bundle_folder, default_rack_file

HARDWARE = "psc-2-rev-b"
SHORT_NAMES = (
    "area200",
    "area80",
    "clockslip",
    "delay20",
    "divider",
    "good",
    "jitter20",
    "limitcycle",
    "mute",
    "pulse20",
    "ripple200",
    "spurious",
)
SHIPPED = ["1.4.0", *(f"1.5.0-{name}" for name in SHORT_NAMES)]


@pytest.fixture(scope="module")
def builds() -> Path:
    rack = load_rack(default_rack_file())
    return bundle_folder(rack.rigs["sim-a1"], default_rack_file())


@pytest.fixture
def folder(builds, tmp_path) -> Path:
    """A copy of the build in service, to be damaged."""
    shutil.copytree(builds / "1.4.0", tmp_path / "1.4.0")
    return tmp_path


def load(folder: Path, wanted: str = "1.4.0", hardware: str = HARDWARE) -> Bundle:
    return find_bundle(wanted, folder, hardware=hardware)


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "1.4.0" / "manifest.json"
    data = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in data.items() if value is not ...}))


def test_all_shipped_builds_are_known(builds):
    assert sorted(file.parent.name for file in builds.glob("*/manifest.json")) == SHIPPED


@pytest.mark.parametrize("version", SHIPPED)
def test_shipped_build_loads_and_is_what_it_says(builds, version):
    bundle = load(builds, version)
    assert bundle.version == version
    assert hashlib.sha256(bundle.image).hexdigest() == bundle.sha256 == bundle.manifest.sha256


def test_shipped_builds_are_different_images_and_newer_than_the_baseline(builds):
    bundles = {version: load(builds, version) for version in SHIPPED}
    assert len({bundle.sha256 for bundle in bundles.values()}) == len(SHIPPED)
    baseline = bundles.pop("1.4.0").manifest.sequence
    assert all(bundle.manifest.sequence > baseline for bundle in bundles.values())


def test_a_bundle_is_found_by_path_too(builds, tmp_path):
    assert load(tmp_path, str(builds / "1.5.0-good")).version == "1.5.0-good"


def test_unknown_version_lists_what_there_is(builds):
    with pytest.raises(ConfigurationError, match=r"9\.9\.9: no such bundle.*1\.4\.0.*1\.5\.0-good"):
        load(builds, "9.9.9")
    with pytest.raises(ConfigurationError, match="has none"):
        load(builds / "1.4.0", "9.9.9")


@pytest.mark.parametrize("change", [lambda image: image + b" ", lambda image: image[:-1], lambda image: b""])
def test_an_image_that_is_not_the_manifests_is_refused(folder, change):
    image = folder / "1.4.0" / "image.toml"
    image.write_bytes(change(image.read_bytes()))
    with pytest.raises(RefusedError, match="its manifest says") as caught:
        load(folder)
    assert caught.value.exit_code == 40


def test_every_flipped_bit_of_an_image_is_refused(folder):
    image = folder / "1.4.0" / "image.toml"
    whole = image.read_bytes()
    for byte in range(0, len(whole), 17):
        image.write_bytes(whole[:byte] + bytes([whole[byte] ^ 1 << byte % 8]) + whole[byte + 1 :])
        with pytest.raises(RefusedError):
            load(folder)
    image.write_bytes(whole)
    assert load(folder).version == "1.4.0"


def test_other_hardware_is_refused(folder):
    with pytest.raises(RefusedError, match="is for hardware psc-2-rev-b, the rig has psc-3"):
        load(folder, hardware="psc-3")
    edit(folder, hardware=["psc-2-rev-a", "psc-3"])
    assert load(folder, hardware="psc-3").version == "1.4.0"


def test_a_digest_in_the_manifest_does_not_make_an_image(folder):
    edit(folder, sha256="0" * 64)
    with pytest.raises(RefusedError):
        load(folder)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"note": "new"}, "note"),
        ({"sequence": ...}, "sequence"),
        ({"sequence": -1}, "sequence"),
        ({"sha256": "ABC"}, "sha256"),
        ({"version": "one"}, "version"),
        ({"version": "1.4.0/../../x"}, "version"),
        ({"hardware": []}, "hardware"),
        ({"schema_version": 1}, "schema_version"),
        ({"image": "../1.5.0-good/image.toml"}, "image"),
        ({"image": "/etc/passwd"}, "image"),
        ({"image": "sub\\image.toml"}, "image"),
        ({"image": ""}, "image"),
        ({"image": "image.toml\x00"}, "image"),
    ],
)
def test_a_manifest_that_is_wrong_is_told_by_path(folder, change, path):
    edit(folder, **change)
    with pytest.raises(ConfigurationError, match=rf"\b{path}\b") as caught:
        load(folder)
    assert caught.value.exit_code == 64


def test_all_mistakes_of_a_manifest_are_told_at_once(folder):
    edit(folder, note="new", sequence="many", hardware=[])
    with pytest.raises(ConfigurationError, match=r"(?s)sequence: .*hardware: .*note: "):
        load(folder)


@pytest.mark.parametrize("image", ["..", ".", "none.toml"])
def test_an_image_that_is_no_file_beside_the_manifest_is_refused(folder, image):
    edit(folder, image=image)
    with pytest.raises(ConfigurationError, match="firmware bundle"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"a": 1}'])
def test_a_manifest_that_is_no_json_object_is_refused(folder, content):
    (folder / "1.4.0" / "manifest.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"manifest\.json"):
        load(folder)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.dsse.json", "image", "x.downgrade.json"])
def test_a_pipe_or_a_device_in_a_bundle_is_not_waited_for(folder, name):
    manifest = json.loads((folder / "1.4.0" / "manifest.json").read_text())
    file = folder / "1.4.0" / (manifest["image"] if name == "image" else name)
    for make in (lambda: os.mkfifo(file), lambda: file.symlink_to("/dev/zero")):
        file.unlink(missing_ok=True)
        make()
        with pytest.raises(ConfigurationError):
            load(folder)
        if name != "x.downgrade.json":
            with pytest.raises(ConfigurationError):
                load_bundle(folder / "1.4.0")


def test_a_name_that_is_too_long_is_said_in_a_line(folder):
    with pytest.raises(ConfigurationError, match="File name too long"):
        load(folder, 300 * "a")


def test_two_who_sign_at_once_both_have_signed(folder):
    keys = [CryptoSigner.generate_ed25519() for _ in range(4)]

    class Slow:
        """A token that takes its time."""

        def __init__(self, signer: CryptoSigner) -> None:
            self.signer = signer

        def sign(self, payload: bytes) -> Any:
            time.sleep(0.2)
            return self.signer.sign(payload)

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda key: co_sign(folder / "1.4.0", [Slow(key)]), keys))  # type: ignore[list-item]
    envelope = json.loads((folder / "1.4.0" / "manifest.dsse.json").read_text())
    assert {signature["keyid"] for signature in envelope["signatures"]} == {key.public_key.keyid for key in keys}
