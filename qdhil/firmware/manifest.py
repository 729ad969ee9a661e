"""``manifest.json``: what a firmware image is, where it may run, and since and until when."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.keys.strict_json import parse_json
from qdhil.keys.validity import Timestamp, moment
from qdhil.model_files import Digest, Strict, describe

MANIFEST_NAME = "manifest.json"
MANIFEST_TYPE = "application/vnd.qdhil.firmware-manifest+json"
"""Payload type of a signed manifest."""

Format = Literal["raw", "mcuboot", "swu", "raucb"]
Version = Annotated[
    str, Field(pattern=r"^\d{1,9}\.\d{1,9}\.\d{1,9}([.+-][0-9A-Za-z.+-]+)?$", max_length=100, examples=["1.4.2+7"])
]
BOOTLOADER_PATTERN = r"^\d{1,9}(\.\d{1,9}){0,3}$"
"""Up to four numbers with dots between."""
BootloaderVersion = Annotated[str, Field(pattern=BOOTLOADER_PATTERN)]
Hardware = Annotated[str, Field(pattern=r"^[0-9A-Za-z]([0-9A-Za-z ._:/-]*[0-9A-Za-z])?$", max_length=100)]
SecurityCounter = Annotated[int, Field(ge=0, lt=1 << 32)]
_NUMBERS = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:\.(\d{1,9})$|[^+]*\+(\d{1,9})$)?")


class Manifest(Strict):
    """The facts of a firmware image; see ``docs/firmware.md`` for an annotated example."""

    schema_version: Literal[2]
    format: Format
    """What the image file is: bytes for the controller itself, an MCUboot image, a SWUpdate or a RAUC file."""
    version: Version
    sequence: Annotated[int, Field(ge=0, lt=1 << 63)]
    """Grows with every release; one sequence number is one image."""
    sha256: Digest
    """Digest of the image file."""
    size_bytes: Annotated[int, Field(ge=0)]
    """Length of the image file."""
    hardware: Annotated[list[Hardware], Field(min_length=1)]
    """Hardware revisions that may run the image."""
    min_bootloader: BootloaderVersion
    """Oldest bootloader that can boot the image."""
    fpga_build: str
    calibration_schema: int
    git_commit: str | None
    image: Annotated[str, Field(pattern=r"^[^/\\\x00]+$")]
    """File name of the image beside the manifest."""
    issued: Timestamp
    expires: Timestamp | None = None
    """From then on the image is not installed any more; where it is in service already it stays."""
    security_counter: SecurityCounter | None = None
    """MCUboot's counter against rollback; of MCUboot images, and of no others."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if (self.format == "mcuboot") != (self.security_counter is not None):
            raise ValueError("security_counter: an mcuboot image has one, another format has none")
        if self.expires is not None and moment(self.expires) <= moment(self.issued):
            raise ValueError("it expires before it is issued")
        return self


def read_manifest(data: bytes, what: str) -> Manifest:
    """Read the bytes of a manifest.

    Parameters
    ----------
    data
        Content of ``manifest.json``.
    what
        Names the file in messages.

    Raises
    ------
    ConfigurationError
        If it is not a manifest, with every error and its path.
    """
    try:
        return Manifest.model_validate_json(json.dumps(parse_json(data, what)), strict=True)
    except ValidationError as error:
        raise ConfigurationError(f"{what}:\n{describe(error)}") from error
    except (RefusedError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{what}: {error}") from error


def version_numbers(version: str) -> tuple[int, int, int, int]:
    """Return major, minor, revision and build of a version; what a pre-release is called has no order.

    ``1.4.2+7`` and ``1.4.2.7`` have build 7, as MCUboot counts; ``1.4.2-rc1`` has build 0.

    Raises
    ------
    ConfigurationError
        If it is no version.
    """
    match = _NUMBERS.match(version)
    if match is None:
        raise ConfigurationError(f"{version!r} is no firmware version")
    major, minor, revision, dotted, plus = match.groups()
    return int(major), int(minor), int(revision), int(dotted or plus or 0)


def bootloader_numbers(version: str) -> tuple[int, ...]:
    """Return a bootloader's version as numbers of equal count, so that 1.0 and 1.0.0 are one.

    Raises
    ------
    ConfigurationError
        If it is no version.
    """
    if not re.fullmatch(BOOTLOADER_PATTERN, version):
        raise ConfigurationError(f"{version!r} is no bootloader version: up to four numbers with dots between")
    numbers = tuple(map(int, version.split(".")))
    return (*numbers, *(0,) * (4 - len(numbers)))
