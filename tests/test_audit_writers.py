"""Many writers of one audit log: nothing is lost, and a killed one breaks nothing."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from qdhil.audit import AuditLog, Entry, verify_log

WRITERS, ENTRIES = 12, 40
_WRITE = """
import sys
from pathlib import Path
from qdhil.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    log.append("rig.lease", sys.argv[2], "begun", {"number": number, "text": "x" * 200})
    print(number, flush=True)
"""


def start(file: Path, name: str, entries: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITE, str(file), name, str(entries)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def let_go(writers: list[subprocess.Popen[str]]) -> None:
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()


def said_by(writers: list[subprocess.Popen[str]]) -> dict[str, int]:
    """How many entries each writer was told are on the disk."""
    told = {}
    for number, writer in enumerate(writers):
        out, _ = writer.communicate(timeout=60)
        told[f"writer-{number}"] = len(out.splitlines())
    return told


def test_twelve_writers_at_once_lose_nothing(tmp_path):
    file = tmp_path / "audit.jsonl"
    writers = [start(file, f"writer-{number}", ENTRIES) for number in range(WRITERS)]
    let_go(writers)
    assert said_by(writers) == {f"writer-{number}": ENTRIES for number in range(WRITERS)}
    entries: list[Entry] = []
    found = verify_log(file, on_entry=entries.append)
    assert (found.whole, found.head.number, found.torn) == (True, WRITERS * ENTRIES, ())
    assert Counter(entry.subject for entry in entries) == {f"writer-{n}": ENTRIES for n in range(WRITERS)}
    assert len({entry.process for entry in entries}) == WRITERS
    for name in {entry.subject for entry in entries}:
        numbers = [entry.details["number"] for entry in entries if entry.subject == name]
        assert numbers == list(range(ENTRIES))  # each writer's own order is kept


def kill_some(file: Path, *, seed: int, rounds: int) -> None:
    draw = random.Random(seed)
    before = 0
    for _ in range(rounds):
        writers = [start(file, f"writer-{number}", 10_000) for number in range(4)]
        let_go(writers)
        time.sleep(draw.uniform(0.02, 0.3))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        told = said_by(writers)
        entries: list[Entry] = []
        found = verify_log(file, on_entry=entries.append)
        assert found.whole, found
        counted = Counter(entry.subject for entry in entries[before:])
        for name, number in told.items():
            assert counted[name] >= number, "an entry that append had returned is lost"
            assert counted[name] <= number + 1
        AuditLog(file).append("run", "after", "begun")
        before = found.head.number + 1
    assert verify_log(file).whole
    assert before > rounds


def test_killed_writers_lose_nothing_that_was_promised(tmp_path):
    kill_some(tmp_path / "audit.jsonl", seed=1, rounds=3)


@pytest.mark.slow
def test_a_hundred_killed_writers(tmp_path):
    kill_some(tmp_path / "audit.jsonl", seed=2, rounds=25)


def test_a_reader_never_takes_a_writer_for_a_crash(tmp_path):
    file = tmp_path / "audit.jsonl"
    AuditLog(file).append("run", "first", "begun")
    writers = [start(file, f"writer-{number}", 150) for number in range(2)]
    let_go(writers)
    looks = 0
    while any(writer.poll() is None for writer in writers) and looks < 500:
        found = verify_log(file)
        assert (found.whole, found.tail_bytes, found.torn) == (True, 0, ())
        looks += 1
    said_by(writers)
    assert looks > 5
    assert verify_log(file).head.number == 301


def test_a_log_that_is_moved_away_is_begun_anew(tmp_path):
    """Whoever moves a log while writers wait for it gets none of their entries in the old one."""
    file, old = tmp_path / "audit.jsonl", tmp_path / "old.jsonl"
    log = AuditLog(file)
    log.append("run", "x", "begun")
    file.rename(old)
    assert log.append("run", "y", "begun").number == 1
    assert [json.loads(line)["subject"] for line in old.read_text().splitlines()] == ["x"]
