"""What a policy costs on a rig, and whether its budget is enough: campaigns simulated at count level.

The rig's count rates make Poisson blocks that the real judge decides after every quad. Nothing is assumed of the tests
but what they do; drift and scatter of the rig enter through the noise of its brightness alone, so that a rig whose
counts scatter needs more than is said here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qdhil.gate.blocks import Arm, Block
from qdhil.gate.campaign import ORDERS
from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.judge import metric_evidence
from qdhil.gate.policy import Policy
from qdhil.gate.quads import Context
from qdhil.gate.rig_rates import RigRates
from qdhil.metrics import PeakCounts
from qdhil.tags.acquisition import Configuration

DECIDABLE = 0.5
"""Chance below which an unchanged candidate would sooner end INCONCLUSIVE than PASS."""


@dataclass(frozen=True)
class MetricPlan:
    """What is to be expected of one metric.

    Parameters
    ----------
    p_pass_unchanged
        Chance that an unchanged candidate passes within the budget.
    p_block_at_margin
        Power: chance that a candidate worse by the margin is blocked within it.
    p_pass_at_margin
        Chance that it passes: must stay below the miss rate.
    mean_quads, p95_quads
        Quads until an unchanged candidate is decided.
    """

    metric: str
    p_pass_unchanged: float
    p_block_at_margin: float
    p_pass_at_margin: float
    mean_quads: float
    p95_quads: int


@dataclass(frozen=True)
class Plan:
    """The whole policy on one rig; times in s of one rig."""

    metrics: tuple[MetricPlan, ...]
    expected_quads: float
    worst_quads: int
    quad_s: float
    expected_s: float
    worst_s: float
    problems: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        return asdict(self)


class _Bench:
    """Draw blocks from a rig's rates."""

    def __init__(self, rates: RigRates, policy: Policy, context: Context, seed: int) -> None:
        self._rates = rates
        self._policy = policy
        self._context = context
        self._rng = np.random.default_rng(seed)

    def quad(self, number: int, paths: Sequence[Configuration], factor: Mapping[str, float]) -> list[Block]:
        """Return the blocks of a quad; ``factor`` multiplies the candidate's centrals by path, or its ``singles``."""
        order = ORDERS[int(self._rng.integers(2))]
        return [
            Block(number, position, arm, path, self._counts(path, arm, factor), {}, "")
            for position, arm in enumerate(order)
            for path in paths
        ]

    def _counts(self, path: Configuration, arm: Arm, factor: Mapping[str, float]) -> PeakCounts:
        rates, rng = self._rates.paths[path], self._rng
        worse = factor.get(path, 1.0) if arm == "candidate" else 1.0
        dim = factor.get("singles", 1.0) if arm == "candidate" else 1.0
        dwell_s = getattr(self._policy.campaign.dwell_s, path)
        bright = dim * math.exp(float(rng.normal(0.0, self._rates.brightness_noise)))
        period_ps = 1e12 / self._rates.rep_rate_hz
        singles = [int(rng.poisson(rate * dwell_s * bright)) for rate in rates.singles_hz]
        triggers = round(dwell_s * self._rates.rep_rate_hz)
        lags = self._policy.window.max_lag
        near_lags = math.floor(self._context.dead_time_ps / period_ps)
        raised = 1 + sum(singles) / max(2 * triggers, 1)
        means = np.full(2 * lags + 1, rates.far_hz * dwell_s * bright**2)
        means[lags - min(near_lags, lags) : lags + min(near_lags, lags) + 1] *= raised
        means[lags] = rates.central_hz * dwell_s * bright**2 * worse
        peaks = tuple(int(count) for count in rng.poisson(means))
        window_ps = min(self._policy.window.window_ps, int(period_ps))
        return PeakCounts(peaks, singles[0], singles[1], triggers, dwell_s, window_ps, period_ps, 0)


def plan(policy: Policy, rates: RigRates, context: Context, *, rigs: int, campaigns: int = 100, seed: int = 1) -> Plan:
    """Simulate a policy on a rig.

    Parameters
    ----------
    policy
        What is asked.
    rates
        What the rig delivers.
    context
        How its counts are read.
    rigs
        Rigs of the run, over which ``false_block_rate`` is shared.
    campaigns
        How many are simulated per metric and case.
    seed
        Of the simulation.

    Raises
    ------
    ValueError
        If the rates lack a light path that the policy reads.
    """
    needed = {path for metric in policy.metrics for path in DEFINITIONS[metric].configurations}
    lacking = sorted(needed - set(rates.paths))
    if lacking:
        raise ValueError(f"no rates of {', '.join(lacking)}, which the policy reads")
    found: list[MetricPlan] = []
    ends: list[list[int]] = []
    for index, metric in enumerate(policy.metrics):
        same = [_one(policy, rates, context, metric, 1.0, rigs, (seed, index, n)) for n in range(campaigns)]
        margin = policy.metrics[metric].margin_ratio
        worse = [_one(policy, rates, context, metric, margin, rigs, (seed, index, n, 1)) for n in range(campaigns)]
        ends.append([quads for _, quads in same])
        found.append(
            MetricPlan(
                metric,
                sum(word == "PASS" for word, _ in same) / campaigns,
                sum(word == "BLOCK" for word, _ in worse) / campaigns,
                sum(word == "PASS" for word, _ in worse) / campaigns,
                float(np.mean(ends[-1])),
                math.ceil(float(np.quantile(ends[-1], 0.95))),
            )
        )
    quad_s = 4 * (sum(getattr(policy.campaign.dwell_s, path) for path in needed) + rates.overhead_s)
    # a campaign goes on until its slowest metric is decided
    expected = float(np.mean(np.max(np.array(ends), axis=0)))
    return Plan(
        tuple(found),
        expected,
        policy.campaign.quads_max,
        quad_s,
        expected * quad_s,
        policy.campaign.quads_max * quad_s,
        tuple(_problems(policy, found)),
    )


def _one(
    policy: Policy,
    rates: RigRates,
    context: Context,
    metric: str,
    ratio: float,
    rigs: int,
    seed: tuple[int, ...],
) -> tuple[str, int]:
    """Return how one metric's campaign ends, and after how many quads."""
    definition, design = DEFINITIONS[metric], policy.campaign
    factor: dict[str, float] = {"singles" if definition.harm == "lower" else definition.configurations[0]: ratio}
    bench = _Bench(rates, policy, context, int(np.random.SeedSequence(seed).generate_state(1)[0]))
    needed = -math.log10(policy.miss_rate)
    level = -math.log10(policy.false_block_rate * policy.share(metric, rigs))
    blocks: list[Block] = []
    for quads in range(1, design.quads_max + 1):
        blocks += bench.quad(quads - 1, definition.configurations, factor)
        if quads < design.quads_min:
            continue
        try:
            evidence = metric_evidence(metric, blocks, policy, context)
        except ValueError:
            continue
        if evidence.passed(needed, design.quads_min):
            return "PASS", quads
        if evidence.harm_log10(needed, design.quads_min) >= level:
            return "BLOCK", quads
    return "INCONCLUSIVE", design.quads_max


def _problems(policy: Policy, found: Sequence[MetricPlan]) -> list[str]:
    budget = policy.campaign.quads_max
    return [
        f"{DEFINITIONS[entry.metric].title}: an unchanged candidate passes within {budget} quads with a chance of "
        f"{100 * entry.p_pass_unchanged:.0f} % only: lengthen dwell_s, raise quads_max, or move margin_ratio away"
        for entry in found
        if entry.p_pass_unchanged < DECIDABLE
    ]
