"""How fast light is made: device seconds per second of one core, at 2 Mcps a detector.

The peer is the same HBT light drawn with numpy alone, in arrays of 10 ms: without re-excitation, leak,
spurious pulses, drift and dead time, so it has less to do.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from qdhil_sim.light import LightStream, PulseControls, load_setup

TAKE_PS = 10**11
SETUP = load_setup("pillar-930").model_copy(update={"transmission": 0.0635})
HOM_SETUP = SETUP.model_copy(update={"transmission": 0.0635 / SETUP.interferometer.transmission})


def numpy_hbt(rng, take_ps):
    """Return packed words of both detectors and sync, drawn with numpy alone."""
    period_ps, step_ps, eta = SETUP.period_ps, 10**10, SETUP.transmission * SETUP.detector_a.efficiency
    parts = []
    for begin_ps in range(0, take_ps, step_ps):
        pulses = int(step_ps / period_ps)
        gaps = rng.geometric(eta, int(pulses * eta * 1.05) + 1000)
        pulse = np.cumsum(gaps)
        pulse = pulse[: np.searchsorted(pulse, pulses)]
        at_b = rng.random(pulse.size) < 0.5
        t_ps = pulse * period_ps + rng.exponential(SETUP.emitter.lifetime_ps, pulse.size)
        t_ps += rng.normal(0, SETUP.detector_a.jitter_ps, pulse.size) + at_b * SETUP.delay_b_ps
        sync_ps = np.arange(0, pulses, SETUP.sync_divider) * period_ps
        light = ((np.rint(t_ps).astype(np.int64) + begin_ps) << 5) | np.where(at_b, 3, 2)
        sync = ((np.rint(sync_ps).astype(np.int64) + begin_ps) << 5) | 1
        parts.append(np.sort(np.concatenate((light, sync))))
    return np.concatenate(parts)


def best_s(function, rounds=5):
    """Return the shortest of several runs in seconds."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


@pytest.mark.parametrize("path", ["hbt", "hom_parallel"])
def test_light(benchmark, path):
    stream = LightStream(HOM_SETUP if path != "hbt" else SETUP, PulseControls(), path, seed=1)
    tags = stream.take(TAKE_PS).size
    benchmark(stream.take, TAKE_PS)
    fastest_s = benchmark.stats.stats.min
    benchmark.extra_info["device_s_per_s"] = TAKE_PS / 1e12 / fastest_s
    benchmark.extra_info["million_tags_per_s"] = tags / fastest_s / 1e6
    if path == "hbt":
        rng = np.random.default_rng(1)
        peer_s = best_s(lambda: numpy_hbt(rng, TAKE_PS))
        benchmark.extra_info["numpy_million_tags_per_s"] = numpy_hbt(rng, TAKE_PS).size / peer_s / 1e6
        benchmark.extra_info["times_as_fast_as_numpy"] = peer_s / fastest_s
