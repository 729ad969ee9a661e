"""Overrides: two people let a build through that could not be decided, for some rings, for some time.

Only INCONCLUSIVE and INFRA can be overridden: a proven harm stays BLOCKed whoever signs. An override is
a signed statement of its own about one attestation; the attestation keeps saying what it says.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from qdhil.errors import RefusedError
from qdhil.gate.statement import STATEMENT_TYPE, Name, Names, Nonce
from qdhil.gate.verdict import Verdict
from qdhil.keys.envelope import Envelope, read_envelope, signers_of
from qdhil.keys.strict_json import as_model, parse_json, to_json
from qdhil.keys.validity import Timestamp, check_time, expiry, moment, timestamp
from qdhil.model_files import Digest, Strict

if TYPE_CHECKING:
    from qdhil.gate.attestation import Signed
    from qdhil.keys.trust import OverridePolicy, Trust

OVERRIDE_TYPE = "urn:qdhil:override:v1"
REVOCATION_TYPE = "urn:qdhil:override-revocation:v1"
PEOPLE = 2
WHAT = "override"
_OPEN = (Verdict.INCONCLUSIVE, Verdict.INFRA)


class OverrideClaim(Strict):
    """What an override says."""

    schema_version: Literal[1]
    attestation_sha256: Digest
    """Digest of the attested statement, whoever signed it."""
    firmware_sha256: Digest
    verdict: Literal[Verdict.INCONCLUSIVE, Verdict.INFRA]
    rings: Names
    """The ceiling: rings that it opens."""
    reason: Annotated[str, Field(min_length=10, max_length=2000)]
    requested_by: Name
    nonce: Nonce
    issued: Timestamp
    expires: Timestamp


class RevocationClaim(Strict):
    """What a revocation says."""

    schema_version: Literal[1]
    override_sha256: Digest
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    issued: Timestamp


@dataclass(frozen=True)
class Override:
    """An override whose signatures hold, and the people behind them."""

    claim: OverrideClaim
    people: tuple[str, ...]
    payload_sha256: str


def request_override(
    signed: Signed,
    trust: Trust,
    person: str,
    *,
    rings: tuple[str, ...],
    reason: str,
    lifetime: timedelta,
    now: datetime,
) -> bytes:
    """Return the statement that a first person signs.

    Parameters
    ----------
    signed
        The attestation, authenticated.
    trust
        Its ceiling holds already here.
    person
        Who asks.
    rings
        Rings to open; each must be in the attestation's scope.
    reason
        Why, for whoever reads it later.
    lifetime
        From now to expiry.
    now
        The time.

    Raises
    ------
    RefusedError
        If the verdict can't be overridden or the request exceeds the ceiling.
    """
    claim = OverrideClaim.model_validate(
        {
            "schema_version": 1,
            "attestation_sha256": signed.payload_sha256,
            "firmware_sha256": signed.claim.candidate.sha256,
            "verdict": _overridable(signed),
            "rings": tuple(sorted(set(rings))),
            "reason": reason,
            "requested_by": person,
            "nonce": secrets.token_hex(16),
            "issued": timestamp(now),
            "expires": expiry(now, lifetime),
        }
    )
    _check_ceiling(claim, signed, _policy(trust))
    return to_json(_statement(OVERRIDE_TYPE, claim.attestation_sha256, claim))


def read_override(envelope: Envelope, trust: Trust) -> Override:
    """Check signatures and shape of an override; one person's signature is enough to be read.

    Raises
    ------
    RefusedError
        If nobody trusted signed it, or who asked is not among those who signed.
    """
    signers = signers_of(envelope, trust.override_keys, WHAT)
    claim = as_model(_predicate(envelope.payload, OVERRIDE_TYPE, WHAT), OverrideClaim, WHAT)
    _check_statement(envelope.payload, OVERRIDE_TYPE, claim.attestation_sha256, claim, WHAT)
    people = trust.people(signers)
    if claim.requested_by not in people:
        raise RefusedError(f"{WHAT}: not signed by a trusted key of who asked for it")
    return Override(claim, people, hashlib.sha256(envelope.payload).hexdigest())


def accept_override(
    data: bytes, revocation: bytes | None, signed: Signed, trust: Trust, ring: str, now: datetime
) -> Override:
    """Return an override that opens a ring for an attestation.

    Raises
    ------
    RefusedError
        If it is for another attestation, of one person only, revoked, expired, or beyond its ceiling.
    """
    policy = _policy(trust)
    override = read_override(read_envelope(data, WHAT), trust)
    claim = override.claim
    if len(override.people) < PEOPLE:
        raise RefusedError(f"{WHAT}: signed by {override.people[0]} alone, it takes {PEOPLE} people")
    if claim.attestation_sha256 != signed.payload_sha256 or claim.firmware_sha256 != signed.claim.candidate.sha256:
        raise RefusedError(f"{WHAT}: it is for another attestation")
    if claim.verdict != _overridable(signed):
        raise RefusedError(f"{WHAT}: it is for the verdict {claim.verdict}")
    check_time(
        (claim.issued, claim.expires),
        now,
        lifetime_max_h=policy.lifetime_max_h,
        clock_skew_s=trust.clock_skew_s,
        what=WHAT,
    )
    _check_ceiling(claim, signed, policy)
    if ring not in claim.rings:
        raise RefusedError(f"{WHAT}: it opens {', '.join(claim.rings)} only")
    if revocation is not None:
        why = read_revocation(read_envelope(revocation, "revocation"), trust, override)
        raise RefusedError(f"{WHAT}: revoked: {why.reason}")
    return override


def revoke(override: Override, reason: str, now: datetime) -> bytes:
    """Return the statement that revokes an override; one person's signature is enough."""
    claim = RevocationClaim(
        schema_version=1, override_sha256=override.payload_sha256, reason=reason, issued=timestamp(now)
    )
    return to_json(_statement(REVOCATION_TYPE, claim.override_sha256, claim))


def read_revocation(envelope: Envelope, trust: Trust, override: Override) -> RevocationClaim:
    """Check a revocation.

    Raises
    ------
    RefusedError
        If nobody trusted signed it or it is for another override; what lies where a revocation belongs
        and can't be read does not make the override valid.
    """
    what = "revocation"
    claim = as_model(_predicate(envelope.payload, REVOCATION_TYPE, what), RevocationClaim, what)
    _check_statement(envelope.payload, REVOCATION_TYPE, claim.override_sha256, claim, what)
    if not signers_of(envelope, trust.override_keys, what) or claim.override_sha256 != override.payload_sha256:
        raise RefusedError(f"{what}: not signed by a trusted key, or of another override")
    return claim


def state_of(override: Override, revoked: bool, now: datetime) -> str:
    """Return ``requested``, ``approved``, ``revoked`` or ``expired``."""
    if revoked:
        return "revoked"
    if moment(override.claim.expires) <= now:
        return "expired"
    return "approved" if len(override.people) >= PEOPLE else "requested"


def _overridable(signed: Signed) -> Verdict:
    verdict = Verdict(signed.claim.verdict)
    if verdict not in _OPEN:
        raise RefusedError(f"{WHAT}: a {verdict} can't be overridden, only {' and '.join(_OPEN)}")
    return verdict


def _policy(trust: Trust) -> OverridePolicy:
    if trust.override is None:
        raise RefusedError(f"{WHAT}: the trust file has no [override], so none is accepted")
    return trust.override


def _check_ceiling(claim: OverrideClaim, signed: Signed, policy: OverridePolicy) -> None:
    beyond = set(claim.rings) - set(policy.rings).intersection(signed.claim.scope.rings)
    if beyond:
        raise RefusedError(f"{WHAT}: {', '.join(sorted(beyond))} is above the ceiling or outside the attestation")
    lifetime = moment(claim.expires) - moment(claim.issued)
    if not timedelta(0) < lifetime <= timedelta(hours=policy.lifetime_max_h):
        raise RefusedError(f"{WHAT}: lasts longer than the {policy.lifetime_max_h:g} h that are allowed")


def _statement(kind: str, subject_sha256: str, claim: Strict) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "statement", "digest": {"sha256": subject_sha256}}],
        "predicateType": kind,
        "predicate": claim.model_dump(mode="json"),
    }


def _predicate(payload: bytes, kind: str, what: str) -> Any:
    statement = parse_json(payload, what)
    if not isinstance(statement, dict) or statement.get("predicateType") != kind:
        raise RefusedError(f"{what}: its predicateType is not {kind}")
    return statement.get("predicate")


def _check_statement(payload: bytes, kind: str, subject_sha256: str, claim: Strict, what: str) -> None:
    if parse_json(payload, what) != _statement(kind, subject_sha256, claim):
        raise RefusedError(f"{what}: a field too many, or a subject that contradicts the predicate")
