"""Recompute a run's verdict from its counts, and refuse it where the record says something else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdhil.errors import RefusedError, UndecidedError
from qdhil.gate.blocks import ARMS, Block, dark_rates_hz
from qdhil.gate.conclusion import RigOutcome, conclude
from qdhil.gate.faults import FaultTally
from qdhil.gate.judge import Comparison, compare
from qdhil.gate.policy import Policy, load_policy
from qdhil.gate.quads import Context
from qdhil.gate.quarantine import (
    NO_QUARANTINE,
    QuarantineEffect,
    QuarantineEntry,
    load_quarantine,
    quarantine_effect,
)
from qdhil.gate.verdict import Verdict, combine
from qdhil.model_files import read_json
from qdhil.rack.config import load_rack
from qdhil.record.run_folder import (
    BLOCKS_NAME,
    POLICY_NAME,
    QUARANTINE_NAME,
    RACK_NAME,
    RUN_NAME,
    VERDICT_NAME,
    read_blocks,
    read_visits,
)
from qdhil.record.schemas import CalibrationRecord, RunRecord, VerdictRecord
from qdhil.record.verdict import family_record

_DIGITS = 9
"""Recomputed numbers agree to this many digits; another processor's last bits may differ."""


def recheck(folder: Path) -> VerdictRecord:
    """Return the verdict of a run folder after recomputing every comparison from its blocks.

    Raises
    ------
    ConfigurationError
        If a file is missing or can't be read.
    UndecidedError
        If the run was cut off before its verdict.
    RefusedError
        If policy, blocks and verdict don't belong together.
    """
    if (folder / POLICY_NAME).is_file() and not (folder / VERDICT_NAME).exists():
        measured = sum(len(read_blocks(journal.parent)) for journal in folder.glob(f"*/{BLOCKS_NAME}"))
        raise UndecidedError(f"{folder}: the run was cut off before its verdict, after {measured} blocks")
    verdict = read_json(folder / VERDICT_NAME, VerdictRecord, "verdict")
    policy = load_policy(folder / POLICY_NAME)
    if policy.sha256 != verdict.policy_sha256:
        raise RefusedError(f"{folder / POLICY_NAME} is not the policy that decided (sha256 {verdict.policy_sha256})")
    if (verdict.policy, verdict.miss_rate, verdict.false_block_rate) != (
        policy.name,
        policy.miss_rate,
        policy.false_block_rate,
    ):
        raise RefusedError(f"{VERDICT_NAME} states a name or error rates that its policy has not")
    quarantine = _quarantine(folder, policy, verdict)
    outcomes = {rig: RigOutcome() for rig in verdict.rigs}
    evidence: dict[str, _Evidence] = {}
    for entry in verdict.comparisons:
        recorded = Comparison.from_record(entry.model_dump(exclude_unset=True))
        rig = recorded.rig
        if rig not in verdict.rigs or recorded.definition not in policy.metrics:
            raise RefusedError(f"{VERDICT_NAME} decides {recorded.definition} on {rig}, which the run has not")
        if rig not in evidence:
            evidence[rig] = _read_evidence(folder, rig, policy, verdict)
        again = _compare_again(recorded, evidence[rig], policy, rigs=len(verdict.rigs))
        if _rounded(again.record()) != _rounded(recorded.record()):
            raise RefusedError(
                f"{recorded.definition} on {recorded.rig}: the blocks give {again.summary}; "
                f"{VERDICT_NAME} says {recorded.summary}"
            )
        outcomes[recorded.rig].comparisons[recorded.definition] = again
    for rig, outcome in outcomes.items():
        outcome.faults = _tally(folder, rig, verdict)
    _check_verdict(policy, outcomes, quarantine, verdict)
    return verdict


def _quarantine(folder: Path, policy: Policy, verdict: VerdictRecord) -> QuarantineEffect:
    """Return what was in quarantine when the run ended; refuse a record that says something else."""
    effect, file = NO_QUARANTINE, folder / QUARANTINE_NAME
    if file.exists():
        try:
            day = verdict.finished_on
        except ValueError as error:
            raise RefusedError(f"{VERDICT_NAME} finished at no time: {verdict.finished!r}") from error
        effect = quarantine_effect(
            load_quarantine(file),
            policy.metrics,
            verdict.rigs,
            day,
            required_rigs=policy.campaign.required_rigs,
        )
    if list(effect.excused) != verdict.quarantined:
        raise RefusedError(
            f"quarantine: {VERDICT_NAME} has {_entries(verdict.quarantined)}; "
            f"{QUARANTINE_NAME} had {_entries(effect.excused)} in force when the run ended"
        )
    return effect


def _entries(quarantined: Sequence[QuarantineEntry]) -> str:
    return "; ".join(map(str, quarantined)) or "nothing"


@dataclass(frozen=True)
class _Evidence:
    """What one rig measured and how it is read; every comparison on the rig is made from it."""

    blocks: list[Block]
    context: Context


def _read_evidence(folder: Path, rig: str, policy: Policy, verdict: VerdictRecord) -> _Evidence:
    """Return a rig's counted blocks; refuse what does not belong to the verdict."""
    run = read_json(folder / rig / RUN_NAME, RunRecord, "run record")
    if (run.rig, run.baseline, run.candidate, run.policy_sha256) != (
        rig,
        verdict.baseline,
        verdict.candidate,
        verdict.policy_sha256,
    ):
        raise RefusedError(f"{folder / rig / RUN_NAME} names another rig, other firmware or another policy")
    rack = load_rack(folder / RACK_NAME)
    if rig not in rack.rigs or run.calibration != CalibrationRecord.of(rack.rigs[rig]):
        raise RefusedError(f"{folder / rig / RUN_NAME} has another calibration than {RACK_NAME}")
    blocks = [block for block in read_blocks(folder / rig) if block.excluded is None]
    if verdict.quarantined and any(block.started[:10] > verdict.finished_on.isoformat() for block in blocks):
        raise RefusedError(f"{VERDICT_NAME} finished before blocks of {rig} began: by that day quarantine is counted")
    dark_rate_hz = dark_rates_hz(block.counts for block in blocks if block.configuration == "blanked")
    if dark_rate_hz != verdict.dark_rate_hz.get(rig):
        raise RefusedError(f"dark rates on {rig}: the blanked block gives {dark_rate_hz} /s")
    context = Context(
        exclude_lags=run.calibration.exclude_lags,
        dead_time_ps=run.calibration.dead_time_ps,
        confidence=policy.confidence,
        dark_rate_hz=dark_rate_hz,
    )
    return _Evidence(blocks, context)


def _compare_again(recorded: Comparison, evidence: _Evidence, policy: Policy, *, rigs: int) -> Comparison:
    blocks, context = evidence.blocks, evidence.context
    try:
        return compare(recorded.definition, blocks, policy, rig=recorded.rig, rigs=rigs, context=context)
    except ValueError as error:
        raise RefusedError(f"{recorded.definition} on {recorded.rig} can't be recomputed: {error}") from error


def _tally(folder: Path, rig: str, verdict: VerdictRecord) -> FaultTally | None:
    """Return a rig's recorded faults; a PASS must have exactly those of the journal, each one survived."""
    recorded = verdict.faults.get(rig)
    tally = None if recorded is None else FaultTally.from_record(recorded.model_dump())
    if verdict.verdict is Verdict.PASS:
        measured, faults = read_visits(folder / rig)
        if tally is None or not all(
            tally.faults[arm] == faults[arm] and 0 <= tally.visits[arm] - measured[arm] <= faults[arm] for arm in ARMS
        ):
            raise RefusedError(f"faults and visits on {rig}: {VERDICT_NAME} and {BLOCKS_NAME} disagree")
    return tally


def _check_verdict(
    policy: Policy, outcomes: dict[str, RigOutcome], quarantine: QuarantineEffect, verdict: VerdictRecord
) -> None:
    """Refuse a verdict that the numbers don't carry; problems of the session can only have made it worse."""
    conclusion = conclude(policy, outcomes, quarantine=quarantine)
    from_numbers, family = conclusion.verdict, family_record(conclusion.family)
    if _rounded(family.model_dump()) != _rounded(verdict.family.model_dump()):
        raise RefusedError(
            f"harm over all metrics and rigs: the numbers give 1e{family.harm_log10:.3g}, "
            f"{VERDICT_NAME} says 1e{verdict.family.harm_log10:.3g}"
        )
    carried = verdict.verdict is from_numbers or (
        verdict.verdict is combine([verdict.verdict, from_numbers]) and verdict.verdict is not Verdict.BLOCK
    )
    if not carried or verdict.exit_code != verdict.verdict.exit_code:
        raise RefusedError(
            f"{VERDICT_NAME} says {verdict.verdict} (exit {verdict.exit_code}), its numbers say {from_numbers}"
        )


def _rounded(data: Any) -> Any:
    """Round every float of plain data; tuples become lists, as JSON has them."""
    return json.loads(json.dumps(data), parse_float=lambda text: float(f"{float(text):.{_DIGITS}g}"))
