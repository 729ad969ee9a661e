"""Who acts: the account of the real user id, or a key that signs.

Environment variables such as ``USER`` or ``GITHUB_ACTOR`` are never asked: whoever starts the process sets them.
"""

from __future__ import annotations

import os
import pwd
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdhil.audit.entry import ActorRecord, Entry, signed_bytes
from qdhil.errors import ConfigurationError

if TYPE_CHECKING:
    from qdhil.keys.extra import Signer


@dataclass(frozen=True)
class Actor:
    """Who acts.

    Parameters
    ----------
    account
        ``user:NAME@HOST`` of the process.
    signer
        The key that stands for the actor, where one does; it has signed something before this object exists.
    key_id, public
        Its digest and its public half in PEM.
    """

    account: str
    signer: Signer | None = None
    key_id: str | None = None
    public: str | None = None

    @property
    def identity(self) -> str:
        """``key:KEYID`` where a key is proved, else the account."""
        return self.account if self.key_id is None else f"key:{self.key_id}"

    @property
    def identities(self) -> tuple[str, ...]:
        """Everything that is known of the actor: a role may be given to any of it."""
        return tuple(dict.fromkeys((self.identity, self.account)))

    def record(self) -> ActorRecord:
        """Return what an entry says of the actor, not signed yet."""
        return ActorRecord(
            identity=self.identity,
            known_by="account" if self.key_id is None else "key",
            account=self.account,
            key_id=self.key_id,
            public=self.public,
        )

    def signed(self, entry: Entry) -> Entry:
        """Return an entry with the actor's signature, where a key stands for the actor."""
        if self.signer is None:
            return entry
        signature: str = self.signer.sign(signed_bytes(entry)).signature
        return entry.model_copy(update={"actor": entry.actor.model_copy(update={"signature": signature})})


def current_actor(signer: Signer | None = None) -> Actor:
    """Return who runs this process.

    Parameters
    ----------
    signer
        A key that stands for them; it signs a challenge here, and every entry afterwards.

    Raises
    ------
    ConfigurationError
        If the key does not sign.
    """
    user = f"user:{account()}"
    if signer is None:
        return Actor(user)
    from qdhil.keys.extra import signing
    from qdhil.keys.signers import public_pem

    challenge = b"qdhil audit challenge " + secrets.token_bytes(16)
    try:
        signer.public_key.verify_signature(signer.sign(challenge), challenge)
    except signing().UnverifiedSignatureError:
        raise ConfigurationError("the key's signatures are not those of its public half") from None
    return Actor(user, signer, str(signer.public_key.keyid), public_pem(signer))


def account() -> str:
    """Return ``NAME@HOST`` of the real user id."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"#{number}"
    return f"{name}@{socket.gethostname()}"
