"""The audit log: one file of JSON lines, each with the digest of the one before, only ever appended to.

An entry is on the disk when :meth:`AuditLog.append` returns. Writers take turns by a lock on the file itself,
which the kernel frees however they die. What a killed writer or a power loss leaves of a line stays where it
is, since a file that is only appended to can't be mended: the next writer ends that line with an entry that says
how many bytes were left, and with what digest.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from qdhil.audit.actor import Actor, current_actor
from qdhil.audit.entry import (
    LINE_MAX_BYTES,
    NOTHING_BEFORE,
    TORN,
    Detail,
    Entry,
    decode,
    digest,
    encode,
    timestamp,
    torn_details,
)
from qdhil.durable_files import flush_folder
from qdhil.errors import RecordFault
from qdhil.keys.secrets import withheld
from qdhil.model_files import describe

LOCK_TIMEOUT_S = 30.0
_TEXT_MAX = 1000
_NOTHING: Mapping[str, Detail] = {}


class Audit(Protocol):
    """Where actions are written down."""

    @property
    def file(self) -> Path | None:
        """The log, where there is one."""

    def append(
        self,
        action: str,
        subject: str,
        outcome: str,
        details: Mapping[str, Detail] = _NOTHING,
        actor: Actor | None = None,
    ) -> Entry | None:
        """Write an action down; nothing may be done before this returns."""


class NoAudit:
    """No log: nothing is written."""

    file: Path | None = None

    def append(
        self,
        action: str,
        subject: str,
        outcome: str,
        details: Mapping[str, Detail] = _NOTHING,
        actor: Actor | None = None,
    ) -> Entry | None:
        """Do nothing."""
        del action, subject, outcome, details, actor
        return None


NO_AUDIT = NoAudit()


class AuditLog:
    """An audit log in a file, made at first use.

    Parameters
    ----------
    file
        Where it is; its folder must exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def file(self) -> Path:
        """Where it is."""
        return self._file

    def append(
        self,
        action: str,
        subject: str,
        outcome: str,
        details: Mapping[str, Detail] = _NOTHING,
        actor: Actor | None = None,
    ) -> Entry:
        """Write an action down, on the disk before this returns.

        Parameters
        ----------
        action
            What was done, in dotted words such as ``baseline.promote``.
        subject
            To what: a rig, a run, a digest.
        outcome
            How it stands: ``begun``, ``done``, ``refused``, ``failed``, or a word of the action's own.
        details
            Flat facts. Secrets are withheld, long texts cut.
        actor
            Who; the account of this process if not given.

        Raises
        ------
        RecordFault
            If it can't be written; the action must not be done then.
        """
        if action == TORN:
            raise ValueError(f"{TORN} is the log's own")
        who = actor if actor is not None else current_actor()
        said = _plain(subject), _plain(outcome), {_plain(key): _flat(value) for key, value in details.items()}
        with self._locked() as descriptor:
            last, torn = self._tail(descriptor)
            if torn:
                # no line feed before it: a line that ends is always an entry, whatever strikes between
                about = (_plain(self._file.name), "kept", torn_details(torn))
                found = self._entry(last, TORN, about, current_actor())
                last = (found.number, digest(torn + self._write(descriptor, found)))
            entry = self._entry(last, action, said, who)
            self._write(descriptor, entry)
            return entry

    def _entry(
        self, last: tuple[int, str], action: str, said: tuple[str, str, Mapping[str, Detail]], actor: Actor
    ) -> Entry:
        subject, outcome, details = said
        try:
            entry = Entry(
                schema_version=1,
                number=last[0] + 1,
                previous=last[1],
                time=timestamp(datetime.now(UTC)),
                host=socket.gethostname(),
                process=os.getpid(),
                actor=actor.record(),
                action=action,
                subject=subject,
                outcome=outcome,
                details=dict(details),
            )
        except ValidationError as error:
            raise self._fault(describe(error).strip().replace("\n", ";")) from error
        return actor.signed(entry)

    def _write(self, descriptor: int, entry: Entry) -> bytes:
        line = encode(entry)
        if len(line) >= LINE_MAX_BYTES:
            raise self._fault(f"an entry of {len(line)} bytes, at most {LINE_MAX_BYTES} are allowed")
        is_new = os.fstat(descriptor).st_size == 0
        written = os.write(descriptor, line + b"\n")
        if written != len(line) + 1:
            raise self._fault("the disk took a part of an entry only")
        os.fsync(descriptor)
        if is_new:
            flush_folder(self._file.parent)
        return line

    def _tail(self, descriptor: int) -> tuple[tuple[int, str], bytes]:
        """Return number and digest of the last line, and what a crash left after it."""
        size, length = os.fstat(descriptor).st_size, LINE_MAX_BYTES
        while True:
            data = os.pread(descriptor, min(length, size), max(size - length, 0))
            lines = data.split(b"\n")
            if len(lines) > 2 or length >= size:
                break
            length *= 2
        if len(lines) == 1:
            return (0, NOTHING_BEFORE), lines[0]
        try:
            entry, _ = decode(lines[-2])
        except ValueError:
            raise self._fault("its last line is no entry; see qdhil audit verify") from None
        return (entry.number, digest(lines[-2])), lines[-1]

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the file open for appending, alone."""
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        try:
            while True:
                descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o664)
                try:
                    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                        raise self._fault("not a file")
                    self._lock(descriptor, deadline)
                    if not self._is_in_place(descriptor):
                        continue  # it was moved away while we waited
                    yield descriptor
                    return
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise self._fault(error.strerror or type(error).__name__) from error

    def _lock(self, descriptor: int, deadline: float) -> None:
        while not try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise self._fault(f"locked by another process for {LOCK_TIMEOUT_S:g} s")
            time.sleep(random.uniform(0.5e-3, 3e-3))

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._file.stat())
        except FileNotFoundError:
            return False

    def _fault(self, reason: str) -> RecordFault:
        return RecordFault(f"audit log {self._file} can't be written: {reason}")


def try_lock(descriptor: int, kind: int) -> bool:
    """Lock a file if nobody else holds it; the lock ends when the descriptor is closed."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def open_audit(file: Path | None) -> Audit:
    """Return the log in a file, or one that writes nothing where there is no file."""
    return NO_AUDIT if file is None else AuditLog(file)


def _flat(value: Detail) -> Detail:
    return _plain(value) if isinstance(value, str) else value


def _plain(text: str) -> str:
    """Return a text without secrets, undecodable characters and excess length."""
    text = withheld(text).encode("utf-8", "replace").decode()
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 3] + "..."
