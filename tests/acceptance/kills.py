"""Kill real campaigns on a served rack at random points, and ask the controller itself what was left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from acceptance.killed_bench import RIG, Bench, Killed
from conftest import serve, stop
from qdhil.audit import Entry
from qdhil.errors import ConfigurationError, UndecidedError
from qdhil.firmware import Running
from qdhil.rack.lease import is_held
from qdhil.record.recheck import recheck
from qdhil.record.run_folder import read_blocks

KINDS = (
    *("runner", "group", "runner and guardian", "SIGTERM", "SIGINT", "SIGINT twice"),
    *("rack", "runner and rack", "power"),
)
"""What is killed: processes by SIGKILL; the signals go to the runner's group; power is the controller's supply."""
_SETTLES_S = 60.0


def guardian_of(process: int) -> int | None:
    """Return the process id of a runner's guardian."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process and b"qdhil.rack.guardian" in (entry / "cmdline").read_bytes():
                return int(entry.name)
    return None


def kill_one(made: Bench, kind: str) -> Killed:
    """Start a campaign, kill at a random point, check what is left, and that another one runs to its verdict."""
    before, process, started = made.newest(), made.start(), time.monotonic()
    _pause(made, process)
    when_s, phase, running = time.monotonic() - started, _phase(made, before), made.running()
    run = made.newest() if made.newest() != before else None
    journal, entries = _journal(run), made.entries()
    strike(made, kind, process)
    code = process.wait(90)
    if "rack" in kind and made.rack.process.poll() is not None:
        stop(made.rack)
        made.rack = serve(made.rack.file)
    found = settled(made, kind)
    check_record(run, journal)
    check_audit(made, run, entries)
    result = Killed(kind, when_s, phase, _name(running), code, found)
    check_resumes(made, result)
    made.killed.append(result)
    return result


def _pause(made: Bench, process: subprocess.Popen[str]) -> None:
    """Wait until a random point: one time in five anywhere, else after the visit has begun."""
    deadline = time.monotonic() + made.whole_s
    if made.random.random() < 0.2:
        time.sleep(made.random.uniform(0, made.whole_s))
        return
    while made.state().visit is None and process.poll() is None and time.monotonic() < deadline + 60:
        time.sleep(0.005)
    time.sleep(made.random.uniform(0, 0.45 * made.whole_s))


def _phase(made: Bench, before: Path | None) -> str:
    run = made.newest()
    if run is None or run == before:
        return "before the run folder"
    if made.state().visit is None:
        return "after the rig was handed back" if _journal(run) else "before the visit"
    return "in the visit"


def _name(running: Running | None) -> str:
    return "no answer" if running is None else f"{running.version}{'' if running.confirmed else ' on trial'}"


def strike(made: Bench, kind: str, process: subprocess.Popen[str]) -> None:
    """Kill what ``kind`` says, only by process ids and groups that were started here."""
    guardian = guardian_of(process.pid)
    strikes: dict[str, Callable[[], None]] = {
        "runner": process.kill,
        "group": lambda: _signal_group(process, signal.SIGKILL),
        "SIGTERM": lambda: _signal_group(process, signal.SIGTERM),
        "SIGINT": lambda: _signal_group(process, signal.SIGINT),
        "SIGINT twice": lambda: _interrupt_twice(made, process),
        "rack": made.rack.process.kill,
        "power": lambda: _power_cycle(made),
    }
    if kind == "runner and guardian":
        if guardian is not None:
            os.kill(guardian, signal.SIGKILL)
        process.kill()
    elif kind == "runner and rack":
        made.rack.process.kill()
        process.kill()
    else:
        strikes[kind]()
    if "rack" in kind:
        made.rack.process.wait()
    if "rack" in kind and made.random.random() < 0.5:
        stop(made.rack)
        made.rack = serve(made.rack.file)  # it is back before anybody has given up


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _interrupt_twice(made: Bench, process: subprocess.Popen[str]) -> None:
    """Press Ctrl-C again while the first is being obeyed."""
    _signal_group(process, signal.SIGINT)
    time.sleep(made.random.uniform(0, 0.3))
    _signal_group(process, signal.SIGINT)


def _power_cycle(made: Bench) -> None:
    made.power(on=False)
    time.sleep(made.random.uniform(0, 1))
    made.power(on=True)


def settled(made: Bench, kind: str) -> str:
    """Wait until nobody works on the rig any more, and return how it was left, which must be honest."""
    deadline = time.monotonic() + _SETTLES_S
    patience = kind == "runner and guardian"
    while not patience and made.state().visit is not None and made.state().out_of_service is None:
        assert time.monotonic() < deadline, f"{kind}: nobody put the rig right: {made.state()}"
        time.sleep(0.02)
    while is_held(RIG, made.locks):
        assert time.monotonic() < deadline, f"{kind}: the rig is held for ever"
        time.sleep(0.02)
    row = made.row()
    if row["state"] == "free":
        assert made.runs_baseline(), f"{kind}: {made.running()} unnoticed"
        return "baseline"
    assert row["state"] in (("left",) if patience else ("out of service",)), row
    assert patience or "rack" in kind, f"{kind}: {row}"
    return str(row["state"])


def _journal(run: Path | None) -> list[str]:
    file = None if run is None else run / RIG / "blocks.jsonl"
    if file is None or not file.is_file():
        return []
    *lines, _ = file.read_text().split("\n")
    return lines


def check_record(run: Path | None, journal: list[str]) -> None:
    """Nothing that was journaled is lost, and only what recomputes is a PASS."""
    if run is None:
        return
    assert _journal(run)[: len(journal)] == journal
    if journal:
        read_blocks(run / RIG)
    try:
        record = recheck(run)
    except (ConfigurationError, UndecidedError):
        assert not (run / "verdict.json").exists()  # killed before there was one
        return
    if record.verdict == "PASS":
        assert sum('"kind":"complete"' in line for line in _journal(run)) >= 3, "a PASS on less than was asked for"


def check_audit(made: Bench, run: Path | None, before: list[Entry]) -> None:
    """Nothing that was on record is lost, and what a run did before it was killed is on record."""
    entries = made.entries()
    assert entries[: len(before)] == before
    if run is None or not (run / RIG).exists():
        return
    begun = [entry for entry in entries if entry.outcome == "begun"]
    assert [entry.subject for entry in begun if entry.action == "run"][-1] == run.name
    assert [entry.details["run"] for entry in begun if entry.action == "rig.lease"][-1] == run.name
    if _journal(run):
        changes = [entry for entry in entries if entry.action in ("rig.visit", "rig.restore")]
        assert changes[-1].outcome != "begun" or made.state().visit is not None


def check_resumes(made: Bench, result: Killed) -> None:
    """A rig out of service is refused until it was restored; then a campaign runs to its verdict."""
    if result.found == "out of service":
        assert made.run() == 30, made.said()
        assert f"qdhil rigs restore {RIG}" in made.said()
        done = made.qdhil("rigs", "restore", RIG)
        assert done.returncode == 0, done.stderr
        assert made.row()["state"] == "free"
    left = made.state().visit is not None
    code = made.run()
    result.again = "PASS" if code == 0 else f"exit {code}"
    assert code == 0, made.said()
    assert ("died with candidate" in made.said()) == left
    assert made.runs_baseline()


def summary(made: Bench) -> str:
    """Return a table of what was killed how often, and how it was found."""
    lines = [f"{len(made.killed)} campaigns killed; {made.whole_s:.1f} s for a whole one"]
    for kind in KINDS:
        rows = [row for row in made.killed if row.kind == kind]
        found = {name: sum(row.found == name for row in rows) for name in ("baseline", "left", "out of service")}
        trial = sum("on trial" in row.running for row in rows)
        told = ", ".join(f"{count} {name}" for name, count in found.items() if count)
        lines.append(f"{kind:20} {len(rows):3}  candidate running {trial:3}  {told}")
    return "\n".join(lines)
