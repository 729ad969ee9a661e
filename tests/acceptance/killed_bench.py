"""A served rack for campaigns that are killed, and what can be asked of it."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from acceptance.session import command
from conftest import ServedRack, serve, stop, write_rack
from qdhil.audit import Entry, verify_log
from qdhil.cli.main import app
from qdhil.errors import InfraFault
from qdhil.firmware import Running, find_bundle
from qdhil.instruments import Session
from qdhil.rack.config import Rig as Description
from qdhil.rack.config import load_rack
from qdhil.rack.rig import Rig
from qdhil.rack.selection import bundle_folder
from qdhil.rack.service_state import RigState, state_of

RIG = "sim-a1"
POLICY = """schema_version = 2
name = "killed"
miss_rate = 0.05
false_block_rate = 0.05
confidence = 0.95

[campaign]
quads_min = 3
quads_max = 9
required_rigs = 1
fault_budget = 3

[campaign.dwell_s]
hbt = 0.05
hom_parallel = 0.05
hom_orthogonal = 0.05
blanked = 0.05

[window]
window_ps = 6000
max_lag = 12

[metrics."g2.pulsed.area"]
margin_ratio = 4.0
tolerated_ratio = 1.0
"""
SUITE = """
import pytest

@pytest.mark.metric("g2.pulsed.area")
def test_purity(comparison):
    assert comparison.verdict == "PASS", comparison.summary
"""
_QUICK = ("-p", "no:allure_pytest", "-p", "no:benchmark", "-p", "no:hypothesispytest")


@dataclass
class Killed:
    """One killed campaign: what was done when, and what was found."""

    kind: str
    when_s: float
    phase: str
    running: str
    exit_code: int
    found: str
    again: str = ""


@dataclass
class Bench:
    """A rack that outlives the runs on it, and a log of what was done to them."""

    rack: ServedRack
    random: random.Random
    whole_s: float = 0.0
    killed: list[Killed] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.rack.file.parent

    @property
    def description(self) -> Description:
        return load_rack(self.rack.file).rigs[RIG]

    @property
    def locks(self) -> Path:
        return self.folder / "locks"

    def words(self) -> list[str]:
        return command(
            self.rack.file,
            *("--rig", RIG, "--rig-policy", str(self.folder / "policy.toml"), "--rig-wait", "60"),
            *_QUICK,
            suites=(str(self.folder / "test_gate.py"),),
        )

    def start(self) -> subprocess.Popen[str]:
        log = (self.folder / "session.log").open("w")
        with log:
            return subprocess.Popen(
                self.words(), stdout=log, stderr=subprocess.STDOUT, text=True, cwd=self.folder, start_new_session=True
            )

    def said(self) -> str:
        return (self.folder / "session.log").read_text()

    def run(self) -> int:
        return self.start().wait(120)

    def newest(self) -> Path | None:
        runs = list((self.folder / "runs").glob("*"))
        return max(runs, key=lambda run: run.stat().st_mtime_ns) if runs else None

    def running(self) -> Running | None:
        """Return what the controller itself says that it runs; ``None`` if it does not answer."""
        rig = Rig(RIG, self.description)
        try:
            return rig.firmware.running()
        except InfraFault:
            return None
        finally:
            rig.close()

    def runs_baseline(self) -> bool:
        source = self.description.firmware
        baseline = find_bundle(
            source.baseline, bundle_folder(self.description, self.rack.file), hardware=source.hardware
        )
        running = self.running()
        return running is not None and running.confirmed and running.digest == baseline.sha256

    def state(self) -> RigState:
        return state_of(RIG, self.locks)

    def qdhil(self, *words: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("qdhil")
        return subprocess.run(
            [str(program), *words, "--rack", str(self.rack.file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.folder,
        )

    def row(self) -> dict[str, Any]:
        """Return what ``qdhil rigs --json`` says of the rig, whose exit code must agree."""
        done = CliRunner().invoke(app, ["rigs", "--json", "--rack", str(self.rack.file)])
        (row,) = [row for row in json.loads(done.stdout) if row["rig"] == RIG]
        assert done.exit_code == (30 if row["state"] in ("left", "out of service") else 0), done.output
        return dict(row)

    def entries(self) -> list[Entry]:
        """Return the audit log, every entry of which must be in its chain."""
        entries: list[Entry] = []
        examined = verify_log(self.folder / "audit.jsonl", on_entry=entries.append)
        assert examined.whole, examined.problem
        return entries

    def restart_rack(self) -> None:
        self.rack.process.kill()
        stop(self.rack)
        self.rack = serve(self.rack.file)

    def power(self, on: bool) -> None:
        """Switch the supply output that feeds the controller, as the lab would."""
        session = Session(RIG, "supply", self.description.instruments.others["supply"], "@py")
        session.write(f"OUTP:GEN {int(on)}")
        session.query("*OPC?")
        session.close()


@contextlib.contextmanager
def bench(folder: Path, seed: int) -> Iterator[Bench]:
    """Serve a rack with an audit log and a short patience, and run one campaign that nobody kills."""
    patient = 'expect_idn = "QDHIL,PSC-2,*"'
    changes = {
        patient: f"{patient}\nboot_timeout_s = 4.0",
        "schema_version = 1": 'schema_version = 1\naudit = "audit.jsonl"',
    }
    file = write_rack(folder, **changes)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background, and campaigns would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    (folder / "policy.toml").write_text(POLICY)
    (folder / "test_gate.py").write_text(SUITE)
    made = Bench(serve(file), random.Random(seed))
    try:
        assert made.run() == 0, made.said()
        started = time.monotonic()
        assert made.run() == 0, made.said()
        made.whole_s = time.monotonic() - started
        yield made
    finally:
        made.rack.process.kill()
        stop(made.rack)
