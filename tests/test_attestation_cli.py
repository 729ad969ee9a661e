"""``qdhil sign | verify | explain | key | override | quarantine``: exit codes, what they say, what they never say."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from campaigns_made import Light, write_run
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization import load_pem_private_key as load_pem
from securesystemslib.signer import CryptoSigner
from signing_made import ALICE, BOB, CI, RACK, SOFTHSM, STRANGER, Token, make_token, trust_text, write_key

from qdhil.cli.main import app, run
from qdhil.errors import ConfigurationError
from qdhil.gate.policy import Policy, load_policy
from qdhil.record.claim import folder_sha256
from qdhil.report.evidence_plot import write_plot

PIN = "PIN-5d1f0c77aa41e2"
PASSWORD = "PASSWORD-91be6c02d4"
CENTRAL = {"hbt": 60.0, "hom_parallel": 150.0, "hom_orthogonal": 400.0}
FIRMWARE = "b" * 64
DEVICE = ("--firmware", FIRMWARE, "--hardware", "psc-2-rev-b", "--ring", "canary")

needs_token = pytest.mark.skipif(
    not SOFTHSM.exists() or shutil.which("softhsm2-util") is None, reason="softhsm2 is not installed"
)


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def qdhil(monkeypatch, capsys) -> Command:
    """Run the command in this process, as its entry point does."""

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["qdhil", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run()
        said = capsys.readouterr()
        return Ended(int(str(ended.value.code)), said.out, said.err)

    return call


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    return {
        "PASS": write_run(root / "pass", {"sim-a1": Light(21, central=CENTRAL)}),
        "BLOCK": write_run(root / "block", {"sim-a1": Light(32, central=CENTRAL, worse={"hbt": 3.0})}),
        "INCONCLUSIVE": write_run(root / "few", {"sim-a1": Light(33, central={**CENTRAL, "hbt": 0.0})}),
    }


@pytest.fixture
def keys(tmp_path) -> dict[str, Path]:
    made = {"ci": CI, "rack": RACK, "alice": ALICE, "bob": BOB, "stranger": STRANGER}
    (tmp_path / "trust.toml").write_text(trust_text().replace("rigs = 2", "rigs = 1"))
    return {name: write_key(tmp_path, name, signer) for name, signer in made.items()}


def sign(qdhil: Command, run_folder: Path, keys: dict[str, Path], output: Path, *more: object) -> Ended:
    both = ("--key", keys["ci"], "--key", keys["rack"])
    return qdhil("sign", run_folder, *both, "--ring", "canary", "-o", output, *more)


@pytest.mark.parametrize(("name", "code"), [("PASS", 0), ("BLOCK", 10), ("INCONCLUSIVE", 20)])
def test_sign_and_verify_end_with_the_verdict(qdhil, runs, keys, tmp_path, name, code):
    output = tmp_path / "a.attestation.json"
    signed = sign(qdhil, runs[name], keys, output)
    assert (signed.code, signed.err) == (code, "")
    policy = load_policy(runs[name] / "policy.toml")
    assert isinstance(policy, Policy)
    checked = qdhil("verify", output, "--trust", tmp_path / "trust.toml", *DEVICE, "--policy", policy.sha256, "--json")
    assert (checked.code, checked.err) == (code, "")
    said = json.loads(checked.out)
    assert (said["verdict"], said["accepted"], sorted(said["keys"])) == (name, code == 0, ["ci", "rack"])


def test_two_machines_sign_one_after_the_other(qdhil, runs, keys, tmp_path):
    alone, both = tmp_path / "1.json", tmp_path / "2.json"
    one = qdhil("sign", runs["PASS"], "--key", keys["ci"], "--ring", "canary", "-o", alone)
    assert one.code == 0
    refused = qdhil("verify", alone, "--trust", tmp_path / "trust.toml", *DEVICE)
    assert (refused.code, refused.err) == (40, "")
    assert "signed by 1 of the trusted keys, it takes 2" in refused.out
    assert qdhil("sign", runs["PASS"], "--key", keys["rack"], "--ring", "canary", "--onto", alone, "-o", both).code == 0
    assert qdhil("verify", both, "--trust", tmp_path / "trust.toml", *DEVICE).code == 0
    again = qdhil("sign", runs["PASS"], "--key", keys["ci"], "--ring", "canary", "-o", both)
    assert (again.code, "--onto" in again.err) == (64, True), "the other's signature would be lost"
    assert qdhil("verify", both, "--trust", tmp_path / "trust.toml", *DEVICE).code == 0
    # a second signer measures its own run against what the first one says
    other = qdhil("sign", runs["BLOCK"], "--key", keys["rack"], "--ring", "canary", "--onto", alone, "-o", both)
    assert other.code == 40
    wider = qdhil("sign", runs["PASS"], "--key", keys["rack"], "--ring", "fleet", "--onto", alone, "-o", both)
    assert (wider.code, "canary" in wider.err) == (40, True)


def test_a_run_that_was_touched_is_not_signed(qdhil, runs, keys, tmp_path):
    folder = Path(shutil.copytree(runs["BLOCK"], tmp_path / "run"))
    text = (folder / "verdict.json").read_text().replace('"verdict": "BLOCK"', '"verdict": "PASS"')
    (folder / "verdict.json").write_text(text.replace('"exit_code": 10', '"exit_code": 0'))
    assert sign(qdhil, folder, keys, tmp_path / "a.json").code == 40
    (folder / "verdict.json").unlink()
    assert sign(qdhil, folder, keys, tmp_path / "a.json").code == 20
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--ring", ""), 64),
        (("--expires", "12"), 64),
        (("--expires", "0h"), 64),
        (("--key", "/no/such/key"), 64),
    ],
)
def test_sign_refuses_options_that_mean_nothing(qdhil, runs, keys, tmp_path, arguments, code):
    ended = sign(qdhil, runs["PASS"], keys, tmp_path / "a.json", *arguments)
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (code, "", 1)
    assert not (tmp_path / "a.json").exists()


def test_an_attestation_inside_the_run_folder_is_not_part_of_it(qdhil, runs, keys, tmp_path):
    folder = Path(shutil.copytree(runs["PASS"], tmp_path / "run"))
    assert sign(qdhil, folder, keys, folder / "a.json").code == 64
    once = ("sign", folder, "--ring", "canary", "-o", folder / "a.attestation.json", "--key")
    assert qdhil(*once, keys["ci"]).code == 0
    assert qdhil(*once, keys["rack"], "--onto", folder / "a.attestation.json").code == 0
    assert qdhil("verify", folder / "a.attestation.json", "--trust", tmp_path / "trust.toml", *DEVICE).code == 0


def test_a_run_without_a_ring_is_for_no_ring(qdhil, runs, keys, tmp_path):
    ended = qdhil("sign", runs["PASS"], "--key", keys["ci"], "-o", tmp_path / "a.json")
    assert (ended.code, "--ring" in ended.err) == (64, True)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"--firmware": "e" * 64}, 40),
        ({"--firmware": "sha256:" + FIRMWARE}, 0),
        ({"--firmware": "1.5.0"}, 64),
        ({"--hardware": "psc-3"}, 40),
        ({"--ring": "fleet"}, 40),
        ({"--policy": "e" * 64}, 40),
        ({"--trust": "/no/such/file"}, 64),
    ],
)
def test_verify_opens_for_exactly_what_was_measured(qdhil, runs, keys, tmp_path, change, code):
    output = tmp_path / "a.json"
    assert sign(qdhil, runs["PASS"], keys, output).code == 0
    options = dict(zip(DEVICE[::2], DEVICE[1::2], strict=True)) | {"--trust": str(tmp_path / "trust.toml")} | change
    assert qdhil("verify", output, *(part for pair in options.items() for part in pair)).code == code


@pytest.mark.parametrize(
    ("mapping", "codes"),
    [
        ("mender", {"PASS": 0, "BLOCK": 1, "INCONCLUSIVE": 21, "refused": 1, "usage": 1}),
        ("git-bisect", {"PASS": 0, "BLOCK": 1, "INCONCLUSIVE": 125, "refused": 168, "usage": 128}),
    ],
)
def test_exit_codes_in_the_words_of_the_caller(qdhil, runs, keys, tmp_path, mapping, codes):
    trust, mapped = ("--trust", tmp_path / "trust.toml"), ("--exit-map", mapping)
    seen = {}
    for name in ("PASS", "BLOCK", "INCONCLUSIVE"):
        sign(qdhil, runs[name], keys, tmp_path / name)
        seen[name] = qdhil("verify", tmp_path / name, *trust, *DEVICE, *mapped).code
    seen["refused"] = qdhil("verify", tmp_path / "PASS", *trust, *DEVICE[:-1], "fleet", *mapped).code
    seen["usage"] = qdhil("verify", tmp_path / "PASS", f"--exit-map={mapping}").code
    assert seen == codes


def test_replay_is_refused_by_the_nonce_store(qdhil, runs, keys, tmp_path):
    sign(qdhil, runs["PASS"], keys, tmp_path / "a.json")
    command = ("verify", tmp_path / "a.json", "--trust", tmp_path / "trust.toml", *DEVICE, "--nonces", tmp_path / "n")
    assert qdhil(*command).code == 0
    again = qdhil(*command, "--json")
    assert again.code == 40
    assert json.loads(again.out)["verdict"] == "REFUSED"


def test_explain_says_what_decided(qdhil, runs, keys, tmp_path):
    of_run = qdhil("explain", runs["BLOCK"], "--plot", tmp_path / "evidence.png")
    assert of_run.code == 0
    assert of_run.out.startswith("BLOCK: 1.5.0 must not roll out")
    assert "g2(0): BLOCK" in of_run.out
    assert "recomputed from the run's counts" in of_run.out
    assert (tmp_path / "evidence.png").read_bytes().startswith(b"\x89PNG")
    sign(qdhil, runs["BLOCK"], keys, tmp_path / "a.json")
    unchecked = qdhil("explain", tmp_path / "a.json")
    assert "NOT CHECKED" in unchecked.out
    checked = qdhil("explain", tmp_path / "a.json", "--trust", tmp_path / "trust.toml")
    assert re.search(r"signatures: by (ci, rack|rack, ci)", checked.out)
    assert unchecked.out.split("attested for")[0] == checked.out.split("attested for")[0]
    assert qdhil("explain", tmp_path / "a.json", "--plot", tmp_path / "b.png").code == 64
    (tmp_path / "a.json").write_text("{}")
    assert qdhil("explain", tmp_path / "a.json").code == 40


def test_the_plot_of_a_run_without_looks_is_of_its_blocks(runs, tmp_path):
    with_looks, without = tmp_path / "looks.png", tmp_path / "blocks.png"
    write_plot(runs["PASS"], with_looks)
    folder = Path(shutil.copytree(runs["PASS"], tmp_path / "run"))
    verdict = json.loads((folder / "verdict.json").read_text())
    verdict["comparisons"] = []
    (folder / "verdict.json").write_text(json.dumps(verdict))
    write_plot(folder, without)
    assert with_looks.read_bytes() != without.read_bytes()
    (folder / "sim-a1" / "blocks.jsonl").write_text("")
    with pytest.raises(ConfigurationError, match="nothing was measured"):
        write_plot(folder, without)


def test_two_people_open_an_undecided_run_and_one_closes_it(qdhil, runs, keys, tmp_path):
    trust, attestation = ("--trust", tmp_path / "trust.toml"), tmp_path / "a.attestation.json"
    override = tmp_path / "night.override.json"
    assert sign(qdhil, runs["INCONCLUSIVE"], keys, attestation).code == 20
    why = ("--reason", "measured again tomorrow, the canary ring is one device")
    asked = qdhil(
        "override", "request", attestation, *trust, "--key", keys["alice"], "--ring", "canary", *why, "-o", override
    )
    assert (asked.code, asked.err) == (0, "")
    checked = ("verify", attestation, *trust, *DEVICE, "--override", override)
    assert (qdhil(*checked).code, qdhil("verify", attestation, *trust, *DEVICE).code) == (40, 20)
    again = qdhil("override", "approve", override, *trust, "--key", keys["alice"])
    assert (again.code, "another person" in again.err) == (40, True)
    assert qdhil("override", "approve", override, *trust, "--key", keys["stranger"]).code == 40
    assert qdhil("override", "approve", override, *trust, "--key", keys["bob"]).code == 0
    opened = qdhil(*checked)
    assert opened.code == 0
    assert opened.out.startswith("INCONCLUSIVE: ")
    assert re.search(r"OVERRIDDEN by (Alice and Bob|Bob and Alice) until", opened.out)
    assert "approved" in qdhil("override", "list", tmp_path, *trust).out
    assert qdhil("override", "revoke", override, *trust, "--key", keys["bob"], "--reason", "harm seen").code == 0
    closed = qdhil(*checked)
    assert (closed.code, "revoked: harm seen" in closed.out) == (40, True)
    (row,) = json.loads(qdhil("override", "list", tmp_path, *trust, "--json").out)
    assert (row["file"], row["state"]) == (override.name, "revoked")


def test_proven_harm_can_not_be_overridden(qdhil, runs, keys, tmp_path):
    sign(qdhil, runs["BLOCK"], keys, tmp_path / "a.json")
    asked = qdhil(
        *("override", "request", tmp_path / "a.json", "--trust", tmp_path / "trust.toml", "--key", keys["alice"]),
        *("--ring", "canary", "--reason", "we would like it anyway", "-o", tmp_path / "x.override.json"),
    )
    assert (asked.code, "can't be overridden" in asked.err) == (40, True)
    assert not (tmp_path / "x.override.json").exists()


def test_quarantine_is_added_and_listed(qdhil, tmp_path):
    file = ("--file", tmp_path / "quarantine.toml")
    entry = ("--rig", "sim-a1", "--metric", "hom.v_unc", "--reason", "stage slips", "--link", "https://example.org/17")
    assert qdhil("quarantine", "add", *entry, "--until", "2999-01-01", *file).code == 0
    assert "hom.v_unc on sim-a1 is in quarantine until 2999-01-01" in qdhil("quarantine", "list", *file).out
    (row,) = json.loads(qdhil("quarantine", "list", *file, "--json").out)
    assert (row["active"], row["link"]) == (True, "https://example.org/17")
    assert qdhil("quarantine", "add", *entry, "--until", "2999-01-01", *file).code == 64
    assert qdhil("quarantine", "add", *entry, "--until", "2020-01-01", *file).code == 64
    assert qdhil("quarantine", "list", "--file", tmp_path / "none.toml").code == 64


def test_the_digest_of_a_run_folder_is_of_all_of_its_content(runs, tmp_path):
    folder = Path(shutil.copytree(runs["PASS"], tmp_path / "run"))
    before = folder_sha256(folder)
    (folder / "x.attestation.json").write_text("{}")
    assert folder_sha256(folder) == before
    (folder / "sim-a1" / "note.txt").write_text("")
    assert folder_sha256(folder) != before
    (folder / "sim-a1" / "note.txt").rename(folder / "sim-a1" / "other.txt")
    moved = folder_sha256(folder)
    (folder / "sim-a1" / "other.txt").write_text("!")
    assert len({before, moved, folder_sha256(folder)}) == 3


@pytest.fixture(scope="module")
def token(tmp_path_factory) -> Iterator[Token]:
    made = make_token(tmp_path_factory.mktemp("token"), PIN)
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = made.environment["SOFTHSM2_CONF"]  # read when the library is loaded
    yield made
    os.environ.pop("SOFTHSM2_CONF") if before is None else os.environ.update(SOFTHSM2_CONF=before)


@needs_token
@pytest.mark.parametrize("key_id", [1, 2], ids=["P-256", "Ed25519"])
def test_a_key_inside_a_token_signs(qdhil, runs, keys, tmp_path, token, monkeypatch, key_id):
    monkeypatch.setenv("QDHIL_PIN", PIN)
    public = qdhil("key", token.uri(key_id), "--name", "token")
    assert public.code == 0
    trust = tmp_path / "trust.toml"
    trust.write_text(trust.read_text() + public.out)
    monkeypatch.delenv("QDHIL_PIN")
    (tmp_path / "pin").write_text(PIN + "\n")
    uri = f"{token.uri(key_id)}&pin-source=file:{tmp_path}/pin"
    signed = qdhil(
        *("sign", runs["PASS"], "--key", uri, "--key", keys["ci"], "--ring", "canary", "-o", tmp_path / "a.json")
    )
    assert (signed.code, signed.err) == (0, "")
    checked = qdhil("verify", tmp_path / "a.json", "--trust", trust, *DEVICE, "--json")
    assert (checked.code, sorted(json.loads(checked.out)["keys"])) == (0, ["ci", "token"])


@needs_token
@pytest.mark.parametrize(
    ("pin", "uri", "words"),
    [
        ("", "pkcs11:token=qdhil-test;id=%02?module-path={}", "no PIN"),
        ("wrong", "pkcs11:token=qdhil-test;id=%02?module-path={}", "PinIncorrect"),
        (PIN, "pkcs11:token=qdhil-test;id=%07?module-path={}", "no usable key"),
        (PIN, "pkcs11:token=other;id=%02?module-path={}", "NoSuchToken"),
        (PIN, "pkcs11:token=qdhil-test;id=%02?module-path=/no/such.so", "no usable key"),
        (PIN, "pkcs11:token=qdhil-test", "token= and id="),
        (PIN, "pkcs11:token=qdhil-test;colour=red", "takes token"),
        ("", f"pkcs11:token=qdhil-test;id=%02?module-path={{}}&pin-value={PIN}", "no secret"),
    ],
)
def test_a_token_that_does_not_sign_is_said_in_one_line(qdhil, runs, tmp_path, token, monkeypatch, pin, uri, words):
    monkeypatch.setenv("QDHIL_PIN", pin)
    ended = qdhil("sign", runs["PASS"], "--key", uri.format(SOFTHSM), "--ring", "canary", "-o", tmp_path / "a.json")
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (64, "", 1)
    assert words in ended.err
    assert PIN not in ended.err


def secrets_of(signer: CryptoSigner) -> list[str]:
    """Forms in which a private key could get out."""
    pem = signer.private_bytes.decode()
    seed = load_pem(signer.private_bytes, None).private_bytes_raw()
    return ["".join(pem.splitlines()[1:-1]), seed.hex(), base64.b64encode(seed).decode(), "PRIVATE KEY"]


@needs_token
def test_no_verb_says_a_secret(qdhil, runs, keys, tmp_path, token, monkeypatch, caplog):
    """Every verb, rightly and wrongly used, with a PIN, a password and keys around: none gets out anywhere."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("QDHIL_PIN", PIN)
    monkeypatch.setenv("QDHIL_KEY_PASSWORD", PASSWORD)
    private = load_pem(CI.private_bytes, None)
    locked = tmp_path / "locked.pem"
    encryption = BestAvailableEncryption(PASSWORD.encode())
    locked.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    pasted = CI.private_bytes.decode()
    trust, output = ("--trust", tmp_path / "trust.toml"), tmp_path / "out"
    output.mkdir()
    undecided, override = output / "b.attestation.json", output / "x.override.json"
    ask = (*trust, "--ring", "canary", "--reason", "it has to be now", "-o", override)
    pinned = f"{token.uri(2)}&pin-value={PIN}"
    quarantined = ("--rig", "r", "--metric", "hom.v_unc", "--reason", "r", "--link", "https://x.org", "--until")
    sign_pass = ("sign", runs["PASS"], "--ring", "canary", "-o", output / "a.json", "--key")
    commands: list[tuple[Any, ...]] = [
        (*sign_pass, locked),
        (*sign_pass, token.uri(1)),
        (*sign_pass, token.uri(2)),
        (*sign_pass, pasted),
        (*sign_pass, pinned),
        (*sign_pass, pasted.splitlines()[1]),
        ("--key", pasted),
        (*sign_pass, tmp_path),
        (*sign_pass, keys["ci"], "--key", keys["ci"]),
        (*sign_pass, tmp_path / "trust.toml", "--json"),
        ("sign", runs["INCONCLUSIVE"], "--ring", "canary", "-o", undecided, "--key", locked, "--key", keys["rack"]),
        ("verify", undecided, *trust, *DEVICE),
        ("verify", undecided, "--trust", keys["ci"], *DEVICE),
        ("verify", keys["ci"], *trust, *DEVICE, "--json"),
        ("verify", locked, *trust, *DEVICE),
        ("explain", undecided, *trust),
        ("explain", keys["ci"]),
        ("explain", runs["PASS"], "--json"),
        ("key", locked),
        ("key", token.uri(1)),
        ("key", pasted),
        ("key", pinned),
        ("override", "request", undecided, *ask, "--key", keys["alice"]),
        ("override", "request", undecided, *ask, "--key", pasted),
        ("override", "request", keys["ci"], *ask, "--key", keys["alice"]),
        ("override", "approve", override, *trust, "--key", keys["bob"]),
        ("override", "approve", keys["ci"], *trust, "--key", pinned),
        ("override", "revoke", override, *trust, "--key", keys["bob"], "--reason", "no"),
        ("override", "revoke", override, *trust, "--key", pasted, "--reason", "no"),
        ("override", "list", output, *trust, "--json"),
        ("override", "list", output, *trust),
        ("quarantine", "add", *quarantined, "2999-01-01", "--file", output / "q.toml"),
        ("quarantine", "list", "--file", output / "q.toml"),
        ("quarantine", "list", "--file", keys["ci"]),
        ("gate", runs["PASS"]),
        ("gate", keys["ci"]),
        ("schema", "trust"),
    ]
    verbs = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    groups = [str(group.name) for group in app.registered_groups]
    commands += [(verb, "--help") for verb in (*verbs, *groups)]
    commands += [(verb,) for verb in ("sign", "verify", "explain", "key", *groups)]
    ended = [qdhil(*command) for command in commands]
    assert {0, 20, 40, 64} <= {end.code for end in ended}
    assert 70 not in {end.code for end in ended}, [end for end in ended if end.code == 70]
    said = [f"{end.out}{end.err}" for end in ended] + [caplog.text]
    said += [file.read_text() for file in output.iterdir()]
    markers = [PIN, PASSWORD, *secrets_of(CI), *secrets_of(RACK), *secrets_of(ALICE), *secrets_of(BOB)]
    for text in said:
        plain = re.sub(r"[\s│]+", "", text)
        for marker in markers:
            assert marker not in text, f"said: {text}"
            assert marker.replace(" ", "") not in plain, f"said: {text}"
