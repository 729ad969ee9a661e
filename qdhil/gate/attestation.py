"""Verify an attestation: everything that could make it say PASS wrongly refuses it, and says why."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from qdhil.errors import RefusedError
from qdhil.gate.overrides import Override, accept_override
from qdhil.gate.statement import Claim, read_statement
from qdhil.gate.verdict import Verdict
from qdhil.keys.envelope import read_envelope, signers_of
from qdhil.keys.validity import check_time

if TYPE_CHECKING:
    from qdhil.gate.nonces import NonceStore
    from qdhil.keys.trust import Trust

WHAT = "attestation"
FILE_SUFFIX = ".attestation.json"
"""What the name of an attestation's file ends with, so that it is found."""


@dataclass(frozen=True)
class Wanted:
    """What someone is about to install, and where.

    Parameters
    ----------
    firmware_sha256
        Digest of the image.
    hardware, ring
        The device's hardware revision and its rollout ring.
    policy_sha256
        Policy that must have decided; ``None`` takes any.
    """

    firmware_sha256: str
    hardware: str
    ring: str
    policy_sha256: str | None = None


@dataclass(frozen=True)
class Signed:
    """A claim whose signatures hold; nothing is said yet about what it is used for."""

    claim: Claim
    signers: tuple[str, ...]
    payload_sha256: str


@dataclass(frozen=True)
class Verified:
    """An attestation that holds for what was wanted.

    Parameters
    ----------
    signed
        The claim and who signed it.
    override
        Where people let an INCONCLUSIVE or INFRA through.
    """

    signed: Signed
    override: Override | None

    @property
    def verdict(self) -> Verdict:
        """The verdict that was attested; an override does not change it."""
        return Verdict(self.signed.claim.verdict)

    @property
    def accepted(self) -> bool:
        """Whether the firmware may be installed."""
        return self.verdict is Verdict.PASS or self.override is not None


def authenticate(data: bytes, trust: Trust) -> Signed:
    """Check signatures and shape of an attestation.

    Raises
    ------
    RefusedError
        If fewer trusted keys than the threshold signed exactly this, or it contradicts itself.
    """
    envelope = read_envelope(data, WHAT)
    signers = signers_of(envelope, trust.verdict_keys, WHAT)
    if len(signers) < trust.threshold:
        raise RefusedError(f"{WHAT}: signed by {len(signers)} of the trusted keys, it takes {trust.threshold}")
    claim = read_statement(envelope.payload, WHAT)
    return Signed(claim, signers, hashlib.sha256(envelope.payload).hexdigest())


def verify(
    data: bytes,
    trust: Trust,
    wanted: Wanted,
    now: datetime,
    *,
    nonces: NonceStore | None = None,
    override: tuple[bytes, bytes | None] | None = None,
) -> Verified:
    """Verify an attestation for one firmware on one kind of hardware in one ring.

    Parameters
    ----------
    data
        The attestation.
    trust
        Whose signatures count, and what a PASS must cover.
    wanted
        What it must be for.
    now
        The time, with its zone.
    nonces
        Attestations used before; one that is accepted is added. Without it a replay is not noticed.
    override
        An override and, where there is one, its revocation; not read where the verdict is PASS.

    Raises
    ------
    RefusedError
        With the reason. A verdict other than PASS does not raise.
    """
    signed = authenticate(data, trust)
    check_time(
        (signed.claim.issued, signed.claim.expires),
        now,
        lifetime_max_h=trust.lifetime_max_h,
        clock_skew_s=trust.clock_skew_s,
        what=WHAT,
    )
    _check_scope(signed.claim, wanted)
    accepted = None
    if signed.claim.verdict is Verdict.PASS:
        _check_coverage(signed.claim, trust)
    elif override is not None:
        accepted = accept_override(*override, signed, trust, wanted.ring, now)
    verified = Verified(signed, accepted)
    if nonces is not None and verified.accepted:
        nonces.use(signed.claim.nonce, WHAT)
    return verified


def _check_scope(claim: Claim, wanted: Wanted) -> None:
    if claim.candidate.sha256 != wanted.firmware_sha256:
        raise RefusedError(f"{WHAT}: it is for firmware sha256 {claim.candidate.sha256}")
    if wanted.hardware not in claim.scope.hardware:
        raise RefusedError(f"{WHAT}: it is for hardware {', '.join(claim.scope.hardware)}")
    if wanted.ring not in claim.scope.rings:
        raise RefusedError(f"{WHAT}: it is for rings {', '.join(claim.scope.rings)}")
    if wanted.policy_sha256 is not None and claim.policy.sha256 != wanted.policy_sha256:
        raise RefusedError(f"{WHAT}: policy sha256 {claim.policy.sha256} decided")


def _check_coverage(claim: Claim, trust: Trust) -> None:
    """Refuse a PASS that covers less than the trust file requires."""
    required = trust.require
    rigs = [name for name, rig in claim.rigs.items() if rig.kind == "physical" or not required.physical]
    if len(rigs) < required.rigs:
        kind = "physical " if required.physical else ""
        raise RefusedError(f"{WHAT}: measured on {len(rigs)} {kind}rigs, it takes {required.rigs}")
    for definition in required.metrics:
        proven = {m.rig for m in claim.metrics if m.definition == definition and claim.outcome(m) is Verdict.PASS}
        if len(proven.intersection(rigs)) < required.rigs:
            raise RefusedError(f"{WHAT}: {definition} did not pass on {required.rigs} rigs, and it is required")
