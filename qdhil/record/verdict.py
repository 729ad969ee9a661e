"""Compose ``verdict.json`` from what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from qdhil.gate.conclusion import Conclusion, Family, RigOutcome
from qdhil.gate.policy import Policy
from qdhil.gate.quarantine import NO_QUARANTINE, QuarantineEffect
from qdhil.record.schemas import FamilyRecord, FirmwareRecord, VerdictRecord


def family_record(family: Family) -> FamilyRecord:
    """Return the record of a family's harm."""
    return FamilyRecord(
        harm_log10=family.harm_log10, needed_log10=family.needed_log10, offenders=list(family.offenders)
    )


def verdict_record(
    policy: Policy,
    firmware: tuple[FirmwareRecord, FirmwareRecord],
    rigs: Mapping[str, Literal["physical", "simulated"]],
    outcomes: Mapping[str, RigOutcome],
    conclusion: Conclusion,
    *,
    dark_rate_hz: Mapping[str, tuple[float, float] | None],
    started: str,
    finished: datetime | None = None,
    quarantine: QuarantineEffect = NO_QUARANTINE,
) -> VerdictRecord:
    """Return the record of a concluded run; comparisons come by rig, in the order of the policy.

    Parameters
    ----------
    policy
        What was asked.
    firmware
        Baseline and candidate.
    rigs
        Kind of every rig.
    outcomes
        What every rig delivered.
    conclusion
        Verdict and reasons.
    dark_rate_hz
        Dark count rates of both detectors, by rig.
    started
        When the run began, ISO 8601.
    finished
        When it ended, UTC; now where it isn't given.
    quarantine
        What was in quarantine on the day that it ended.
    """
    comparisons: list[Any] = [
        outcome.comparisons[metric].record()
        for outcome in outcomes.values()
        for metric in policy.metrics
        if metric in outcome.comparisons
    ]
    faults: dict[str, Any] = {name: outcome.faults.record() for name, outcome in outcomes.items() if outcome.faults}
    return VerdictRecord(
        schema_version=2,
        verdict=conclusion.verdict,
        exit_code=conclusion.verdict.exit_code,
        reasons=list(conclusion.reasons),
        baseline=firmware[0],
        candidate=firmware[1],
        policy=policy.name,
        policy_sha256=policy.sha256,
        miss_rate=policy.miss_rate,
        false_block_rate=policy.false_block_rate,
        rigs=dict(rigs),
        comparisons=comparisons,
        family=family_record(conclusion.family),
        faults=faults,
        quarantined=list(quarantine.excused),
        dark_rate_hz=dict(dark_rate_hz),
        started=started,
        finished=(finished or datetime.now(UTC)).isoformat(timespec="seconds"),
    )
