"""DSSE envelopes: a payload, its type, and who signed exactly these bytes.

Signing and the encoding that is signed are securesystemslib's; reading is stricter than its own: an
envelope has the three fields of the format and no other, base64 is canonical, a key signs once.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qdhil.errors import RefusedError
from qdhil.keys.extra import PublicKey, Signer, signing
from qdhil.keys.strict_json import parse_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
"""Of attestations and overrides: in-toto statements."""
SIGNATURES_MAX = 16


@dataclass(frozen=True)
class Envelope:
    """What was read from a file: nothing in it is believed before :func:`signers_of`.

    Parameters
    ----------
    payload
        The bytes that were signed.
    signatures
        Signature by key id.
    payload_type
        What kind of document the payload is; it is signed with it.
    """

    payload: bytes
    signatures: Mapping[str, bytes]
    payload_type: str = PAYLOAD_TYPE

    def encode(self) -> bytes:
        """Return the file's bytes."""
        return (
            json.dumps(
                {
                    "payload": base64.b64encode(self.payload).decode(),
                    "payloadType": self.payload_type,
                    "signatures": [
                        {"keyid": keyid, "sig": base64.b64encode(signature).decode()}
                        for keyid, signature in sorted(self.signatures.items())
                    ],
                },
                indent=1,
            )
            + "\n"
        ).encode()


def read_envelope(data: bytes, what: str, payload_type: str = PAYLOAD_TYPE) -> Envelope:
    """Read an envelope.

    Raises
    ------
    RefusedError
        If it is not exactly a DSSE envelope of a payload of this type.
    """
    fields = _fields(parse_json(data, what), ("payload", "payloadType", "signatures"), what)
    if fields["payloadType"] != payload_type:
        raise RefusedError(f"{what}: its payloadType is not {payload_type}")
    entries = fields["signatures"]
    if not isinstance(entries, list) or not 1 <= len(entries) <= SIGNATURES_MAX:
        raise RefusedError(f"{what}: signatures must be a list of 1 to {SIGNATURES_MAX}")
    signatures: dict[str, bytes] = {}
    for entry in entries:
        signature = _fields(entry, ("keyid", "sig"), f"{what}, a signature")
        keyid = signature["keyid"]
        if not isinstance(keyid, str) or keyid in signatures:
            raise RefusedError(f"{what}: a key id that is no text, or the same key twice")
        signatures[keyid] = _decoded(signature["sig"], f"{what}, a signature")
    return Envelope(_decoded(fields["payload"], f"{what}, payload"), signatures, payload_type)


def seal(
    payload: bytes, signers: Sequence[Signer], *, onto: Envelope | None = None, payload_type: str = PAYLOAD_TYPE
) -> Envelope:
    """Sign a payload, beside the signatures that an envelope of the same payload has already.

    Raises
    ------
    RefusedError
        If a key signs twice or the envelope has another payload.
    """
    signatures = dict(onto.signatures) if onto is not None else {}
    if onto is not None and (onto.payload, onto.payload_type) != (payload, payload_type):
        raise RefusedError("the envelope to sign holds another statement")
    for signer in signers:
        signature = signer.sign(pae(payload, payload_type))
        if signature.keyid in signatures:
            raise RefusedError("the same key signs twice; the threshold counts different keys")
        signatures[signature.keyid] = bytes.fromhex(signature.signature)
    return Envelope(payload, signatures, payload_type)


def signers_of(envelope: Envelope, keys: Mapping[str, PublicKey], what: str) -> tuple[str, ...]:
    """Return the names of the trusted keys that signed this payload.

    Signatures of keys that nobody trusts count for nothing; one that names a trusted key and is not
    its signature is a forgery.

    Parameters
    ----------
    envelope
        What was read.
    keys
        Trusted keys by name.
    what
        Names the document in messages.

    Raises
    ------
    RefusedError
        If a signature is not that of the trusted key it names.
    """
    library = signing()
    signed = pae(envelope.payload, envelope.payload_type)
    by_keyid = {key.keyid: (name, key) for name, key in keys.items()}
    names = []
    for keyid, signature in envelope.signatures.items():
        if keyid not in by_keyid:
            continue
        name, key = by_keyid[keyid]
        try:
            key.verify_signature(library.Signature(keyid, signature.hex()), signed)
        except library.UnverifiedSignatureError as error:
            raise RefusedError(f"{what}: the signature of key {name} is not its signature of this content") from error
        names.append(name)
    return tuple(names)


def pae(payload: bytes, payload_type: str) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding of a payload and its type."""
    encoded: bytes = signing().Envelope(payload, payload_type, {}).pae()
    return encoded


def _fields(value: Any, names: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise RefusedError(f"{what}: must be a JSON object with {', '.join(names)} and nothing else")
    return value


def _decoded(text: Any, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data or base64.b64encode(data).decode() != text:
        raise RefusedError(f"{what}: not canonical base64")
    return data
