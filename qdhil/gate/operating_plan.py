"""What the operating characteristics are asked of: policy, source, campaigns, and the designs compared with."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.operating_design import fixed_centrals, fixed_quads
from qdhil.gate.operating_light import DRIFTS, Source
from qdhil.gate.policy import Policy
from qdhil.gate.quads import Context

RIGS = 12
NOISY = 0.015
"""Block noise at which brightness is asked for its cost: at the usual one the least number of quads decides."""
FINER = 3
"""Blocks are shorter by this, and more by as much, where the cost is asked for without the coarseness of quads."""
BRIGHTER = 3
"""The source of a whole family is brighter by this, so that its slowest metric is decided well within the budget."""


@dataclass(frozen=True)
class Plan:
    """What is simulated; ``campaigns`` of single streams, and ``family_campaigns`` per cell of a whole family."""

    policy: Policy
    context: Context
    source: Source
    campaigns: int
    family_campaigns: int
    seed: int

    @property
    def family_source(self) -> Source:
        """The source of a whole family's rigs."""
        return replace(self.source, centrals=BRIGHTER * self.source.centrals)


def metrics_of(policy: Policy) -> list[str]:
    """Return the metrics that stand for the two kinds of evidence: the first counted one, and the brightness."""
    counted = [name for name in policy.metrics if DEFINITIONS[name].harm == "higher"]
    scalar = [name for name in policy.metrics if DEFINITIONS[name].harm == "lower"]
    return counted[:1] + scalar[:1]


def fixed_size(metric: str, policy: Policy, source: Source) -> float:
    """Return the quads of a design of fixed size at the same two rates."""
    wanted = policy.metrics[metric]
    rates = (policy.miss_rate, policy.false_block_rate * policy.share(metric, 1))
    found = source.rates(policy)
    path = DEFINITIONS[metric].configurations[0]
    dwell_s = float(getattr(policy.campaign.dwell_s, path))
    if DEFINITIONS[metric].harm == "higher":
        centrals = fixed_centrals(wanted.margin_ratio, wanted.tolerated_ratio, *rates)
        return centrals / (2 * found.paths[path].central_hz * dwell_s)
    sd = math.sqrt(source.noise**2 + 1 / (2 * found.paths[path].singles_hz[0] * dwell_s))
    return float(fixed_quads(wanted.margin_ratio, wanted.tolerated_ratio, *rates, sd))


def cost_variants(plan: Plan) -> list[tuple[str, str, Policy, Source]]:
    """Return what the cost is asked for: a name, the metric, its policy and source."""
    counted, *scalar = metrics_of(plan.policy)
    alone = plan.policy.model_copy(update={"metrics": {counted: plan.policy.metrics[counted]}})
    noisy = replace(plan.source, noise=NOISY)
    fine = replace(plan.source, centrals=plan.source.centrals / FINER)
    variants = [
        ("the policy", counted, plan.policy, plan.source),
        (f"the policy, {FINER} times shorter blocks", counted, _longer(plan.policy), fine),
        ("this metric alone", counted, alone, plan.source),
        (f"this metric alone, {FINER} times shorter blocks", counted, _longer(alone), fine),
    ]
    for metric in scalar:
        variants.append(("the policy", metric, plan.policy, plan.source))
        variants.append((f"block noise {NOISY:.1%}", metric, plan.policy, noisy))
    return variants


def _longer(policy: Policy) -> Policy:
    campaign = policy.campaign.model_copy(update={"quads_max": FINER * policy.campaign.quads_max})
    return policy.model_copy(update={"campaign": campaign})


def described(plan: Plan) -> dict[str, Any]:
    """Return what is simulated, as plain data."""
    policy = plan.policy
    return {
        "policy": policy.name,
        "policy_sha256": policy.sha256,
        "miss_rate": policy.miss_rate,
        "false_block_rate": policy.false_block_rate,
        "quads_min": policy.campaign.quads_min,
        "quads_max": policy.campaign.quads_max,
        "margins": {name: policy.metrics[name].margin_ratio for name in metrics_of(policy)},
        "tolerated": {name: policy.metrics[name].tolerated_ratio for name in metrics_of(policy)},
        "shares": {name: policy.share(name, 1) for name in metrics_of(policy)},
        "source": asdict(plan.source),
        "family_centrals": plan.family_source.centrals,
        "rigs": RIGS,
        "asked": {"campaigns": plan.campaigns, "family": plan.family_campaigns},
        "seed": plan.seed,
        "drifts": DRIFTS,
    }
