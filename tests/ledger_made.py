"""Records, bare remotes and clones for the tests and benchmarks of the ledger; run as a program, a writer.

``python ledger_made.py CLONE RIG FIRST COUNT [ready]`` hands in ``COUNT`` records one by one and prints each digest
when the ledger has taken it; with ``ready`` it says so first and waits for a line on its standard input.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from qdhil.gate.verdict import Verdict
from qdhil.record.ledger import Ledger
from qdhil.record.ledger_entry import LedgerEntry, MetricRecord, NumberRecord
from qdhil.record.schemas import FirmwareRecord

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def entry(number: int, rig: str = "sim-a1", *, value: float | None = None, **changes: Any) -> LedgerEntry:
    """A record that differs from every other by its number or rig."""
    mean = 0.02 + 1e-5 * (number % 7) if value is None else value
    numbers = NumberRecord(value=mean, low=mean * 0.95, high=mean * 1.05)
    metric = MetricRecord(
        definition="g2.pulsed.area",
        verdict=Verdict.PASS,
        confidence=0.95,
        window_ps=6000,
        normalisation="far-peaks",
        baseline=numbers,
        candidate=numbers,
    )
    when = BEGIN + timedelta(hours=number)
    fields: dict[str, Any] = {
        "schema_version": 1,
        "run": f"{when:%Y%m%dT%H%M%SZ}-1.5.0",
        "rig": rig,
        "kind": "simulated",
        "host": "here",
        "hardware": "psc-2-rev-b",
        "started": when,
        "finished": when + timedelta(minutes=10),
        "verdict": Verdict.PASS,
        "policy": "made",
        "policy_sha256": "c" * 64,
        "baseline": FirmwareRecord(version="1.4.0", sha256="a" * 64),
        "candidate": FirmwareRecord(version="1.5.0", sha256="b" * 64),
        "metrics": [metric],
        "faults": 0,
        "evidence": {"verdict.json": "d" * 64},
    }
    return LedgerEntry(**(fields | changes))


def git(folder: Path, *arguments: str) -> str:
    """Run git and return what it printed."""
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bare(folder: Path) -> Path:
    """A bare repository with one commit on its branch."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main")
    tree = git(folder, "write-tree")
    git(folder, "update-ref", "refs/heads/main", git(folder, "commit-tree", tree, "-m", "begin"))
    return folder


def clone(remote: Path, folder: Path, *options: str) -> Path:
    """A clone of it, as a host of rigs or a CI job has one."""
    git(remote, "clone", "--quiet", *options, remote.as_uri(), str(folder))
    return folder


def main() -> None:
    folder, rig, first, count, *wait = sys.argv[1:]
    if wait:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
    with Ledger(Path(folder)) as ledger:
        for number in range(int(first), int(first) + int(count)):
            record = entry(number, rig)
            ledger.put(record)
            ledger.send()
            sys.stdout.write(record.sha256 + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
