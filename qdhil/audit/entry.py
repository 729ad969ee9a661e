"""One line of the audit log: who did what to what, when, with what outcome, and the digest of the line before.

A line has exactly one spelling (sorted keys, no white space, ASCII), so that a digest of its bytes is a digest
of what it says. Numbers count from 1; the first line follows :data:`NOTHING_BEFORE`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from qdhil.keys.envelope import pae
from qdhil.model_files import Digest, Strict

Detail = str | int | float | bool | None
"""What a detail may be: never a structure, which could hide something from a reader of the line."""
NOTHING_BEFORE = "0" * 64
TORN = "audit.torn"
"""Action of the entry that follows what a crash left of another."""
LINE_MAX_BYTES = 1 << 16
ACTION_PATTERN = r"^[a-z][a-z-]*(\.[a-z][a-z-]*)*$"
_TORN_START = b'{"action":"' + TORN.encode() + b'",'
_SIGNED_TYPE = "application/vnd.qdhil.audit-entry+json"


class ActorRecord(Strict):
    """Who acted, and how that is known."""

    identity: str
    """``user:NAME@HOST`` or ``key:KEYID``."""
    known_by: Literal["account", "key"]
    """By the account of the real user id, or by a signature of this entry."""
    account: str
    """Account of the process, also where a key stands for the actor."""
    key_id: Digest | None = None
    public: str | None = None
    """The key's public half in PEM; its id is its digest, so that the entry proves itself."""
    signature: Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$")] | None = None
    """Signature of the entry without this field, in hexadecimal."""


class Entry(Strict):
    """One line."""

    schema_version: Literal[1]
    number: Annotated[int, Field(ge=1)]
    previous: Digest
    """SHA-256 of the bytes of the line before, without its line feed."""
    time: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]
    host: str
    process: int
    actor: ActorRecord
    action: Annotated[str, Field(pattern=ACTION_PATTERN)]
    subject: str
    outcome: str
    details: dict[str, Detail]


def timestamp(time: datetime) -> str:
    """Write a time as entries have it: UTC, microseconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode(entry: Entry) -> bytes:
    """Return the one line that stands for an entry, without a line feed."""
    return _canonical(entry.model_dump(mode="json"))


def signed_bytes(entry: Entry) -> bytes:
    """Return what an actor's key signs: the entry without its signature, and what kind of thing it is (DSSE's PAE)."""
    said = entry.model_dump(mode="json")
    del said["actor"]["signature"]
    return pae(_canonical(said), _SIGNED_TYPE)


def decode(line: bytes) -> tuple[Entry, bytes]:
    """Read a line without its line feed.

    Returns
    -------
    tuple
        The entry, and the bytes before it that a crash left of another one: they are part of the line.

    Raises
    ------
    ValueError
        If it is not exactly an entry.
    """
    start = line.rfind(_TORN_START)
    torn, own = (line[:start], line[start:]) if start >= 0 else (b"", line)
    try:
        entry = Entry.model_validate_json(own, strict=True)
    except ValidationError as error:
        raise ValueError("not an entry") from error
    if encode(entry) != own:
        raise ValueError("an entry in another spelling than its own")
    if entry.action == TORN and (not torn or entry.details != torn_details(torn)):
        raise ValueError("what a crash left is not what its entry says")
    return entry, torn


def torn_details(torn: bytes) -> Mapping[str, Detail]:
    """Return what the entry after a crash says of what the crash left."""
    return {"bytes": len(torn), "sha256": digest(torn)}


def digest(line: bytes) -> str:
    """Return the SHA-256 of a line's bytes."""
    return hashlib.sha256(line).hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
