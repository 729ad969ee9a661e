"""``qdhil baseline``: only a PASS against the golden firmware becomes golden, and the file says why."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tomllib
from pathlib import Path

import campaigns_made
import pytest
from campaigns_made import Light, write_run
from command import Command, command
from ledger_made import bare, clone, entry, git

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.firmware.bisect import answer, load_state
from qdhil.gate.baseline import BaselineLock, Golden, load_lock, lock_text
from qdhil.record.ledger_entry import LedgerEntry

CENTRAL = {"hbt": 60.0, "hom_parallel": 150.0, "hom_orthogonal": 400.0}
BY = ("--by", "Ada <ada@lab>")
HARDWARE = "psc-2-rev-b"


@pytest.fixture
def qdhil(monkeypatch, capsys) -> Command:
    return command(monkeypatch, capsys)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        enough = re.sub(r"(?m)^(quads\w*) = \d+$", r"\1 = 12", campaigns_made.POLICY_TEXT)
        patch.setattr(campaigns_made, "POLICY_TEXT", enough)
        made = {
            "PASS": write_run(root / "20260101T000000Z-1.5.0", {"sim-a1": Light(31, central=CENTRAL)}),
            "BLOCK": write_run(root / "block", {"sim-a1": Light(32, central=CENTRAL, worse={"hbt": 3.0})}),
            "INCONCLUSIVE": write_run(root / "few", {"sim-a1": Light(33, central={**CENTRAL, "hbt": 0.0})}),
        }
    for verdict, folder in made.items():
        assert json.loads((folder / "verdict.json").read_text())["verdict"] == verdict
    return made


def golden(letter: str, **changes: object) -> Golden:
    fields: dict[str, object] = {
        "version": f"1.0.{ord(letter)}",
        "sha256": letter * 64,
        "policy": "made",
        "policy_sha256": "0" * 64,
        "run": "r",
        "verdict": "PASS",
        "verdict_sha256": "1" * 64,
        "decided": "2026-01-01T00:00:00+00:00",
        "rigs": {"lab-a1": "physical"},
        "promoted_by": 'A "quoted" \\ name\x7f\n, Ünï 🦆',
        "promoted_at": "2026-01-01T00:00:00+00:00",
    }
    return Golden.model_validate(fields | changes)


def test_the_file_reads_back_as_it_was(tmp_path):
    lock = BaselineLock(hardware={"b": golden("a"), "a.b c": golden("b", attestation_sha256="2" * 64)})
    lock = lock.without("b", reason="burns\nbias", by="Ada", at=golden("a").promoted_at)
    file = tmp_path / "baselines.lock.toml"
    file.write_text(lock_text(lock))
    assert load_lock(file) == lock
    assert lock_text(load_lock(file)) == file.read_text()


def test_promotion_rules():
    lock = BaselineLock(hardware={"h": golden("a")})
    ok = lock.promoted("h", golden("b"), baseline_sha256="a" * 64)
    assert (ok.hardware["h"].sha256, ok.hardware["h"].replaces) == ("b" * 64, "a" * 64)
    with pytest.raises(RefusedError, match="was compared with firmware cccccccccccc"):
        lock.promoted("h", golden("b"), baseline_sha256="c" * 64)
    with pytest.raises(RefusedError, match="golden on h already"):
        lock.promoted("h", golden("a"), baseline_sha256="a" * 64)
    other = golden("b", policy_sha256="9" * 64)
    with pytest.raises(RefusedError, match="is guarded by made"):
        lock.promoted("h", other, baseline_sha256="a" * 64)
    assert lock.promoted("h", other, baseline_sha256="a" * 64, new_policy=True).hardware["h"].policy_sha256[0] == "9"
    retired = ok.without("h", reason="r", by="b", at=golden("a").promoted_at)
    with pytest.raises(RefusedError, match="is retired on h"):
        retired.promoted("h", golden("b"), baseline_sha256="a" * 64)
    with pytest.raises(ConfigurationError, match="known: none"):
        retired.without("h", reason="r", by="b", at=golden("a").promoted_at)


def test_a_pass_is_promoted_listed_shown_and_retired(qdhil, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = qdhil("baseline", "promote", runs["PASS"], *BY)
    assert (ended.code, ended.err) == (0, "")
    written = tomllib.loads((tmp_path / "baselines.lock.toml").read_text())["hardware"][HARDWARE]
    assert (written["version"], written["sha256"], written["promoted_by"]) == ("1.5.0", "b" * 64, "Ada <ada@lab>")
    assert (written["run"], written["rigs"]) == ("20260101T000000Z-1.5.0", {"sim-a1": "simulated"})
    listed = qdhil("baseline", "list")
    assert "simulated rigs only" in listed.out
    assert json.loads(qdhil("baseline", "list", "--json").out)[HARDWARE]["sha256"] == "b" * 64
    shown = qdhil("baseline", "show", HARDWARE)
    assert shown.code == 0
    assert "in no git repository" in shown.out
    assert qdhil("baseline", "promote", runs["PASS"], *BY).code == 40, "it is golden already"
    assert qdhil("baseline", "retire", HARDWARE, "--reason", " ", *BY).code == 64
    assert qdhil("baseline", "retire", HARDWARE, "--reason", "burns the bias", *BY).code == 0
    assert "retired: burns the bias" in qdhil("baseline", "list").out
    again = qdhil("baseline", "promote", runs["PASS"], *BY)
    assert (again.code, again.err) == (40, f"qdhil: 1.5.0 is retired on {HARDWARE}\n")


@pytest.mark.parametrize("name", ["BLOCK", "INCONCLUSIVE", "cut off", "edited", "other policy"])
def test_anything_else_is_refused_and_nothing_written(qdhil, runs, tmp_path, name):
    folder = shutil.copytree(runs.get(name, runs["PASS"]), tmp_path / "run")
    if name == "cut off":
        (folder / "verdict.json").unlink()
    elif name == "edited":
        text = (runs["BLOCK"] / "verdict.json").read_text()
        shutil.rmtree(folder)
        shutil.copytree(runs["BLOCK"], folder)
        (folder / "verdict.json").write_text(
            text.replace('"BLOCK"', '"PASS"').replace('"exit_code": 10', '"exit_code": 0')
        )
    elif name == "other policy":
        (folder / "policy.toml").write_text((folder / "policy.toml").read_text() + "\n# looser\n")
        data = json.loads((folder / "verdict.json").read_text())
        (folder / "verdict.json").write_text(json.dumps({**data, "policy_sha256": "0" * 64}))
    lock = tmp_path / "lock.toml"
    ended = qdhil("baseline", "promote", folder, "--lock", lock, *BY)
    assert ended.code == 40
    assert len(ended.err.splitlines()) == 1
    assert not lock.exists()


def test_usage_errors(qdhil, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for arguments in (
        ("promote", tmp_path / "nothing", *BY),
        ("promote", runs["PASS"], "--attestation", "x", *BY),
        ("promote", runs["PASS"]),
        ("list",),
        ("show", HARDWARE),
        ("sync",),
    ):
        ended = qdhil("baseline", *arguments)
        assert ended.code == 64, arguments
        assert "Traceback" not in ended.err
    (tmp_path / "baselines.lock.toml").write_text("schema_version = 2\n")
    assert qdhil("baseline", "promote", runs["PASS"], *BY).code == 64, "an unreadable lock is never overwritten"


def test_record_sync_and_compact(qdhil, runs, tmp_path):
    remote = bare(tmp_path / "remote.git")
    host = ("--repository", clone(remote, tmp_path / "host"))
    ended = qdhil("baseline", "record", runs["PASS"], runs["BLOCK"], *host, "--json")
    assert ended.code == 0
    assert len(json.loads(ended.out)["recorded"]) == 2
    git(remote, "update-ref", "refs/qdhil/runs/x/y", git(remote, "rev-parse", "refs/heads/main"))
    folded = qdhil("baseline", "compact", *host, "--json")
    assert (folded.code, json.loads(folded.out)["folded"]) == (0, 2)
    assert "skipped refs/qdhil/runs/x/y: holds no record" in folded.err
    desk = ("--repository", clone(remote, tmp_path / "desk"))
    synced = qdhil("baseline", "sync", *desk)
    assert (synced.code, synced.out) == (0, "2 records, 1 skipped\n")
    lock = tmp_path / "lock.toml"
    qdhil("baseline", "promote", runs["PASS"], "--lock", lock, *BY)
    shown = json.loads(qdhil("baseline", "show", HARDWARE, "--lock", lock, *desk, "--json").out)
    assert (shown["version"], shown["runs"]) == ("1.5.0", [])


def test_a_touched_run_is_not_recorded(qdhil, runs, tmp_path):
    remote = bare(tmp_path / "remote.git")
    folder = shutil.copytree(runs["BLOCK"], tmp_path / "run")
    text = (
        (folder / "verdict.json").read_text().replace('"BLOCK"', '"PASS"').replace('"exit_code": 10', '"exit_code": 0')
    )
    (folder / "verdict.json").write_text(text)
    assert qdhil("baseline", "record", folder, "--repository", clone(remote, tmp_path / "host")).code == 40
    assert git(remote, "for-each-ref", "refs/qdhil") == ""


def test_a_ledger_entry_of_the_golden_firmware_is_shown(qdhil, tmp_path):
    from qdhil.record.ledger import Ledger

    folder = clone(bare(tmp_path / "remote.git"), tmp_path / "host")
    with Ledger(folder) as ledger:
        ledger.put(entry(1))
        ledger.sync()
    lock = tmp_path / "lock.toml"
    lock.write_text(lock_text(BaselineLock(hardware={HARDWARE: golden("a")})))
    said = qdhil("baseline", "show", HARDWARE, "--lock", lock, "--repository", folder)
    assert "runs in the ledger 1" in said.out
    assert "PASS of 1.5.0" in said.out


def test_an_attestation_must_be_of_this_run_and_trusted(qdhil, runs, tmp_path):
    pytest.importorskip("securesystemslib")
    from signing_made import CI, RACK, STRANGER, trust_text, write_key

    trust = tmp_path / "trust.toml"
    trust.write_text(trust_text().replace("rigs = 2", "rigs = 1"))
    keys = {name: write_key(tmp_path, name, signer) for name, signer in (("ci", CI), ("rack", RACK), ("x", STRANGER))}

    def sign(run: Path, name: str, *signers: str) -> Path:
        file = tmp_path / name
        words = [word for signer in signers for word in ("--key", keys[signer])]
        assert qdhil("sign", run, *words, "--ring", "canary", "-o", file).code in (0, 10)
        return file

    other = shutil.copytree(runs["PASS"], tmp_path / "other")
    (other / "note.txt").write_text("measured again")
    refused = {
        "signed by 1 of the trusted keys": sign(runs["PASS"], "one.json", "ci"),
        "signed by 1 of the trusted keys, ": sign(runs["PASS"], "stranger.json", "ci", "x"),
        "attests another run": sign(other, "other.json", "ci", "rack"),
        "attests another run than": sign(runs["BLOCK"], "block.json", "ci", "rack"),
    }
    lock = ("--lock", tmp_path / "lock.toml", "--trust", trust, *BY)
    for why, file in refused.items():
        ended = qdhil("baseline", "promote", runs["PASS"], "--attestation", file, *lock)
        assert (ended.code, why in ended.err) == (40, True), ended.err
    assert not (tmp_path / "lock.toml").exists()
    file = sign(runs["PASS"], "good.json", "ci", "rack")
    assert qdhil("baseline", "promote", runs["PASS"], "--attestation", file, *lock).code == 0
    golden = load_lock(tmp_path / "lock.toml").hardware[HARDWARE]
    assert golden.attestation_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_examples_of_the_manual_are_valid_files():
    docs = Path(__file__).resolve().parent.parent / "docs"
    file = docs / "example-baselines.lock.toml"
    assert lock_text(load_lock(file)) == file.read_text()
    record = (docs / "example-ledger-record.json").read_bytes()
    assert LedgerEntry.model_validate_json(record).content == record
    assert answer(load_state(docs / "example-bisect.json")).kind == "culprit"
