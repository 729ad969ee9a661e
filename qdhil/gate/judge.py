"""Decide one metric on one rig: PASS rules out harm of the margin, BLOCK proves more than is tolerated.

PASS is asked first: where harm of the margin is ruled out, a smaller proven change does not block. Both may be asked
after every quad: the evidence is valid at any look.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from qdhil.gate.blocks import Arm, Block, total
from qdhil.gate.change import Change
from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.diagnostics import dispersion_problems, linearity_problems, near_far_problems
from qdhil.gate.evidence import Demand, Evidence, evidence_of
from qdhil.gate.policy import MetricPolicy, Policy
from qdhil.gate.quads import Context, pairs_elsewhere, whole_quads
from qdhil.gate.verdict import Verdict
from qdhil.metrics import Estimate
from qdhil.statistics.evidence import family_mean_log10


@dataclass(frozen=True)
class Comparison:
    """What one metric on one rig says about the candidate, with everything that decided it.

    ``share`` is its part of the family over which ``false_block_rate`` holds, and ``block_level`` that part of the
    rate: an e-value of ``1/block_level`` proves harm by itself.
    """

    rig: str
    definition: str
    verdict: Verdict
    reason: str
    baseline: Estimate
    candidate: Estimate
    change: Change
    evidence: Evidence
    margin_ratio: float
    tolerated_ratio: float
    limit: float | None
    miss_rate: float
    share: float
    block_level: float
    harm_log10: float
    blocks: int

    @property
    def summary(self) -> str:
        """One line for a failing assertion."""
        return f"{self.verdict}: {DEFINITIONS[self.definition].title} on {self.rig}: {self.reason}"

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        parts = {
            "verdict": str(self.verdict),
            "baseline": self.baseline.record(),
            "candidate": self.candidate.record(),
            "change": self.change.record(),
            "evidence": self.evidence.record(),
        }
        return {**asdict(self), **parts}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Restore what :meth:`record` returned; refuse (ValueError) anything else."""
        try:
            return cls(
                **{
                    **record,
                    "verdict": Verdict(record["verdict"]),
                    "baseline": Estimate(**record["baseline"]),
                    "candidate": Estimate(**record["candidate"]),
                    "change": Change.from_record(record["change"]),
                    "evidence": Evidence.from_record(record["evidence"]),
                }
            )
        except (AttributeError, TypeError, KeyError) as error:
            raise ValueError(f"not a comparison record: {error}") from error


def compare(
    definition_id: str, blocks: Sequence[Block], policy: Policy, *, rig: str, rigs: int, context: Context
) -> Comparison:
    """Decide one metric on one rig.

    Parameters
    ----------
    definition_id
        A metric of the policy.
    blocks
        The campaign's counted blocks, in the order of time, at least the configurations it needs; the others tell
        whether the light scatters.
    policy
        Margins and error rates.
    rig
        Name of the rig.
    rigs
        Number of rigs in the whole run, over which ``false_block_rate`` is shared.
    context
        How the rig's counts are read.

    Raises
    ------
    ValueError
        If the counts can't be estimated from, such as empty side peaks; that is INCONCLUSIVE.
    """
    definition, wanted = DEFINITIONS[definition_id], policy.metrics[definition_id]
    needed = [block for block in blocks if block.configuration in definition.configurations]

    def estimate(arm: Arm) -> Estimate:
        counts = {name: total(needed, arm, name) for name in definition.configurations}
        return definition.estimate(counts, context)

    evidence = metric_evidence(definition_id, blocks, policy, context)
    change = definition.change(needed, context)
    share = policy.share(definition_id, rigs)
    block_level = policy.false_block_rate * share
    pass_log10 = -math.log10(policy.miss_rate)
    harm_log10 = evidence.harm_log10(pass_log10, policy.campaign.quads_min)
    verdict = _decide(evidence, policy, harm_log10, block_level)
    return Comparison(
        rig=rig,
        definition=definition_id,
        verdict=verdict,
        reason=_reason(verdict, definition.scale, change, wanted, evidence, policy.campaign.quads_min),
        baseline=estimate("baseline"),
        candidate=estimate("candidate"),
        change=change,
        evidence=evidence,
        margin_ratio=wanted.margin_ratio,
        tolerated_ratio=wanted.tolerated_ratio,
        limit=wanted.limit,
        miss_rate=policy.miss_rate,
        share=share,
        block_level=block_level,
        harm_log10=harm_log10,
        blocks=len(needed),
    )


def metric_evidence(definition_id: str, blocks: Sequence[Block], policy: Policy, context: Context) -> Evidence:
    """Return the evidence of one metric after each of its whole quads.

    Raises
    ------
    ValueError
        If the blocks are no whole quads, or can't be compared.
    """
    definition, wanted = DEFINITIONS[definition_id], policy.metrics[definition_id]
    quads = whole_quads(blocks, definition.configurations)
    evidence = evidence_of(
        [definition.quad(quad, context) for quad in quads],
        Demand(
            math.log(wanted.margin_ratio),
            math.log(wanted.tolerated_ratio),
            None if wanted.limit is None else math.log(wanted.limit),
        ),
        elsewhere=[pairs_elsewhere(quad, blocks, context) for quad in quads],
    )
    own = [block for block in blocks if block.configuration in definition.configurations]
    problems = (
        *near_far_problems(own, context),
        *linearity_problems(own, context),
        *dispersion_problems(evidence.looks[-1], len(own)),
    )
    return Evidence(evidence.looks, problems)


def is_decided(blocks: Sequence[Block], policy: Policy, metrics: Iterable[str], *, rigs: int, context: Context) -> bool:
    """Whether one rig needs no further quad: every metric passes, or harm is proven whatever the other rigs say.

    Parameters
    ----------
    blocks
        The rig's counted blocks so far.
    policy
        Margins and error rates.
    metrics
        Those that the session decides on this rig; one whose light path is not among the blocks is not asked, and
        where none is asked nothing is left to decide.
    rigs, context
        As for :func:`compare`.
    """
    seen = {block.configuration for block in blocks}
    asked = [name for name in dict.fromkeys(metrics) if seen.issuperset(DEFINITIONS[name].configurations)]
    if not asked:
        return True
    needed, quads_min = -math.log10(policy.miss_rate), policy.campaign.quads_min
    shares: list[float] = []
    harm: list[float] = []
    passed: list[bool] = []
    for name in asked:
        try:
            evidence = metric_evidence(name, blocks, policy, context)
        except ValueError:
            passed.append(False)
            continue
        shares.append(policy.share(name, rigs))
        harm.append(evidence.harm_log10(needed, quads_min))
        passed.append(evidence.passed(needed, quads_min))
    if shares and family_mean_log10(shares, harm) >= -math.log10(policy.false_block_rate):
        return True
    return all(passed)


def _decide(evidence: Evidence, policy: Policy, harm_log10: float, block_level: float) -> Verdict:
    if evidence.passed(-math.log10(policy.miss_rate), policy.campaign.quads_min):
        return Verdict.PASS
    enough = evidence.looks[-1].quads >= policy.campaign.quads_min
    if enough and harm_log10 >= -math.log10(block_level):
        return Verdict.BLOCK
    return Verdict.INCONCLUSIVE


def _reason(
    verdict: Verdict, scale: str, change: Change, wanted: MetricPolicy, evidence: Evidence, quads_min: int
) -> str:
    ratio = "undefined" if change.ratio is None else f"x{change.ratio:.3g}"
    seen = f"{scale} {ratio} [{change.low:.3g}, {change.high:.3g}] after {_quads(evidence)}"
    last = evidence.looks[-1]
    no_harm, harm = max(look.no_harm for look in evidence.looks), last.harm
    if last.within_limit is not None and last.beyond_limit is not None:
        within = max(look.within_limit or 0.0 for look in evidence.looks)
        limit = f"; limit {wanted.limit:g}: within {_said(within)}, beyond {_said(last.beyond_limit)}"
    else:
        limit = ""
    if verdict is Verdict.PASS:
        return f"{seen}; x{wanted.margin_ratio:g} is ruled out ({_said(no_harm)}){limit}"
    if verdict is Verdict.BLOCK:
        return f"{seen}; worse than x{wanted.tolerated_ratio:g} is proven ({_said(harm)}){limit}"
    short = [f"the policy asks for {quads_min} quads at least"] if last.quads < quads_min else []
    why = "".join(f"; {problem}" for problem in (*short, *evidence.diagnostics))
    return (
        f"{seen}; x{wanted.margin_ratio:g} ruled out: {_said(no_harm)}, "
        f"worse than x{wanted.tolerated_ratio:g}: {_said(harm)}{limit}{why}"
    )


def _quads(evidence: Evidence) -> str:
    quads = evidence.looks[-1].quads
    return f"{quads} quad{'s' * (quads != 1)}"


def _said(e_log10: float) -> str:
    """Say an e-value: how many times better the one hypothesis explains the counts than the other."""
    if e_log10 >= 6:
        return f"e > 1e{math.floor(e_log10)}"
    return "e < 0.001" if e_log10 < -3 else f"e = {10**e_log10:.3g}"
