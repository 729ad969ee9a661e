"""Leases: one process at a time, busy rigs named with their holder, freed however the holder ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from qdhil.errors import ConfigurationError, InfraFault
from qdhil.rack.lease import holder, is_held, lease

HOLD = (
    "import sys; from pathlib import Path; from qdhil.rack.lease import lease\n"
    "with lease(sys.argv[1], Path(sys.argv[2]), wait_s=0):\n"
    "    print('held', flush=True); sys.stdin.read()\n"
)


@pytest.fixture
def held(tmp_path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start processes that hold a rig until their standard input closes."""
    started: list[subprocess.Popen[str]] = []

    def hold(rig: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, rig, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "CI_RUN_ID": "4711"},
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def test_a_busy_rig_is_refused_by_its_holders_name(held, tmp_path):
    process = held("sim-a1")
    assert is_held("sim-a1", tmp_path)
    waited: list[str] = []
    with (
        pytest.raises(InfraFault, match=r"--rig-wait") as caught,
        lease("sim-a1", tmp_path, wait_s=0, on_wait=waited.append),
    ):
        pytest.fail("two processes hold one rig")
    fault = caught.value
    assert (fault.rig, fault.instrument, fault.exit_code) == ("sim-a1", "lease", 30)
    assert f"process {process.pid}, since 20" in fault.last_value
    assert "#4711, process" in fault.last_value, "the CI run that holds it"
    assert fault.last_value == holder("sim-a1", tmp_path)
    assert len(waited) == 1
    assert str(process.pid) in waited[0]


def test_another_rig_is_free(held, tmp_path):
    held("sim-a1")
    assert not is_held("sim-a2", tmp_path)
    with lease("sim-a2", tmp_path, wait_s=0):
        assert is_held("sim-a2", tmp_path)
    assert not is_held("sim-a2", tmp_path)


def test_a_busy_rig_is_waited_for(held, tmp_path):
    process = held("sim-a1")
    assert process.stdin is not None
    timer = threading.Timer(0.4, process.stdin.close)
    timer.start()
    started = time.monotonic()
    with lease("sim-a1", tmp_path, wait_s=30):
        waited_s = time.monotonic() - started
        assert f"process {os.getpid()}" in holder("sim-a1", tmp_path)
    timer.join()
    assert 0.3 < waited_s < 20


def test_waiting_ends_when_it_was_told_to(held, tmp_path):
    held("sim-a1")
    started = time.monotonic()
    with pytest.raises(InfraFault, match=r"free within 0\.3 s"), lease("sim-a1", tmp_path, wait_s=0.3):
        pytest.fail("two processes hold one rig")
    assert 0.3 <= time.monotonic() - started < 10


def test_waiting_ends_when_the_caller_wants_something_else(held, tmp_path):
    held("sim-a1")
    started = time.monotonic()

    def on_poll() -> None:
        if time.monotonic() - started > 0.5:
            raise InterruptedError

    with pytest.raises(InterruptedError), lease("sim-a1", tmp_path, wait_s=float("inf"), on_poll=on_poll):
        pytest.fail("two processes hold one rig")
    assert 0.5 < time.monotonic() - started < 3


def test_a_killed_holder_frees_its_rig(held, tmp_path):
    process = held("sim-a1")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not is_held("sim-a1", tmp_path)
    assert str(process.pid) in holder("sim-a1", tmp_path), "its note is left behind"
    with lease("sim-a1", tmp_path, wait_s=0):
        assert f"process {os.getpid()}" in holder("sim-a1", tmp_path), "and replaced"


def test_the_lease_ends_with_the_block_even_in_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lease("sim-a1", tmp_path, wait_s=0):
            raise ZeroDivisionError
    assert not is_held("sim-a1", tmp_path)
    assert holder("sim-a1", tmp_path) == "a process that left no note"


def test_one_process_holds_a_rig_once(tmp_path):
    with (
        lease("sim-a1", tmp_path, wait_s=0),
        pytest.raises(InfraFault),
        lease("sim-a1", tmp_path, wait_s=0),
    ):
        pytest.fail("held twice")


@pytest.mark.parametrize("note", ["", "{", "[]", "7", "{}", '{"who": "me"}'])
def test_a_note_that_can_not_be_read_does_not_hide_the_lock(tmp_path, note):
    (tmp_path / "sim-a1.holder.json").write_text(note)
    assert holder("sim-a1", tmp_path) == "a process that left no note"


def test_a_note_that_can_not_be_written_does_not_cost_the_lease(tmp_path):
    (tmp_path / "sim-a1.holder.json").mkdir()
    with lease("sim-a1", tmp_path, wait_s=0):
        assert is_held("sim-a1", tmp_path)


@pytest.mark.parametrize("wait_s", [-1.0, float("nan")])
def test_a_negative_wait_is_refused_not_taken_for_ever(tmp_path, wait_s):
    with pytest.raises(ConfigurationError, match="--rig-wait"), lease("sim-a1", tmp_path, wait_s=wait_s):
        pytest.fail("a negative wait was accepted")


def test_locks_are_for_every_user_of_the_host(tmp_path):
    folder = tmp_path / "locks"
    before = os.umask(0o077)
    try:
        with lease("sim-a1", folder, wait_s=0):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    assert stat.S_IMODE((folder / "sim-a1.lock").stat().st_mode) == 0o666


def test_a_lock_folder_that_can_not_be_made_is_a_configuration_error(tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "locks"
    with pytest.raises(ConfigurationError, match="set lock_dir"), lease("sim-a1", folder, wait_s=0):
        pytest.fail("locked nowhere")
