"""The audit log: the chain, what a crash leaves, what is kept out, and that it fails closed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from audit_made import tear, write_log
from signing_made import ALICE

from qdhil.audit import NO_AUDIT, AuditLog, Head, current_actor, open_audit, verify_log
from qdhil.audit import log as log_module
from qdhil.audit.entry import LINE_MAX_BYTES, NOTHING_BEFORE, TORN
from qdhil.errors import ConfigurationError, RecordFault


def test_each_line_holds_the_digest_of_the_one_before(tmp_path):
    file = tmp_path / "audit.jsonl"
    write_log(file, torn=False)
    before = NOTHING_BEFORE
    lines = file.read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        said = json.loads(line)
        assert (said["number"], said["previous"]) == (number, before)
        assert line == json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
        before = hashlib.sha256(line).hexdigest()
    found = verify_log(file, heads=[Head(len(lines), before)])
    assert (found.whole, found.head, found.signed, found.torn) == (True, Head(len(lines), before), 2, ())


def test_an_entry_says_who_and_where(tmp_path):
    entry = AuditLog(tmp_path / "a").append("run", "2026-1.5.0", "begun", {"rigs": "sim-a1"})
    assert (entry.process, entry.host) == (os.getpid(), os.uname().nodename)
    assert entry.actor.identity == entry.actor.account == current_actor().identity
    signed = AuditLog(tmp_path / "a").append("run", "2026-1.5.0", "PASS", actor=current_actor(ALICE))
    assert (signed.actor.identity, signed.actor.known_by) == (f"key:{ALICE.public_key.keyid}", "key")
    assert signed.actor.account == entry.actor.account


def test_what_a_crash_left_stays_and_is_noted(tmp_path):
    file = tmp_path / "audit.jsonl"
    log = write_log(file, entries=3, torn=False)
    tear(file, b'{"action":"run","act')
    halfway = verify_log(file)
    assert (halfway.whole, halfway.head.number, halfway.tail_bytes) == (True, 3, 20)
    assert log.append("run", "x", "begun").number == 5
    entries = []
    found = verify_log(file, on_entry=entries.append)
    assert (found.whole, found.torn, found.tail_bytes) == (True, (4,), 0)
    assert (entries[3].action, entries[3].details["bytes"]) == (TORN, 20)
    assert b'{"action":"run","act{"action":"audit.torn",' in file.read_bytes()


@pytest.mark.parametrize("cut", ["all but the line feed", "a crash while a crash is noted", "the first line"])
def test_crashes_at_awkward_places(tmp_path, cut):
    file = tmp_path / "audit.jsonl"
    log = AuditLog(file)
    if cut != "the first line":
        log.append("run", "x", "begun")
    if cut == "all but the line feed":
        log.append("run", "y", "begun")
        file.write_bytes(file.read_bytes()[:-1])
    else:
        tear(file)
    if cut == "a crash while a crash is noted":
        size = file.stat().st_size
        log.append("run", "y", "begun")
        file.write_bytes(file.read_bytes()[: size + 60])
    kept = file.read_bytes()
    log.append("run", "z", "begun")
    found = verify_log(file)
    assert (found.whole, len(found.torn)) == (True, 1)
    assert file.read_bytes().startswith(kept)


def test_every_cut_of_a_write_leaves_a_log_that_goes_on(tmp_path):
    """A power loss may keep any number of the bytes of a write."""
    whole, file = tmp_path / "whole", tmp_path / "cut"
    write_log(whole, entries=3)
    data = whole.read_bytes()
    for length in range(0, len(data), 7):
        file.write_bytes(data[:length])
        assert verify_log(file).whole
        AuditLog(file).append("run", "x", "begun")
        found = verify_log(file)
        assert found.whole, (length, found)
        assert file.read_bytes().startswith(data[:length])


def test_the_cost_of_an_entry_does_not_grow(tmp_path):
    """Bytes read per entry, counted by the kernel, for a log of ten entries and of a hundred thousand lines."""
    short, long = tmp_path / "short", tmp_path / "long"
    log = write_log(short, entries=10, torn=False)
    line = short.read_bytes().splitlines(keepends=True)[-1]
    long.write_bytes(line * 100_000)  # only the end is looked at, or this would be refused

    def bytes_read(target: AuditLog) -> int:
        counted = dict(part.split(": ") for part in Path("/proc/self/io").read_text().splitlines())
        target.append("run", "x", "begun")
        after = dict(part.split(": ") for part in Path("/proc/self/io").read_text().splitlines())
        return int(after["rchar"]) - int(counted["rchar"])

    few, many = bytes_read(log), bytes_read(AuditLog(long))
    assert many - few <= LINE_MAX_BYTES < len(line) * 10_000


def test_an_entry_is_on_the_disk_before_append_returns(tmp_path, monkeypatch):
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        synced.append("folder" if stat.S_ISDIR(mode) else f"file of {os.fstat(descriptor).st_size > 0}")

    monkeypatch.setattr(os, "fsync", fsync)
    log = AuditLog(tmp_path / "a")
    log.append("run", "x", "begun")
    log.append("run", "x", "done")
    assert synced == ["file of True", "folder", "file of True"]


def test_a_log_that_cannot_be_written_is_a_fault(tmp_path, monkeypatch):
    blocked = tmp_path / "folder"
    blocked.mkdir()
    for file in (tmp_path / "no" / "folder", blocked, Path("/dev/null"), Path("/dev/full")):
        with pytest.raises(RecordFault, match="can't be written"):
            AuditLog(file).append("run", "x", "begun")
    other = tmp_path / "other"
    other.write_text("what is this\n")
    with pytest.raises(RecordFault, match="its last line is no entry"):
        AuditLog(other).append("run", "x", "begun")
    assert other.read_text() == "what is this\n"
    with pytest.raises(ValueError, match="own"):
        AuditLog(tmp_path / "a").append(TORN, "x", "kept")
    with pytest.raises(RecordFault, match="action"):
        AuditLog(tmp_path / "a").append("not an action", "x", "begun")


def test_a_full_disk_is_a_fault_and_the_log_goes_on(tmp_path):
    """A file size limit of the kernel cuts the write in half, as a full disk does."""
    file = tmp_path / "audit.jsonl"
    write_log(file, entries=2, torn=False)
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from qdhil.audit import AuditLog; from qdhil.errors import RecordFault\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); file = Path(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 100,) * 2)\n"
        "try: AuditLog(file).append('run', 'x', 'begun')\n"
        "except RecordFault as error: sys.exit(30)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(file)], check=False).returncode == 30
    assert verify_log(file).tail_bytes == 100
    AuditLog(file).append("run", "y", "begun")
    assert (verify_log(file).whole, verify_log(file).torn) == (True, (3,))


def test_a_writer_that_hangs_with_the_lock_is_a_fault(tmp_path, monkeypatch):
    import fcntl

    monkeypatch.setattr(log_module, "LOCK_TIMEOUT_S", 0.05)
    file = tmp_path / "a"
    AuditLog(file).append("run", "x", "begun")
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(RecordFault, match="locked by another process"):
            AuditLog(file).append("run", "x", "begun")
        assert time.monotonic() - began < 5
    AuditLog(file).append("run", "x", "begun")


def test_no_log_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_audit(None) is NO_AUDIT
    assert NO_AUDIT.append("run", "x", "begun") is None
    assert list(tmp_path.iterdir()) == []


def test_long_and_odd_texts_are_cut_and_kept_plain(tmp_path):
    file = tmp_path / "a"
    odd = "x" * 5000 + "\ud800\x9b31m"
    entry = AuditLog(file).append("run", odd[::-1], odd, {"text": odd, odd[:20]: None})
    assert len(entry.outcome) == 1000
    assert verify_log(file).whole
    assert max(file.read_bytes()) < 128
    with pytest.raises(RecordFault, match="at most"):
        AuditLog(file).append("run", "x", "begun", {str(number): "y" * 990 for number in range(80)})
    with pytest.raises(RecordFault):
        AuditLog(file).append("run", "x", "begun", {"part": float("nan")})
    assert verify_log(file).whole


def test_unreadable_is_said_apart_from_tampered(tmp_path):
    for file in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigurationError, match="audit log"):
            verify_log(file)
    (tmp_path / "empty").touch()
    assert verify_log(tmp_path / "empty").head == Head(0, NOTHING_BEFORE)
    for text in ("5", "x:" + "0" * 64, "5:" + "0" * 63, "5:" + "G" * 64, ""):
        with pytest.raises(ConfigurationError, match="NUMBER:HASH"):
            Head.parse(text)
