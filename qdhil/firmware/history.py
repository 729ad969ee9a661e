"""What a rig has confirmed so far: the file that remembers it, and what others state of firmware in service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, Self

from filelock import FileLock

from qdhil.durable_files import replace_file
from qdhil.errors import ConfigurationError, RecordFault
from qdhil.firmware.manifest import Manifest, SecurityCounter, Version
from qdhil.keys.validity import Timestamp, timestamp
from qdhil.model_files import Digest, Strict, read_json


class ConfirmedFirmware(Strict):
    """Firmware that a rig confirmed."""

    version: Version
    sequence: int
    sha256: Digest
    security_counter: SecurityCounter | None
    confirmed: Timestamp

    @classmethod
    def of(cls, manifest: Manifest, now: datetime) -> Self:
        """Return what is kept of a manifest."""
        return cls(
            version=manifest.version,
            sequence=manifest.sequence,
            sha256=manifest.sha256,
            security_counter=manifest.security_counter,
            confirmed=timestamp(now),
        )


class FirmwareHistory(Strict):
    """The file: every image that a rig confirmed, in that order; the last one is in service."""

    schema_version: Literal[1]
    rig: str
    confirmed: tuple[ConfirmedFirmware, ...] = ()


class KnownFirmware(Protocol):
    """What is known of firmware in service, now or before, as far as age goes."""

    @property
    def version(self) -> str:
        """Version."""

    @property
    def sequence(self) -> int:
        """Sequence number."""

    @property
    def sha256(self) -> str:
        """Digest of the image file."""

    @property
    def security_counter(self) -> int | None:
        """MCUboot's counter."""


@dataclass(frozen=True)
class StatedFirmware:
    """What somebody states of the firmware in service; what is not known makes nothing look old.

    Parameters
    ----------
    sha256
        Digest of the image file, empty if not known.
    version
        Version, 0.0.0 if not known.
    sequence
        Sequence number, -1 if not known.
    security_counter
        MCUboot's counter, ``None`` if not known.
    """

    sha256: str
    version: str
    sequence: int
    security_counter: int | None


@dataclass(frozen=True)
class Installed:
    """What a rig has confirmed, oldest first; the last one is in service."""

    confirmed: tuple[KnownFirmware, ...] = ()

    def then(self, in_service: KnownFirmware) -> Installed:
        """Return the same with other firmware in service."""
        return Installed((*self.confirmed, in_service))


NOTHING_INSTALLED = Installed()


def read_history(file: Path, rig: str) -> Installed:
    """Read what a rig has confirmed; a file that is not there yet says nothing.

    Raises
    ------
    ConfigurationError
        If it can't be read, or is another rig's.
    """
    return Installed(_history(file, rig).confirmed)


def record_confirmed(file: Path, rig: str, manifest: Manifest, now: datetime) -> None:
    """Note that a rig confirmed an image; the note is on the disk when this returns.

    Raises
    ------
    RecordFault
        If it can't be written.
    ConfigurationError
        If the file is there and can't be read.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            history = _history(file, rig)
            entry = ConfirmedFirmware.of(manifest, now)
            if not history.confirmed or history.confirmed[-1].sha256 != entry.sha256:
                changed = history.model_copy(update={"confirmed": (*history.confirmed, entry)})
                replace_file(file, changed.model_dump_json(indent=1).encode() + b"\n")
    except OSError as error:
        raise RecordFault(f"firmware history {file}: {error.strerror}") from error


def _history(file: Path, rig: str) -> FirmwareHistory:
    if not file.exists():
        return FirmwareHistory(schema_version=1, rig=rig)
    history = read_json(file, FirmwareHistory, "firmware history")
    if history.rig != rig:
        raise ConfigurationError(f"firmware history {file}: is of rig {history.rig}, not of {rig}")
    return history
