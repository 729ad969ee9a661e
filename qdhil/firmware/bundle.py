"""A firmware bundle: an image and the manifest that says what it is and where it may run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.model_files import Strict, read_json

MANIFEST_NAME = "manifest.json"


class Manifest(Strict):
    """The facts of a firmware image; see ``docs/firmware.md`` for an annotated example."""

    schema_version: Literal[1]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+([.+-][0-9A-Za-z.+-]+)?$")]
    sequence: Annotated[int, Field(ge=0)]
    """Grows with every release; recorded, not checked."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Digest of the image file, and what the controller must report after boot."""
    hardware: Annotated[list[str], Field(min_length=1)]
    """Hardware revisions that may run the image."""
    min_bootloader: str
    fpga_build: str
    calibration_schema: int
    git_commit: str | None
    image: Annotated[str, Field(pattern=r"^[^/\\\x00]+$")]
    """File name of the image beside the manifest."""


@dataclass(frozen=True)
class Bundle:
    """A manifest and the image bytes that it was checked against."""

    manifest: Manifest
    image: bytes

    @property
    def version(self) -> str:
        """Version in the manifest."""
        return self.manifest.version

    @property
    def sha256(self) -> str:
        """Digest of the image."""
        return self.manifest.sha256


def find_bundle(wanted: str, folder: Path, *, hardware: str) -> Bundle:
    """Load the bundle that a version or a path names, and check it for a rig.

    Parameters
    ----------
    wanted
        A version, looked up as a sub-folder of ``folder``, or the path of a bundle folder.
    folder
        Where the rig's bundles lie.
    hardware
        Hardware revision of the rig's controller.

    Raises
    ------
    ConfigurationError
        If there is no such bundle or its manifest can't be read.
    RefusedError
        If the image is not the one in the manifest, or is for other hardware.
    """
    path = folder / wanted if (folder / wanted / MANIFEST_NAME).is_file() else Path(wanted)
    if not (path / MANIFEST_NAME).is_file():
        known = ", ".join(sorted(file.parent.name for file in folder.glob(f"*/{MANIFEST_NAME}"))) or "none"
        raise ConfigurationError(f"firmware {wanted}: no such bundle; {folder} has {known}")
    bundle = _load(path)
    if Path(wanted).name == wanted and bundle.version != wanted:
        raise RefusedError(f"firmware {wanted}: the bundle in {path} says it is {bundle.version}")
    if hardware not in bundle.manifest.hardware:
        raise RefusedError(
            f"firmware {bundle.version} is for hardware {', '.join(bundle.manifest.hardware)}, the rig has {hardware}"
        )
    return bundle


def _load(path: Path) -> Bundle:
    manifest = read_json(path / MANIFEST_NAME, Manifest, "firmware manifest")
    try:
        image = (path / manifest.image).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"firmware bundle {path}: {error.strerror}: {error.filename}") from error
    digest = hashlib.sha256(image).hexdigest()
    if digest != manifest.sha256:
        raise RefusedError(f"firmware bundle {path}: image has sha256 {digest}, its manifest says {manifest.sha256}")
    return Bundle(manifest, image)
