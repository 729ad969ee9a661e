"""The two error rates of a verdict, measured on Poisson campaigns that the real judge decides.

Every bound is the exact binomial quantile at which a gate that *just* keeps its rate would be accused with
the probability ``ALARM``; seeds are fixed, so a run that passed once passes always.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from campaigns_made import CONTEXT, Light, ScriptedBench, campaign, fault, made_policy, row
from scipy.stats import binom

from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.judge import compare, family_size
from qdhil.gate.verdict import Verdict

ALARM = 1e-4
CAMPAIGNS = 400
POLICY = made_policy()
CENTRAL = {"hbt": 120.0, "hom_parallel": 280.0, "hom_orthogonal": 560.0}


def most(rate: float, campaigns: int) -> int:
    """Most events that a true rate of at most ``rate`` explains."""
    return int(binom.isf(ALARM, campaigns, rate))


def decided(name: str, light: Light, quads: int) -> Verdict:
    blocks = row(light, DEFINITIONS[name].configurations, quads)
    return compare(name, blocks, POLICY, rig="made-1", rigs=1, context=CONTEXT).verdict


def outcomes(name: str, ratio: float, campaigns: int = CAMPAIGNS) -> list[Verdict]:
    worse = {DEFINITIONS[name].configurations[0]: ratio}
    first = 10_000 * (1 + list(DEFINITIONS).index(name)) + round(1_000_000 * ratio)
    return [decided(name, Light(first + number, worse=worse, central=CENTRAL), 1) for number in range(campaigns)]


COUNT_METRICS = ["g2.pulsed.area", "hom.v_unc", "hom.v_co_cross"]


@pytest.mark.parametrize("name", COUNT_METRICS)
def test_no_change_rarely_blocks_and_mostly_passes(name):
    found = outcomes(name, 1.0)
    level = POLICY.false_block_rate / family_size(POLICY, 1)
    assert found.count(Verdict.BLOCK) <= most(level, CAMPAIGNS)
    # without power the miss rate would be kept by never passing; the margins are 2.7 to 4.4 sigma away here
    assert found.count(Verdict.PASS) >= 0.7 * CAMPAIGNS


@pytest.mark.parametrize("name", COUNT_METRICS)
def test_a_regression_of_the_margin_rarely_passes(name):
    found = outcomes(name, POLICY.metrics[name].margin_ratio)
    assert found.count(Verdict.PASS) <= most(POLICY.miss_rate, CAMPAIGNS)


@pytest.mark.parametrize("name", COUNT_METRICS)
def test_a_clear_regression_blocks(name):
    """Twice the harm is beyond 7 sigma; a single miss in 40 has odds below 10^-6."""
    assert set(outcomes(name, 2.0, 40)) == {Verdict.BLOCK}


def drifting(kind: str, seed: int) -> Callable[[int], float]:
    """Log brightness by block: a line of 1 % a block, or an Ornstein-Uhlenbeck walk of 2 % over 20 blocks."""
    if kind == "linear":
        return lambda block: -0.01 * block
    rng = np.random.default_rng([seed, 1])
    decay = np.exp(-1 / 20)
    steps = rng.normal(0.0, 0.02 * np.sqrt(1 - decay**2), 64)
    steps[0] /= np.sqrt(1 - decay**2)
    walk = list(itertools.accumulate(steps, lambda last, step: decay * last + step))
    return lambda block: float(walk[block])


@pytest.mark.parametrize("kind", ["linear", "ornstein-uhlenbeck"])
def test_brightness_keeps_both_rates_under_drift(kind):
    """Six quads; a drift of -21 % over the campaign, or of 2 % up and down, is no change of the firmware.

    Power where nothing changed: under a line always (3 % are beyond 20 sigma of counting), under a walk in most.
    """
    level = POLICY.false_block_rate / family_size(POLICY, 1)

    def found(ratio: float, campaigns: int = CAMPAIGNS) -> list[Verdict]:
        return [
            decided("brightness.detected", Light(seed, dimmer=ratio, drift=drifting(kind, seed)), 6)
            for seed in range(campaigns)
        ]

    same = found(1.0)
    assert same.count(Verdict.BLOCK) <= most(level, CAMPAIGNS)
    assert same.count(Verdict.PASS) >= (0.6 if kind == "ornstein-uhlenbeck" else 0.99) * CAMPAIGNS
    at_margin = found(POLICY.metrics["brightness.detected"].margin_ratio)
    assert at_margin.count(Verdict.PASS) <= most(POLICY.miss_rate, CAMPAIGNS)
    at_tolerated = found(POLICY.metrics["brightness.detected"].tolerated_ratio)
    assert at_tolerated.count(Verdict.BLOCK) <= most(level, CAMPAIGNS)
    assert set(found(0.85, 40)) == {Verdict.BLOCK}


def faulty_bench(seed: int, baseline: float, candidate: float) -> ScriptedBench:
    """A rig on which a visit fails with a chance that depends on the firmware."""
    rng = np.random.default_rng([seed, 2])
    chance = {"baseline": baseline, "candidate": candidate}

    class Faulty(ScriptedBench):
        def boot(self, arm):
            super().boot(arm)
            if rng.random() < chance[arm]:
                raise fault()

    return Faulty(Light(seed))


def blocked_by_faults(campaigns: int, baseline: float, candidate: float) -> int:
    level = POLICY.false_block_rate / family_size(POLICY, 1)
    blocked = 0
    for seed in range(campaigns):
        measured = campaign(faulty_bench(seed, baseline, candidate), seed=seed, quads=6, fault_budget=100)
        measured.blocks("hbt")
        blocked += measured.faults.verdict(level) is Verdict.BLOCK
    return blocked


def test_faults_that_do_not_ask_for_the_firmware_rarely_block():
    """Restarted quads make the visits depend on the faults: Fisher's level must hold all the same."""
    level = POLICY.false_block_rate / family_size(POLICY, 1)
    assert blocked_by_faults(CAMPAIGNS, 0.1, 0.1) <= most(level, CAMPAIGNS)


def test_a_candidate_that_fails_every_second_visit_is_found_out():
    """About as many of its visits fail as the 12 that must succeed.

    The power is 93 % (of 1000 campaigns); fewer than 30 of 40 then have odds of 5·10^-5.
    """
    assert blocked_by_faults(40, 0.0, 0.5) >= 30
