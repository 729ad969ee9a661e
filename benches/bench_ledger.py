"""Records a second into one git remote from several writers at once, and how many are lost, beside a peer.

Each writer is a process with a clone of its own. The peer is what is often done for benchmark results: one JSON
file on a branch, read, changed, committed and pushed, with ten immediate retries. ``QDHIL_BENCH_WRITERS`` and
``QDHIL_BENCH_RUNS`` (4 and 5) set the load; the figures are in ``extra_info``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from qdhil.record.ledger import Ledger
from qdhil.record.ledger_compactor import compact

WRITERS = int(os.environ.get("QDHIL_BENCH_WRITERS", "4"))
RUNS = int(os.environ.get("QDHIL_BENCH_RUNS", "5"))
STORED = 1000

PEER = """
import json, subprocess, sys
folder, rig, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
def git(*words):
    return subprocess.run(["git", "-C", folder, "-c", "user.name=t", "-c", "user.email=t@t", *words],
                          capture_output=True).returncode
for number in range(runs):
    for attempt in range(11):
        git("fetch", "--quiet", "origin", "main")
        git("reset", "--quiet", "--hard", "origin/main")
        file = folder + "/data.json"
        try:
            data = json.load(open(file))
        except OSError:
            data = []
        json.dump([*data, f"{rig}/{number}"], open(file, "w"), indent=0)
        git("add", "data.json")
        git("commit", "--quiet", "-m", "data")
        if git("push", "--quiet", "origin", "HEAD:main") == 0:
            break
"""


def made() -> ModuleType:
    """The tests' makers of remotes, clones and records."""
    spec = importlib.util.spec_from_file_location(
        "ledger_made", Path(__file__).resolve().parent.parent / "tests" / "ledger_made.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MADE = made()


def race(folder: Path, program: list[str]) -> tuple[Path, float]:
    remote = MADE.bare(folder / "remote.git")
    clones = [MADE.clone(remote, folder / f"host-{number}") for number in range(WRITERS)]
    running = [
        subprocess.Popen(
            [sys.executable, *(word.format(folder=clone, rig=f"rig-{number}", runs=RUNS) for word in program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, clone in enumerate(clones)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    started = time.perf_counter()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        process.communicate()
    return remote, time.perf_counter() - started


def report(benchmark, kept: int, seconds: float) -> None:
    benchmark.extra_info |= {
        "writers": WRITERS,
        "records": WRITERS * RUNS,
        "lost": WRITERS * RUNS - kept,
        "records_per_s": round(kept / seconds, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def test_ledger_writers(benchmark, tmp_path):
    result = benchmark.pedantic(
        race, args=(tmp_path, [MADE.__file__, "{folder}", "{rig}", "0", "{runs}", "ready"]), rounds=1, iterations=1
    )
    with Ledger(MADE.clone(result[0], tmp_path / "desk")) as desk:
        report(benchmark, len(desk.sync().entries), result[1])
    assert benchmark.extra_info["lost"] == 0


def test_peer_one_json_on_a_branch(benchmark, tmp_path):
    (tmp_path / "peer.py").write_text(PEER)
    program = [str(tmp_path / "peer.py"), "{folder}", "{rig}", "{runs}"]
    remote, seconds = benchmark.pedantic(race, args=(tmp_path, program), rounds=1, iterations=1)
    report(benchmark, len(json.loads(MADE.git(remote, "show", "main:data.json"))), seconds)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    remote = MADE.bare(folder / "remote.git")
    with Ledger(MADE.clone(remote, folder / "host")) as ledger:
        for number in range(STORED):
            ledger.put(MADE.entry(number))
        started = time.perf_counter()
        ledger.send()
        sent = time.perf_counter()
        compact(ledger)
        (folder / "seconds").write_text(f"{sent - started} {time.perf_counter() - sent}")
    return folder


def test_reading_what_is_stored(benchmark, stored):
    sending, folding = map(float, (stored / "seconds").read_text().split())
    with Ledger(MADE.clone(stored / "remote.git", stored / "desk")) as desk:
        assert len(desk.sync().entries) == STORED
        contents = benchmark.pedantic(desk.read, rounds=3, iterations=1)
    assert len(contents.entries) == STORED
    benchmark.extra_info |= {
        "sent_per_s": round(STORED / sending), "folded_per_s": round(STORED / folding),
        "read_per_s": round(STORED / benchmark.stats.stats.min),
    }  # fmt: skip
