"""The table of ``ci/gate-vectors.toml``: what whoever waits for a verdict does, row by row."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator
from signing_made import CI, RACK, STRANGER, attested, claim_data, edited, signed_data, statement

from qdhil.model_files import Strict, read_toml

FILE = Path(__file__).resolve().parents[2] / "ci" / "gate-vectors.toml"
VERDICTS = ("pass", "block", "inconclusive", "infra")

Word = Literal["pass", "block", "inconclusive", "infra"]
Signature = Literal[
    "good",
    "tampered",
    "missing",
    "wrong-key",
    "below-threshold",
    "expired",
    "replayed",
    "other-firmware",
    "other-hardware",
    "other-ring",
]
Transport = Literal["ok", "missing-file", "unreachable", "503", "html", "empty", "null", "unknown-verdict", "pending"]


class Answer(Strict):
    """What everyone does; the words are explained in the file."""

    action: Literal["install", "abort", "hold"]
    exit: Literal[0, 10, 20, 30, 40, 64]
    mender: Literal[0, 1, 21]
    ring: Literal["open", "roll back", "hold"]
    argo: Literal["PROCEED", "ABORT", "PAUSE"]
    github: Literal["approved", "rejected", "waiting"]
    flagger_confirm: Literal[200, 403]
    flagger_rollback: Literal[200, 403]
    promoted: bool


class Row(Strict):
    """A row of the file."""

    verdict: Word | Literal["any"]
    signature: Signature | Literal["any"]
    transport: Transport
    answer: str

    @model_validator(mode="after")
    def _one_cause(self) -> Self:
        if (self.transport == "ok") == (self.signature == "any"):
            raise ValueError("a signature arrives exactly where the transport is ok")
        if self.transport != "ok" and self.verdict != "any":
            raise ValueError("no verdict arrives where the transport is not ok")
        return self


class Table(Strict):
    """The whole file."""

    schema_version: Literal[1]
    answers: dict[str, Answer]
    vectors: tuple[Row, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if {row.answer for row in self.vectors} != set(self.answers):
            raise ValueError("an answer that no vector names, or a vector without its answer")
        return self


class Vector(NamedTuple):
    """One case: ``verdict`` is a verdict even where it can't be seen."""

    verdict: Word
    signature: Signature
    transport: Transport
    answer: Answer

    @property
    def name(self) -> str:
        """For test ids."""
        return "-".join(self[:3]) if self.transport == "ok" else self.transport


def load() -> tuple[Vector, ...]:
    """Every case, with "any" written out where it matters: one case for each verdict."""
    table = read_toml(FILE, Table, "vectors")
    cases = []
    for row in table.vectors:
        verdicts = VERDICTS if row.verdict == "any" and row.transport == "ok" else (row.verdict,)
        for verdict in verdicts:
            word: Any = "pass" if verdict == "any" else verdict
            signature: Any = "good" if row.signature == "any" else row.signature
            cases.append(Vector(word, signature, row.transport, table.answers[row.answer]))
    return tuple(cases)


def attestation(vector: Vector, **changes: Any) -> bytes | None:
    """What lies where the attestation belongs; ``None`` for nothing. ``changes`` replaces fields of the claim."""
    match vector.transport:
        case "missing-file" | "unreachable" | "503" | "pending":
            return None
        case "html":
            return b"<!doctype html><title>503 Service Unavailable</title>"
        case "empty":
            return b""
        case "null":
            return b"null"
        case "unknown-verdict":
            return _unknown_verdict(**changes)
        case _:
            return _signed(vector, **changes)


def _signed(vector: Vector, **changes: Any) -> bytes:
    """An attestation in the signature state of a vector."""
    verdict = vector.verdict.upper()
    match vector.signature:
        case "tampered":
            return edited(
                attested(verdict, **changes), lambda said: said["predicate"]["qdhil"].update(reasons=["changed"])
            )
        case "missing":
            return _unsigned(verdict, **changes)
        case "wrong-key":
            return attested(verdict, signers=(STRANGER,), **changes)
        case "below-threshold":
            return attested(verdict, signers=(CI,), **changes)
        case "expired":
            return attested(verdict, **changes | {"issued": "2020-01-01T00:00:00Z", "expires": "2020-01-01T01:00:00Z"})
        case "other-firmware":
            return attested(verdict, **changes | {"candidate": {"version": "9.9.9", "sha256": "9" * 64}})
        case "other-hardware":
            return attested(verdict, **changes | _other_hardware(**changes))
        case "other-ring":
            return attested(verdict, **changes | {"scope": _scope(changes) | {"rings": ["elsewhere"]}})
        case _:  # good; replayed is a good one that was used before
            return attested(verdict, **changes)


def _scope(changes: dict[str, Any]) -> dict[str, Any]:
    scope: dict[str, Any] = claim_data(**changes)["scope"]
    return scope


def _other_hardware(**changes: Any) -> dict[str, Any]:
    rigs = {name: rig | {"hardware": "psc-9"} for name, rig in claim_data(**changes)["rigs"].items()}
    return {"scope": _scope(changes) | {"hardware": ["psc-9"]}, "rigs": rigs}


def _unsigned(verdict: str, **changes: Any) -> bytes:
    envelope = json.loads(attested(verdict, **changes))
    return json.dumps(envelope | {"signatures": []}).encode()


def _unknown_verdict(**changes: Any) -> bytes:
    said = statement("PASS", **changes)
    said["predicate"]["qdhil"]["verdict"] = "MAYBE"
    return signed_data(said, signers=(CI, RACK))


def now_times() -> dict[str, str]:
    """Claim fields of something signed now, for programs that look at the clock."""
    now = datetime.now(UTC)
    times = {"measured": -5 * 60, "issued": -1, "expires": 12 * 3600}
    return {name: f"{now + timedelta(seconds=after_s):%Y-%m-%dT%H:%M:%SZ}" for name, after_s in times.items()}
