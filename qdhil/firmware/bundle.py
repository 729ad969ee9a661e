"""A firmware bundle: an image, the manifest that says what it is and where it may run, and who signed that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.firmware.anti_rollback import check_not_older
from qdhil.firmware.history import NOTHING_INSTALLED, Installed
from qdhil.firmware.image_facts import ImageFacts, check_agrees, read_facts
from qdhil.firmware.manifest import (
    MANIFEST_NAME,
    MANIFEST_TYPE,
    Manifest,
    bootloader_numbers,
    read_manifest,
)
from qdhil.firmware.mcuboot import signer_of
from qdhil.keys.envelope import read_envelope, signers_of
from qdhil.keys.strict_json import SIZE_MAX_BYTES
from qdhil.keys.trust import Trust
from qdhil.keys.validity import moment
from qdhil.regular_files import read_regular

ENVELOPE_NAME = "manifest.dsse.json"
PERMISSION_SUFFIX = ".downgrade.json"
CLOCK_SKEW_S = 60.0
"""How far in the future a manifest may be issued where no trust file says."""


@dataclass(frozen=True)
class Bundle:
    """A manifest, the image bytes that it was checked against, and the trusted keys that signed it.

    Parameters
    ----------
    manifest
        What the image is.
    image
        The image file.
    signers
        Names of the trusted keys that signed the manifest; empty if nobody asked.
    """

    manifest: Manifest
    image: bytes
    signers: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Version in the manifest."""
        return self.manifest.version

    @property
    def sha256(self) -> str:
        """Digest of the image file."""
        return self.manifest.sha256

    @property
    def fpga_build(self) -> str:
        """FPGA build in the manifest."""
        return self.manifest.fpga_build

    @cached_property
    def facts(self) -> ImageFacts:
        """What the image says of itself."""
        return read_facts(self.manifest.format, self.image)

    @property
    def boot_digest(self) -> str:
        """Hash that a bootloader reports: MCUboot's image hash, otherwise the digest of the file."""
        return self.facts.boot_digest

    @property
    def boot_version(self) -> str:
        """Version as a bootloader spells it: 1.4.2.7 for MCUboot's 1.4.2+7, otherwise the manifest's."""
        mcuboot = self.facts.mcuboot
        return self.version if mcuboot is None else mcuboot.version


def find_bundle(
    wanted: str,
    folder: Path,
    *,
    hardware: str,
    trust: Trust | None = None,
    bootloader: str | None = None,
    installed: Installed = NOTHING_INSTALLED,
    permissions: Sequence[bytes] | None = None,
    in_service: bool = False,
    now: datetime | None = None,
) -> Bundle:
    """Load the bundle that a version or a path names, and check it for a rig.

    Parameters
    ----------
    wanted
        A version, looked up as a sub-folder of ``folder``, or the path of a bundle folder.
    folder
        Where the rig's bundles lie.
    hardware
        Hardware revision of the rig's controller.
    trust
        Whose signatures are asked for; ``None`` takes unsigned bundles.
    bootloader
        Version of the controller's bootloader; ``None`` where it is not known.
    installed
        What the rig has confirmed so far.
    permissions
        Signed permissions to go back to older firmware; those beside the manifest (``*.downgrade.json``)
        if none are given.
    in_service
        The bundle runs already: it may have expired.
    now
        The time; the clock's, if not given.

    Raises
    ------
    ConfigurationError
        If there is no such bundle or its manifest can't be read.
    RefusedError
        With the reason for which this bundle must not be installed here.
    """
    path = _bundle_path(wanted, folder)
    bundle = load_bundle(path, trust)
    if Path(wanted).name == wanted and bundle.version != wanted:
        raise RefusedError(f"firmware {wanted}: the bundle in {path} says it is {bundle.version}")
    now = now or datetime.now(UTC)
    check_admissible(bundle, hardware=hardware, trust=trust, bootloader=bootloader, in_service=in_service, now=now)
    if not in_service:
        if permissions is None:
            found = sorted(path.glob(f"*{PERMISSION_SUFFIX}"))
            permissions = [_read(file, "downgrade permission", SIZE_MAX_BYTES + 1) for file in found]
        check_not_older(bundle.manifest, installed, hardware, permissions, trust, now)
    return bundle


def find_known_bundle(wanted: str, folder: Path, sha256: str) -> Bundle:
    """Load a bundle whose image was verified before, and is told by its digest alone.

    Signatures, expiry and hardware are not looked at again: this is for firmware that the devices ran already.

    Parameters
    ----------
    wanted, folder
        As for :func:`find_bundle`.
    sha256
        Digest of the image file.

    Raises
    ------
    ConfigurationError
        If there is no such bundle or its manifest can't be read.
    RefusedError
        If it has another image.
    """
    path = _bundle_path(wanted, folder)
    what = f"firmware bundle {path}"
    bundle = _with_image(path, _read(path / MANIFEST_NAME, what, SIZE_MAX_BYTES + 1), (), what)
    if bundle.sha256 != sha256:
        raise RefusedError(f"{what}: image has sha256 {bundle.sha256}, not {sha256}")
    return bundle


def load_bundle(path: Path, trust: Trust | None = None) -> Bundle:
    """Load a bundle folder: signatures first, then the manifest, then the image against it.

    Raises
    ------
    ConfigurationError
        If a file can't be read or the manifest is none.
    RefusedError
        If signatures are missing or wrong, or the image is not the one in the manifest.
    """
    what = f"firmware bundle {path}"
    data = _read(path / MANIFEST_NAME, what, SIZE_MAX_BYTES + 1)
    bundle = _with_image(path, data, _signers(path, data, trust, what), what)
    if trust is not None and bundle.facts.mcuboot is not None:
        signer_of(bundle.facts.mcuboot, trust.image_keys)
    return bundle


def check_admissible(
    bundle: Bundle,
    *,
    hardware: str,
    trust: Trust | None,
    bootloader: str | None,
    in_service: bool,
    now: datetime,
) -> None:
    """Refuse a bundle for other hardware, for a newer bootloader, expired, or from the future.

    Raises
    ------
    RefusedError
        With the reason.
    """
    manifest, what = bundle.manifest, f"firmware {bundle.version}"
    if hardware not in manifest.hardware:
        raise RefusedError(f"{what} is for hardware {', '.join(manifest.hardware)}, the rig has {hardware}")
    if bootloader is not None and bootloader_numbers(manifest.min_bootloader) > bootloader_numbers(bootloader):
        raise RefusedError(f"{what} needs bootloader {manifest.min_bootloader}, the rig has {bootloader}")
    skew_s = CLOCK_SKEW_S if trust is None else trust.clock_skew_s
    if moment(manifest.issued) > now + timedelta(seconds=skew_s):
        raise RefusedError(f"{what}: issued in the future ({manifest.issued})")
    if manifest.expires is not None and moment(manifest.expires) <= now and not in_service:
        raise RefusedError(f"{what}: expired at {manifest.expires}")


def _signers(path: Path, data: bytes, trust: Trust | None, what: str) -> tuple[str, ...]:
    """Return who signed the manifest; an envelope beside it must hold it, whether it is asked for or not."""
    file = path / ENVELOPE_NAME
    if trust is None and not file.exists():
        return ()
    if not file.exists():
        raise RefusedError(f"{what}: not signed: there is no {ENVELOPE_NAME}")
    envelope = read_envelope(_read(file, what, SIZE_MAX_BYTES + 1), f"{what}: {ENVELOPE_NAME}", MANIFEST_TYPE)
    if envelope.payload != data:
        raise RefusedError(f"{what}: {ENVELOPE_NAME} signs another manifest")
    if trust is None:
        return ()
    signers = signers_of(envelope, trust.firmware_keys, what)
    if len(signers) < trust.firmware.threshold:
        signed = f"by {', '.join(signers)}" if signers else "by no trusted key"
        raise RefusedError(f"{what}: signed {signed}, it takes {trust.firmware.threshold} keys that sign firmware")
    return signers


def _with_image(path: Path, data: bytes, signers: tuple[str, ...], what: str) -> Bundle:
    """Return the bundle of a manifest, with the image checked against it."""
    manifest = read_manifest(data, f"firmware manifest {path / MANIFEST_NAME}")
    bundle = Bundle(manifest, _read_image(path / manifest.image, manifest, what), signers)
    check_agrees(manifest, bundle.facts, what)
    return bundle


def _read_image(file: Path, manifest: Manifest, what: str) -> bytes:
    image = _read(file, what, manifest.size_bytes + 1)
    digest = hashlib.sha256(image).hexdigest()
    if len(image) > manifest.size_bytes:
        raise RefusedError(f"{what}: image is longer than the {manifest.size_bytes} bytes its manifest says")
    if digest != manifest.sha256:
        raise RefusedError(f"{what}: image has sha256 {digest}, its manifest says {manifest.sha256}")
    if len(image) != manifest.size_bytes:
        raise RefusedError(f"{what}: image has {len(image)} bytes, its manifest says {manifest.size_bytes}")
    return image


def _bundle_path(wanted: str, folder: Path) -> Path:
    try:
        path = folder / wanted if (folder / wanted / MANIFEST_NAME).is_file() else Path(wanted)
        if (path / MANIFEST_NAME).is_file():
            return path
    except OSError as error:  # no permission to look, or a name that is too long
        raise ConfigurationError(f"firmware {wanted}: {error.strerror}") from error
    known = ", ".join(sorted(file.parent.name for file in folder.glob(f"*/{MANIFEST_NAME}"))) or "none"
    raise ConfigurationError(f"firmware {wanted}: no such bundle; {folder} has {known}")


def _read(file: Path, what: str, size_max_bytes: int) -> bytes:
    try:
        return read_regular(file, size_max_bytes)
    except OSError as error:
        raise ConfigurationError(f"{what}: {error.strerror}: {file}") from error
