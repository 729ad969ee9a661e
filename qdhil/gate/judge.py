"""Decide one metric on one rig: PASS rules out harm of the margin, BLOCK proves more than is tolerated.

PASS is asked first: where harm of the margin is ruled out, a smaller proven change does not block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from qdhil.gate.blocks import Arm, Block, total
from qdhil.gate.change import Change, Context
from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.policy import MetricPolicy, Policy
from qdhil.gate.verdict import Verdict
from qdhil.metrics import Estimate

_SMALLEST_P = 1e-9
"""Below this no model of a rig holds; smaller p-values are not told apart."""


@dataclass(frozen=True)
class Comparison:
    """What one metric on one rig says about the candidate, with everything that decided it."""

    rig: str
    definition: str
    verdict: Verdict
    reason: str
    baseline: Estimate
    candidate: Estimate
    change: Change
    margin_ratio: float
    tolerated_ratio: float
    miss_rate: float
    block_level: float
    blocks: int

    @property
    def summary(self) -> str:
        """One line for a failing assertion."""
        return f"{self.verdict}: {DEFINITIONS[self.definition].title} on {self.rig}: {self.reason}"

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        parts = {"baseline": self.baseline.record(), "candidate": self.candidate.record()}
        return {**asdict(self), **parts, "verdict": str(self.verdict), "change": self.change.record()}

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
        The campaign's counted blocks, in the order of time, at least the configurations it needs.
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

    change = definition.change(needed, wanted.margin_ratio, wanted.tolerated_ratio, context)
    block_level = policy.false_block_rate / family_size(policy, rigs)
    verdict = _decide(change, policy.miss_rate, block_level)
    return Comparison(
        rig=rig,
        definition=definition_id,
        verdict=verdict,
        reason=_reason(verdict, definition.scale, change, wanted),
        baseline=estimate("baseline"),
        candidate=estimate("candidate"),
        change=change,
        margin_ratio=wanted.margin_ratio,
        tolerated_ratio=wanted.tolerated_ratio,
        miss_rate=policy.miss_rate,
        block_level=block_level,
        blocks=len(needed),
    )


def family_size(policy: Policy, rigs: int) -> int:
    """Return how many comparisons share ``false_block_rate``: every metric, and fault counts, on every rig."""
    return rigs * (len(policy.metrics) + 1)


def _decide(change: Change, miss_rate: float, block_level: float) -> Verdict:
    if change.p_margin <= miss_rate:
        return Verdict.PASS
    if change.p_tolerated <= block_level:
        return Verdict.BLOCK
    return Verdict.INCONCLUSIVE


def _reason(verdict: Verdict, scale: str, change: Change, wanted: MetricPolicy) -> str:
    ratio = "undefined" if change.ratio is None else f"x{change.ratio:.3g}"
    seen = f"{scale} {ratio} [{change.low:.3g}, {change.high:.3g}]"
    if verdict is Verdict.PASS:
        return f"{seen}; x{wanted.margin_ratio:g} is ruled out ({_said(change.p_margin)})"
    if verdict is Verdict.BLOCK:
        return f"{seen}; worse than x{wanted.tolerated_ratio:g} is proven ({_said(change.p_tolerated)})"
    return (
        f"{seen}; neither x{wanted.margin_ratio:g} ruled out ({_said(change.p_margin)}) "
        f"nor worse than x{wanted.tolerated_ratio:g} proven ({_said(change.p_tolerated)})"
    )


def _said(p_value: float) -> str:
    return f"p = {p_value:.2g}" if p_value >= _SMALLEST_P else f"p < {_SMALLEST_P:g}"
