"""Private keys: an Ed25519 or ECDSA key in PEM, in a file or an environment variable, or inside a PKCS#11 token.

No message here repeats what it was given: a key or a PIN pasted in the wrong place must not reach a log.
"""

from __future__ import annotations

import os
from pathlib import Path

from qdhil.errors import ConfigurationError
from qdhil.keys.extra import Signer, signing
from qdhil.keys.trust import SCHEMES

PASSWORD_VARIABLE = "QDHIL_KEY_PASSWORD"
"""Environment variable with the password of an encrypted key file."""


def load_signer(where: str, what: str = "key") -> Signer:
    """Return the signer behind ``FILE``, ``env:NAME`` or ``pkcs11:...``.

    Parameters
    ----------
    where
        Path of a private key in PEM, the environment variable that holds one, as CI systems hand out secrets, or a
        PKCS#11 URI (RFC 7512).
    what
        Names the key in messages, which never repeat ``where``.

    Raises
    ------
    ConfigurationError
        If there is no such key, or it can't be used.
    """
    if where.startswith("pkcs11:"):
        from qdhil.keys.token import token_signer

        return token_signer(where, what)
    if where.startswith("env:"):
        return _pem_signer(_from_environment(where.removeprefix("env:"), what), "the environment variable", what)
    return _pem_signer(_from_file(where, what), "the key file", what)


def public_pem(signer: Signer) -> str:
    """Return the public half, as ``trust.toml`` wants it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = signer.public_key.keyval["public"]
    if signer.public_key.keytype != "ed25519":
        return str(public)
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _from_file(where: str, what: str) -> bytes:
    try:
        return Path(where).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ConfigurationError(f"{what}: the key file can't be read: {reason}") from None


def _from_environment(name: str, what: str) -> bytes:
    pem = os.environ.get(name, "")
    if not pem.strip():
        raise ConfigurationError(f"{what}: the environment variable that env: names is not set, or empty")
    return pem.encode(errors="surrogateescape")


def _pem_signer(pem: bytes, where: str, what: str) -> Signer:
    library = signing()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    password = os.environ.get(PASSWORD_VARIABLE)
    try:
        private = load_pem_private_key(pem, password.encode() if password and b"ENCRYPTED" in pem else None)
        signer: Signer = library.CryptoSigner(private)
    except TypeError:
        raise ConfigurationError(f"{what}: {where} is encrypted; set {PASSWORD_VARIABLE}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{what}: not a private key in PEM (PKCS#8), or not its password") from None
    if signer.public_key.scheme not in SCHEMES:
        raise ConfigurationError(f"{what}: must be one of {', '.join(SCHEMES)}")
    return signer
