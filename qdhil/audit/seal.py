"""A sealed head: number and digest of the end of an audit log, signed, to be kept out of its writers' reach."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from qdhil.audit.verification import Head
from qdhil.errors import RefusedError
from qdhil.keys.envelope import read_envelope, signers_of
from qdhil.keys.envelope import seal as sealed
from qdhil.keys.strict_json import as_model, parse_json, to_json
from qdhil.keys.validity import Timestamp, timestamp
from qdhil.model_files import Digest, Strict

if TYPE_CHECKING:
    from qdhil.keys.extra import Signer
    from qdhil.keys.trust import Trust

HEAD_TYPE = "application/vnd.qdhil.audit-head+json"
WHAT = "sealed head"


class SealedHead(Strict):
    """What a seal says."""

    schema_version: Literal[1]
    log: str
    """Name of the log's file, for people."""
    number: Annotated[int, Field(ge=1)]
    sha256: Digest
    time: Timestamp
    """When it was sealed."""

    @property
    def head(self) -> Head:
        """The end of the log at that time."""
        return Head(self.number, self.sha256)


def seal_head(log: str, head: Head, signers: Sequence[Signer]) -> bytes:
    """Return a signed statement of a log's end.

    Raises
    ------
    RefusedError
        If the log is empty.
    """
    if head.number == 0:
        raise RefusedError("an empty audit log has no head to seal")
    said = SealedHead(
        schema_version=1, log=log, number=head.number, sha256=head.sha256, time=timestamp(datetime.now(UTC))
    )
    return sealed(to_json(said.model_dump(mode="json")), signers, payload_type=HEAD_TYPE).encode()


def read_seal(data: bytes, trust: Trust) -> SealedHead:
    """Return what a trusted key has sealed.

    Raises
    ------
    RefusedError
        If no key that seals audit logs signed exactly this.
    """
    envelope = read_envelope(data, WHAT, HEAD_TYPE)
    if not signers_of(envelope, trust.audit_keys, WHAT):
        raise RefusedError(f"{WHAT}: not signed by a key that is trusted to seal audit logs")
    return as_model(parse_json(envelope.payload, WHAT), SealedHead, WHAT)
