"""What is asked about a firmware, and what is answered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from qdhil.gate.attestation import Verified, Wanted

Word = Literal["pass", "block", "inconclusive", "infra", "pending", "refused"]
"""The served verdict: the four of an attestation that holds; ``pending`` without an attestation, ``refused`` where
there is one that does not hold, and an unverified ``infra`` where the server itself can't tell."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
DIGEST = re.compile(r"[0-9a-f]{64}")


class AskedWrongly(Exception):  # noqa: N818 -- a fact of the request
    """A question that can't be answered; the message says what would do."""


@dataclass(frozen=True)
class Question(Wanted):
    """Whether a firmware may be installed on some hardware in some ring, as the gate asks it and as HTTP spells it."""

    @classmethod
    def from_texts(cls, firmware: str | None, asked: dict[str, str]) -> Question:
        """Read a question from what came over the wire.

        Raises
        ------
        AskedWrongly
            If a part is missing, unknown or misspelt.
        """
        unknown = sorted(set(asked) - {"hardware", "ring", "policy"})
        if unknown:
            raise AskedWrongly("only hardware, ring and policy can be asked for")
        if firmware is None or not DIGEST.fullmatch(firmware):
            raise AskedWrongly("the firmware is named by its SHA-256, 64 lower-case hexadecimal digits")
        for name in ("hardware", "ring"):
            if not NAME.fullmatch(asked.get(name, "")):
                raise AskedWrongly(f"{name} is missing, or holds more than letters, digits and . _ + -")
        policy = asked.get("policy")
        if policy is not None and not DIGEST.fullmatch(policy):
            raise AskedWrongly("a policy is named by its SHA-256, 64 lower-case hexadecimal digits")
        return cls(firmware, asked["hardware"], asked["ring"], policy)


@dataclass(frozen=True)
class Answer:
    """A verdict, and how far it can be believed.

    Parameters
    ----------
    verdict
        The word that is served.
    verified
        Whether an attestation stands behind it that holds for exactly what was asked.
    reason
        Why, in a line.
    attestation
        The file that stands behind it.
    by
        The attestation, verified.
    """

    verdict: Word
    verified: bool
    reason: str
    attestation: bytes | None = None
    by: Verified | None = None

    @property
    def passed(self) -> bool:
        """Whether the firmware may go on: a verified PASS and nothing else."""
        return self.verified and self.verdict == "pass"

    @property
    def harmful(self) -> bool:
        """Whether it must be taken back: a verified BLOCK and nothing else."""
        return self.verified and self.verdict == "block"

    def record(self, question: Question) -> dict[str, Any]:
        """Return the answer as plain data; the same answer is always the same data."""
        said: dict[str, Any] = {
            "schema_version": 1,
            "verdict": self.verdict,
            "verified": self.verified,
            "reason": self.reason,
            "firmware_sha256": question.firmware_sha256,
            "hardware": question.hardware,
            "ring": question.ring,
            "policy_sha256": question.policy_sha256,
        }
        if self.by is not None:
            claim = self.by.signed.claim
            said |= {
                "version": claim.candidate.version,
                "policy_sha256": claim.policy.sha256,
                "measured": claim.measured,
                "expires": claim.expires,
                "keys": sorted(self.by.signed.signers),
                "statement_sha256": self.by.signed.payload_sha256,
            }
        return said
