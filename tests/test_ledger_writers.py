"""Many writers, racing compactors and killed pushers, each a process of its own: nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import ledger_made
import pytest
from ledger_made import bare, clone, entry, git

from qdhil.record.ledger import Ledger

COMPACTOR = """
import sys, time
from pathlib import Path
from qdhil.record.ledger import Ledger
from qdhil.record.ledger_compactor import compact
retries = 0
with Ledger(Path(sys.argv[1])) as ledger:
    while not Path(sys.argv[2]).exists():
        retries += compact(ledger).retries
        time.sleep(0.05)
    retries += compact(ledger).retries
print(retries)
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def writer(folder: Path, rig: str, first: int, count: int) -> subprocess.Popen[str]:
    return start(ledger_made.__file__, folder, rig, first, count)


def children(pid: int) -> Iterator[int]:
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            yield int(status.parent.name)


def kill_host(process: subprocess.Popen[str]) -> None:
    """Kill a writer and its git client at once, as when its machine dies; the remote's side lives on."""
    process.send_signal(signal.SIGSTOP)
    for child in list(children(process.pid)):
        os.kill(child, signal.SIGKILL)
    process.kill()


def digests(folder: Path) -> set[str]:
    with Ledger(folder) as desk:
        contents = desk.sync()
    assert contents.problems == []
    return {it.sha256 for it in contents.entries}


def race(tmp_path: Path, *, writers: int, runs: int, kills: int, shared: int = 0, seed: int) -> None:
    """Let writers of own clones (the last ``shared`` of one clone) and two compactors race, and kill some."""
    remote = bare(tmp_path / "remote.git")
    folders = [tmp_path / f"host-{number if number < writers - shared else 'shared'}" for number in range(writers)]
    for folder in dict.fromkeys(folders):
        clone(remote, folder)
    done = tmp_path / "done"
    compactors = [start("-c", COMPACTOR, clone(remote, tmp_path / f"compactor-{n}"), done) for n in range(2)]
    running = [writer(folder, f"rig-{number}", 0, runs) for number, folder in enumerate(folders)]
    rng = random.Random(seed)
    for number in rng.sample(range(writers), kills):
        time.sleep(rng.uniform(0.3, 1.0))
        kill_host(running[number])
    said = {number: process.communicate(timeout=300)[0].split() for number, process in enumerate(running)}
    assert any(process.returncode == -signal.SIGKILL for process in running)
    # whoever comes next with a dead writer's checkout sends what it had put down
    for folder in dict.fromkeys(folders):
        with Ledger(folder) as ledger:
            ledger.sync()
            assert ledger.unsent() == []
    acknowledged = {digest for lines in said.values() for digest in lines}
    assert acknowledged <= digests(clone(remote, tmp_path / "first-desk")), "an acknowledged record is lost"
    for process in [writer(folder, f"rig-{number}", 0, runs) for number, folder in enumerate(folders)]:
        process.communicate(timeout=300)
        assert process.returncode == 0
    done.touch()
    for process in compactors:
        process.communicate(timeout=300)
        assert process.returncode == 0
    wanted = {entry(n, f"rig-{number}").sha256 for number in range(writers) for n in range(runs)}
    assert digests(clone(remote, tmp_path / "desk")) == wanted
    left = git(remote, "for-each-ref", "--format=%(refname)", "refs/qdhil").split()
    assert [name for name in left if name != "refs/qdhil/ledger"] == []
    git(remote, "fsck", "--strict")


def test_racing_writers_and_compactors_lose_nothing_though_some_are_killed(tmp_path):
    race(tmp_path, writers=4, runs=3, kills=2, shared=2, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_twelve_writers_of_eight_runs_lose_nothing(tmp_path, seed):
    race(tmp_path, writers=12, runs=8, kills=5, shared=3, seed=seed)


def test_killed_between_outbox_and_push_is_sent_by_the_next(tmp_path):
    remote = bare(tmp_path / "remote.git")
    folder = clone(remote, tmp_path / "host")
    with Ledger(folder) as ledger:
        ledger.put(entry(1))
    with Ledger(folder) as ledger:
        assert ledger.sync().entries == [entry(1)]
