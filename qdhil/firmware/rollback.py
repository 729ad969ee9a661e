"""What a rig has confirmed so far, and that nothing older comes after it unless somebody signed for that."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, Self

from filelock import FileLock

from qdhil.errors import ConfigurationError, RecordFault, RefusedError
from qdhil.firmware.downgrade import accept_permission
from qdhil.firmware.manifest import Digest, Manifest, SecurityCounter, Version, version_numbers
from qdhil.keys.trust import Trust
from qdhil.keys.validity import Timestamp, timestamp
from qdhil.model_files import Strict, read_json


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


class Fact(Protocol):
    """What is compared of firmware that was confirmed."""

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

    confirmed: tuple[Fact, ...] = ()

    def then(self, in_service: Fact) -> Installed:
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
                _replace(file, changed.model_dump_json(indent=1).encode() + b"\n")
    except OSError as error:
        raise RecordFault(f"firmware history {file}: {error.strerror}") from error


def check_not_older(
    manifest: Manifest,
    installed: Installed,
    hardware: str,
    permissions: Sequence[bytes],
    trust: Trust | None,
    now: datetime,
) -> None:
    """Refuse what is replayed, or older than anything a rig has confirmed.

    The image in service is never refused. Older means a lower sequence number, version, or MCUboot
    security counter. A signed permission lets an older image in, never a replayed one.

    Parameters
    ----------
    manifest
        Of the bundle to install.
    installed
        What the rig has confirmed.
    hardware
        The rig's hardware revision; a permission is for one.
    permissions
        Signed permissions, as read from their files.
    trust
        Whose permissions count.
    now
        The time.

    Raises
    ------
    RefusedError
        With the reason, and why no permission helped where there are some.
    """
    if not installed.confirmed or installed.confirmed[-1].sha256 == manifest.sha256:
        return
    what = f"firmware {manifest.version}"
    for known in installed.confirmed:
        if known.sequence == manifest.sequence and known.sha256 != manifest.sha256:
            raise RefusedError(f"{what}: replayed: sequence {known.sequence} was another image")
    older = next((why for known in reversed(installed.confirmed) if (why := _older(manifest, known))), None)
    if older is None:
        return
    if not permissions:
        raise RefusedError(f"{what}: {older}; going back takes a signed permission")
    refusals = []
    for data in permissions:
        try:
            accept_permission(data, trust, installed.confirmed[-1].sha256, manifest.sha256, hardware, now)
        except RefusedError as error:
            refusals.append(str(error))
        else:
            return
    raise RefusedError(f"{what}: {older}; {'; '.join(refusals)}")


def _older(manifest: Manifest, known: Fact) -> str | None:
    """Say in which way a bundle is older than confirmed firmware, if it is."""
    if manifest.sequence < known.sequence:
        return f"older: sequence {manifest.sequence}, the rig has confirmed {known.sequence}"
    if version_numbers(manifest.version) < version_numbers(known.version):
        return f"older: the rig has confirmed {known.version}"
    if known.security_counter is not None and (
        manifest.security_counter is None or manifest.security_counter < known.security_counter
    ):
        return f"older: security counter {manifest.security_counter}, the rig has confirmed {known.security_counter}"
    return None


def _history(file: Path, rig: str) -> FirmwareHistory:
    if not file.exists():
        return FirmwareHistory(schema_version=1, rig=rig)
    history = read_json(file, FirmwareHistory, "firmware history")
    if history.rig != rig:
        raise ConfigurationError(f"firmware history {file}: is of rig {history.rig}, not of {rig}")
    return history


def _replace(file: Path, data: bytes) -> None:
    """Write beside the file and rename: whoever reads sees the old content or the new."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(file)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
