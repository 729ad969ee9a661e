"""Rollouts in a folder of this host: a state file that is replaced whole, and a journal that only grows."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from filelock import FileLock, Timeout
from pydantic import ValidationError

from qdhil.durable_files import replace_file
from qdhil.errors import ConfigurationError, RecordFault, RefusedError
from qdhil.model_files import read_json
from qdhil.rollout.state import USED, JournalEntry, RolloutState, Wish

_LOCK_TIMEOUT_S = 30.0
_NONCES = "nonces"
_MODE = 0o664
_GLANCE_S = 0.5
"""Somebody who asks whether a rollout runs holds its lock for a moment."""


class FileStore:
    """A rollout's files: ``NAME.state.json``, ``NAME.journal.jsonl``, ``NAME.wish``, and ``nonces`` of all.

    Parameters
    ----------
    folder
        Where they lie; made at the first write.
    name
        Name of the rollout.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._state = folder / f"{name}.state.json"
        self._journal = folder / f"{name}.journal.jsonl"
        self._wish = folder / f"{name}.wish"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the rollout; the kernel frees it however the process ends."""
        lock = self._lock()
        try:
            self._written(lambda: lock.acquire(timeout=_GLANCE_S))
        except Timeout as error:
            raise ConfigurationError(f"rollout {self._name}: another process runs it") from error
        try:
            yield
        finally:
            lock.release()

    def is_held(self) -> bool:
        """Whether some process runs the rollout now."""
        try:
            descriptor = os.open(self._folder / f"{self._name}.lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigurationError(f"rollout state {self._folder}: {error.strerror}") from error
        try:
            # shared, so that two who look at once do not take each other for an engine; nothing is written
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def load(self) -> RolloutState | None:
        """Return the state, or ``None`` for a rollout that was never started."""
        return read_json(self._state, RolloutState, "rollout state") if self._state.exists() else None

    def save(self, state: RolloutState, entry: JournalEntry) -> None:
        """Append to the journal, then replace the state."""
        self.note(entry)
        self._written(lambda: replace_file(self._state, state.model_dump_json(indent=1).encode() + b"\n"))

    def note(self, entry: JournalEntry) -> None:
        """Append a line to the journal."""
        self._written(lambda: _append(self._journal, entry.model_dump_json()))

    def journal(self) -> list[JournalEntry]:
        """Return the journal; what a power failure cut off is left out, since nothing came after it."""
        try:
            lines = self._journal.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigurationError(f"rollout journal {self._journal}: {error.strerror}") from error
        entries = []
        for line in lines:
            try:
                entries.append(JournalEntry.model_validate_json(line))
            except ValidationError:
                continue
        return entries

    def wish(self, wish: Wish | None) -> None:
        """Write what is asked, or take it back."""
        if wish is None:
            self._written(lambda: self._wish.unlink(missing_ok=True))
        else:
            self._written(lambda: replace_file(self._wish, wish.encode()))

    def wished(self) -> Wish | None:
        """Return what is asked; what nobody understands is a pause."""
        try:
            text = self._wish.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"rollout wish {self._wish}: {error.strerror}") from error
        wishes: dict[str, Wish] = {wish: wish for wish in get_args(Wish)}
        return wishes.get(text, "pause")

    def claim_nonce(self, nonce: str, rollout: str) -> None:
        """Keep an attestation for a rollout, in the file that all rollouts of the folder share."""
        file = self._folder / _NONCES

        def claim() -> None:
            with FileLock(self._folder / ".nonces.lock", timeout=_LOCK_TIMEOUT_S, mode=_MODE):
                lines = self._nonce_lines()
                owners = dict(line.split(" ", 1) for line in lines if " " in line)
                if owners.setdefault(nonce, rollout) != rollout:
                    raise RefusedError(USED)
                if f"{nonce} {rollout}" not in lines:
                    _append(file, f"{nonce} {rollout}")

        try:
            self._written(claim)
        except Timeout as error:
            raise RecordFault(f"rollout state {file}: locked by another process for {_LOCK_TIMEOUT_S:g} s") from error

    def check_unused(self, nonce: str) -> None:
        """Raise RefusedError where a rollout of the folder used an attestation."""
        if any(line.startswith(f"{nonce} ") for line in self._nonce_lines()):
            raise RefusedError(USED)

    def _nonce_lines(self) -> list[str]:
        file = self._folder / _NONCES
        try:
            return file.read_text(encoding="utf-8", errors="replace").split("\n") if file.exists() else []
        except OSError as error:
            raise RecordFault(f"rollout state {file}: {error.strerror}") from error

    def _lock(self) -> FileLock:
        self._written(lambda: None)
        return FileLock(self._folder / f"{self._name}.lock", mode=_MODE, thread_local=False)

    def _written(self, write: Callable[[], Any]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write()
        except Timeout:
            raise
        except OSError as error:
            raise RecordFault(f"rollout state {self._folder} can't be written: {error.strerror}") from error


def _append(file: Path, line: str) -> None:
    """Append a line and have it on the disk; half a line left by a power failure is ended first."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o664)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        data = b"\n" * torn + line.encode() + b"\n"
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, "the disk took a part of a line only")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
