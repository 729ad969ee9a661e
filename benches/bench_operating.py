"""Operating characteristics at event level: campaigns of simulated light, photon by photon, counted and judged.

``python benches/bench_operating.py [CAMPAIGNS] [SEED] > docs/operating-event-level.json`` judges g2(0) after every
quad, for no change and for a pulse so long that the ratio is the policy's margin, each with a steady rig and with a
coupling that drifts by 3 %; twice as many campaigns at the margin. ``qdhil oc --event-level FILE`` puts the numbers on
its page. Blocks are short: about 12 central coincidences, as in the campaigns at count level.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from scipy.optimize import brentq

from qdhil.gate.blocks import Block
from qdhil.gate.campaign import ORDERS
from qdhil.gate.operating import judged
from qdhil.gate.policy import Policy, default_policy_file, load_policy
from qdhil.gate.quads import Context
from qdhil.metrics.coincidences import count_block
from qdhil_sim.light import Channels, Drift, LightStream, PulseControls, load_setup
from qdhil_sim.light.closed_form import predict
from qdhil_sim.light.setup import CouplingDrift, Setup

METRIC = "g2.pulsed.area"
CENTRALS, VISIT_S = 12.0, 0.5
"""Mean centrals of a baseline block, and rig time from one visit to the next, for the drift."""
CHANNELS = Channels()
DRIFTING = CouplingDrift(coupling_sd=0.03, correlation_s=20 * VISIT_S)
SETUP = load_setup("pillar-930").model_copy(update={"sync_divider": 512})


def pulse_for(ratio: float) -> PulseControls:
    """Return the pulse with which g2(0) is so many times that of the baseline."""
    wanted = ratio * predict(SETUP, PulseControls()).g2

    def excess(fwhm_ps: float) -> float:
        return predict(SETUP, PulseControls(pulse_fwhm_ps=fwhm_ps)).g2 - wanted

    return PulseControls(pulse_fwhm_ps=float(brentq(excess, 1.0, 60.0)))


def dwell_ps() -> int:
    expected = predict(SETUP, PulseControls())
    photons = expected.mean_photons * SETUP.transmission * SETUP.detector_a.efficiency
    per_pulse = expected.g2 * photons**2 / 4
    return round(CENTRALS / per_pulse * SETUP.period_ps)


def block(number: int, arm: str, controls: PulseControls, drift: Drift, policy: Policy, seed: list[int]) -> Block:
    stream = LightStream(
        SETUP, controls, "hbt", seed=[*seed, number], channels=CHANNELS, start_s=number * VISIT_S, drift=drift
    )
    taken_ps = dwell_ps()
    words = stream.take(taken_ps)
    t_ps, channel = words >> 5, words & 31
    counts = count_block(
        t_ps[channel == CHANNELS.a],
        t_ps[channel == CHANNELS.b],
        t_ps[channel == CHANNELS.sync],
        sync_divider=SETUP.sync_divider,
        delay_ps=SETUP.delay_b_ps,
        window_ps=policy.window.window_ps,
        max_lag=policy.window.max_lag,
        dwell_s=taken_ps / 1e12,
    )
    return Block(number // 4, number % 4, arm, "hbt", counts, {}, "")


def campaign(policy: Policy, context: Context, candidate: PulseControls, drifting: bool, seed: list[int]):
    """Return how one campaign ends, measuring no quad that the evidence has made unnecessary."""
    rng = np.random.default_rng(seed)
    drift = Drift(DRIFTING if drifting else CouplingDrift(), seed)
    controls = {"baseline": PulseControls(), "candidate": candidate}
    blocks: list[Block] = []
    for quads in range(1, policy.campaign.quads_max + 1):
        for arm in ORDERS[int(rng.integers(2))]:
            blocks.append(block(len(blocks), arm, controls[arm], drift, policy, seed))
        if quads < policy.campaign.quads_min:
            continue
        design = policy.campaign.model_copy(update={"quads_min": policy.campaign.quads_min, "quads_max": quads})
        ending = judged(METRIC, blocks, policy.model_copy(update={"campaign": design}), context)
        if ending.word != "INCONCLUSIVE":
            return ending
    return ending


def main() -> None:
    campaigns = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261123
    assert isinstance(SETUP, Setup)
    policy = load_policy(default_policy_file())
    context = Context(2, SETUP.detector_a.dead_time_ps, policy.confidence, None)
    begin = time.perf_counter()
    cells = []
    for drifting in (False, True):
        for truth, ratio in (("no change", 1.0), ("margin", policy.metrics[METRIC].margin_ratio)):
            pulse = pulse_for(ratio)
            # misses are nearer to their rate than false blocks are: a bound needs more of them
            count = campaigns if truth == "no change" else 2 * campaigns
            endings = [
                campaign(policy, context, pulse, drifting, [seed, drifting, round(100 * ratio), number])
                for number in range(count)
            ]
            words = [ending.word for ending in endings]
            cells.append(
                {
                    "metric": METRIC,
                    "drift": "OU 3 %" if drifting else "none",
                    "truth": truth,
                    "ratio": ratio,
                    "campaigns": count,
                    "passed": words.count("PASS"),
                    "blocked": words.count("BLOCK"),
                    "inconclusive": words.count("INCONCLUSIVE"),
                    "mean_quads": float(np.mean([ending.quads for ending in endings])),
                }
            )
            sys.stderr.write(f"{cells[-1]} {time.perf_counter() - begin:.0f} s\n")
    record = {
        "seed": seed,
        "centrals": CENTRALS,
        "dwell_ms": dwell_ps() / 1e9,
        "policy_sha256": policy.sha256,
        "cells": cells,
    }
    sys.stdout.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
