"""How fast light is made: device seconds per second of one core, at 2 Mcps a detector.

The peer is the same HBT light drawn with numpy alone, in arrays of 10 ms: without re-excitation, leak,
spurious pulses, drift and dead time, so it has less to do. Perceval is measured where it is installed.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from qdhil_sim.light import LightStream, PulseControls, Setup, load_setup

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


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("path", ["hbt", "hom_parallel"])
def test_light(benchmark, path, threads):
    """Wall time and processor time; the second shows what a busy machine hides of the first."""
    stream = LightStream(HOM_SETUP if path != "hbt" else SETUP, PulseControls(), path, seed=1, threads=threads)
    tags = stream.take(TAKE_PS).size
    begin_s = time.process_time()
    benchmark(stream.take, TAKE_PS)
    rounds = benchmark.stats.stats.rounds
    fastest_s = benchmark.stats.stats.min
    benchmark.extra_info["device_s_per_s"] = TAKE_PS / 1e12 / fastest_s
    benchmark.extra_info["million_tags_per_s"] = tags / fastest_s / 1e6
    benchmark.extra_info["million_tags_per_processor_s"] = rounds * tags / (time.process_time() - begin_s) / 1e6
    if path == "hbt" and threads == 1:
        rng = np.random.default_rng(1)
        peer_s = best_s(lambda: numpy_hbt(rng, TAKE_PS))
        benchmark.extra_info["numpy_million_tags_per_s"] = numpy_hbt(rng, TAKE_PS).size / peer_s / 1e6
        benchmark.extra_info["times_as_fast_as_numpy"] = peer_s / fastest_s


WANDERING = {
    "blinking": {"on_fraction": 0.7, "correlation_ns": 1000.0},
    "diffusion": {"sd_ghz": 0.3, "correlation_ns": 700.0},
}


@pytest.mark.parametrize("what", WANDERING)
@pytest.mark.parametrize("path", ["hbt", "hom_parallel"])
def test_light_of_a_dot_that_wanders(benchmark, path, what):
    fields = SETUP.model_dump()
    fields["emitter"][what] = WANDERING[what]
    stream = LightStream(Setup.model_validate(fields), PulseControls(), path, seed=1, threads=1)
    tags = stream.take(TAKE_PS).size
    benchmark(stream.take, TAKE_PS)
    benchmark.extra_info["million_tags_per_s"] = tags / benchmark.stats.stats.min / 1e6


def test_perceval_sampler(benchmark):
    """Perceval's sampler of the same HBT light: a source with losses on a beam splitter, shot by shot.

    It samples Fock states, not times; what compares is detected photons per second.
    """
    perceval = pytest.importorskip("perceval", reason="perceval-quandela is not installed")
    shots = 100_000
    eta = SETUP.transmission * SETUP.detector_a.efficiency
    noise = perceval.NoiseModel(brightness=1.0, g2=0.0175, g2_distinguishable=True, transmittance=eta)
    processor = perceval.Processor("SLOS", perceval.Circuit(2).add(0, perceval.BS()), noise=noise)
    processor.min_detected_photons_filter(0)
    processor.with_input(perceval.BasicState([1, 0]))
    sampler = perceval.algorithm.Sampler(processor)

    states = benchmark.pedantic(lambda: sampler.samples(shots)["results"], rounds=3, warmup_rounds=1)
    photons = sum(state.n for state in states)
    benchmark.extra_info["million_photons_per_s"] = photons / benchmark.stats.stats.min / 1e6
