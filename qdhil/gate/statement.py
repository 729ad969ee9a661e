"""The statement of a verdict: an in-toto Statement v1 with the test-result predicate and all that decided.

Everything the statement says is derived from one :class:`Claim`, which travels whole in
``predicate.qdhil``; the fields that other tools read (subject, result, configuration, lists of tests)
repeat it. A reader rebuilds them and refuses a statement that says one thing here and another there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from qdhil.errors import RefusedError
from qdhil.gate.verdict import Verdict
from qdhil.keys.strict_json import as_model, parse_json, to_json
from qdhil.keys.validity import Timestamp, moment
from qdhil.model_files import Digest, Strict

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
_RESULTS = {Verdict.PASS: "PASSED", Verdict.BLOCK: "FAILED", Verdict.INCONCLUSIVE: "WARNED", Verdict.INFRA: "WARNED"}
"""The predicate has no word for INCONCLUSIVE and INFRA; neither may look like a PASS."""


def _sorted_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if list(names) != sorted(set(names)):
        raise ValueError("must be sorted, each once")
    return names


Name = Annotated[str, Field(min_length=1, max_length=200)]
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Names = Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_sorted_names)]
Ratio = float | Literal["inf"] | None


class FirmwareClaim(Strict):
    """A firmware image."""

    version: Name
    sha256: Digest


class Scope(Strict):
    """What the verdict is for, and nothing else."""

    hardware: Names
    rings: Names


class PolicyClaim(Strict):
    """The policy that asked."""

    name: Name
    sha256: Digest


class Design(Strict):
    """The error rates over the whole family of metrics and rigs."""

    miss_rate: float
    false_block_rate: float


class FamilyClaim(Strict):
    """Harm over all metrics and rigs, as decimal logarithms of e-values."""

    harm_log10: float
    needed_log10: float
    offenders: tuple[str, ...]


class RigClaim(Strict):
    """A rig that measured."""

    kind: Literal["physical", "simulated"]
    hardware: Name


class ArmClaim(Strict):
    """An estimate of one arm."""

    value: float
    low: float
    high: float


class MetricClaim(Strict):
    """One metric on one rig."""

    rig: Name
    definition: Name
    verdict: Verdict
    reason: str
    baseline: ArmClaim
    candidate: ArmClaim
    ratio: Ratio
    low: Ratio
    high: Ratio
    margin_ratio: float | None
    tolerated_ratio: float | None
    evidence: dict[str, float | int | bool | str | None]
    """The numbers that decided, by the names of ``verdict.json``; of the last look where there were several."""
    diagnostics: tuple[str, ...]
    """What speaks against the use of this metric."""

    @property
    def test(self) -> str:
        """Name of the test in the lists of the predicate."""
        return f"{self.rig}/{self.definition}"


class ArmCount(Strict):
    """A count for each firmware arm."""

    baseline: int
    candidate: int


class InfraClaim(Strict):
    """Visits and faults of a rig."""

    visits: ArmCount
    faults: ArmCount
    p_association: float


class QuarantineClaim(Strict):
    """A metric of a rig that was not let decide."""

    rig: Name
    metric: Name
    link: str
    until: str


class RunClaim(Strict):
    """Evidence, by content."""

    name: Name
    sha256: Digest


class Claim(Strict):
    """What a verdict claims: ``predicate.qdhil``."""

    schema_version: Literal[1]
    verdict: Literal[Verdict.PASS, Verdict.BLOCK, Verdict.INCONCLUSIVE, Verdict.INFRA]
    reasons: tuple[str, ...]
    nonce: Nonce
    measured: Timestamp
    issued: Timestamp
    expires: Timestamp
    scope: Scope
    candidate: FirmwareClaim
    baseline: FirmwareClaim
    policy: PolicyClaim
    design: Design
    rigs: Annotated[dict[Name, RigClaim], Field(min_length=1)]
    metrics: tuple[MetricClaim, ...]
    family: FamilyClaim | None
    infra: dict[Name, InfraClaim]
    quarantined: tuple[QuarantineClaim, ...]
    runs: Annotated[tuple[RunClaim, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _hangs_together(self) -> Claim:
        if (mistake := _mistake(self)) is not None:
            raise ValueError(mistake)
        return self

    @property
    def excused(self) -> frozenset[tuple[str, str]]:
        """(rig, metric) pairs in quarantine."""
        return frozenset((entry.rig, entry.metric) for entry in self.quarantined)

    def outcome(self, metric: MetricClaim) -> Verdict:
        """Return what a metric counts for: its verdict, or nothing where it is in quarantine."""
        excused = (metric.rig, metric.definition) in self.excused
        return Verdict.INCONCLUSIVE if excused else metric.verdict


def statement_of(claim: Claim) -> dict[str, Any]:
    """Return the whole statement of a claim as plain data."""
    outcomes = [(metric.test, claim.outcome(metric)) for metric in claim.metrics]
    policy, baseline, candidate = claim.policy, claim.baseline, claim.candidate
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": f"firmware/{candidate.version}", "digest": {"sha256": candidate.sha256}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": _RESULTS[claim.verdict],
            "configuration": [
                {"name": f"policy/{policy.name}", "digest": {"sha256": policy.sha256}},
                {"name": f"baseline/{baseline.version}", "digest": {"sha256": baseline.sha256}},
            ],
            "passedTests": [test for test, outcome in outcomes if outcome is Verdict.PASS],
            "warnedTests": [test for test, outcome in outcomes if outcome not in (Verdict.PASS, Verdict.BLOCK)],
            "failedTests": [test for test, outcome in outcomes if outcome is Verdict.BLOCK],
            "qdhil": claim.model_dump(mode="json"),
        },
    }


def encode_statement(claim: Claim) -> bytes:
    """Return the bytes that are signed."""
    return to_json(statement_of(claim))


def read_statement(payload: bytes, what: str) -> Claim:
    """Return the claim of a statement.

    Raises
    ------
    RefusedError
        If it is of another type, has a field too many or too few, or contradicts itself.
    """
    statement = parse_json(payload, what)
    for key, wanted in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if not isinstance(statement, dict) or statement.get(key) != wanted:
            raise RefusedError(f"{what}: its {key} is not {wanted}")
    predicate = statement.get("predicate")
    claim = as_model(predicate.get("qdhil") if isinstance(predicate, dict) else None, Claim, what)
    if statement_of(claim) != statement:
        raise RefusedError(f"{what}: subject, result, configuration or tests contradict predicate.qdhil")
    return claim


def _mistake(claim: Claim) -> str | None:
    """Say why a claim can't be true of any run, or ``None``."""
    pairs = [(metric.rig, metric.definition) for metric in claim.metrics]
    definitions = {definition for _, definition in pairs}
    if len(set(pairs)) != len(pairs) or not {rig for rig, _ in pairs} <= set(claim.rigs):
        return "a metric twice on one rig, or on a rig that took no part"
    if moment(claim.expires) <= moment(claim.issued):
        return "it expires before it is issued"
    if set(claim.scope.hardware) != {rig.hardware for rig in claim.rigs.values()}:
        return "its scope names hardware that was not measured, or leaves some out"
    harmed = any(claim.outcome(metric) is Verdict.BLOCK for metric in claim.metrics)
    if harmed and claim.verdict is not Verdict.BLOCK:
        return f"it says {claim.verdict}, but one of its metrics says BLOCK"
    if claim.verdict is not Verdict.PASS:
        return None
    needed = {(rig, definition) for rig in claim.rigs for definition in definitions} - claim.excused
    passed = {pair for pair, metric in zip(pairs, claim.metrics, strict=True) if claim.outcome(metric) is Verdict.PASS}
    proven = {definition for _, definition in passed}
    if not needed <= passed:
        return "it says PASS, but not every metric passed on every rig"
    return None if passed and proven == definitions else "it says PASS, but nothing proves one of its metrics"
