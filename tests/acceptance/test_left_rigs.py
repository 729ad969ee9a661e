"""A rig whose holder is gone or whose controller fails: it comes back to its confirmed baseline, or out of service."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acceptance.session import command, newest_run, quick_policy
from conftest import ServedRack, serve, stop, write_rack
from qdhil.audit import NO_AUDIT, verify_log
from qdhil.errors import InfraFault
from qdhil.firmware import Bundle, confirm_running, find_bundle, run_candidate, run_confirmed, stage
from qdhil.instruments import Session
from qdhil.rack.config import Rig as Description
from qdhil.rack.config import load_rack
from qdhil.rack.lease import is_held, lease
from qdhil.rack.restoration import restore_left
from qdhil.rack.rig import Rig
from qdhil.rack.selection import bundle_folder
from qdhil.rack.service_state import begin_visit, end_visit, state_of, take_out_of_service
from qdhil.rack.simulated import Served
from qdhil.rack.visit import GuardedVisit

RIG = "sim-a1"
PATIENCE_S = 3.0
HOLD = """
import sys
from pathlib import Path
from qdhil.audit import AuditLog
from qdhil.firmware import find_bundle, run_candidate, run_confirmed, stage
from qdhil.rack.config import load_rack
from qdhil.rack.lease import lease
from qdhil.rack.rig import Rig
from qdhil.rack.selection import bundle_folder
from qdhil.rack.simulated import simulator
from qdhil.rack.visit import GuardedVisit

name, file, wanted, log = sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
rack = load_rack(file)
description, lock_dir = rack.rigs[name], Path(rack.lock_dir)
folder, hardware = bundle_folder(description, file), description.firmware.hardware
baseline = find_bundle(description.firmware.baseline, folder, hardware=hardware)
candidate = find_bundle(wanted, folder, hardware=hardware)
with (
    lease(name, lock_dir, wait_s=0),
    simulator(name, description, rack_file=file, seed=None, log=log.with_suffix(".simulator")) as served,
):
    rig = Rig(name, description)
    audit = AuditLog(Path("audit.jsonl"))  # relative, as QDHIL_AUDIT may name it
    visit = GuardedVisit(rig, baseline, candidate, lock_dir=lock_dir, log=log, served=served, audit=audit)
    run_confirmed(rig.firmware, baseline, name)
    visit.begin()
    stage(rig.firmware, candidate)
    try:
        run_candidate(rig.firmware, candidate, name)
    except Exception as error:
        print(error, file=sys.stderr)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A rack file whose controllers are not waited for long."""
    patient = 'expect_idn = "QDHIL,PSC-2,*"'
    return write_rack(tmp_path, **{patient: f"{patient}\nboot_timeout_s = {PATIENCE_S}"})


@pytest.fixture
def rack(file: Path) -> Iterator[ServedRack]:
    """A rack that outlives the runs on it."""
    served = serve(file)
    yield served
    stop(served)


@pytest.fixture
def rig(rack: ServedRack) -> Iterator[Rig]:
    rig = Rig(RIG, described(rack.file))
    yield rig
    rig.close()


def described(file: Path) -> Description:
    return load_rack(file).rigs[RIG]


def runs(rig: Rig) -> tuple[str, bool]:
    """Return what the controller says now: version, and whether it is confirmed."""
    rig.firmware.close()  # who else reset the controller has ended our connection
    running = rig.firmware.running()
    return running.version, running.confirmed


def locks(file: Path) -> Path:
    return file.parent / "locks"


def bundle(file: Path, version: str) -> Bundle:
    source = described(file).firmware
    return find_bundle(version, bundle_folder(described(file), file), hardware=source.hardware)


def holder(file: Path, candidate: str = "1.5.0-good") -> subprocess.Popen[str]:
    """Start a process that has a candidate on the rig."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, RIG, str(file), candidate, str(file.parent / "guardian.log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=file.parent,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


def eventually(true: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def guardian_said(file: Path) -> str:
    """Wait until a guardian is done and return what it wrote."""
    log = file.parent / "guardian.log"
    eventually(lambda: log.exists() and not is_held(RIG, locks(file)))
    return log.read_text()


def rigs(file: Path, *words: str) -> tuple[int, str]:
    program = Path(sys.executable).with_name("qdhil")
    done = subprocess.run(
        [str(program), "rigs", *words, "--rack", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def state(file: Path) -> str:
    code, said = rigs(file, "--json")
    word = str(json.loads(said)[0]["state"])
    assert code == (30 if word in ("left", "out of service") else 0)
    return word


@pytest.mark.parametrize("candidate", ["1.5.0-good", "1.5.0-mute"])
def test_the_guardian_of_a_killed_holder_restores_the_baseline(rack: ServedRack, rig: Rig, candidate: str) -> None:
    process = holder(rack.file, candidate)
    killed(process)
    assert "baseline 1.4.0 booted, confirmed and verified" in guardian_said(rack.file)
    assert runs(rig) == ("1.4.0", True)
    assert state(rack.file) == "free"


def test_the_guardian_writes_to_the_log_that_its_holder_wrote_to(rack: ServedRack) -> None:
    killed(holder(rack.file))
    guardian_said(rack.file)
    said: list[tuple[str, str]] = []
    log = rack.file.parent / "audit.jsonl"
    assert verify_log(log, on_entry=lambda entry: said.append((entry.action, entry.outcome))).whole
    assert said == [("rig.visit", "begun"), ("rig.restore", "done")]


def test_the_guardian_acts_where_the_lock_folder_was_removed(rack: ServedRack, rig: Rig) -> None:
    process = holder(rack.file)
    assert runs(rig) == ("1.5.0-good", False)
    rig.close()
    shutil.rmtree(locks(rack.file))
    killed(process)
    assert "baseline 1.4.0 booted, confirmed and verified" in guardian_said(rack.file)
    assert runs(rig) == ("1.4.0", True)
    assert state(rack.file) == "free"


def test_a_visit_whose_lock_folder_was_removed_is_not_alone(rack: ServedRack, visit: GuardedVisit) -> None:
    visit.check_alone()
    shutil.rmtree(locks(rack.file))
    with lease(RIG, locks(rack.file), wait_s=0):  # a second holder of the same rig
        with pytest.raises(InfraFault, match="missing"):
            visit.check_alone()
        begin_visit(RIG, locks(rack.file), bundle(rack.file, "1.4.0"), bundle(rack.file, "1.5.0-good"))
        with pytest.raises(InfraFault, match=f"of .*process {os.getpid()}"):
            visit.check_alone()
    visit.end()


def test_a_run_that_names_another_baseline_takes_no_rig_away(rack: ServedRack, rig: Rig) -> None:
    begin_visit(RIG, locks(rack.file), bundle(rack.file, "1.4.0"), bundle(rack.file, "1.5.0-good"))
    left = state_of(RIG, locks(rack.file)).visit
    assert left is not None
    other = bundle(rack.file, "1.5.0-good")
    with pytest.raises(InfraFault, match=r"1\.4\.0 was in service .* qdhil rigs restore sim-a1"):
        restore_left(RIG, described(rack.file), other, locks(rack.file), left, Served())
    assert state(rack.file) == "left"
    assert rigs(rack.file, "restore", RIG)[0] == 0
    assert runs(rig) == ("1.4.0", True)


def test_a_rig_that_was_left_is_shown_until_it_is_restored(rack: ServedRack, rig: Rig) -> None:
    begin_visit(RIG, locks(rack.file), bundle(rack.file, "1.4.0"), bundle(rack.file, "1.5.0-good"))
    stage(rig.firmware, bundle(rack.file, "1.5.0-good"))
    run_candidate(rig.firmware, bundle(rack.file, "1.5.0-good"), RIG)
    code, said = rigs(rack.file)
    assert code == 30
    assert "candidate 1.5.0-good on it since" in said.splitlines()[0]
    assert rigs(rack.file, "restore", RIG) == (0, "sim-a1: 1.4.0 booted, confirmed and verified; in service\n")
    assert runs(rig) == ("1.4.0", True)
    assert state(rack.file) == "free"


def test_a_simulator_that_died_with_its_holder_leaves_nothing(file: Path) -> None:
    killed(holder(file))
    assert "its simulator with it: nothing is left to restore" in guardian_said(file)
    assert state(file) == "free"


def test_another_image_that_somebody_confirmed_takes_the_rig_out_of_service(rack: ServedRack, rig: Rig) -> None:
    process = holder(rack.file)
    rig.firmware.confirm()  # somebody makes the candidate permanent
    killed(process)
    candidate, baseline = bundle(rack.file, "1.5.0-good"), bundle(rack.file, "1.4.0")
    assert candidate.sha256 in guardian_said(rack.file)
    assert state(rack.file) == "out of service"
    with pytest.raises(InfraFault, match="qdhil rigs restore"), lease(RIG, locks(rack.file), wait_s=0):
        pytest.fail("leased with the candidate confirmed")
    code, said = rigs(rack.file, "restore", RIG)
    assert code == 30
    assert candidate.sha256 in said
    rig.firmware.close()
    stage(rig.firmware, baseline)
    run_candidate(rig.firmware, baseline, RIG)
    confirm_running(rig.firmware, baseline, RIG)
    assert rigs(rack.file, "restore", RIG)[0] == 0
    assert state(rack.file) == "free"


def test_a_mute_controller_takes_the_rig_out_of_service(rack: ServedRack) -> None:
    process = holder(rack.file)
    rack.inject("silent", instrument="controller")
    killed(process)
    assert "out of service" in guardian_said(rack.file) or state(rack.file) == "out of service"
    rack.inject("silent", instrument="controller", value=False)
    code, said = rigs(rack.file, "restore", RIG)
    assert (code, state(rack.file)) == (0, "free"), said


@pytest.fixture
def visit(rack: ServedRack, rig: Rig) -> Iterator[GuardedVisit]:
    """A visit by this process, its candidate running."""
    baseline, candidate = bundle(rack.file, "1.4.0"), bundle(rack.file, "1.5.0-good")
    log = rack.file.parent / "guardian.log"
    visit = GuardedVisit(rig, baseline, candidate, lock_dir=locks(rack.file), log=log, served=Served(), audit=NO_AUDIT)
    with lease(RIG, locks(rack.file), wait_s=0):
        run_confirmed(rig.firmware, baseline, RIG)
        visit.begin()
        stage(rig.firmware, candidate)
        run_candidate(rig.firmware, candidate, RIG)
        yield visit
    assert not log.exists(), "the guardian acted while its holder lived"


def power(file: Path, on: bool) -> None:
    """Switch the supply that feeds the controller."""
    supply = Session(RIG, "supply", described(file).instruments.others["supply"], "@py")
    supply.write(f"OUTP:GEN {int(on)}")
    supply.query("*OPC?")
    supply.close()


def test_a_power_failure_that_ends_is_waited_for(rack: ServedRack, rig: Rig, visit: GuardedVisit) -> None:
    power(rack.file, on=False)
    later = threading.Timer(1.0, power, (rack.file, True))
    later.start()
    visit.end()
    later.join()
    assert runs(rig) == ("1.4.0", True)
    assert state_of(RIG, locks(rack.file)).visit is None


def test_a_power_failure_that_does_not_end_takes_the_rig_out_of_service(rack: ServedRack, visit: GuardedVisit) -> None:
    power(rack.file, on=False)
    with pytest.raises(InfraFault, match="out of service"):
        visit.end()
    why = state_of(RIG, locks(rack.file)).out_of_service
    assert why is not None
    assert "baseline 1.4.0 could not be restored" in why.reason


def test_a_controller_given_up_once_is_not_waited_for_again(rack: ServedRack, visit: GuardedVisit) -> None:
    power(rack.file, on=False)
    with pytest.raises(InfraFault):
        visit.restore()
    started = time.monotonic()
    with pytest.raises(InfraFault):
        visit.end()
    assert time.monotonic() - started < PATIENCE_S


def test_retire_and_restore(rack: ServedRack) -> None:
    code, said = rigs(rack.file, "retire", RIG, "--reason", "the fibre is broken")
    assert (code, state(rack.file)) == (0, "out of service"), said
    code, said = rigs(rack.file)
    assert code == 30
    assert "the fibre is broken" in said.splitlines()[0]
    assert "free" in said.splitlines()[1]
    done = subprocess.run(
        command(rack.file, "--rig", RIG, "--rig-policy", str(quick_policy(rack.file.parent)), "-x"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 30
    assert "the fibre is broken" in done.stdout
    assert "qdhil rigs restore sim-a1" in done.stdout
    assert json.loads((newest_run(rack.file) / "verdict.json").read_text())["verdict"] == "INFRA"
    assert rigs(rack.file, "restore", RIG)[0] == 0
    assert state(rack.file) == "free"


def test_restore_starts_the_simulator_of_a_rig_that_nobody_serves(file: Path) -> None:
    take_out_of_service(RIG, locks(file), "power failure")
    code, said = rigs(file, "restore", RIG)
    assert (code, state(file)) == (0, "free"), said


def test_a_busy_rig_is_not_restored(rack: ServedRack) -> None:
    with lease(RIG, locks(rack.file), wait_s=0):
        code, said = rigs(rack.file, "restore", RIG)
    assert code == 30
    assert f"process {os.getpid()}" in said
    assert state(rack.file) == "free", "to be busy is no reason to be out of service"


@pytest.mark.parametrize(
    "words",
    [
        ("restore",),
        ("restore", "sim-z9"),
        ("retire", RIG),
        ("retire", RIG, "--reason", " "),
        ("restore", RIG, "--baseline", "9.9.9"),
    ],
)
def test_misuse_changes_nothing(file: Path, words: tuple[str, ...]) -> None:
    assert rigs(file, *words)[0] == 64
    assert state(file) == "free"


def test_a_guardian_outlives_the_signals_of_its_job(rack: ServedRack) -> None:
    from acceptance.kills import guardian_of

    process = holder(rack.file)
    guardian = guardian_of(process.pid)
    assert guardian is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(guardian, number)
    killed(process)
    assert "booted, confirmed and verified" in guardian_said(rack.file)


def test_workers_tell_of_a_rig_that_was_left(rack: ServedRack) -> None:
    begin_visit(RIG, locks(rack.file), bundle(rack.file, "1.4.0"), bundle(rack.file, "1.5.0-good"))
    done = subprocess.run(
        command(
            rack.file, "--rig", RIG, "--rig-policy", str(quick_policy(rack.file.parent)), "-n", "1", "-k", "purity"
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "died with candidate 1.5.0-good on it" in done.stdout, done.stdout + done.stderr
    assert state(rack.file) == "free"
    end_visit(RIG, locks(rack.file))
