"""Keys inside a PKCS#11 token: ECDSA P-256 and P-384 by securesystemslib, Ed25519 by a signer of our own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from qdhil.errors import ConfigurationError
from qdhil.keys.extra import signing
from qdhil.keys.pkcs11_uri import MODULE_VARIABLE, TokenKey

_ED25519_BYTES = 32


def token_signer(uri: str, what: str) -> TokenSigner:
    """Return the signer of a key inside a token.

    Raises
    ------
    ConfigurationError
        If the token or the key is not there, or is of another kind.
    """
    library, place = signing(), TokenKey.parse(uri, what)
    try:
        import pkcs11
    except ImportError as error:
        raise ConfigurationError(f"{what}: PKCS#11 tokens take python-pkcs11: pip install 'qdhil[attest]'") from error
    os.environ[MODULE_VARIABLE] = place.module  # the only way to tell securesystemslib
    try:
        with _open(pkcs11, place, what) as session:
            point = _ed25519_public(pkcs11, session, place.key_id)
        if point is not None:
            public = library.SSlibKey.from_crypto(point)
            return TokenSigner(public, partial(_sign_ed25519, pkcs11, place, public, what), what)
        number = int.from_bytes(place.key_id, "big")
        # the key's public half may be readable with the PIN only
        _, public = library.HSMSigner.import_(number, place.token, lambda _: place.pin(what))
        signer = library.HSMSigner(number, public, lambda _: place.pin(what), place.token)
    except (pkcs11.PKCS11Error, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"{what}: no usable key in the token ({type(error).__name__})") from None
    return TokenSigner(public, signer.sign, what)


def _open(pkcs11: Any, place: TokenKey, what: str) -> Any:
    token = pkcs11.lib(place.module).get_token(token_label=place.token, token_flags=pkcs11.TokenFlag.TOKEN_INITIALIZED)
    return token.open(user_pin=place.pin(what))


def _ed25519_public(pkcs11: Any, session: Any, key_id: bytes) -> Any | None:
    """Return the public key with this id, or ``None`` where it is not an Edwards key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = session.get_key(pkcs11.ObjectClass.PUBLIC_KEY, pkcs11.KeyType.EC_EDWARDS, id=key_id)
    except pkcs11.NoSuchKey:
        return None
    # an OCTET STRING of 32 bytes, or the bare bytes, as tokens differ
    return Ed25519PublicKey.from_public_bytes(key[pkcs11.Attribute.EC_POINT][-_ED25519_BYTES:])


def _sign_ed25519(pkcs11: Any, place: TokenKey, public: Any, what: str, payload: bytes) -> Any:
    with _open(pkcs11, place, what) as session:
        key = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.KeyType.EC_EDWARDS, id=place.key_id)
        signature = key.sign(payload, mechanism=pkcs11.Mechanism.EDDSA)
    return signing().Signature(public.keyid, signature.hex())


@dataclass(frozen=True)
class TokenSigner:
    """A key inside a token; the private half stays where it is.

    Parameters
    ----------
    public_key
        The public half.
    within
        Has the token sign a payload.
    what
        Names the key in messages.
    """

    public_key: Any
    within: Callable[[bytes], Any]
    what: str

    def sign(self, payload: bytes) -> Any:
        """Return the signature.

        Raises
        ------
        ConfigurationError
            If the token refuses.
        """
        import pkcs11

        try:
            return self.within(payload)
        except (pkcs11.PKCS11Error, ValueError) as error:
            raise ConfigurationError(f"{self.what}: the token does not sign ({type(error).__name__})") from None
