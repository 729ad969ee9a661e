"""A rig that asks for signatures: what is wrong with a bundle ends the session in 40 before the rig is touched."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bundles_made import BUILD, STRANGER, made_bundle, mcuboot_image, permission_file, trust_text

from acceptance.session import Session, run
from conftest import write_rack
from qdhil.firmware.history import record_confirmed
from qdhil_sim.builds import read_image


@pytest.fixture
def rack_file(tmp_path: Path) -> Path:
    """A rack whose first rig trusts one key, with three signed builds; nobody serves its instruments."""
    asks = 'trust = "trust.toml"\nhistory = "{rig}.history.json"\nbundles = "bundles"'
    file = write_rack(tmp_path, **{'bundles = "pkg:qdhil_sim/builds"': asks})
    (tmp_path / "trust.toml").write_text(trust_text())
    now = datetime.now(UTC)
    for version, sequence in (("1.4.0", 140), ("1.5.0-good", 150), ("1.5.0-area80", 153)):
        folder = tmp_path / "bundles" / version
        made_bundle(folder, read_image(version), version=version, sequence=sequence, now=now)
    return file


def asked(rack_file: Path, *options: str) -> Session:
    return run(rack_file, "--rig", "sim-a1", *options)


def refused(rack_file: Path, why: str, *options: str) -> None:
    session = asked(rack_file, *options)
    assert session.code == 40, session.output
    assert why in session.output
    assert not (rack_file.parent / "locks").exists()  # not even leased


def test_signed_bundles_are_taken(rack_file: Path) -> None:
    session = asked(rack_file, "--collect-only")
    assert session.code == 20, session.output
    assert "candidate 1.5.0-good against baseline 1.4.0" in session.output


@pytest.mark.parametrize("name", ["image.bin", "manifest.json", "manifest.dsse.json"])
def test_a_changed_byte_is_refused(rack_file: Path, name: str) -> None:
    file = rack_file.parent / "bundles" / "1.5.0-good" / name
    data = bytearray(file.read_bytes())
    at = len(data) // 2
    data[at] ^= 1
    file.write_bytes(data)
    refused(rack_file, "1.5.0-good")


def test_the_refusal_is_on_record(rack_file: Path) -> None:
    rack_file.write_text(
        rack_file.read_text().replace("schema_version = 1", 'schema_version = 1\naudit = "a.jsonl"', 1)
    )
    (rack_file.parent / "bundles" / "1.5.0-good" / "manifest.dsse.json").unlink()
    refused(rack_file, "not signed")
    (entry,) = map(json.loads, (rack_file.parent / "a.jsonl").read_text().splitlines())
    assert (entry["action"], entry["subject"], entry["outcome"]) == ("run", "1.5.0-good", "refused")
    assert "not signed" in entry["details"]["reason"]


def test_an_unsigned_candidate_and_an_unsigned_baseline_are_refused(rack_file: Path) -> None:
    for version in ("1.5.0-good", "1.4.0"):
        (rack_file.parent / "bundles" / version / "manifest.dsse.json").unlink()
        refused(rack_file, "not signed")


def test_a_stranger_s_signature_is_refused(rack_file: Path) -> None:
    folder = rack_file.parent / "strange"
    made_bundle(folder, read_image("1.5.0-mute"), version="1.5.0-mute", sequence=160, signers=[STRANGER])
    refused(rack_file, "signed by no trusted key", "--candidate", str(folder))


def test_an_older_candidate_needs_a_permission(rack_file: Path) -> None:
    back = ("--rig-baseline", "1.5.0-good", "--candidate", "1.4.0")
    refused(rack_file, "going back takes a signed permission", *back)
    bundles = rack_file.parent / "bundles"
    digests = [_sha256(bundles / version / "image.bin") for version in ("1.5.0-good", "1.4.0")]
    permitted = permission_file(*digests, now=datetime.now(UTC))
    (bundles / "1.4.0" / "back.downgrade.json").write_bytes(permitted)
    assert asked(rack_file, *back, "--collect-only").code == 20


def test_what_the_rig_confirmed_before_counts_too(rack_file: Path) -> None:
    newer = made_bundle(rack_file.parent / "newer", mcuboot_image("1.6.0"), sequence=200, signers=[BUILD])
    record_confirmed(rack_file.parent / "sim-a1.history.json", "sim-a1", newer.manifest, datetime.now(UTC))
    refused(rack_file, "the rig has confirmed 200")


def test_a_trust_file_that_is_not_there_is_a_mistake(rack_file: Path) -> None:
    (rack_file.parent / "trust.toml").unlink()
    session = asked(rack_file)
    assert session.code == 64, session.output
    assert "trust file" in session.output


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
