"""The signing library, imported when something is signed or verified."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any, Protocol

from qdhil.errors import ConfigurationError

_SIGNER_NAMES = ("CryptoSigner", "HSMSigner", "Signature", "SSlibKey")


class PublicKey(Protocol):
    """What verifying takes: the interface of securesystemslib's keys."""

    @property
    def keyid(self) -> str:
        """Digest that names the key in a signature."""

    def verify_signature(self, signature: Any, data: bytes, /) -> None:
        """Raise ``UnverifiedSignatureError`` unless it is this key's signature of the data."""


class Signer(Protocol):
    """What signing takes: the interface of securesystemslib's signers."""

    @property
    def public_key(self) -> Any:
        """The public half."""

    def sign(self, payload: bytes, /) -> Any:
        """Return the signature of a payload."""


def signing() -> Any:
    """Return what is used of securesystemslib: ``Envelope``, keys, signers and their error.

    Raises
    ------
    ConfigurationError
        If it isn't installed.
    """
    try:
        importlib.import_module("cryptography")
        dsse = importlib.import_module("securesystemslib.dsse")
        errors = importlib.import_module("securesystemslib.exceptions")
        signer = importlib.import_module("securesystemslib.signer")
    except ImportError as error:
        raise ConfigurationError(
            "signatures take securesystemslib and cryptography, which aren't installed: pip install 'qdhil[attest]'"
        ) from error
    return SimpleNamespace(
        Envelope=dsse.Envelope,
        UnverifiedSignatureError=errors.UnverifiedSignatureError,
        **{name: getattr(signer, name) for name in _SIGNER_NAMES},
    )


def public_key(pem: str) -> Any:
    """Return the key whose public half is in PEM.

    Raises
    ------
    ValueError
        If it is none, or of a kind that nobody verifies.
    """
    library = signing()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        return library.SSlibKey.from_crypto(load_pem_public_key(pem.encode()))
    except UnsupportedAlgorithm as error:
        raise ValueError("not a supported kind of key") from error
