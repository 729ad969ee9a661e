"""Operating characteristics at event level: campaigns of simulated light, photon by photon, counted and judged.

``python benches/bench_operating.py [CAMPAIGNS] [SEED] > docs/operating-event-level.json`` judges g2(0) after every
quad, for no change and for a pulse so long that the ratio is half the policy's margin, the margin, or twice that, each
on a steady rig, with a coupling that drifts by 3 %, and with a dot that blinks. ``qdhil oc --event-level FILE`` puts
the numbers on its page. Blocks are short: about 12 central coincidences, as in the campaigns at count level.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy.optimize import brentq

from qdhil.gate.blocks import Block
from qdhil.gate.campaign import ORDERS
from qdhil.gate.operating import TRUTHS, Ending, judged
from qdhil.gate.policy import Policy, default_policy_file, load_policy
from qdhil.gate.quads import Context
from qdhil.metrics.coincidences import count_block
from qdhil_sim.light import Channels, Drift, LightStream, PulseControls, load_setup
from qdhil_sim.light.closed_form import predict
from qdhil_sim.light.emitter import Blinking
from qdhil_sim.light.setup import CouplingDrift, Setup

METRIC = "g2.pulsed.area"
CENTRALS, VISIT_S = 12.0, 0.5
"""Mean centrals of a baseline block, and rig time from one visit to the next, for the drift."""
CHANNELS = Channels()
SETUP = load_setup("pillar-930").model_copy(update={"sync_divider": 512})
BLINKING = Blinking(on_fraction=0.5, correlation_ns=3e5)
"""The time in the bright state scatters by 20 % from block to block."""
LIGHTS = {
    "none": (SETUP, CouplingDrift()),
    "OU 3 %": (SETUP, CouplingDrift(coupling_sd=0.03, correlation_s=20 * VISIT_S)),
    "blinking": (
        SETUP.model_copy(update={"emitter": SETUP.emitter.model_copy(update={"blinking": BLINKING})}),
        CouplingDrift(),
    ),
}
SHARES = {0.0: 1.0, 0.5: 0.25, 1.0: 2.0, 2.0: 0.5}
"""Campaigns of a true change, in margins: misses are nearer to their rate than false blocks, a bound needs more."""


def pulse_for(ratio: float) -> PulseControls:
    """Return the pulse with which g2(0) is so many times that of the baseline."""
    wanted = ratio * predict(SETUP, PulseControls()).g2

    def excess(fwhm_ps: float) -> float:
        return predict(SETUP, PulseControls(pulse_fwhm_ps=fwhm_ps)).g2 - wanted

    return PulseControls(pulse_fwhm_ps=float(brentq(excess, 1.0, 60.0)))


def dwell_ps(setup: Setup) -> int:
    expected = predict(SETUP, PulseControls())
    photons = expected.mean_photons * SETUP.transmission * SETUP.detector_a.efficiency
    per_pulse = expected.g2 * photons**2 / 4 * setup.emitter.blinking.on_fraction
    return round(CENTRALS / per_pulse * SETUP.period_ps)


def block(
    setup: Setup, number: int, arm: str, controls: PulseControls, drift: Drift, policy: Policy, seed: list[int]
) -> Block:
    stream = LightStream(
        setup, controls, "hbt", seed=[*seed, number], channels=CHANNELS, start_s=number * VISIT_S, drift=drift
    )
    taken_ps = dwell_ps(setup)
    words = stream.take(taken_ps)
    t_ps, channel = words >> 5, words & 31
    counts = count_block(
        t_ps[channel == CHANNELS.a],
        t_ps[channel == CHANNELS.b],
        t_ps[channel == CHANNELS.sync],
        sync_divider=setup.sync_divider,
        delay_ps=setup.delay_b_ps,
        window_ps=policy.window.window_ps,
        max_lag=policy.window.max_lag,
        dwell_s=taken_ps / 1e12,
    )
    return Block(number // 4, number % 4, arm, "hbt", counts, {}, "")


def campaign(case: tuple[str, float, int, int]) -> Ending:
    """Return how one campaign ends, measuring no quad that the evidence has made unnecessary."""
    light, margins, seed, number = case
    setup, coupling = LIGHTS[light]
    policy = load_policy(default_policy_file())
    context = Context(2, setup.detector_a.dead_time_ps, policy.confidence, None)
    keys = [seed, list(LIGHTS).index(light), round(100 * margins), number]
    rng, drift = np.random.default_rng(keys), Drift(coupling, keys)
    controls = {"baseline": PulseControls(), "candidate": pulse_for(ratio_of(policy, margins))}
    blocks: list[Block] = []
    for quads in range(1, policy.campaign.quads_max + 1):
        for arm in ORDERS[int(rng.integers(2))]:
            blocks.append(block(setup, len(blocks), arm, controls[arm], drift, policy, keys))
        if quads < policy.campaign.quads_min:
            continue
        design = policy.campaign.model_copy(update={"quads_max": quads})
        ending = judged(METRIC, blocks, policy.model_copy(update={"campaign": design}), context)
        if ending.word != "INCONCLUSIVE":
            return ending
    return ending


def ratio_of(policy: Policy, margins: float) -> float:
    return 1 + margins * (policy.metrics[METRIC].margin_ratio - 1)


def main() -> None:
    campaigns = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261123
    policy = load_policy(default_policy_file())
    begin = time.perf_counter()
    cells = []
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        for light in LIGHTS:
            for truth, margins in TRUTHS.items():
                count = round(campaigns * SHARES[margins])
                endings = list(pool.map(campaign, [(light, margins, seed, number) for number in range(count)]))
                words = [ending.word for ending in endings]
                cells.append(
                    {
                        "metric": METRIC,
                        "drift": light,
                        "truth": truth,
                        "ratio": ratio_of(policy, margins),
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
        "dwell_ms": dwell_ps(SETUP) / 1e9,
        "policy_sha256": policy.sha256,
        "cells": cells,
    }
    sys.stdout.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
