"""Notes of a rig's state: they outlive who wrote them, fail closed when damaged, and keep a rig from being leased."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from qdhil.errors import ConfigurationError, InfraFault
from qdhil.rack.lease import holder, is_held, lease
from qdhil.rack.notes import write_note
from qdhil.rack.service_state import begin_visit, end_visit, return_to_service, state_of, take_out_of_service

DIE_ON_A_VISIT = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from qdhil.rack.lease import lease
from qdhil.rack.service_state import begin_visit
with lease("sim-a1", Path(sys.argv[1]), wait_s=0):
    builds = (SimpleNamespace(version=version, sha256=64 * version[0]) for version in ("1.4.0", "2.0.0"))
    begin_visit("sim-a1", Path(sys.argv[1]), *builds)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True)
class Build:
    version: str
    sha256: str


BASELINE, CANDIDATE = Build("1.4.0", 64 * "a"), Build("1.5.0", 64 * "b")


def test_a_rig_without_notes_is_in_service(tmp_path):
    state = state_of("sim-a1", tmp_path)
    assert (state.rig, state.visit, state.out_of_service) == ("sim-a1", None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_visit_says_who_brought_what(tmp_path):
    begun = begin_visit("sim-a1", tmp_path, BASELINE, CANDIDATE)
    visit = state_of("sim-a1", tmp_path).visit
    assert visit == begun
    assert (visit.baseline.version, visit.candidate.sha256) == ("1.4.0", 64 * "b")
    assert visit.process == os.getpid()
    assert state_of("sim-a2", tmp_path).visit is None
    end_visit("sim-a1", tmp_path)
    assert state_of("sim-a1", tmp_path).visit is None
    assert begin_visit("sim-a1", tmp_path, BASELINE, CANDIDATE).id != begun.id


def test_the_next_holder_learns_of_one_that_was_killed(tmp_path):
    done = subprocess.run([sys.executable, "-c", DIE_ON_A_VISIT, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert not is_held("sim-a1", tmp_path)
    with lease("sim-a1", tmp_path, wait_s=0) as found:
        assert found.visit is not None
        assert found.visit.candidate.version == "2.0.0"
    with lease("sim-a2", tmp_path, wait_s=0) as found:
        assert found.visit is None


def test_a_rig_out_of_service_is_refused_with_the_reason_and_the_way_back(tmp_path):
    take_out_of_service("sim-a1", tmp_path, "the fibre is\n broken")
    with pytest.raises(InfraFault) as caught, lease("sim-a1", tmp_path, wait_s=0):
        pytest.fail("leased out of service")
    assert caught.value.exit_code == 30
    assert "the fibre is broken" in caught.value.last_value
    assert "qdhil rigs restore sim-a1" in caught.value.advice
    assert not is_held("sim-a1", tmp_path)
    with lease("sim-a1", tmp_path, wait_s=0, out_of_service_too=True) as found:
        assert found.out_of_service is not None
        return_to_service("sim-a1", tmp_path)
    with lease("sim-a1", tmp_path, wait_s=0) as found:
        assert found.out_of_service is None


def test_a_rig_out_of_service_is_not_waited_for(tmp_path):
    waited: list[str] = []
    with lease("sim-a1", tmp_path, wait_s=0):
        take_out_of_service("sim-a1", tmp_path, "after this one")
        with (
            pytest.raises(InfraFault, match="after this one"),
            lease("sim-a1", tmp_path, wait_s=99, on_wait=waited.append),
        ):
            pytest.fail("held twice")
    assert waited == []


def test_retired_during_a_visit_it_stays_so_after_it(tmp_path):
    begin_visit("sim-a1", tmp_path, BASELINE, CANDIDATE)
    take_out_of_service("sim-a1", tmp_path, "after this one")
    end_visit("sim-a1", tmp_path)
    state = state_of("sim-a1", tmp_path)
    assert state.visit is None
    assert state.out_of_service is not None
    return_to_service("sim-a1", tmp_path)
    assert state_of("sim-a1", tmp_path).out_of_service is None


@pytest.mark.parametrize("note", ["visit", "out-of-service"])
@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"7", b"\xff", b'{"reason": "x"}', b'{"id": 1, "extra": 2}', b"\0" * 9, None]
)
def test_a_note_that_can_not_be_read_puts_the_rig_out_of_service(tmp_path, note, content):
    file = tmp_path / f"sim-a1.{note}.json"
    file.mkdir() if content is None else file.write_bytes(content)
    why = state_of("sim-a1", tmp_path).out_of_service
    assert why is not None
    assert str(file) in why.reason
    with pytest.raises(InfraFault, match="can't be read"), lease("sim-a1", tmp_path, wait_s=0):
        pytest.fail("leased in an unknown state")
    if content is not None:
        return_to_service("sim-a1", tmp_path)
        assert state_of("sim-a1", tmp_path).out_of_service is None


def test_half_of_a_note_is_none(tmp_path):
    begin_visit("sim-a1", tmp_path, BASELINE, CANDIDATE)
    file = tmp_path / "sim-a1.visit.json"
    whole = file.read_bytes()
    for size in (1, 100, len(whole.rstrip()) - 1):
        file.write_bytes(whole[:size])
        assert state_of("sim-a1", tmp_path).out_of_service is not None, size
    file.write_bytes(whole.rstrip())
    assert state_of("sim-a1", tmp_path).visit is not None


def test_a_longer_note_leaves_nothing_in_a_shorter_one(tmp_path):
    take_out_of_service("sim-a1", tmp_path, "x" * 5000)
    first = state_of("sim-a1", tmp_path).out_of_service
    assert first is not None
    assert 500 < len(first.reason) < 5000
    take_out_of_service("sim-a1", tmp_path, "y")
    second = state_of("sim-a1", tmp_path).out_of_service
    assert second is not None
    assert second.reason == "y"


def test_notes_are_for_every_user_of_the_host_and_never_through_a_link(tmp_path):
    folder, elsewhere = tmp_path / "locks", tmp_path / "elsewhere"
    before = os.umask(0o077)
    try:
        take_out_of_service("sim-a1", folder, "why")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    assert stat.S_IMODE((folder / "sim-a1.out-of-service.json").stat().st_mode) == 0o666
    elsewhere.write_text("precious")
    (folder / "link").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic link"):
        write_note(folder / "link", "overwritten")
    assert elsewhere.read_text() == "precious"


def test_what_can_not_be_noted_must_not_happen(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InfraFault, match="can't be written") as caught:
        begin_visit("sim-a1", Path(tmp_path / "file" / "locks"), BASELINE, CANDIDATE)
    assert (caught.value.rig, caught.value.instrument) == ("sim-a1", "lock folder")


@pytest.mark.parametrize("note", ["visit", "out-of-service"])
def test_a_note_that_is_a_pipe_or_leads_elsewhere_is_not_waited_for_and_not_followed(tmp_path, note):
    folder, outside = tmp_path / "locks", tmp_path / "outside"
    folder.mkdir()
    file = folder / f"sim-a1.{note}.json"
    for make in (lambda: os.mkfifo(file), lambda: file.symlink_to(outside)):
        make()
        why = state_of("sim-a1", folder).out_of_service
        assert why is not None
        assert str(file) in why.reason
        with pytest.raises(InfraFault, match="can't be written"):
            return_to_service("sim-a1", folder)
        assert not outside.exists()
        file.unlink()


@pytest.mark.parametrize("reason", ["\udcff", "a\0\x01\x1b" * 999, "\U0001f600" * 1500, '\\"' * 999, "é" * 3000])
def test_whatever_a_controller_said_last_the_rig_is_out_of_service(tmp_path, reason):
    take_out_of_service("sim-a1", tmp_path, f"it said {reason}")
    why = state_of("sim-a1", tmp_path).out_of_service
    assert why is not None
    assert why.reason.startswith("it said ")
    assert why.reason.isprintable()


def test_a_reason_holds_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_PASSWORD", "correct-horse")
    take_out_of_service("sim-a1", tmp_path, "login with correct-horse failed")
    why = state_of("sim-a1", tmp_path).out_of_service
    assert why is not None
    assert "correct-horse" not in why.reason


def test_a_job_with_a_strange_name_begins_its_visit(tmp_path, monkeypatch):
    monkeypatch.setenv("CI_RUN_ID", "\udcff" + 9000 * "x")
    begin_visit("sim-a1", tmp_path, BASELINE, CANDIDATE)
    assert state_of("sim-a1", tmp_path).visit is not None


def test_a_lock_that_is_no_file_is_said_in_a_line(tmp_path):
    (tmp_path / "sim-a1.lock").mkdir()
    with pytest.raises(ConfigurationError, match="Is a directory; put it right"):
        is_held("sim-a1", tmp_path)
    with pytest.raises(ConfigurationError, match="lock_dir"), lease("sim-a1", tmp_path, wait_s=0):
        pytest.fail("leased")


def test_a_holders_note_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "sim-a1.holder.json")
    with lease("sim-a1", tmp_path, wait_s=0):
        assert f"process {os.getpid()}" in holder("sim-a1", tmp_path)
