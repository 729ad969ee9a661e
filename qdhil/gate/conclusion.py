"""The verdict of a whole run: every metric on every rig, what failed, and what is missing.

PASS is an intersection-union test: every metric on every rig must rule out harm of its margin at
``miss_rate``, which needs no correction. BLOCK needs the weighted mean of all e-values of harm to reach
1/``false_block_rate``, which holds under any dependence and however long each rig measured; one of them per rig is
whether the candidate breaks the rig more often than the baseline. A metric that alone reaches its share is named as
BLOCK itself; where only all together do, e-BH names the offenders. What is missing is never PASS.

A metric in quarantine on a rig decides nothing there: it counts 0 in the family, whose shares stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.faults import FaultTally
from qdhil.gate.judge import Comparison
from qdhil.gate.policy import Policy
from qdhil.gate.quarantine import NO_QUARANTINE, QuarantineEffect
from qdhil.gate.verdict import Verdict, combine
from qdhil.statistics.evidence import family_mean_log10, offenders


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
    undecided
        Why tests of a metric decided nothing, or object to it, by definition id: INCONCLUSIVE.
    """

    comparisons: dict[str, Comparison] = field(default_factory=dict)
    faults: FaultTally | None = None
    problems: list[tuple[Verdict, str]] = field(default_factory=list)
    undecided: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """Harm over all metrics and rigs together.

    Parameters
    ----------
    harm_log10
        Decimal logarithm of the weighted mean of all e-values of harm.
    needed_log10
        What it must reach for BLOCK.
    offenders
        Who is named by e-BH: metric and rig, or faults and rig, the worst first.
    """

    harm_log10: float
    needed_log10: float
    offenders: tuple[str, ...]

    @property
    def is_harmed(self) -> bool:
        """Whether harm is proven over the family."""
        return self.harm_log10 >= self.needed_log10


@dataclass(frozen=True)
class Conclusion:
    """The verdict of a run and why, the deciding reasons first."""

    verdict: Verdict
    reasons: tuple[str, ...]
    family: Family


def conclude(
    policy: Policy,
    outcomes: Mapping[str, RigOutcome],
    problems: Sequence[tuple[Verdict, str]] = (),
    quarantine: QuarantineEffect = NO_QUARANTINE,
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
    quarantine
        Metrics of rigs that decide nothing.
    """
    findings = [*problems, *quarantine.findings]
    for rig, outcome in outcomes.items():
        findings += _findings(policy, rig, outcome, len(outcomes), quarantine)
    if len(outcomes) < policy.campaign.required_rigs:
        findings.append(
            (
                Verdict.INCONCLUSIVE,
                f"{len(outcomes)} of the {policy.campaign.required_rigs} rigs that the policy requires",
            )
        )
    family = family_of(policy, outcomes, quarantine)
    if family.is_harmed and Verdict.BLOCK not in [found for found, _ in findings]:
        named = ", ".join(family.offenders) or "no single one, but all together"
        findings.append(
            (
                Verdict.BLOCK,
                f"harm is proven over all metrics and rigs (e = {10**family.harm_log10:.3g}): {named}",
            )
        )
    verdict = combine([found for found, _ in findings])
    if verdict is Verdict.PASS:
        where = ", where it is not in quarantine" if quarantine.excused else ""
        return Conclusion(verdict, (f"every metric ruled out harm of its margin on every rig{where}",), family)
    deciding = [reason for found, reason in findings if found is verdict]
    others = [f"{found}: {reason}" for found, reason in findings if found not in (verdict, Verdict.PASS)]
    return Conclusion(verdict, tuple(dict.fromkeys([*deciding, *others])) or ("nothing was measured",), family)


def family_of(
    policy: Policy, outcomes: Mapping[str, RigOutcome], quarantine: QuarantineEffect = NO_QUARANTINE
) -> Family:
    """Return the harm over all metrics and rigs; what was not measured, or is in quarantine, counts 0."""
    names: list[str] = []
    shares: list[float] = []
    harm: list[float] = []
    for rig, outcome in outcomes.items():
        for metric in policy.metrics:
            comparison = None if quarantine.excuses(rig, metric) else outcome.comparisons.get(metric)
            names.append(f"{DEFINITIONS[metric].title} on {rig}")
            shares.append(policy.share(metric, len(outcomes)))
            harm.append(-300.0 if comparison is None else comparison.harm_log10)
        names.append(f"faults on {rig}")
        shares.append(policy.share(None, len(outcomes)))
        level = policy.false_block_rate * shares[-1]
        harm.append(-300.0 if outcome.faults is None else outcome.faults.harm_log10(level))
    named = offenders(shares, harm, policy.false_block_rate) if names else []
    return Family(
        family_mean_log10(shares, harm),
        -math.log10(policy.false_block_rate),
        tuple(names[index] for index in named),
    )


def _findings(
    policy: Policy, rig: str, outcome: RigOutcome, rigs: int, quarantine: QuarantineEffect
) -> list[tuple[Verdict, str]]:
    findings = list(outcome.problems)
    undecided = {m: told for m, told in outcome.undecided.items() if not quarantine.excuses(rig, m)}
    findings += [(Verdict.INCONCLUSIVE, reason) for told in undecided.values() for reason in told]
    for definition_id in policy.metrics:
        if quarantine.excuses(rig, definition_id):
            continue
        title = DEFINITIONS[definition_id].title
        comparison = outcome.comparisons.get(definition_id)
        if comparison is not None:
            findings.append((comparison.verdict, f"{title} on {rig}: {comparison.reason}"))
        elif not outcome.problems and not undecided:
            findings.append(
                (
                    Verdict.INCONCLUSIVE,
                    f"{title} on {rig} was not measured: the policy requires it, no test decided it",
                )
            )
    if outcome.faults is not None:
        block_level = policy.false_block_rate * policy.share(None, rigs)
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
