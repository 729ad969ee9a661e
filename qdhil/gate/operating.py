"""Operating characteristics: how often the gate is wrong, and what it costs, over many simulated campaigns.

Every campaign is judged after every quad by the functions that decide on a rig. The looks of a whole series are
computed at once, because a look depends on nothing after it; where one of them would decide, the verdict is asked of
the gate on the blocks up to there and no others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from qdhil.gate.blocks import Block
from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.evidence import Evidence
from qdhil.gate.judge import is_decided, metric_evidence
from qdhil.gate.operating_light import DRIFTS, UNCHANGED, Arms, Harm, Source, draw_blocks, interleaved, trace
from qdhil.gate.policy import Policy
from qdhil.gate.quads import Context
from qdhil.statistics.evidence import Floats, family_mean_log10
from qdhil.statistics.intervals import beta_quantile

Word = Literal["PASS", "BLOCK", "INCONCLUSIVE"]
TRUTHS: dict[str, float] = {"no change": 0.0, "half margin": 0.5, "margin": 1.0, "twice margin": 2.0}
"""True changes, as multiples of what the margin asks to find."""
SCAN: dict[str, float] = {f"{times:g} margins": times for times in (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3)}
"""True changes of the picture."""
TOLERATED = "tolerated"
"""The true change at the edge of what may not block, where the policy tolerates one at all."""


@dataclass(frozen=True)
class Case:
    """One cell of the table: a metric under a drift and a true change; ``seed`` fixes all of its campaigns."""

    metric: str
    drift: str
    truth: str
    source: Source
    seed: int

    def ratio(self, policy: Policy) -> float:
        """Return the true ratio candidate/baseline."""
        wanted = policy.metrics[self.metric]
        if self.truth == TOLERATED:
            return wanted.tolerated_ratio
        return 1 + (TRUTHS | SCAN)[self.truth] * (wanted.margin_ratio - 1)

    def harm(self, policy: Policy) -> Harm:
        """Return what the candidate changes."""
        definition, ratio = DEFINITIONS[self.metric], self.ratio(policy)
        if definition.harm == "lower":
            return Harm({}, ratio)
        return Harm({definition.configurations[0]: ratio})

    def session(self, chunk: int, campaigns: int, policy: Policy, arms: Arms | None = None) -> tuple[Arms, Floats]:
        """Return arms and log brightness of some sessions; the trace is the same whatever the truth and the arms."""
        keys = [self.seed, list(DEFINITIONS).index(self.metric), list(DRIFTS).index(self.drift), chunk]
        rng = np.random.default_rng(keys)
        own = interleaved(rng, campaigns, policy.campaign.quads_max)
        arms = own if arms is None else arms
        return arms, trace(self.drift, rng, arms)

    def counting(self, chunk: int, stage: int) -> np.random.Generator:
        """Return the generator of the counts."""
        truth = [*TRUTHS, TOLERATED, *SCAN].index(self.truth)
        keys = [self.seed, list(DEFINITIONS).index(self.metric), list(DRIFTS).index(self.drift), chunk, truth, stage]
        return np.random.default_rng([*keys, 1])


@dataclass(frozen=True)
class Ending:
    """How one campaign ended, and after how many quads."""

    word: Word
    quads: int


@dataclass(frozen=True)
class Cell:
    """What became of all campaigns of a case.

    Parameters
    ----------
    metric, drift, truth, streams
        The case; ``streams`` is the number of metric x rig streams judged together.
    ratio
        True ratio candidate/baseline.
    passed, blocked, inconclusive
        Campaigns by verdict.
    mean_quads, p90_quads
        Quads until the end.
    mean_share, p90_share
        The same over what a design of fixed size needs for the same rates; ``None`` where there is none.
    """

    metric: str
    drift: str
    truth: str
    streams: int
    ratio: float
    passed: int
    blocked: int
    inconclusive: int
    mean_quads: float
    p90_quads: float
    mean_share: float | None
    p90_share: float | None

    @property
    def campaigns(self) -> int:
        """Number of campaigns."""
        return self.passed + self.blocked + self.inconclusive

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return {**asdict(self), "campaigns": self.campaigns}


def upper_bound(wrong: int, campaigns: int) -> float:
    """Return the one-sided 95 % Clopper-Pearson bound of a rate."""
    return beta_quantile(wrong + 1, campaigns - wrong, 0.95) if wrong < campaigns else 1.0


def cell_of(case: Case, policy: Policy, endings: Sequence[Ending], fixed_quads: float | None, streams: int) -> Cell:
    """Count the endings of a case; ``fixed_quads`` is the size of the fixed design or ``None``."""
    words = Counter(ending.word for ending in endings)
    quads = np.array([ending.quads for ending in endings])
    mean, p90 = float(quads.mean()), float(np.percentile(quads, 90))
    return Cell(
        metric=case.metric,
        drift=case.drift,
        truth=case.truth,
        streams=streams,
        ratio=case.ratio(policy),
        passed=words["PASS"],
        blocked=words["BLOCK"],
        inconclusive=words["INCONCLUSIVE"],
        mean_quads=mean,
        p90_quads=p90,
        mean_share=None if fixed_quads is None else mean / fixed_quads,
        p90_share=None if fixed_quads is None else p90 / fixed_quads,
    )


def needed_log10(policy: Policy) -> float:
    """Return the evidence that a PASS needs."""
    return -math.log10(policy.miss_rate)


def level_log10(policy: Policy, metric: str, rigs: int = 1) -> float:
    """Return the evidence with which one metric on one rig blocks by itself."""
    return -math.log10(policy.false_block_rate * policy.share(metric, rigs))


def judged(metric: str, blocks: Sequence[Block], policy: Policy, context: Context) -> Ending:
    """Judge one metric's campaign after every quad, as the gate does, until it decides or ``blocks`` end."""
    first, last = policy.campaign.quads_min, policy.campaign.quads_max
    width = 4 * len(DEFINITIONS[metric].configurations)
    needed, level = needed_log10(policy), level_log10(policy, metric)
    ahead: Evidence | None = None
    for quads in range(first, last + 1):
        if ahead is None or len(ahead.looks) < quads:
            ahead = _evidence(metric, blocks[: width * min(2 * quads, last)], policy, context)
        if ahead is None:
            continue
        seen = Evidence(ahead.looks[:quads])
        if not seen.passed(needed, first) and seen.harm_log10(needed, first) < level:
            continue
        evidence = metric_evidence(metric, blocks[: width * quads], policy, context)
        if evidence.passed(needed, first):
            return Ending("PASS", quads)
        if evidence.harm_log10(needed, first) >= level:
            return Ending("BLOCK", quads)
    return Ending("INCONCLUSIVE", last)


def _evidence(metric: str, blocks: Sequence[Block], policy: Policy, context: Context) -> Evidence | None:
    try:
        return metric_evidence(metric, blocks, policy, context)
    except ValueError:
        return None


def single_streams(case: Case, chunk: int, campaigns: int, policy: Policy, context: Context) -> list[Ending]:
    """Simulate campaigns of one metric on one rig."""
    arms, light = case.session(chunk, campaigns, policy)
    paths = DEFINITIONS[case.metric].configurations
    rates, harm, drift = case.source.rates(policy), case.harm(policy), case.drift
    series = draw_blocks(case.counting(chunk, 0), paths, rates, policy, context, drift, light, arms, harm)
    return [judged(case.metric, blocks, policy, context) for blocks in series]


@dataclass(frozen=True)
class RigEnding:
    """What one rig says when it stops: whether all of its metrics passed, and its evidence of harm by metric."""

    passed: bool
    harm_log10: tuple[float, ...]
    quads: int


def judged_rig(blocks: Sequence[Block], paths: int, policy: Policy, context: Context, rigs: int) -> RigEnding:
    """Judge all metrics of one of ``rigs`` rigs after every quad until the rig needs no further one."""
    first, last = policy.campaign.quads_min, policy.campaign.quads_max
    needed, width = needed_log10(policy), 4 * paths
    shares = [policy.share(metric, rigs) for metric in policy.metrics]
    ahead: list[Evidence | None] = []
    reach = 0
    for quads in range(first, last):
        if reach < quads:
            reach = min(2 * quads, last)
            ahead = [_evidence(metric, blocks[: width * reach], policy, context) for metric in policy.metrics]
        if None in ahead:
            likely = True
        else:
            seen = [Evidence(found.looks[:quads]) for found in ahead if found is not None]
            harm = family_mean_log10(shares, [found.harm_log10(needed, first) for found in seen])
            likely = harm >= -math.log10(policy.false_block_rate) or all(f.passed(needed, first) for f in seen)
        if likely and is_decided(blocks[: width * quads], policy, policy.metrics, rigs=rigs, context=context):
            last = quads
            break
    found = [_evidence(metric, blocks[: width * last], policy, context) for metric in policy.metrics]
    return RigEnding(
        all(evidence is not None and evidence.passed(needed, first) for evidence in found),
        tuple(-300.0 if evidence is None else evidence.harm_log10(needed, first) for evidence in found),
        last,
    )


def rigs_of(
    case: Case, chunk: int, count: int, policy: Policy, context: Context, rigs: int, *, harmed: bool
) -> list[RigEnding]:
    """Simulate rigs that measure every metric; ``harmed`` ones have the harm of the case, and no other metric's."""
    paths = tuple(dict.fromkeys(path for metric in policy.metrics for path in DEFINITIONS[metric].configurations))
    arms, light = case.session(chunk, count, policy)
    harm = case.harm(policy) if harmed else UNCHANGED
    rates = case.source.rates(policy)
    series = draw_blocks(case.counting(chunk, 1), paths, rates, policy, context, case.drift, light, arms, harm)
    return [judged_rig(blocks, len(paths), policy, context, rigs) for blocks in series]


def family_ending(found: Sequence[RigEnding], policy: Policy) -> Ending:
    """Return the verdict of a run over several rigs: the mean of all evidence of harm first, then every PASS."""
    shares = [policy.share(metric, len(found)) for _ in found for metric in policy.metrics]
    harm = family_mean_log10(shares, [value for rig in found for value in rig.harm_log10])
    # the rigs measure side by side: their mean is what is acquired
    quads = round(sum(rig.quads for rig in found) / len(found))
    if harm >= -math.log10(policy.false_block_rate):
        return Ending("BLOCK", quads)
    return Ending("PASS" if all(rig.passed for rig in found) else "INCONCLUSIVE", quads)
