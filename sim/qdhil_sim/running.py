"""The simulated racks that this user has running: a note of each in a folder of their own.

A rack holds a lock beside its note as long as it lives, which the kernel frees however it ends; so a note
without a holder is a leftover, and a process id can't be somebody else's by now.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from qdhil.errors import ConfigurationError, InfraFault

_POLL_S = 0.02
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class RunningRack:
    """What the note of a running rack says."""

    process: int
    rigs: tuple[str, ...]
    rack_file: str | None
    """``None`` for the packaged or a generated rack."""
    generated: int | None
    """How many rigs were generated; ``None`` for a rack file."""
    control: str | None
    """Address of the control port, as host:port."""


def runtime_folder() -> Path:
    """Return the folder of the notes, which only this user can use.

    Raises
    ------
    ConfigurationError
        If it belongs to somebody else.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "qdhil-sim" if base else Path(tempfile.gettempdir()) / f"qdhil-sim-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ConfigurationError(f"{folder} belongs to somebody else; set XDG_RUNTIME_DIR")
    return folder


@contextlib.contextmanager
def registered(rack: RunningRack) -> Iterator[None]:
    """Keep a note of this process's rack until the block ends."""
    note = runtime_folder() / f"{rack.process}.json"
    with FileLock(_lock_of(note)):
        note.write_text(json.dumps(asdict(rack)))
        try:
            yield
        finally:
            note.unlink(missing_ok=True)
            _lock_of(note).unlink(missing_ok=True)


def running_racks() -> list[RunningRack]:
    """Return the racks that run, oldest first; leftovers of dead ones are removed."""
    found = []
    for note in sorted(runtime_folder().glob("*.json"), key=lambda each: each.name):
        with contextlib.suppress(OSError, ValueError, TypeError):
            rack = RunningRack(**json.loads(note.read_text()))
            if _is_held(note):
                found.append(RunningRack(**{**asdict(rack), "rigs": tuple(rack.rigs)}))
            else:
                note.unlink(missing_ok=True)
    return found


def end(rack: RunningRack) -> None:
    """Ask a rack to end and wait until it has.

    Raises
    ------
    InfraFault
        If it still runs after 10 s.
    """
    note = runtime_folder() / f"{rack.process}.json"
    with contextlib.suppress(ProcessLookupError):
        os.kill(rack.process, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE_S
    while _is_held(note):
        if time.monotonic() > deadline:
            raise InfraFault(
                ", ".join(rack.rigs), "simulator", "end", f"process {rack.process} runs", f"ended in {_PATIENCE_S:g} s"
            )
        time.sleep(_POLL_S)


def serving(rigs: Sequence[str]) -> list[RunningRack]:
    """Return the running racks that serve any of some rigs; every one if none is named."""
    return [rack for rack in running_racks() if not rigs or set(rigs) & set(rack.rigs)]


def _lock_of(note: Path) -> Path:
    return note.with_suffix(".lock")


def _is_held(note: Path) -> bool:
    lock = FileLock(_lock_of(note), thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    _lock_of(note).unlink(missing_ok=True)
    return False
