"""Whether a device may install an image: the one question of the agent at the point of install."""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from qdhil.agent.attestations import Endpoint, found_beside, from_folder, read_attestation
from qdhil.agent.device_file import DeviceFile
from qdhil.errors import ConfigurationError
from qdhil.gate.attestation import Verified, Wanted, verify
from qdhil.gate.nonces import NonceStore
from qdhil.keys.trust import load_trust

_DIGEST = re.compile(r"(sha256:)?([0-9a-f]{64})")


@dataclass(frozen=True)
class Image:
    """What is about to be installed.

    Parameters
    ----------
    sha256
        Digest of the whole file.
    file
        The file, where there is one.
    """

    sha256: str
    file: Path | None

    @classmethod
    def named(cls, text: str) -> Image:
        """Return the image of a path, whose digest is computed here, or of a SHA-256 digest.

        Raises
        ------
        ConfigurationError
            If the file can't be read.
        """
        if match := _DIGEST.fullmatch(text):
            return cls(match[2], None)
        file = Path(text)
        try:
            if stat.S_ISFIFO(file.stat().st_mode) or stat.S_ISCHR(file.stat().st_mode):
                raise ConfigurationError(f"image {file}: not a file")  # it would never end
            with file.open("rb") as stream:
                return cls(hashlib.file_digest(stream, "sha256").hexdigest(), file)
        except OSError as error:
            raise ConfigurationError(f"image {file}: {error.strerror}") from error


def check_install(
    device: DeviceFile,
    folder: Path,
    image: Image,
    now: datetime,
    *,
    attestation: Path | None = None,
    override: tuple[bytes, bytes | None] | None = None,
) -> Verified:
    """Verify that an image may be installed on this device; only ``accepted`` of what is returned says yes.

    Parameters
    ----------
    device
        What the device is.
    folder
        Folder of the device file.
    image
        What is about to be installed.
    now
        The time, with its zone.
    attestation
        The file to believe, or not; ``None`` looks where the device file says.
    override
        An override and, where there is one, its revocation.

    Raises
    ------
    RefusedError
        With the reason why the attestation does not hold.
    QdhilError
        If something that is needed is not there; the exit code says whether to ask again.
    """
    trust = load_trust(folder / device.trust)
    wanted = Wanted(image.sha256, device.hardware, device.ring, device.policy_sha256)
    data = read_attestation(attestation) if attestation is not None else _found(device, folder, image, wanted)
    nonces = None if device.nonces is None else NonceStore(folder / device.nonces)
    return verify(data, trust, wanted, now, nonces=nonces, override=override)


def _found(device: DeviceFile, folder: Path, image: Image, wanted: Wanted) -> bytes:
    place = device.attestations
    if place is not None and place.url is not None:
        return Endpoint(place, folder).attestation(wanted)
    if place is not None and place.folder is not None:
        return from_folder(folder / place.folder, image.sha256)
    if image.file is None:
        raise ConfigurationError("where is the attestation? give --attestation, or [attestations] in the device file")
    return found_beside(image.file)
