"""``qdhil firmware``: what it prints, what it ends with, and what it never says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bundles_made import BOOT, BUILD, HARDWARE, RETURN, SECOND, STRANGER, payload, trust_text
from command import Command, command
from signing_made import SOFTHSM, make_token, write_key

from qdhil.firmware.bundle import load_bundle
from qdhil.firmware.history import record_confirmed

HERE = ("app.bin", "-o", ".", "--sequence", 1, "--min-bootloader", "1", "--fpga-build", "f", "--calibration-schema", 1)
PIN = "PIN-77c1aa90e2"
STATED = ("--min-bootloader", "1.0.0", "--fpga-build", "f150", "--calibration-schema", "1")

needs_token = pytest.mark.skipif(
    not SOFTHSM.exists() or shutil.which("softhsm2-util") is None, reason="softhsm2 is not installed"
)


@pytest.fixture
def qdhil(monkeypatch, capsys) -> Command:
    return command(monkeypatch, capsys)


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Path:
    """A folder with keys, a trust file and a payload."""
    monkeypatch.chdir(tmp_path)
    names = {"build": BUILD, "second": SECOND, "stranger": STRANGER, "boot": BOOT, "return": RETURN}
    for name, signer in names.items():
        write_key(tmp_path, name, signer)
    (tmp_path / "trust.toml").write_text(trust_text())
    (tmp_path / "app.bin").write_bytes(payload())
    return tmp_path


def build(qdhil: Command, folder: str = "b", *options: object, version: str = "1.5.0+7", sequence: int = 150) -> None:
    wrap = ("--image-key", "boot.pem", "--security-counter", 3, "--hardware", HARDWARE, "--version", version)
    words = ("app.bin", "-o", folder, "--sequence", sequence, *STATED, *wrap, "--key", "build.pem", *options)
    ended = qdhil("firmware", "build", *words)
    assert ended.code == 0, ended.err


def verify(qdhil: Command, folder: str = "b", *options: object, hardware: str = HARDWARE):
    return qdhil("firmware", "verify", folder, "--trust", "trust.toml", "--hardware", hardware, *options)


def test_a_bundle_is_built_inspected_and_verified(qdhil, lab):
    build(qdhil, "b", "--expires", "90d", "--git-commit", "0" * 40)
    told = qdhil("firmware", "inspect", "b")
    assert told.code == 0
    assert re.search(r"^image version +1\.5\.0\.7$", told.out, re.MULTILINE)
    assert "problem" not in told.out
    assert "nothing of this was verified" in told.out
    ended = verify(qdhil, "b", "--bootloader", "1.0.0", "--installed-sequence", 140)
    assert (ended.code, ended.out) == (0, "ACCEPTED: firmware 1.5.0+7, signed by build\n")
    said = json.loads(verify(qdhil, "b", "--json").out)
    assert said["accepted"] is True
    assert [text.split(":")[0] for text in said["not_checked"]] == ["min_bootloader", "age"]
    assert said["boot_digest"] == json.loads(qdhil("firmware", "inspect", "b", "--json").out)["boot_digest"]


def test_a_ready_image_says_version_hardware_and_counter_itself(qdhil, lab):
    build(qdhil, "first")
    shutil.copy(lab / "first" / "app.signed.bin", lab / "ready.bin")
    ended = qdhil("firmware", "build", "ready.bin", "-o", "b", "--sequence", 150, *STATED, "--key", "build.pem")
    assert ended.code == 0, ended.err
    manifest = load_bundle(lab / "b").manifest
    assert (manifest.version, manifest.hardware, manifest.security_counter) == ("1.5.0+7", [HARDWARE], 3)
    assert (manifest.format, manifest.image) == ("mcuboot", "ready.bin")
    assert qdhil("firmware", "inspect", "ready.bin", "--json").code == 0


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--hardware", "psc-3"), 40, "the rig has psc-3"),
        (("--bootloader", "0.9"), 40, "needs bootloader 1.0.0"),
        (("--installed-sequence", "151"), 40, "going back takes a signed permission"),
        (("--installed-counter", "4"), 40, "security counter 3, the rig has confirmed 4"),
        (("--installed-version", "1.5.1"), 40, "the rig has confirmed 1.5.1"),
        (("--installed-version", "new"), 64, "no firmware version"),
        (("--installed", "abc"), 64, "64 hexadecimal digits"),
        (("--history", "h.json"), 64, "go together"),
        (("--trust", "none.toml"), 64, "trust file"),
        (("--downgrade", "none.json"), 64, "permission none.json"),
    ],
)
def test_refusals_end_in_40_and_mistakes_in_64(qdhil, lab, options, code, says):
    build(qdhil)
    ended = verify(qdhil, "b", *options)
    assert ended.code == code
    assert says in ended.out + ended.err
    as_json = verify(qdhil, "b", *options, "--json")
    assert as_json.code == code
    if code == 40:
        assert json.loads(as_json.out)["verdict"] == "REFUSED"


def test_exit_codes_of_mender(qdhil, lab):
    build(qdhil)
    assert verify(qdhil, "b", "--exit-map", "mender").code == 0
    assert verify(qdhil, "b", "--exit-map", "mender", hardware="psc-3").code == 1
    assert verify(qdhil, "none", "--exit-map", "mender").code == 1


def test_signatures_are_added_beside_the_first(qdhil, lab):
    build(qdhil)
    (lab / "trust.toml").write_text(trust_text(threshold=2))
    assert "signed by build, it takes 2" in verify(qdhil).out
    assert qdhil("firmware", "sign", "b", "--key", "stranger.pem").code == 0
    assert verify(qdhil).code == 40
    assert qdhil("firmware", "sign", "b", "--key", "second.pem").code == 0
    assert verify(qdhil).code == 0
    again = qdhil("firmware", "sign", "b", "--key", "second.pem")
    assert (again.code, "signs twice" in again.err) == (40, True)


def test_going_back_takes_a_permission(qdhil, lab):
    build(qdhil, "new", version="1.6.0", sequence=160)
    build(qdhil, "old")
    new = load_bundle(lab / "new")
    record_confirmed(lab / "h.json", "lab-a1", new.manifest, datetime.now(UTC))
    history = ("--history", "h.json", "--rig", "lab-a1")
    assert verify(qdhil, "old", *history).code == 40
    permit = ("--from", "new", "--to", "old", "--hardware", HARDWARE, "--reason", "harm in the field", "--key")
    wrong = qdhil("firmware", "permit-downgrade", *permit, "build.pem", "-o", "wrong.downgrade.json")
    assert wrong.code == 0
    assert verify(qdhil, "old", *history, "--downgrade", "wrong.downgrade.json").code == 40
    made = qdhil("firmware", "permit-downgrade", *permit, "return.pem", "-o", "old/back.downgrade.json")
    assert f"may go back from {new.sha256[:12]}" in made.out
    assert verify(qdhil, "old", *history).code == 0
    assert qdhil("firmware", "permit-downgrade", *permit, "return.pem", "-o", "back.json").code == 64


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("app.bin", "-o", "b", "--sequence", 1, *STATED), "does not say its version"),
        (("app.bin", "-o", "b", "--sequence", 1, *STATED, "--version", "1.0.0"), "hardware"),
        (("app.bin", "-o", "b", "--sequence", 1, *STATED, "--image-key", "boot.pem"), "needs --version"),
        (("app.bin", "-o", "b", "--sequence", 1, *STATED, "--security-counter", 3), "goes with --image-key"),
        (("app.bin", "-o", "b", "--sequence", -1, *STATED, "--version", "1.0.0"), "sequence"),
        (("none.bin", "-o", "b", "--sequence", 1, *STATED), "image none.bin"),
        (
            ("app.bin", "-o", ".", "--sequence", 1, *STATED, "--version", "1.0.0", "--hardware", "x"),
            "something already",
        ),
        (("app.bin", "-o", "b", "--sequence", 1, "--fpga-build", "f"), "Missing option"),
    ],
)
def test_what_cannot_be_built_is_told(qdhil, lab, words, says):
    ended = qdhil("firmware", "build", *words)
    assert ended.code == 64
    assert says in ended.err
    assert not (lab / "b" / "manifest.json").exists()


def test_inspect_tells_what_is_wrong_and_opens_nothing(qdhil, lab):
    build(qdhil)
    image = lab / "b" / "app.signed.bin"
    image.write_bytes(image.read_bytes()[:-1] + b"\0")
    told = qdhil("firmware", "inspect", "b", "--json")
    assert told.code == 0
    assert "sha256" in json.loads(told.out)["problem"]
    image.unlink()
    assert "No such file" in qdhil("firmware", "inspect", "b").out
    assert qdhil("firmware", "inspect", "none").code == 64


def test_the_entry_of_a_key_says_what_it_signs(qdhil, lab):
    assert 'signs = "image"' in qdhil("key", "boot.pem", "--name", "boot", "--signs", "image").out
    assert 'signs = "verdict"' in qdhil("key", "boot.pem").out
    assert qdhil("key", "boot.pem", "--signs", "firmware", "--person", "Ann").code == 64
    assert qdhil("key", "boot.pem", "--signs", "override").code == 64
    assert 'person = "Ann"' in qdhil("key", "return.pem", "--signs", "downgrade", "--person", "Ann").out


def test_a_key_pasted_for_its_path_is_not_repeated(qdhil, lab):
    secret = (lab / "build.pem").read_text()
    words = ("app.bin", "-o", "b", "--sequence", 1, *STATED, "--version", "1.0.0", "--hardware", HARDWARE)
    for option in ("--key", "--image-key"):
        ended = qdhil("firmware", "build", *words, option, secret)
        assert ended.code == 64
        assert secret.splitlines()[1] not in ended.out + ended.err


def test_a_key_comes_from_the_environment_of_ci(qdhil, lab, monkeypatch):
    secret = (lab / "build.pem").read_text()
    monkeypatch.setenv("RELEASE_KEY", secret)
    words = ("app.bin", "-o", "b", "--sequence", 1, *STATED, "--version", "1.0.0", "--hardware", HARDWARE)
    made = qdhil("firmware", "build", *words, "--key", "env:RELEASE_KEY")
    assert made.code == 0, made.err
    assert verify(qdhil).code == 0
    monkeypatch.setenv("RELEASE_KEY", secret[:60])
    for variable, says in (("RELEASE_KEY", "not a private key in PEM"), ("NO_SUCH_KEY", "is not set")):
        ended = qdhil("firmware", "sign", "b", "--key", f"env:{variable}")
        assert (ended.code, says in ended.err) == (64, True)
        assert secret[30:60] not in ended.out + ended.err


@needs_token
def test_keys_in_a_token_sign_manifest_and_image(lab):
    token = make_token(lab, PIN)
    program = str(Path(sys.executable).parent / "qdhil")

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **token.environment}
        return subprocess.run(
            [program, *map(str, words)], env=environment, cwd=lab, capture_output=True, text=True, check=False
        )

    trusted = "schema_version = 1\nthreshold = 1\nlifetime_max_h = 24\n"
    for name, key_id, signs in (("build", 1, "firmware"), ("boot", 2, "image")):
        trusted += run("key", token.uri(key_id), "--name", name, "--signs", signs).stdout
    (lab / "trust.toml").write_text(trusted)
    words = ("app.bin", "-o", "b", "--sequence", 1, *STATED, "--version", "1.0.0", "--hardware", HARDWARE)
    wrap = ("--image-key", token.uri(2), "--security-counter", 1, "--key", token.uri(1))
    made = run("firmware", "build", *words, *wrap)
    assert made.returncode == 0, made.stderr
    ended = run("firmware", "verify", "b", "--trust", "trust.toml", "--hardware", HARDWARE)
    assert ended.returncode == 0, ended.stdout
    assert PIN not in made.stdout + made.stderr + ended.stdout
    written = b"".join(file.read_bytes() for file in (lab / "b").iterdir())
    assert PIN.encode() not in written
    p256 = run("firmware", "build", *words[:2], "c", *words[3:], "--image-key", token.uri(1), "--security-counter", 1)
    assert (p256.returncode, "Ed25519" in p256.stderr) == (64, True)


def test_names_and_texts_that_no_file_can_have_are_said_in_a_line(qdhil, lab):
    long, odd = 300 * "a", ("--min-bootloader", "1", "--fpga-build", "\udcff", "--calibration-schema", 1)
    for words in (
        ("verify", long, "--trust", "trust.toml", "--hardware", HARDWARE),
        ("inspect", long),
        ("sign", long, "--key", "build.pem"),
        ("build", "app.bin", "-o", "b", "--sequence", 1, "--version", "1.0.0", "--hardware", HARDWARE, *odd),
    ):
        ended = qdhil("firmware", *words)
        assert ended.code == 64, ended.err
        assert "internal error" not in ended.err
