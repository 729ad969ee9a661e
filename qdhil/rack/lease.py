"""Hold a rig for one process: a file lock per rig, freed by the kernel however the process ends.

VISA locks are not portable (neither HiSLIP nor raw sockets have them in PyVISA-py), so the lock is
outside VISA. Beside it lies a note of who holds the rig, for the person who has to wait, and the notes
of :mod:`qdhil.rack.service_state`, which say in what state the last holder left it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from qdhil.errors import ConfigurationError, InfraFault
from qdhil.rack.notes import read_note, shared_file, whoami
from qdhil.rack.service_state import RigState, state_of

_POLL_S = 0.1
_HEARD_S = 0.3
"""How often a caller that waits is asked whether it still wants to."""


@contextmanager
def lease(
    rig: str,
    lock_dir: Path,
    *,
    wait_s: float,
    on_wait: Callable[[str], None] = lambda _: None,
    on_poll: Callable[[], None] = lambda: None,
    out_of_service_too: bool = False,
) -> Iterator[RigState]:
    """Hold ``rig`` until the block ends; gives what its notes said when it was taken.

    A visit among them was left by a holder that died: the confirmed baseline has to be restored before
    anything else is done.

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
    on_poll
        Called several times a second while the rig is waited for; what it raises ends the wait.
    out_of_service_too
        Take a rig that is out of service as well, to restore it.

    Raises
    ------
    ConfigurationError
        If ``wait_s`` is negative, or the lock folder can't be used.
    InfraFault
        If the rig is still busy after ``wait_s``, the message names its holder; or if it is out of
        service, the message says why, and what puts it back.
    """
    if not wait_s >= 0:  # filelock takes a negative time for "for ever"
        raise ConfigurationError(f"--rig-wait {wait_s:g}: seconds must not be negative")
    lock = FileLock(shared_file(lock_dir, f"{rig}.lock"), thread_local=False)
    note = lock_dir / f"{rig}.holder.json"
    if not out_of_service_too:
        refuse_out_of_service(state_of(rig, lock_dir))  # not after a wait only
    try:
        _acquire(lock, 0.0)
    except Timeout:
        on_wait(f"rig {rig} is held by {holder(rig, lock_dir)}; waiting up to {wait_s:g} s")
        try:
            _wait(lock, wait_s, on_poll)
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
            note.unlink(missing_ok=True)
            with note.open("x") as stream:
                json.dump(whoami(), stream)
        state = state_of(rig, lock_dir)
        if not out_of_service_too:
            refuse_out_of_service(state)
        yield state
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def holder(rig: str, lock_dir: Path) -> str:
    """Return who holds a rig, as its holder wrote it."""
    try:
        note = json.loads(read_note(lock_dir / f"{rig}.holder.json"))
        return f"{note['who']}, process {note['process']}, since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that left no note"


def is_held(rig: str, lock_dir: Path) -> bool:
    """Return whether some process holds the rig now."""
    lock = FileLock(shared_file(lock_dir, f"{rig}.lock"), thread_local=False)
    try:
        _acquire(lock, 0.0)
    except Timeout:
        return True
    lock.release()
    return False


def _wait(lock: FileLock, wait_s: float, on_poll: Callable[[], None]) -> None:
    """Take a lock that is busy, or raise Timeout."""
    deadline = time.monotonic() + wait_s
    while True:
        on_poll()
        left_s = max(0.0, deadline - time.monotonic())
        try:
            return _acquire(lock, min(left_s, _HEARD_S))
        except Timeout:
            if left_s <= _HEARD_S:
                raise


def _acquire(lock: FileLock, timeout_s: float) -> None:
    """Take a lock or raise Timeout; a lock file that is none, or on a disk that can't be written, is a mistake."""
    try:
        lock.acquire(timeout=timeout_s, poll_interval=_POLL_S)
    except Timeout:
        raise
    except OSError as error:
        why = f"lock {lock.lock_file}: {error.strerror}"
        raise ConfigurationError(f"{why}; put it right, or set lock_dir in the rack file") from error


def refuse_out_of_service(state: RigState) -> None:
    """Raise InfraFault for a rig that is out of service; somebody may say so while another holds it."""
    if (why := state.out_of_service) is not None:
        raise InfraFault(
            state.rig,
            "lease",
            "service",
            f"out of service since {why.since}, by {why.who}: {why.reason}",
            "in service",
            f"put it right, then: qdhil rigs restore {state.rig}",
        )
