"""Make a bundle folder of an image: derive what the image says, write the manifest, sign it."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from qdhil.durable_files import replace_file
from qdhil.errors import ConfigurationError, RefusedError
from qdhil.firmware.bundle import ENVELOPE_NAME, Bundle, load_bundle
from qdhil.firmware.image_facts import ImageFacts, format_of, read_facts
from qdhil.firmware.manifest import MANIFEST_NAME, MANIFEST_TYPE, Manifest, read_manifest, version_numbers
from qdhil.keys.envelope import read_envelope, seal
from qdhil.keys.extra import Signer
from qdhil.keys.validity import expiry, timestamp
from qdhil.model_files import describe
from qdhil.regular_files import read_regular


@dataclass(frozen=True)
class Stated:
    """What a builder states of an image; what the image says itself may be left out.

    Parameters
    ----------
    sequence, min_bootloader, fpga_build, calibration_schema, git_commit
        Fields of the manifest.
    version, hardware
        ``None`` and empty take what the image says.
    lifetime
        From now to expiry; ``None`` never expires.
    """

    sequence: int
    min_bootloader: str
    fpga_build: str
    calibration_schema: int
    git_commit: str | None = None
    version: str | None = None
    hardware: tuple[str, ...] = ()
    lifetime: timedelta | None = None


def make_manifest(image: bytes, name: str, stated: Stated, now: datetime) -> Manifest:
    """Return the manifest of an image file.

    Parameters
    ----------
    image
        The file's bytes.
    name
        The file's name in the bundle.
    stated
        What the image does not say.
    now
        When it is issued.

    Raises
    ------
    ConfigurationError
        If something is missing, or has the wrong form.
    RefusedError
        If the image is broken, or says something else than was stated.
    """
    form = format_of(image)
    facts = read_facts(form, image)
    try:
        return Manifest(
            schema_version=2,
            format=form,
            version=_version(stated, facts),
            sequence=stated.sequence,
            sha256=hashlib.sha256(image).hexdigest(),
            size_bytes=len(image),
            hardware=list(stated.hardware or facts.hardware or ()),
            min_bootloader=stated.min_bootloader,
            fpga_build=stated.fpga_build,
            calibration_schema=stated.calibration_schema,
            git_commit=stated.git_commit,
            image=name,
            issued=timestamp(now),
            expires=None if stated.lifetime is None else expiry(now, stated.lifetime),
            security_counter=facts.security_counter,
        )
    except ValidationError as error:
        raise ConfigurationError(f"firmware manifest:\n{describe(error)}") from error


def write_bundle(folder: Path, image: bytes, manifest: Manifest, signers: Sequence[Signer]) -> Bundle:
    """Write image, manifest and, with signers, its signatures into a new folder, and load it again.

    Raises
    ------
    ConfigurationError
        If the folder is there already and not empty, or can't be written.
    RefusedError
        If image and manifest disagree.
    """
    if manifest.image in (MANIFEST_NAME, ENVELOPE_NAME):
        raise ConfigurationError(f"an image can't be named {manifest.image}")
    try:
        data = manifest.model_dump_json(indent=2).encode() + b"\n"
    except ValueError as error:  # an argument or a file name that is not UTF-8
        raise ConfigurationError("firmware manifest: one of its texts holds bytes that are no characters") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigurationError(f"firmware bundle {folder}: there is something already")
        (folder / manifest.image).write_bytes(image)
        (folder / MANIFEST_NAME).write_bytes(data)
        if signers:
            (folder / ENVELOPE_NAME).write_bytes(seal(data, signers, payload_type=MANIFEST_TYPE).encode())
    except OSError as error:
        raise ConfigurationError(f"firmware bundle {folder}: {error.strerror}") from error
    return load_bundle(folder)


def co_sign(folder: Path, signers: Sequence[Signer]) -> Bundle:
    """Sign a bundle's manifest beside those who signed it already, after checking the image against it.

    Raises
    ------
    ConfigurationError
        If a file can't be read or written.
    RefusedError
        If image, manifest and envelope disagree, or a key signs twice.
    """
    bundle, file = load_bundle(folder), folder / ENVELOPE_NAME
    try:
        with (folder / MANIFEST_NAME).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)  # two who sign at once take turns, or one signature would be lost
            data = stream.read()
            onto = read_envelope(read_regular(file), ENVELOPE_NAME, MANIFEST_TYPE) if file.exists() else None
            if read_manifest(data, MANIFEST_NAME) != bundle.manifest:
                raise RefusedError(f"firmware bundle {folder}: changed while it was read")
            replace_file(file, seal(data, signers, onto=onto, payload_type=MANIFEST_TYPE).encode())
    except OSError as error:
        raise ConfigurationError(f"firmware bundle {folder}: {error.strerror}") from error
    return bundle


def _version(stated: Stated, facts: ImageFacts) -> str:
    if stated.version is not None:
        return stated.version
    if facts.mcuboot is not None:
        major, minor, revision, build = version_numbers(facts.mcuboot.version)
        return f"{major}.{minor}.{revision}" + (f"+{build}" if build else "")
    if facts.version is None:
        raise ConfigurationError("this image does not say its version: give --version")
    return facts.version
