"""The lock of every ring: only a verified PASS for exactly this firmware, hardware, policy and ring opens it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.exit_codes import ExitCode
from qdhil.gate.attestation import Wanted, verify
from qdhil.gate.verdict import Verdict
from qdhil.keys.strict_json import SIZE_MAX_BYTES
from qdhil.regular_files import read_regular

if TYPE_CHECKING:
    from pathlib import Path

    from qdhil.keys.trust import Trust
    from qdhil.rollout.plan import Plan, Ring


class Answer(StrEnum):
    """What a ring may do."""

    OPEN = "open"
    """A verified PASS: install, and confirm what was installed."""
    HOLD = "hold"
    """No proof either way: nothing new is installed, nothing more is confirmed."""
    ROLL_BACK = "roll back"
    """A verified BLOCK: the ring goes back to the baseline."""
    REFUSE = "refuse"
    """What was shown proves nothing: as hold, and somebody must look."""


@dataclass(frozen=True)
class Opening:
    """The lock's answer.

    Parameters
    ----------
    answer
        What the ring may do.
    reason
        Why, in one line.
    exit_code
        What a rollout that goes no further ends with.
    attestation_sha256
        Digest of the file that was looked at; empty where there was none.
    expires
        When what opened it ends to hold; empty where nothing opened it.
    """

    answer: Answer
    reason: str
    exit_code: ExitCode
    attestation_sha256: str = ""
    expires: str = ""


_ANSWERS = {
    Verdict.PASS: (Answer.OPEN, ExitCode.PASS),
    Verdict.BLOCK: (Answer.ROLL_BACK, ExitCode.BLOCK),
    Verdict.INCONCLUSIVE: (Answer.HOLD, ExitCode.INCONCLUSIVE),
    Verdict.INFRA: (Answer.HOLD, ExitCode.INFRA),
}


def open_ring(
    data: bytes | None,
    trust: Trust,
    wanted: Sequence[Wanted],
    now: datetime,
    *,
    claim_nonce: Callable[[str], None],
) -> Opening:
    """Say what an attestation allows; this is the only way into a ring.

    A person's override opens no ring: it may let one device install, not a fleet.

    Parameters
    ----------
    data
        The attestation, or ``None`` where there is none.
    trust
        Whose signatures count, and what a PASS must cover.
    wanted
        The firmware in this ring under this policy, once for each hardware revision.
    now
        The time, with its zone: what has expired opens nothing.
    claim_nonce
        Keeps the nonce of a PASS for this rollout before the ring opens; raises RefusedError where another
        rollout has used it.
    """
    if data is None:
        return Opening(Answer.HOLD, "there is no attestation", ExitCode.INCONCLUSIVE)
    digest = hashlib.sha256(data).hexdigest()
    if not wanted or any(each.policy_sha256 is None for each in wanted):
        return Opening(Answer.REFUSE, "no hardware or no policy was named", ExitCode.REFUSED, digest)
    try:
        verified = [verify(data, trust, each, now) for each in wanted]
        claim = verified[0].signed.claim
        answer, exit_code = _ANSWERS[verified[0].verdict]
        if answer is Answer.OPEN:
            claim_nonce(claim.nonce)
    except RefusedError as error:
        return Opening(Answer.REFUSE, str(error), ExitCode.REFUSED, digest)
    signers = ", ".join(sorted(verified[0].signed.signers))
    reason = f"{verified[0].verdict} of {claim.candidate.version}, signed by {signers}"
    if answer is not Answer.OPEN:
        return Opening(answer, f"{reason}: {_in_short(claim.reasons)}", exit_code, digest)
    return Opening(answer, reason, exit_code, digest, claim.expires)


def _in_short(reasons: Sequence[str]) -> str:
    """Return the first reason, which decided; `qdhil explain` tells them all."""
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}" if reasons else "no reason given"


def ask_lock(
    plan: Plan,
    ring: Ring,
    folder: Path,
    firmware_sha256: str,
    now: datetime,
    *,
    claim_nonce: Callable[[str], None],
) -> Opening:
    """Ask the lock of a plan's ring; trust file and attestation are read anew, so that what was revoked is shut.

    Parameters
    ----------
    plan, ring
        What is rolled out, and where to.
    folder
        Folder of the plan file.
    firmware_sha256
        Digest of the candidate's image.
    now, claim_nonce
        As :func:`open_ring` takes them.
    """
    from qdhil.keys.trust import load_trust

    try:
        trust = load_trust(folder / plan.trust)
    except ConfigurationError as error:
        return Opening(Answer.HOLD, " ".join(str(error).split()), ExitCode.USAGE)
    wanted = [Wanted(firmware_sha256, hardware, ring.name, plan.policy_sha256) for hardware in plan.hardware]
    file = plan.attestation_file(ring, folder)
    try:
        data = read_regular(file, SIZE_MAX_BYTES + 1)
    except FileNotFoundError:
        return Opening(Answer.HOLD, f"there is no attestation {file}", ExitCode.INCONCLUSIVE)
    except OSError as error:
        return Opening(Answer.HOLD, f"attestation {file}: {error.strerror}", ExitCode.INFRA)
    return open_ring(data, trust, wanted, now, claim_nonce=claim_nonce)
