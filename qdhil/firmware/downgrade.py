"""Permission to go back: a signed statement that lets one rig type return from one image to one older image."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from qdhil.errors import RefusedError
from qdhil.firmware.manifest import Hardware
from qdhil.keys.envelope import read_envelope, signers_of
from qdhil.keys.strict_json import as_model, parse_json, to_json
from qdhil.keys.trust import Trust
from qdhil.keys.validity import Timestamp, check_time, expiry, timestamp
from qdhil.model_files import Digest, Strict

PERMISSION_TYPE = "application/vnd.qdhil.firmware-downgrade+json"
WHAT = "downgrade permission"


class DowngradePermission(Strict):
    """What a permission says."""

    schema_version: Literal[1]
    from_sha256: Digest
    """Digest of the image file in service."""
    to_sha256: Digest
    """Digest of the older image file."""
    hardware: Hardware
    reason: Annotated[str, Field(min_length=10, max_length=2000)]
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    issued: Timestamp
    expires: Timestamp


def permission(
    *, from_sha256: str, to_sha256: str, hardware: str, reason: str, lifetime: timedelta, now: datetime
) -> bytes:
    """Return the statement to sign.

    Raises
    ------
    ValidationError
        If a field is not as :class:`DowngradePermission` wants it.
    """
    claim = DowngradePermission(
        schema_version=1,
        from_sha256=from_sha256,
        to_sha256=to_sha256,
        hardware=hardware,
        reason=reason,
        nonce=secrets.token_hex(16),
        issued=timestamp(now),
        expires=expiry(now, lifetime),
    )
    return to_json(claim.model_dump(mode="json"))


def accept_permission(
    data: bytes, trust: Trust | None, from_sha256: str, to_sha256: str, hardware: str, now: datetime
) -> DowngradePermission:
    """Return a permission that holds for exactly this change.

    Raises
    ------
    RefusedError
        If it is not signed by a key trusted for it, is for another change, or is out of its time.
    """
    if trust is None:
        raise RefusedError(f"{WHAT}: counts for nothing without a trust file")
    envelope = read_envelope(data, WHAT, PERMISSION_TYPE)
    if not signers_of(envelope, trust.downgrade_keys, WHAT):
        raise RefusedError(f"{WHAT}: not signed by a trusted key that signs downgrades")
    claim = as_model(parse_json(envelope.payload, WHAT), DowngradePermission, WHAT)
    if (claim.from_sha256, claim.to_sha256, claim.hardware) != (from_sha256, to_sha256, hardware):
        raise RefusedError(f"{WHAT}: it is for another image or other hardware")
    check_time(
        (claim.issued, claim.expires),
        now,
        lifetime_max_h=trust.firmware.downgrade_lifetime_max_h,
        clock_skew_s=trust.clock_skew_s,
        what=WHAT,
    )
    return claim
