"""Wrap a payload into a signed MCUboot image, by imgtool of the MCUboot project."""

from __future__ import annotations

import contextlib
import importlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from qdhil.errors import ConfigurationError
from qdhil.firmware.manifest import version_numbers
from qdhil.firmware.mcuboot import HARDWARE_TLV
from qdhil.keys.extra import Signer

HEADER_BYTES = 32


def wrap_payload(
    payload: bytes,
    version: str,
    signer: Signer,
    *,
    security_counter: int,
    hardware: Sequence[str],
    header_bytes: int = HEADER_BYTES,
) -> bytes:
    """Return a signed image.

    Parameters
    ----------
    payload
        What the controller executes.
    version
        ``major.minor.revision`` with ``+build`` or without; a pre-release's name has no place in an image.
    signer
        An Ed25519 key, in a file or a token: the one whose public half the bootloader has.
    security_counter
        Counter against rollback, written among the protected entries.
    hardware
        Hardware revisions, written among the protected entries.
    header_bytes
        Length of the image's header, as the controller's linker script has it.

    Raises
    ------
    ConfigurationError
        If imgtool isn't installed, or the key or the version can't be used.
    """
    library = _imgtool()
    if signer.public_key.scheme != "ed25519":
        raise ConfigurationError("the key that signs images must be an Ed25519 key")
    major, minor, revision, build = version_numbers(version)
    if max(major, minor) > 0xFF or revision > 0xFFFF:
        raise ConfigurationError(f"version {version}: MCUboot takes 255.255.65535 at most")
    image = library.Image(
        version=library.SemiSemVersion(major, minor, revision, build),
        header_size=header_bytes,
        pad_header=True,
        security_counter=security_counter,
    )
    with tempfile.TemporaryDirectory(prefix="qdhil-image-") as folder:
        file = Path(folder) / "payload.bin"
        file.write_bytes(payload)
        image.load(str(file))
    with contextlib.redirect_stdout(io.StringIO()):  # imgtool talks
        image.create(
            library.Ed25519(_PrivateHalf(signer)),
            "hash",
            None,
            custom_tlvs={HARDWARE_TLV: ",".join(hardware).encode("ascii")},
        )
    return bytes(image.payload)


class _PrivateHalf:
    """A key as imgtool wants one, which may lie in a token."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def sign(self, data: bytes) -> bytes:
        return bytes.fromhex(self._signer.sign(data).signature)

    def public_key(self) -> Any:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(self._signer.public_key.keyval["public"]))


def _imgtool() -> Any:
    try:
        image = importlib.import_module("imgtool.image")
        keys = importlib.import_module("imgtool.keys")
        version = importlib.import_module("imgtool.version")
    except ImportError as error:
        raise ConfigurationError("MCUboot images take imgtool: pip install 'qdhil[firmware]'") from error
    return SimpleNamespace(Image=image.Image, Ed25519=keys.Ed25519, SemiSemVersion=version.SemiSemVersion)
