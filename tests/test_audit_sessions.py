"""A campaign in the audit log: who ran it, which rig was leased, and what it decided."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from acceptance.session import command, newest_run, quick_policy, run

from conftest import write_rack
from qdhil.audit import Entry, current_actor, verify_log

ME = current_actor().identity


@pytest.fixture(autouse=True)
def no_other_log(monkeypatch):
    monkeypatch.delenv("QDHIL_AUDIT", raising=False)
    monkeypatch.delenv("QDHIL_ROLES", raising=False)


def audited_rack(folder: Path, *, operator: str = ME, audit: str = "audit.jsonl") -> Path:
    (folder / "roles.toml").write_text(f'schema_version = 1\n[roles]\noperator = ["{operator}"]\n')
    head = f'schema_version = 1\naudit = "{audit}"\nroles = "roles.toml"'
    return write_rack(folder, **{"schema_version = 1": head})


def written(folder: Path) -> list[Entry]:
    entries: list[Entry] = []
    assert verify_log(folder / "audit.jsonl", on_entry=entries.append).whole
    return entries


def test_run_and_leases_are_on_record(tmp_path):
    rack = audited_rack(tmp_path)
    options = ("--rig", "sim-a1", "--rig", "sim-a2", "-n", "2", "--candidate", "1.5.0-good")
    session = run(rack, *options, "--rig-policy", str(quick_policy(tmp_path)), "--rig-seed", "1")
    entries = written(tmp_path)
    first, last = entries[0], entries[-1]
    leases = [entry for entry in entries if entry.action == "rig.lease"]
    assert (first.action, first.subject, first.outcome) == ("run", session.folder.name, "begun")
    assert first.details["candidate_sha256"] == session.verdict["candidate"]["sha256"]
    assert (last.action, last.outcome, last.details["begun"]) == ("run", session.verdict["verdict"], 1)
    assert sorted((entry.subject, entry.outcome) for entry in leases) == [
        ("sim-a1", "begun"),
        ("sim-a1", "done"),
        ("sim-a2", "begun"),
        ("sim-a2", "done"),
    ]
    assert len({entry.process for entry in entries}) == 3  # the controller and two workers, in one chain
    assert {entry.actor.identity for entry in entries} == {ME}


def test_who_is_no_operator_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("USER", "eve")
    monkeypatch.setenv("QDHIL_ROLES", "/no/such/file")  # the rack file's roles hold
    rack = audited_rack(tmp_path, operator="user:eve@*")
    session = run(rack, "--rig", "sim-a1", "--candidate", "1.5.0-good")
    assert session.code == 40
    assert f"{ME} is no operator" in session.output
    (entry,) = written(tmp_path)
    assert (entry.action, entry.outcome, entry.actor.identity) == ("run", "refused", ME)
    assert not list(session.folder.glob("*/simulator.log"))
    assert not (session.folder / "verdict.json").exists()


@pytest.mark.parametrize(("audit", "roles", "code"), [("no/such/folder", True, 30), ("audit.jsonl", False, 64)])
def test_a_log_or_roles_that_cannot_be_used_stop_the_run_before_it_begins(tmp_path, audit, roles, code):
    rack = audited_rack(tmp_path, audit=audit)
    if not roles:
        (tmp_path / "roles.toml").unlink()
    session = run(rack, "--rig", "sim-a1", "--candidate", "1.5.0-good")
    assert session.code == code, session.output
    assert not list(session.folder.glob("*/simulator.log"))


def test_a_verdict_that_cannot_be_written_down_is_infra(tmp_path):
    """The log becomes a folder while the campaign measures."""
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "test_spoil.py").write_text(
        "import pathlib, pytest\n"
        "@pytest.mark.metric('g2.pulsed.area')\n"
        "def test_spoil(comparison):\n"
        f"    log = pathlib.Path({str(tmp_path / 'audit.jsonl')!r})\n"
        "    log.rename(log.with_name('moved.jsonl')); log.mkdir()\n"
    )
    policy = ("--rig-policy", str(quick_policy(tmp_path)), "--rig-seed", "1")
    session = run(audited_rack(tmp_path), "--rig", "sim-a1", "--candidate", "1.5.0-good", *policy, suites=(str(suite),))
    assert (session.code, session.verdict["verdict"]) == (30, "INFRA"), session.output
    assert "audit log" in " ".join(session.verdict["reasons"])


def test_a_killed_run_is_a_begin_without_an_end(tmp_path):
    rack = audited_rack(tmp_path)
    process = subprocess.Popen(
        command(rack, "--rig", "sim-a1", "--candidate", "1.5.0-good", "--rig-seed", "1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(newest_run(rack).glob("sim-a1/blocks.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    assert [(entry.action, entry.outcome) for entry in written(tmp_path)[:2]] == [
        ("run", "begun"),
        ("rig.lease", "begun"),
    ]
    refused = run(rack, "--rig", "sim-a1", "--candidate", "no-such-build")
    assert refused.code != 0
    assert [entry.number for entry in written(tmp_path)] == list(range(1, len(written(tmp_path)) + 1))


def test_nothing_is_written_where_no_log_is_configured(tmp_path):
    session = run(write_rack(tmp_path), "--rig", "sim-a1", "--candidate", "1.5.0-good", "--collect-only")
    assert session.code == 20, session.output
    assert not list(tmp_path.rglob("*audit*"))
    collected = run(audited_rack(tmp_path), "--rig", "sim-a1", "--candidate", "1.5.0-good", "--collect-only")
    assert (collected.code, (tmp_path / "audit.jsonl").exists()) == (20, False)
