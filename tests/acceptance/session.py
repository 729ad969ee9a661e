"""Run a gate session in a process of its own, as a CI job would, and read what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdhil.gate.policy import default_policy_file

QUICK = {
    "quads_min = 3 ": "quads_min = 2 ",
    "quads_max = 16": "quads_max = 2 ",
    "= 0.1\n": "= 0.02\n",
    "blanked = 1.0": "blanked = 0.05",
    "fault_budget = 6": "fault_budget = 1",
}


@dataclass(frozen=True)
class Session:
    """A finished session: exit code, what it printed, and its run folder."""

    code: int
    output: str
    folder: Path

    @property
    def verdict(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "verdict.json").read_text()))

    def metric(self, definition: str, rig: str = "sim-a1") -> dict[str, Any]:
        (entry,) = [
            entry for entry in self.verdict["comparisons"] if (entry["definition"], entry["rig"]) == (definition, rig)
        ]
        return dict(entry)


def quick_policy(folder: Path) -> Path:
    """Write a policy that measures little: for tests of what a session does, not of what it decides."""
    text = default_policy_file().read_text()
    for old, new in QUICK.items():
        assert old in text
        text = text.replace(old, new)
    file = folder / "quick.toml"
    file.write_text(text)
    return file


def command(rack_file: Path, *options: str, suites: tuple[str, ...] = ("--pyargs", "qdhil_suites")) -> list[str]:
    """Return the command line of a session whose runs lie beside its rack file."""
    return [
        *(sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(rack_file.parent)),
        *("-p", "no:cacheprovider", "--import-mode=importlib"),
        *("--rack", str(rack_file), "--rig-runs", str(rack_file.parent / "runs")),
        *suites,
        *options,
    ]


def run(rack_file: Path, *options: str, suites: tuple[str, ...] = ("--pyargs", "qdhil_suites")) -> Session:
    """Run a session to its end."""
    done = subprocess.run(
        command(rack_file, *options, suites=suites),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
        cwd=rack_file.parent,
    )
    return Session(done.returncode, done.stdout, newest_run(rack_file))


def newest_run(rack_file: Path) -> Path:
    """Return the run folder made last (the runs folder itself where there is none)."""
    runs = rack_file.parent / "runs"
    return max(runs.glob("*"), key=lambda folder: folder.stat().st_mtime_ns, default=runs)
