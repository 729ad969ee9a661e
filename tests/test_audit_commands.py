"""``qdhil audit``, and the commands that write to the log: exit codes, what they say, what they refuse."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
from pathlib import Path

import pytest
from audit_made import tear, write_log
from campaigns_made import Light, write_run
from command import Command, command
from securesystemslib.signer import CryptoSigner
from signing_made import ALICE, BOB, CI, RACK, trust_text, write_key

import qdhil_sim
from qdhil.audit import AuditLog, Entry, verify_log
from qdhil.keys.signers import public_pem

ME = f"user:{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
CENTRAL = {"hbt": 60.0, "hom_parallel": 150.0, "hom_orthogonal": 400.0}
SEALER = CryptoSigner.generate_ed25519()


@pytest.fixture
def qdhil(monkeypatch, capsys) -> Command:
    for variable in ("QDHIL_AUDIT", "QDHIL_ROLES"):
        monkeypatch.delenv(variable, raising=False)
    return command(monkeypatch, capsys)


@pytest.fixture
def log(tmp_path) -> Path:
    file = tmp_path / "audit.jsonl"
    write_log(file)
    return file


@pytest.fixture
def trust(tmp_path) -> Path:
    file = tmp_path / "trust.toml"
    more = f'[keys.sealer]\nsigns = "audit"\npublic = """\n{public_pem(SEALER)}"""\n'
    file.write_text(trust_text().replace("rigs = 2", "rigs = 1") + more)
    return file


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    return {
        "PASS": write_run(root / "pass", {"sim-a1": Light(21, central=CENTRAL)}),
        "INCONCLUSIVE": write_run(root / "few", {"sim-a1": Light(33, central={**CENTRAL, "hbt": 0.0})}),
    }


def written(file: Path) -> list[Entry]:
    entries: list[Entry] = []
    assert verify_log(file, on_entry=entries.append).whole
    return entries


def told(file: Path) -> list[tuple[str, str]]:
    return [(entry.action, entry.outcome) for entry in written(file)]


def roles(folder: Path, **members: str) -> Path:
    file = folder / "roles.toml"
    lines = [f'{role} = ["{identity}"]' for role, identity in members.items()]
    file.write_text("\n".join(["schema_version = 1", "[roles]", *lines]))
    return file


def test_verify_a_whole_log(qdhil, log, tmp_path, monkeypatch):
    ended = qdhil("audit", "verify", log)
    assert (ended.code, ended.err) == (0, "")
    assert "whole, 7 entries, 2 signed" in ended.out
    assert "no noted head was given" in ended.out
    tear(log)
    head = qdhil("audit", "head", log).out.strip()
    said = json.loads(qdhil("audit", "verify", log, "--head", head, "--json").out)
    assert (said["whole"], said["heads_checked"], said["torn"], said["tail_bytes"]) == (True, 1, [4], 29)
    (tmp_path / "heads").write_text(f"# noted every night\n\n{head}\n")
    assert qdhil("audit", "verify", log, "--heads", tmp_path / "heads").code == 0
    monkeypatch.setenv("QDHIL_AUDIT", str(log))
    assert qdhil("audit", "verify").code == 0
    assert json.loads(qdhil("audit", "head", "--json").out) == dict(
        zip(("number", "sha256"), (7, head.partition(":")[2]), strict=True)
    )


def test_a_log_that_was_touched_ends_with_40_everywhere(qdhil, log, tmp_path, trust):
    head = qdhil("audit", "head", log).out.strip()
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    cut = qdhil("audit", "verify", log, "--head", head)
    assert (cut.code, cut.err) == (40, "")
    assert "entry 7 was noted as head: it was cut off" in cut.out
    log.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    ended = qdhil("audit", "verify", log)
    assert (ended.code, "line 3: entry 4 where 3 belongs" in ended.out) == (40, True)
    assert json.loads(qdhil("audit", "verify", log, "--json").out)["whole"] is False
    for verb in (("head", log), ("seal", log, "--key", write_key(tmp_path, "k", SEALER), "-o", tmp_path / "s")):
        refused = qdhil("audit", *verb)
        assert (refused.code, len(refused.err.splitlines())) == (40, 1)
    listed = qdhil("audit", "list", log)
    assert (listed.code, len(listed.out.splitlines())) == (40, 2)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "none"),
        ("verify", "."),
        ("verify", "audit.jsonl", "--head", "7"),
        ("verify", "audit.jsonl", "--heads", "none"),
        ("verify", "audit.jsonl", "--heads", "empty"),
        ("verify", "audit.jsonl", "--heads", "audit.jsonl"),
        ("verify", "audit.jsonl", "--seal", "empty"),
        ("verify", "audit.jsonl", "--trust", "trust.toml"),
        ("head", "none"),
        ("list", "none"),
        ("list", "audit.jsonl", "--since", "yesterday"),
        ("list", "audit.jsonl", "--since", "2026-13-01"),
        ("seal", "audit.jsonl", "--key", "none", "-o", "s"),
    ],
)
def test_what_cannot_be_used_ends_with_64(qdhil, log, trust, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    ended = qdhil("audit", *arguments)
    assert (ended.code, ended.out, len(ended.err.splitlines())) == (64, "", 1)


def test_a_seal_proves_a_head_without_trusting_who_keeps_it(qdhil, log, trust, tmp_path):
    key, seal = write_key(tmp_path, "sealer", SEALER), tmp_path / "night.head.json"
    assert qdhil("audit", "seal", log, "--key", key, "-o", seal).code == 0
    AuditLog(log).append("run", "later", "begun")
    check = ("audit", "verify", log, "--trust", trust, "--seal")
    assert "noted heads: 1" in qdhil(*check, seal).out
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:5]))
    assert qdhil(*check, seal).code == 40
    log.write_bytes(b"".join(lines))
    for name, signer in (("stranger", CryptoSigner.generate_ed25519()), ("ci", CI), ("alice", ALICE)):
        other = tmp_path / f"{name}.head.json"
        assert qdhil("audit", "seal", log, "--key", write_key(tmp_path, name, signer), "-o", other).code == 0
        refused = qdhil(*check, other)
        assert (refused.code, "not signed by a key that is trusted to seal" in refused.err) == (40, True)
    text = seal.read_text()
    seal.write_text(text.replace('"payload": "e', '"payload": "f'))
    assert qdhil(*check, seal).code == 40
    (tmp_path / "none.jsonl").touch()
    assert qdhil("audit", "seal", tmp_path / "none.jsonl", "--key", key, "-o", seal).code == 40


def test_list_filters_and_shows_no_control_characters(qdhil, log):
    key = f"key:{ALICE.public_key.keyid}"
    AuditLog(log).append("baseline.promote", "run\x1b[31m\n7", "done", {"why": "\x9b1m"})

    def numbers(*options: str) -> list[int]:
        return [entry["number"] for entry in json.loads(qdhil("audit", "list", log, "--json", *options).out)]

    assert numbers() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert numbers("--actor", key) == [2, 6]
    assert numbers("--actor", ME) == [1, 2, 3, 4, 5, 6, 7, 8]  # the account behind a key as well
    assert numbers("--actor", "user:*@nowhere") == []
    assert numbers("--action", "rig.*", "--subject", "sim-a1") == [2]
    assert numbers("--action", "audit.torn") == [4]
    assert numbers("--since", "1h") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert numbers("--since", "2999-01-01T00:00:00+02:00") == []
    table = qdhil("audit", "list", log)
    assert len(table.out.splitlines()) == 8
    assert all(sign.isprintable() or sign == "\n" for sign in table.out)


def test_whoami(qdhil, tmp_path):
    key = f"key:{ALICE.public_key.keyid}"
    said = qdhil("audit", "whoami")
    assert (said.code, said.out.splitlines()[0]) == (0, ME)
    assert "everybody may do everything" in said.out
    file = roles(tmp_path, overrider=key)
    said = qdhil("audit", "whoami", "--key", write_key(tmp_path, "alice", ALICE), "--roles", file, "--json")
    assert json.loads(said.out) == {"identities": [key, ME], "roles": ["overrider"]}
    assert "roles: none" in qdhil("audit", "whoami", "--roles", file).out


def test_signing_is_on_record_with_the_key_that_signed(qdhil, runs, tmp_path):
    file = tmp_path / "audit.jsonl"
    keys = ("--key", write_key(tmp_path, "ci", CI), "--key", write_key(tmp_path, "rack", RACK))
    ended = qdhil("sign", runs["PASS"], *keys, "--ring", "canary", "-o", tmp_path / "a.json", "--audit", file)
    assert (ended.code, ended.err) == (0, "qdhil: no roles file: everybody may do everything\n")
    begun, done = written(file)
    assert (begun.subject, begun.outcome, done.details["verdict"]) == (runs["PASS"].name, "begun", "PASS")
    assert done.actor.identity == f"key:{CI.public_key.keyid}"
    assert str(RACK.public_key.keyid) in str(begun.details["keys"])
    damaged = Path(shutil.copytree(runs["INCONCLUSIVE"], tmp_path / "run"))
    verdict = damaged / "verdict.json"
    verdict.write_text(verdict.read_text().replace('"INCONCLUSIVE"', '"PASS"'))
    assert qdhil("sign", damaged, *keys, "--ring", "canary", "-o", tmp_path / "b.json", "--audit", file).code != 0
    assert told(file)[2:] in ([("sign", "begun"), ("sign", "refused")], [("sign", "begun"), ("sign", "failed")])
    assert not (tmp_path / "b.json").exists()


def test_promoting_takes_a_releaser(qdhil, runs, tmp_path, monkeypatch):
    file, lock = tmp_path / "audit.jsonl", tmp_path / "baselines.lock.toml"
    key = write_key(tmp_path, "alice", ALICE)
    only_alice = roles(tmp_path, releaser=f"key:{ALICE.public_key.keyid}", operator="*")
    monkeypatch.setenv("QDHIL_AUDIT", str(file))
    monkeypatch.setenv("QDHIL_ROLES", str(only_alice))
    promote = ("baseline", "promote", runs["PASS"], "--lock", lock, "--by", "Ada")
    refused = qdhil(*promote)
    assert (refused.code, refused.out) == (40, "")
    assert f"{ME} is no releaser" in refused.err
    assert not lock.exists()
    other = qdhil(*promote, "--key", write_key(tmp_path, "bob", BOB))
    assert (other.code, lock.exists()) == (40, False)
    assert qdhil(*promote, "--key", key).code == 0
    few = qdhil("baseline", "promote", runs["INCONCLUSIVE"], "--lock", lock, "--by", "Ada", "--key", key)
    assert few.code == 40
    retire = ("baseline", "retire", "psc-2-rev-b", "--lock", lock, "--by", "Ada", "--reason", "it slips")
    assert qdhil(*retire).code == 40
    assert qdhil(*retire, "--key", key).code == 0
    assert told(file) == [
        ("baseline.promote", "refused"),
        ("baseline.promote", "refused"),
        ("baseline.promote", "begun"),
        ("baseline.promote", "done"),
        ("baseline.promote", "begun"),
        ("baseline.promote", "refused"),
        ("baseline.retire", "refused"),
        ("baseline.retire", "begun"),
        ("baseline.retire", "done"),
    ]
    assert verify_log(file).signed == 7
    assert written(file)[3].details["golden on psc-2-rev-b"] == "b" * 64


def test_overriding_takes_an_overrider(qdhil, runs, trust, tmp_path):
    file, attestation = tmp_path / "audit.jsonl", tmp_path / "a.json"
    alice, bob = write_key(tmp_path, "alice", ALICE), write_key(tmp_path, "bob", BOB)
    keys = ("--key", write_key(tmp_path, "ci", CI), "--key", write_key(tmp_path, "rack", RACK))
    assert qdhil("sign", runs["INCONCLUSIVE"], *keys, "--ring", "canary", "-o", attestation).code == 20
    override = tmp_path / "n.override.json"
    watched = ("--audit", file, "--roles", roles(tmp_path, overrider=f"key:{ALICE.public_key.keyid}"))
    ask = ("override", "request", attestation, "--trust", trust, "--ring", "canary", "-o", override, *watched)
    assert qdhil(*ask, "--reason", "the dewar is being filled", "--key", bob).code == 40
    assert not override.exists()
    assert qdhil(*ask, "--reason", "the dewar is being filled", "--key", alice).code == 0
    approve = ("override", "approve", override, "--trust", trust, *watched)
    assert qdhil(*approve, "--key", alice).code == 40
    before = override.read_bytes()
    assert qdhil(*approve, "--key", bob).code == 40
    assert override.read_bytes() == before
    revoke = ("override", "revoke", override, "--trust", trust, *watched, "--reason", "filled", "--key")
    assert qdhil(*revoke, bob).code == 40
    assert qdhil(*revoke, alice).code == 0
    assert told(file) == [
        ("override.request", "refused"),
        ("override.request", "begun"),
        ("override.request", "done"),
        ("override.approve", "begun"),
        ("override.approve", "refused"),
        ("override.approve", "refused"),
        ("override.revoke", "refused"),
        ("override.revoke", "begun"),
        ("override.revoke", "done"),
    ]
    asked = written(file)[1]
    assert (asked.details["person"], asked.actor.identity) == ("Alice", f"key:{ALICE.public_key.keyid}")


def test_nothing_is_done_that_cannot_be_written_down(qdhil, runs, tmp_path, monkeypatch):
    monkeypatch.setenv("QDHIL_AUDIT", str(tmp_path))  # a folder
    lock = tmp_path / "baselines.lock.toml"
    promoted = qdhil("baseline", "promote", runs["PASS"], "--lock", lock, "--by", "Ada")
    key = write_key(tmp_path, "ci", CI)
    signed = qdhil("sign", runs["PASS"], "--key", key, "--ring", "canary", "-o", tmp_path / "a.json")
    for ended in (promoted, signed):
        assert (ended.code, ended.out) == (30, "")
        assert "can't be written" in ended.err
        assert "nothing was done" in ended.err
    assert not lock.exists()
    assert not (tmp_path / "a.json").exists()
    monkeypatch.setenv("QDHIL_ROLES", str(tmp_path / "no-roles.toml"))
    assert qdhil("baseline", "promote", runs["PASS"], "--lock", lock, "--by", "Ada").code == 64
    assert not lock.exists()


def test_making_firmware_takes_a_releaser(qdhil, tmp_path):
    file, key = tmp_path / "audit.jsonl", write_key(tmp_path, "ci", CI)
    image = Path(qdhil_sim.__file__).parent / "builds" / "1.5.0-good" / "image.toml"
    said = ("--version", "1.5.0", "--hardware", "psc-2-rev-b", "--sequence", 150, "--min-bootloader", "1.0.0")
    watched = ("--calibration-schema", 1, "--fpga-build", "f150", "-o", tmp_path / "bundle", "--audit", file, "--roles")
    build = ("firmware", "build", image, *said, *watched)
    change = ("--from", "a" * 64, "--to", "b" * 64, "--hardware", "psc-2-rev-b", "--reason", "1.5.0 warms the dot")
    permission = tmp_path / "x.downgrade.json"
    permit = ("firmware", "permit-downgrade", *change, "-o", permission, "--audit", file, "--roles")
    nobody, ci = roles(tmp_path), f"key:{CI.public_key.keyid}"
    for command_ in (build, permit):
        refused = qdhil(*command_, nobody, "--key", key)
        assert (refused.code, f"{ci} is no releaser" in refused.err) == (40, True)
    assert not (tmp_path / "bundle").exists()
    assert not (tmp_path / "x.downgrade.json").exists()
    releasers = roles(tmp_path, releaser=ci)
    for command_ in (build, permit, ("firmware", "sign", tmp_path / "bundle", "--audit", file, "--roles")):
        again = write_key(tmp_path, "rack", RACK) if command_[1] == "sign" else key
        code = qdhil(*command_, releasers, "--key", again).code
        assert code == (40 if command_[1] == "sign" else 0)
    assert told(file) == [
        ("firmware.build", "refused"),
        ("firmware.permit-downgrade", "refused"),
        ("firmware.build", "begun"),
        ("firmware.build", "done"),
        ("firmware.permit-downgrade", "begun"),
        ("firmware.permit-downgrade", "done"),
        ("firmware.sign", "refused"),
    ]


def test_quarantine_is_on_record(qdhil, tmp_path):
    file, named = tmp_path / "audit.jsonl", tmp_path / "quarantine.toml"
    add = ("quarantine", "add", "--rig", "sim-a1", "--metric", "hom.v_unc", "--reason", "the stage slips")
    add = (*add, "--link", "https://example.org/17", "--until", "2999-01-01", "--file", named, "--audit")
    assert qdhil(*add, tmp_path).code == 30
    assert not named.exists()
    assert qdhil(*add, file).code == 0
    assert told(file) == [("quarantine.add", "begun"), ("quarantine.add", "done")]
    assert written(file)[0].details["reason"] == "the stage slips"


def test_what_is_no_file_is_no_whole_log(qdhil, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for file in (Path("/dev/null"), Path("/dev/zero"), pipe, tmp_path):
        for verb in ("verify", "head", "list"):
            ended = qdhil("audit", verb, file)
            assert ended.code == 64, ended.out
