"""Hold a rig for one process: a file lock per rig, freed by the kernel however the process ends.

VISA locks are not portable (neither HiSLIP nor raw sockets have them in PyVISA-py), so the lock is
outside VISA. Beside it lies a note of who holds the rig, for the person who has to wait.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from qdhil.errors import ConfigurationError, InfraFault

_POLL_S = 0.1


@contextmanager
def lease(
    rig: str, lock_dir: Path, *, wait_s: float, on_wait: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Hold ``rig`` until the block ends.

    Parameters
    ----------
    rig
        Name of the rig.
    lock_dir
        Folder of the lock files, the same for every user of the host.
    wait_s
        How long a busy rig is waited for; 0 refuses at once, ``inf`` waits for ever.
    on_wait
        Called once with the holder's description when the rig is busy.

    Raises
    ------
    ConfigurationError
        If ``wait_s`` is negative, or the lock folder can't be used.
    InfraFault
        If the rig is still busy after ``wait_s``; the message names its holder.
    """
    if not wait_s >= 0:  # filelock takes a negative time for "for ever"
        raise ConfigurationError(f"--rig-wait {wait_s:g}: seconds must not be negative")
    lock = FileLock(_lock_file(rig, lock_dir), thread_local=False)
    note = lock_dir / f"{rig}.holder.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait(f"rig {rig} is held by {holder(rig, lock_dir)}; waiting up to {wait_s:g} s")
        try:
            lock.acquire(timeout=wait_s, poll_interval=_POLL_S)
        except Timeout as error:
            raise InfraFault(
                rig,
                "lease",
                "holder",
                holder(rig, lock_dir),
                f"free within {wait_s:g} s",
                "wait longer with --rig-wait SECONDS or choose another rig",
            ) from error
    try:
        with suppress(OSError):  # another user's leftover note can't be replaced; the lock is what counts
            note.write_text(json.dumps(_whoami()))
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def holder(rig: str, lock_dir: Path) -> str:
    """Return who holds a rig, as its holder wrote it."""
    try:
        note = json.loads((lock_dir / f"{rig}.holder.json").read_text())
        return f"{note['who']}, process {note['process']}, since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that left no note"


def is_held(rig: str, lock_dir: Path) -> bool:
    """Return whether some process holds the rig now."""
    lock = FileLock(_lock_file(rig, lock_dir), thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _lock_file(rig: str, lock_dir: Path) -> Path:
    try:
        if not lock_dir.is_dir():
            lock_dir.mkdir(parents=True, exist_ok=True)
            lock_dir.chmod(0o1777)
        file = lock_dir / f"{rig}.lock"
        if not file.exists():
            file.touch()
            file.chmod(0o666)  # for every user of the host, whatever the umask
    except OSError as error:
        raise ConfigurationError(f"lock folder {lock_dir}: {error.strerror}; set lock_dir in the rack file") from error
    return file


def _whoami() -> dict[str, str | int]:
    run = os.environ.get("CI_RUN_ID") or os.environ.get("GITHUB_RUN_ID") or os.environ.get("CI_JOB_ID")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    who = f"{user}@{socket.gethostname()}" + (f"#{run}" if run else "")
    return {"who": who, "process": os.getpid(), "since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
