"""Signed bundles: what is admitted to a rig, and every reason for which something is not."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bundles_made import (
    BOOT,
    BUILD,
    HARDWARE,
    NOW,
    OTHER_BOOT,
    RETURN,
    SECOND,
    STRANGER,
    made_bundle,
    made_trust,
    mcuboot_image,
    payload,
    permission_file,
    trust_text,
)

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.firmware.build import co_sign
from qdhil.firmware.bundle import ENVELOPE_NAME, Bundle, find_bundle, load_bundle
from qdhil.firmware.history import NOTHING_INSTALLED, Installed, StatedFirmware, read_history, record_confirmed
from qdhil.firmware.manifest import MANIFEST_TYPE
from qdhil.keys.envelope import seal
from qdhil.keys.trust import Trust, load_trust
from qdhil_sim.devices.mcuboot import parse_mcuboot as simulated_bootloader


@pytest.fixture
def trust(tmp_path) -> Trust:
    return made_trust(tmp_path)


def admitted(folder: Path, trust: Trust | None, **options: Any) -> Bundle:
    return find_bundle(str(folder), folder.parent, **{"hardware": HARDWARE, "trust": trust, "now": NOW, **options})


def refused(folder: Path, trust: Trust | None, why: str, **options: Any) -> None:
    with pytest.raises(RefusedError, match=why) as caught:
        admitted(folder, trust, **options)
    assert caught.value.exit_code == 40


def rewritten(folder: Path, **changes: Any) -> None:
    """Change a manifest, and sign it again as the trusted key does."""
    file = folder / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    (folder / ENVELOPE_NAME).unlink()
    (folder / ENVELOPE_NAME).write_bytes(seal(file.read_bytes(), [BUILD], payload_type=MANIFEST_TYPE).encode())


# What a bundle is.


def test_a_signed_mcuboot_bundle_is_admitted_and_knows_what_the_bootloader_reports(tmp_path, trust):
    image = mcuboot_image("1.5.0+7")
    made_bundle(tmp_path / "b", image)
    bundle = admitted(tmp_path / "b", trust, bootloader="1.0")
    assert (bundle.version, bundle.boot_version, bundle.fpga_build) == ("1.5.0+7", "1.5.0.7", "f150")
    assert bundle.manifest.security_counter == 3
    assert bundle.signers == ("build",)
    assert bundle.boot_digest != bundle.sha256
    assert bundle.boot_digest == simulated_bootloader(image).digest.hex()


def test_a_raw_bundle_reports_its_file(tmp_path, trust):
    made_bundle(tmp_path / "b", payload(), version="1.5.0-good")
    bundle = admitted(tmp_path / "b", trust)
    assert (bundle.boot_digest, bundle.boot_version) == (bundle.sha256, "1.5.0-good")
    assert bundle.image == payload()


def test_without_a_trust_file_a_signed_bundle_is_as_good_as_an_unsigned_one(tmp_path):
    made_bundle(tmp_path / "signed", payload(), version="1.5.0")
    made_bundle(tmp_path / "bare", payload(), version="1.5.0", signers=())
    assert admitted(tmp_path / "signed", None).signers == admitted(tmp_path / "bare", None).signers == ()


# Signatures.


def test_an_unsigned_bundle_is_refused_where_signatures_are_asked_for(tmp_path, trust):
    made_bundle(tmp_path / "b", payload(), version="1.5.0", signers=())
    refused(tmp_path / "b", trust, "not signed")


@pytest.mark.parametrize("signer", [STRANGER, BOOT, RETURN])
def test_a_key_that_does_not_sign_firmware_counts_for_nothing(tmp_path, trust, signer):
    made_bundle(tmp_path / "b", payload(), version="1.5.0", signers=[signer])
    refused(tmp_path / "b", trust, "signed by no trusted key, it takes 1")


def test_a_threshold_takes_different_keys(tmp_path):
    trust = made_trust(tmp_path, threshold=2)
    folder = tmp_path / "b"
    made_bundle(folder, payload(), version="1.5.0", signers=[BUILD, STRANGER])
    refused(folder, trust, "signed by build, it takes 2")
    with pytest.raises(RefusedError, match="the same key signs twice"):
        co_sign(folder, [BUILD])
    co_sign(folder, [SECOND])
    assert sorted(admitted(folder, trust).signers) == ["build", "second"]


def test_a_bundle_is_not_co_signed_when_image_and_manifest_differ(tmp_path):
    made_bundle(tmp_path / "b", payload(), version="1.5.0")
    (tmp_path / "b" / "image.bin").write_bytes(payload("1.5.1"))
    with pytest.raises(RefusedError, match="its manifest says"):
        co_sign(tmp_path / "b", [SECOND])


def test_a_trust_file_without_enough_firmware_keys_is_a_mistake(tmp_path):
    with pytest.raises(ConfigurationError, match="threshold 3, but 2 keys that sign firmware"):
        made_trust(tmp_path, threshold=3)
    (tmp_path / "trust.toml").write_text(trust_text())
    with pytest.raises(ConfigurationError, match="0 keys that sign verdicts"):
        load_trust(tmp_path / "trust.toml")


def test_one_key_may_not_sign_two_kinds_of_things(tmp_path):
    with pytest.raises(ConfigurationError, match="are one key"):
        made_trust(tmp_path, keys={"build": ("firmware", BUILD), "boot": ("image", BUILD)})


def test_the_envelope_of_another_manifest_is_refused_even_where_nobody_asks(tmp_path, trust):
    made_bundle(tmp_path / "a", payload(), version="1.5.0")
    made_bundle(tmp_path / "b", payload("1.5.1"), version="1.5.1", sequence=151)
    (tmp_path / "b" / ENVELOPE_NAME).write_bytes((tmp_path / "a" / ENVELOPE_NAME).read_bytes())
    for asked in (trust, None):
        refused(tmp_path / "b", asked, "signs another manifest")


def test_an_attestations_envelope_is_no_manifests(tmp_path, trust):
    made_bundle(tmp_path / "b", payload(), version="1.5.0")
    data = (tmp_path / "b" / "manifest.json").read_bytes()
    (tmp_path / "b" / ENVELOPE_NAME).write_bytes(seal(data, [BUILD]).encode())
    refused(tmp_path / "b", trust, "payloadType")


def test_signature_and_manifest_cannot_be_rewritten_without_the_key(tmp_path, trust):
    folder = tmp_path / "b"
    made_bundle(folder, payload(), version="1.5.0")
    envelope = json.loads((folder / ENVELOPE_NAME).read_text())
    manifest = (folder / "manifest.json").read_bytes().replace(b'"sequence": 150', b'"sequence": 999')
    envelope["payload"] = base64.b64encode(manifest).decode()
    (folder / ENVELOPE_NAME).write_text(json.dumps(envelope))
    (folder / "manifest.json").write_bytes(manifest)
    refused(folder, trust, "the signature of key build is not its signature of this content")


# The image's own signature.


@pytest.mark.parametrize("signer", [OTHER_BOOT, BUILD, STRANGER])
def test_an_mcuboot_image_of_a_key_that_signs_no_images_is_refused(tmp_path, trust, signer):
    made_bundle(tmp_path / "b", mcuboot_image(signer=signer))
    refused(tmp_path / "b", trust, "which is not among the trusted that sign images")


def test_an_mcuboot_image_passed_off_as_raw_is_refused(tmp_path, trust):
    made_bundle(tmp_path / "b", mcuboot_image(signer=OTHER_BOOT))
    rewritten(tmp_path / "b", format="raw", security_counter=None)
    refused(tmp_path / "b", trust, "begins like one of format mcuboot")


# Manifest against image and rig.


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": "1.5.1+7"}, "image says version 1.5.0.7, its manifest says 1.5.1"),
        ({"version": "1.5.0+8"}, "image says version"),
        ({"version": "1.5.0"}, "image says version"),
        ({"security_counter": 4}, "security counter 3, its manifest says 4"),
        ({"hardware": [HARDWARE, "psc-3"]}, "its manifest says psc-2-rev-b, psc-3"),
        ({"sha256": "0" * 64}, "image has sha256"),
        ({"size_bytes": 10}, "longer than the 10 bytes"),
        ({"size_bytes": 10**6}, "bytes, its manifest says"),
        ({"format": "swu", "security_counter": None}, "no cpio archive"),
        ({"format": "raucb", "security_counter": None}, "does not begin like one"),
    ],
)
def test_a_signed_manifest_that_disagrees_with_its_image_is_refused(tmp_path, trust, changes, why):
    made_bundle(tmp_path / "b", mcuboot_image())
    rewritten(tmp_path / "b", **changes)
    refused(tmp_path / "b", trust, why)


def test_other_hardware_and_an_older_bootloader_are_refused(tmp_path, trust):
    made_bundle(tmp_path / "b", payload(), version="1.5.0", min_bootloader="1.10.0")
    refused(tmp_path / "b", trust, "the rig has psc-3", hardware="psc-3")
    refused(tmp_path / "b", trust, "needs bootloader 1.10.0, the rig has 1.9", bootloader="1.9")
    assert admitted(tmp_path / "b", trust, bootloader="1.10")
    with pytest.raises(ConfigurationError, match="no bootloader version"):
        admitted(tmp_path / "b", trust, bootloader="new")


def test_time_is_checked_and_what_is_in_service_may_have_expired(tmp_path, trust):
    made_bundle(tmp_path / "b", payload(), version="1.5.0", lifetime=timedelta(days=1))
    assert admitted(tmp_path / "b", trust, now=NOW + timedelta(hours=23))
    refused(tmp_path / "b", trust, "expired at 2026-11-24T12:00:00Z", now=NOW + timedelta(days=1))
    assert admitted(tmp_path / "b", trust, now=NOW + timedelta(days=9), in_service=True)
    assert admitted(tmp_path / "b", trust, now=NOW - timedelta(seconds=59))
    refused(tmp_path / "b", trust, "issued in the future", now=NOW - timedelta(seconds=61))
    refused(tmp_path / "b", None, "issued in the future", now=NOW - timedelta(hours=2), in_service=True)


# Going back.


@pytest.fixture
def installed(tmp_path) -> Installed:
    """1.5.2 with counter 5 is in service, and 1.5.3 with counter 6 was confirmed before."""
    newest = made_bundle(tmp_path / "newest", mcuboot_image("1.5.3", counter=6), sequence=153)
    in_service = made_bundle(tmp_path / "in-service", mcuboot_image("1.5.2", counter=5), sequence=152)
    return NOTHING_INSTALLED.then(newest.manifest).then(in_service.manifest)


@pytest.mark.parametrize(
    ("version", "counter", "sequence", "why"),
    [
        ("1.6.0", 7, 151, "sequence 151, the rig has confirmed 152"),
        ("1.5.1", 7, 160, "the rig has confirmed 1.5.2"),
        ("1.6.0", 4, 160, "security counter 4, the rig has confirmed 5"),
        ("1.6.0", 5, 160, "security counter 5, the rig has confirmed 6"),  # newer than in service, not than ever
        ("1.5.2+9", 7, 160, "the rig has confirmed 1.5.3"),
    ],
)
def test_older_firmware_needs_a_permission(tmp_path, trust, installed, version, counter, sequence, why):
    bundle = made_bundle(tmp_path / "old", mcuboot_image(version, counter=counter), sequence=sequence)
    refused(tmp_path / "old", trust, f"{why}.*going back takes a signed permission", installed=installed)
    in_service = installed.confirmed[-1].sha256
    permitted = permission_file(in_service, bundle.sha256)
    assert admitted(tmp_path / "old", trust, installed=installed, permissions=[permitted])
    (tmp_path / "old" / "back.downgrade.json").write_bytes(permitted)
    assert admitted(tmp_path / "old", trust, installed=installed)  # found beside the manifest


def test_newer_firmware_and_the_one_in_service_need_none(tmp_path, trust, installed):
    made_bundle(tmp_path / "new", mcuboot_image("1.5.4", counter=6), sequence=154)
    for name in ("new", "in-service", "newest"):  # the newest was confirmed once: going there is no step back
        assert admitted(tmp_path / name, trust, installed=installed)


def test_an_image_without_a_counter_is_older_than_one_with(tmp_path, trust, installed):
    made_bundle(tmp_path / "raw", payload(), version="1.6.0", sequence=160)
    refused(tmp_path / "raw", trust, "security counter None", installed=installed)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"signer": BUILD}, "not signed by a trusted key that signs downgrades"),
        ({"signer": STRANGER}, "not signed by a trusted key"),
        ({"from_sha256": "0" * 64}, "for another image or other hardware"),
        ({"to_sha256": "0" * 64}, "for another image or other hardware"),
        ({"hardware": "psc-3"}, "for another image or other hardware"),
        ({"now": NOW - timedelta(hours=4)}, "expired"),
        ({"now": NOW + timedelta(hours=1)}, "future"),
        ({"lifetime": timedelta(hours=9)}, "last longer than the 8 h"),
    ],
)
def test_a_permission_is_for_one_change_for_some_time(tmp_path, trust, installed, changes, why):
    bundle = made_bundle(tmp_path / "old", mcuboot_image("1.5.1"), sequence=151)
    said = {"from_sha256": installed.confirmed[-1].sha256, "to_sha256": bundle.sha256, **changes}
    refused(tmp_path / "old", trust, why, installed=installed, permissions=[permission_file(**said)])


def test_a_permission_does_not_open_what_is_replayed(tmp_path, trust, installed):
    bundle = made_bundle(tmp_path / "replayed", mcuboot_image("1.6.0", counter=9), sequence=152)
    permitted = [permission_file(installed.confirmed[-1].sha256, bundle.sha256)]
    why = "replayed: sequence 152 was another image"
    refused(tmp_path / "replayed", trust, why, installed=installed, permissions=permitted)


def test_what_is_not_known_of_the_firmware_in_service_makes_nothing_old(tmp_path, trust):
    made_bundle(tmp_path / "b", mcuboot_image("1.5.0", counter=3), sequence=150)
    assert admitted(tmp_path / "b", trust, installed=Installed((StatedFirmware("", "0.0.0", -1, 3),)))
    refused(tmp_path / "b", trust, "security counter", installed=Installed((StatedFirmware("", "0.0.0", -1, 4),)))
    refused(tmp_path / "b", trust, "replayed", installed=Installed((StatedFirmware("", "0.0.0", 150, None),)))


def test_the_history_remembers_in_order_and_each_change_once(tmp_path, installed):
    file = tmp_path / "state" / "lab-a1.json"
    assert read_history(file, "lab-a1") == NOTHING_INSTALLED
    newest, in_service = (load_bundle(tmp_path / name).manifest for name in ("newest", "in-service"))
    for manifest in (newest, newest, in_service, newest):
        record_confirmed(file, "lab-a1", manifest, NOW)
    assert [entry.sequence for entry in read_history(file, "lab-a1").confirmed] == [153, 152, 153]
    with pytest.raises(ConfigurationError, match="is of rig lab-a1, not of lab-a2"):
        read_history(file, "lab-a2")
    file.write_text(file.read_text()[:-20])
    with pytest.raises(ConfigurationError, match="firmware history"):
        record_confirmed(file, "lab-a1", newest, NOW)
