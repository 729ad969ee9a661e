"""The verdict of a whole run: every metric on every rig, what failed, and what is missing.

PASS is an intersection-union test: every metric on every rig must rule out harm of its margin at
``miss_rate``, which needs no correction. BLOCK divides ``false_block_rate`` over all comparisons
(Bonferroni, which holds under any dependence), one of them per rig being whether the candidate breaks the
rig more often than the baseline. What is missing is never PASS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.faults import FaultTally
from qdhil.gate.judge import Comparison, family_size
from qdhil.gate.policy import Policy
from qdhil.gate.verdict import Verdict, combine


@dataclass
class RigOutcome:
    """What one rig delivered.

    Parameters
    ----------
    comparisons
        Decided metrics by definition id.
    faults
        Visits and faults by arm, ``None`` where no campaign ran.
    problems
        What kept the rig or a test from delivering, with the verdict that it forces.
    """

    comparisons: dict[str, Comparison] = field(default_factory=dict)
    faults: FaultTally | None = None
    problems: list[tuple[Verdict, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Conclusion:
    """The verdict of a run and why, the deciding reasons first."""

    verdict: Verdict
    reasons: tuple[str, ...]


def conclude(
    policy: Policy, outcomes: Mapping[str, RigOutcome], problems: Sequence[tuple[Verdict, str]] = ()
) -> Conclusion:
    """Return the verdict of a run.

    Parameters
    ----------
    policy
        Its metrics are all required on every rig.
    outcomes
        One per selected rig, even if it delivered nothing.
    problems
        What went wrong outside any one rig.
    """
    findings = list(problems)
    for rig, outcome in outcomes.items():
        findings += _findings(policy, rig, outcome, len(outcomes))
    verdict = combine([found for found, _ in findings])
    if verdict is Verdict.PASS:
        return Conclusion(verdict, ("every metric ruled out harm of its margin on every rig",))
    deciding = [reason for found, reason in findings if found is verdict]
    others = [f"{found}: {reason}" for found, reason in findings if found not in (verdict, Verdict.PASS)]
    return Conclusion(verdict, tuple(dict.fromkeys([*deciding, *others])) or ("nothing was measured",))


def _findings(policy: Policy, rig: str, outcome: RigOutcome, rigs: int) -> list[tuple[Verdict, str]]:
    findings = list(outcome.problems)
    for definition_id in policy.metrics:
        title = DEFINITIONS[definition_id].title
        comparison = outcome.comparisons.get(definition_id)
        if comparison is not None:
            findings.append((comparison.verdict, f"{title} on {rig}: {comparison.reason}"))
        elif not outcome.problems:
            findings.append(
                (
                    Verdict.INCONCLUSIVE,
                    f"{title} on {rig} was not measured: the policy requires it, no test decided it",
                )
            )
    if outcome.faults is not None:
        block_level = policy.false_block_rate / family_size(policy, rigs)
        tally = outcome.faults
        if tally.verdict(block_level) is Verdict.BLOCK:
            findings.append((Verdict.BLOCK, f"on {rig} {fault_text(tally)}"))
    return findings


def fault_text(tally: FaultTally) -> str:
    """Say how faults and firmware go together, in one line."""
    candidate, baseline = (
        f"{tally.faults[arm]} of {tally.visits[arm]} visits of the {arm}" for arm in ("candidate", "baseline")
    )
    return f"faults ended {candidate} and {baseline} (p = {tally.p_association:.2g} if the firmware had no part)"
