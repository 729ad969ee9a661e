"""No key, password or token reaches anything that the real commands write."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.session import command as session_command
from acceptance.session import newest_run, quick_policy
from campaigns_made import Light, write_run
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization import load_pem_private_key as load_pem
from signing_made import ALICE, BOB, CI, RACK, SOFTHSM, make_token, trust_text, write_key

import qdhil_sim
from conftest import write_rack
from qdhil.keys.secrets import WITHHELD, refuse_secrets, secret_in, withheld

PIN, PASSWORD, TOKEN, API_KEY = "PIN-4c1be27708aa", "PASSWORD-c04d7f1be5", "ghs_8d2f7a61c3b94e05", "AKIA77Q1ZP0F5M2X"
CENTRAL = {"hbt": 60.0, "hom_parallel": 150.0, "hom_orthogonal": 400.0}
QDHIL = str(Path(sys.executable).with_name("qdhil"))
NAMED = {"QDHIL_PIN": PIN, "QDHIL_KEY_PASSWORD": PASSWORD, "GITHUB_TOKEN": TOKEN, "LAB_API_KEY": API_KEY}
IMAGE = Path(qdhil_sim.__file__).parent / "builds" / "1.5.0-good" / "image.toml"
STATED = ("--version", "1.5.0", "--hardware", "psc-2-rev-b", "--sequence", "150", "--min-bootloader", "1.0.0")
STATED += ("--calibration-schema", "1", "--fpga-build", "f150")
SPEAKING_SUITE = """
import os, logging, subprocess, sys, pytest

@pytest.mark.metric("g2.pulsed.area")
def test_purity(comparison):
    print("captured", dict(os.environ))
    logging.getLogger("lab").warning("logged %s", os.environ["GITHUB_TOKEN"])
    assert comparison.verdict == "PASS"

def test_that_fails_with_a_token_in_its_arguments(rig):
    token = os.environ["GITHUB_TOKEN"]
    raise ValueError("could not log in with " + token)

def test_that_ends_with_a_token_in_its_assertion(rig):
    assert os.environ["GITHUB_TOKEN"] == os.environ["QDHIL_PIN"]
"""


def markers() -> list[bytes]:
    """Every form in which a secret could get out."""
    found = [text.encode() for text in NAMED.values()]
    for signer in (CI, RACK, ALICE, BOB):
        pem = signer.private_bytes.decode()
        seed = load_pem(signer.private_bytes, None).private_bytes_raw()
        found += [seed, seed.hex().encode(), base64.b64encode(seed), "".join(pem.splitlines()[1:-1]).encode()]
    return [*found, b"PRIVATE KEY-----"]


def leaks(data: bytes) -> list[bytes]:
    """Secrets in some bytes, as they are and inside base64, whatever white space or boxes lie between."""
    plain = re.sub(rb"[\s\xe2\x94\x82|]+", b"", data)
    inside = b"".join(_decoded(match) for match in re.findall(rb"[A-Za-z0-9+/]{24,}={0,2}", data))
    return [marker for marker in markers() if marker in data or marker.replace(b" ", b"") in plain or marker in inside]


def _decoded(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=False) if len(text) % 4 != 1 else b""


def leaking_files(folder: Path) -> list[tuple[str, list[bytes]]]:
    return [(str(file), found) for file in folder.rglob("*") if file.is_file() and (found := leaks(file.read_bytes()))]


class Lab:
    """A folder of keys, which nothing may be written to, and one for everything that is written."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.written = folder / "keys", folder / "written"
        self.keys.mkdir()
        self.written.mkdir()
        for name, signer in (("ci", CI), ("rack", RACK), ("alice", ALICE), ("bob", BOB)):
            write_key(self.keys, name, signer)
        encryption = BestAvailableEncryption(PASSWORD.encode())
        self.locked = self.keys / "locked.pem"
        self.locked.write_bytes(
            load_pem(CI.private_bytes, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        )
        self.trust = self.written / "trust.toml"
        self.trust.write_text(trust_text().replace("rigs = 2", "rigs = 1"))
        self.environment = {**os.environ, **NAMED, "QDHIL_AUDIT": str(self.written / "audit.jsonl")}
        self.said = 0

    def run(self, *words: object) -> int:
        """Run a command; keep what it says among what is written."""
        done = subprocess.run(
            [str(word) for word in words],
            env=self.environment,
            cwd=self.written,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=False,
        )
        self.said += 1
        (self.written / f"said-{self.said}").write_bytes(done.stdout + b"\n" + done.stderr)
        return done.returncode


@pytest.fixture
def lab(tmp_path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    assert leaks(b"this is " + PIN.encode()) == [PIN.encode()], "the search itself finds what is there"
    assert leaking_files(made.keys), "and in files"
    found = leaking_files(made.written)
    assert found == [], found


def test_signing_verifying_overriding_promoting(lab, tmp_path):
    runs = {
        "PASS": write_run(lab.written / "pass", {"sim-a1": Light(21, central=CENTRAL)}),
        "INCONCLUSIVE": write_run(lab.written / "few", {"sim-a1": Light(33, central={**CENTRAL, "hbt": 0.0})}),
    }
    trust, audit = ("--trust", lab.trust), lab.environment["QDHIL_AUDIT"]
    device = ("--firmware", "b" * 64, "--hardware", "psc-2-rev-b", "--ring", "canary")
    both = ("--key", lab.locked, "--key", lab.keys / "rack.pem", "--ring", "canary")
    override, undecided = lab.written / "n.override.json", lab.written / "i.attestation.json"
    ask = (
        "override",
        "request",
        undecided,
        *trust,
        "--key",
        lab.keys / "alice.pem",
        "--ring",
        "canary",
        "-o",
        override,
    )
    head = lab.written / "night.head.json"
    pasted = CI.private_bytes.decode()
    codes = {
        ("key", lab.locked): 0,
        ("sign", runs["PASS"], *both, "-o", lab.written / "p.attestation.json"): 0,
        ("verify", lab.written / "p.attestation.json", *trust, *device, "--json"): 0,
        ("sign", runs["INCONCLUSIVE"], *both, "-o", undecided): 20,
        (*ask, "--reason", "the dewar is empty"): 0,
        (*ask, "--reason", f"log in with {TOKEN}"): 64,
        ("override", "approve", override, *trust, "--key", lab.keys / "bob.pem"): 0,
        ("override", "list", lab.written, *trust, "--json"): 0,
        ("verify", undecided, *trust, *device, "--override", override): 0,
        ("override", "revoke", override, *trust, "--key", lab.keys / "bob.pem", "--reason", "done"): 0,
        ("baseline", "promote", runs["PASS"], "--by", "Ada", "--key", lab.locked): 0,
        ("baseline", "promote", runs["PASS"], "--by", pasted): 64,
        ("baseline", "retire", "psc-2-rev-b", "--by", "Ada", "--reason", f"x{PASSWORD}x"): 64,
        ("baseline", "show", "psc-2-rev-b", "--remote", f"https://ada:{TOKEN}@127.0.0.1:9/x.git"): 64,
        ("firmware", "build", IMAGE, *STATED, "-o", lab.written / "bundle", "--key", lab.locked): 0,
        ("firmware", "build", IMAGE, *STATED, "-o", lab.written / "other", "--key", pasted): 64,
        ("firmware", "inspect", lab.keys / "ci.pem"): 0,
        ("firmware", "verify", lab.written / "bundle", *trust, "--hardware", "psc-2-rev-b"): 64,
        ("audit", "whoami", "--key", lab.locked): 0,
        ("audit", "seal", audit, "--key", lab.locked, "-o", head): 0,
        ("audit", "verify", audit): 0,
        ("audit", "list", audit, "--json"): 0,
        ("audit", "verify", lab.keys / "ci.pem"): 40,
        ("audit", "list", lab.keys / "ci.pem"): 40,
        ("audit", "verify", audit, "--heads", lab.keys / "ci.pem"): 64,
        ("audit", "verify", audit, "--trust", lab.keys / "ci.pem", "--seal", head): 64,
        ("audit", "whoami", "--roles", lab.keys / "ci.pem"): 64,
        ("audit", "whoami", "--key", pasted): 64,
        ("audit", "whoami", "--key", pasted.splitlines()[1]): 64,
        ("audit", PIN): 64,
        ("sign", lab.keys, *both, "-o", lab.written / "x.json"): 64,
        ("gate", lab.keys / "ci.pem"): 64,
        ("schema", API_KEY): 64,
    }
    ended = {words: lab.run(QDHIL, *words) for words in codes}
    assert ended == codes
    assert "override.request" in Path(audit).read_text()


@pytest.mark.skipif(not SOFTHSM.exists() or shutil.which("softhsm2-util") is None, reason="softhsm2 is not installed")
def test_a_token_and_its_pin(lab, tmp_path):
    (tmp_path / "token").mkdir()
    token = make_token(tmp_path / "token", PIN)
    lab.environment |= {"SOFTHSM2_CONF": token.environment["SOFTHSM2_CONF"]}
    run = write_run(lab.written / "pass", {"sim-a1": Light(21, central=CENTRAL)})
    (lab.keys / "pin").write_text(PIN)
    for number, uri in enumerate((token.uri(1), f"{token.uri(2)}&pin-source=file:{lab.keys}/pin")):
        output = lab.written / f"{number}.attestation.json"
        assert lab.run(QDHIL, "sign", run, "--key", uri, "--ring", "canary", "-o", output) == 0
    assert lab.run(QDHIL, "audit", "whoami", "--key", f"{token.uri(2)}&pin-value={PIN}") == 64
    lab.environment["QDHIL_PIN"] = TOKEN  # a wrong PIN, which is a secret as well
    assert lab.run(QDHIL, "sign", run, "--key", token.uri(1), "--ring", "canary", "-o", lab.written / "x.json") == 64
    entries = [json.loads(line) for line in Path(lab.environment["QDHIL_AUDIT"]).read_text().splitlines()]
    assert [entry["actor"]["known_by"] for entry in entries] == ["key"] * 4


def test_a_campaign_with_its_reports(lab):
    rack = write_rack(lab.written)
    (lab.written / "suite").mkdir()
    (lab.written / "suite" / "test_speaking.py").write_text(SPEAKING_SUITE)
    (lab.written / "runs").mkdir()
    options = ("--rig", "sim-a1", "--rig-seed", "1", "--rig-policy", str(quick_policy(lab.written)))
    reports = ("--junitxml", str(lab.written / "junit.xml"), "--alluredir", str(lab.written / "allure"), "-rA", "-v")
    suites = ("--pyargs", "qdhil_suites", str(lab.written / "suite"))
    code = lab.run(*session_command(rack, *options, *reports, "--candidate", "1.5.0-good", suites=suites))
    assert code in (20, 30)
    folder = newest_run(rack)
    assert (folder / "verdict.json").exists()
    assert WITHHELD in (lab.written / "junit.xml").read_text()
    assert len(list((lab.written / "allure").iterdir())) > 3
    for wrong in (("--candidate", CI.private_bytes.decode()), ("--rig-baseline", PASSWORD), ("--rack", f"/{TOKEN}")):
        assert lab.run(*session_command(rack, *options, *wrong)) == 64
    assert lab.run(*session_command(lab.keys / "ci.pem", *options)) == 64
    assert lab.run(QDHIL, "sign", folder, "--key", lab.locked, "--ring", "canary", "-o", lab.written / "a.json") in (
        20,
        30,
    )


def test_what_is_withheld(monkeypatch):
    for name, value in NAMED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SHORT_PIN", "1234")
    monkeypatch.setenv("FILE_TOKEN", str(Path(__file__)))
    monkeypatch.setenv("HARMLESS", "nothing to hide")
    for text in (*NAMED.values(), CI.private_bytes.decode(), CI.private_bytes.decode().splitlines()[1]):
        assert secret_in(f"x{text}x") is not None
        assert text not in withheld(f"before {text} after")
    assert withheld("the PIN 1234, the digest a1234b") == f"the PIN {WITHHELD}, the digest a1234b"
    assert withheld("https://ada:pw@host/x") == withheld("https://token@host/x") == f"https://{WITHHELD}@host/x"
    assert withheld(f"{Path(__file__)}: nothing to hide") == f"{Path(__file__)}: nothing to hide"
    refuse_secrets(["1234", "user@host", "--seed", "pkcs11:token=t;id=%01?pin-source=file:/run/pin"])
