"""Whether a rig may be used: two notes beside its lock, which outlive every process that held it.

The *visit* is written, and flushed to the disk, before a rig may run anything but its confirmed baseline,
and taken away after that was verified again. Who finds one on a rig that nobody holds knows that its last
holder died. *Out of service* is written where the baseline could not be verified, or by hand; the rig is
not leased until ``qdhil rigs restore`` has put it right. A note that can't be read is the latter.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from qdhil.errors import ConfigurationError, InfraFault
from qdhil.keys.secrets import withheld
from qdhil.model_files import Strict
from qdhil.rack.notes import one_line, read_note, shared_file, whoami, write_note

_LONGEST_REASON_BYTES = 1500


class _Firmware(Protocol):
    @property
    def version(self) -> str: ...
    @property
    def sha256(self) -> str: ...


class FirmwareNote(Strict):
    """A firmware build, as its manifest names it."""

    version: str
    sha256: str


class Visit(Strict):
    """Who may have let a rig run what, since when."""

    id: str
    """Tells this visit from every other one."""
    who: str
    process: int
    since: str
    baseline: FirmwareNote
    candidate: FirmwareNote
    ends_with_holder: bool
    """Whether the rig is a simulated one that its holder started, and that ends with it."""

    @property
    def holder(self) -> str:
        """Who it was, for the person who reads of it."""
        return f"{self.who}, process {self.process}"


class OutOfService(Strict):
    """Why a rig may not be used."""

    reason: str
    who: str
    process: int | None
    since: str


@dataclass(frozen=True)
class RigState:
    """What the notes of a rig say.

    Parameters
    ----------
    rig
        Its name.
    visit
        The visit that was begun and not ended, by the rig's holder or by one that died.
    out_of_service
        Why it may not be used; ``None`` for a rig in service.
    """

    rig: str
    visit: Visit | None
    out_of_service: OutOfService | None


def begin_visit(
    rig: str, lock_dir: Path, baseline: _Firmware, candidate: _Firmware, *, ends_with_holder: bool = False
) -> Visit:
    """Note, before it may happen, that a rig runs something else than its confirmed baseline.

    The holder of the rig's lease calls this while the confirmed baseline runs, verified.

    Raises
    ------
    InfraFault
        If the note can't be written: then nothing may be booted.
    """
    visit = Visit(
        id=secrets.token_hex(8),
        **whoami(),
        baseline=FirmwareNote(version=baseline.version, sha256=baseline.sha256),
        candidate=FirmwareNote(version=candidate.version, sha256=candidate.sha256),
        ends_with_holder=ends_with_holder,
    )
    _write(rig, lock_dir, "visit", visit)
    return visit


def end_visit(rig: str, lock_dir: Path) -> None:
    """Take the visit's note away: the confirmed baseline runs again, verified."""
    _write(rig, lock_dir, "visit", None)


def take_out_of_service(rig: str, lock_dir: Path, reason: str) -> None:
    """Have a rig refused to everybody until it was restored; needs no lease.

    Raises
    ------
    InfraFault
        If the note can't be written.
    """
    line = one_line(withheld(reason), _LONGEST_REASON_BYTES)
    _write(rig, lock_dir, "out-of-service", OutOfService(reason=line, **whoami()))


def return_to_service(rig: str, lock_dir: Path) -> None:
    """Take both notes away: the confirmed baseline runs, verified, and the rig may be used."""
    _write(rig, lock_dir, "out-of-service", None)
    end_visit(rig, lock_dir)


def state_of(rig: str, lock_dir: Path) -> RigState:
    """Return what the notes of a rig say; one that can't be read puts it out of service."""
    try:
        visit = _read(rig, lock_dir, "visit", Visit)
        out_of_service = _read(rig, lock_dir, "out-of-service", OutOfService)
    except _UnreadableError as error:
        return RigState(rig, None, OutOfService(reason=str(error), who="nobody known", process=None, since="unknown"))
    return RigState(rig, visit, out_of_service)


def has_lost_its_note(rig: str, lock_dir: Path) -> bool:
    """Whether somebody removed the note of a visit that was begun: qdhil empties that file and never removes it."""
    return not (lock_dir / _file(rig, "visit")).exists()


class _UnreadableError(Exception):
    """A note says nothing that can be relied on."""


_Note = TypeVar("_Note", bound=BaseModel)


def _file(rig: str, note: str) -> str:
    return f"{rig}.{note}.json"


def _read(rig: str, lock_dir: Path, note: str, model: type[_Note]) -> _Note | None:
    file = lock_dir / _file(rig, note)
    try:
        text = read_note(file)
        return model.model_validate_json(text) if text else None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise _UnreadableError(f"its note {file} can't be read") from error


def _write(rig: str, lock_dir: Path, note: str, content: BaseModel | None) -> None:
    try:
        file = shared_file(lock_dir, _file(rig, note))
        write_note(file, "" if content is None else content.model_dump_json())
    except (OSError, ConfigurationError) as error:
        raise InfraFault(
            rig,
            "lock folder",
            f"note {_file(rig, note)}",
            f"can't be written: {error}",
            "written and on the disk",
            f"look at {lock_dir}",
        ) from error
