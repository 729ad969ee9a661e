"""Properties of the stream of tags: chunking, reproducibility, sync, dark counts, drift, profiles."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from qdhil.errors import ConfigurationError
from qdhil.tags.wire import decode_block, encode_block
from qdhil_sim.light import Channels, Drift, LightStream, PulseControls, Setup, load_setup
from qdhil_sim.light._random import exponential, new_state, normal, uniform
from qdhil_sim.light.setup import CouplingDrift

PATHS = ["hbt", "hom_parallel", "hom_orthogonal", "blanked"]
ALL_CONTROLS = PulseControls(pulse_fwhm_ps=20, sync_jitter_ps=20, spurious_area_pi=0.2)


def rough_setup(**changes):
    """Return a setup with everything on: unequal detectors, negative delay, dead time, drift."""
    fields = load_setup("pillar-930").model_dump()
    fields["detector_a"] |= {"dark_rate_hz": 2e4}
    fields["detector_b"] |= {"efficiency": 0.6, "dark_rate_hz": 5e4, "jitter_ps": 40.0}
    fields["interferometer"] |= {"delay_periods": 2, "mode_mismatch": 0.02}
    fields["drift"] = {"coupling_sd": 0.3, "correlation_s": 0.05}
    return Setup.model_validate(fields | {"delay_b_ps": -30_000, "sync_divider": 64} | changes)


def stream(setup, path="hbt", seed=7, start_s=0.0, drift_seed=None, controls=ALL_CONTROLS):
    drift = None if drift_seed is None else Drift(setup.drift, drift_seed)
    return LightStream(setup, controls, path, seed=seed, start_s=start_s, drift=drift)


@pytest.mark.parametrize("rep_rate_hz", [80e6, 76.3e6])
@pytest.mark.parametrize("path", PATHS)
def test_takes_cut_one_and_the_same_acquisition(path, rep_rate_hz):
    setup = rough_setup(rep_rate_hz=rep_rate_hz)
    whole = stream(setup, path, start_s=1.2345678, drift_seed=1).take(30 * 10**9)
    for durations in ([3 * 10**9] * 10, [1, 7, 9_999_999_992, 0, 13, 10**10, 9_999_999_987]):
        assert sum(durations) == 30 * 10**9
        piecewise = stream(setup, path, start_s=1.2345678, drift_seed=1)
        end_ps, parts = 0, []
        for duration_ps in durations:
            parts.append(piecewise.take(duration_ps))
            assert np.all(parts[-1] >> 5 >= end_ps)
            end_ps += duration_ps
            assert np.all(parts[-1] >> 5 < end_ps)
        np.testing.assert_array_equal(np.concatenate(parts), whole)


WANDERING = {
    "lifetime_ps": 200.0,
    "overlap": 0.9,
    "leak_photons": 0.01,
    "background_photons": 0.01,
    "blinking": {"on_fraction": 0.6, "correlation_ns": 3e5},
    "diffusion": {"sd_ghz": 0.5, "correlation_ns": 2e6},
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["resonant", "pulse-pairs"])
def test_threads_and_takes_change_no_tag(path, kind):
    excitation = {"kind": kind} | ({"separation_ps": 3000.0} if kind == "pulse-pairs" else {})
    setup = rough_setup(emitter=WANDERING, excitation=excitation)
    parts = []
    for threads, takes in ((1, 1), (2, 1), (3, 12), (1, 5)):
        light = LightStream(setup, ALL_CONTROLS, path, seed=3, drift=Drift(setup.drift, 1), threads=threads)
        parts.append(np.concatenate([light.take(60 * 10**9 // takes) for _ in range(takes)]))
    for other in parts[1:]:
        np.testing.assert_array_equal(other, parts[0])


def test_two_streams_share_the_threads():
    setup = rough_setup(emitter=WANDERING)
    lights = [LightStream(setup, ALL_CONTROLS, "hom_parallel", seed=seed, threads=2) for seed in (1, 2)]
    parts = [[], []]
    for _ in range(8):
        for mine, light in zip(parts, lights, strict=True):
            mine.append(light.take(10**10))
    for seed, mine in zip((1, 2), parts, strict=True):
        alone = LightStream(setup, ALL_CONTROLS, "hom_parallel", seed=seed, threads=1).take(8 * 10**10)
        np.testing.assert_array_equal(np.concatenate(mine), alone)


def test_detectors_with_memory():
    """Afterpulses add their share to darks; a tagger's own dead time is kept."""
    memory = {"efficiency": 0.8, "dark_rate_hz": 1e5, "dead_time_ps": 20_000, "afterpulse_probability": 0.2}
    setup = rough_setup(detector_a=memory, tagger={"dead_time_ps": 50_000})
    whole = stream(setup, "blanked").take(10**12)
    t_ps = whole[(whole & 31) == 2] >> 5
    assert np.diff(t_ps).min() >= 50_000
    plain = rough_setup(detector_a={**memory, "afterpulse_probability": 0.0})
    darks = stream(plain, "blanked").take(10**12)
    assert 1.05 < t_ps.size / np.count_nonzero((darks & 31) == 2) < 1.25
    pieces = stream(setup, "hbt")
    cut = np.concatenate([pieces.take(7 * 10**9) for _ in range(4)])
    np.testing.assert_array_equal(cut, stream(setup, "hbt").take(28 * 10**9))


def test_a_large_negative_delay_moves_no_tag():
    """One photon a pulse and no dead time: no two clicks of b within half a period, seams included."""
    setup = rough_setup(
        delay_b_ps=-(10**6),
        emitter={"lifetime_ps": 200.0, "overlap": 1.0},
        detector_b={"efficiency": 0.8, "jitter_ps": 18.0},
    )
    words = stream(setup, controls=PulseControls(pulse_fwhm_ps=0)).take(200 * 10**9)
    gaps_ps = np.diff(words[(words & 31) == 3] >> 5)
    assert gaps_ps.size > 300_000
    assert gaps_ps.min() > setup.period_ps / 2


@pytest.mark.parametrize("path", PATHS)
def test_words_are_sorted_and_travel(path):
    words = stream(rough_setup(), path).take(20 * 10**9)
    assert words.dtype == np.int64
    assert words[0] >= 0
    assert set(np.unique(words & 31)) == ({1, 2, 3})
    block = decode_block(encode_block(words, sequence=0, acquisition=1, dropped=0))
    np.testing.assert_array_equal(block.packed, words)


def test_the_seed_decides():
    setup = rough_setup()
    first = stream(setup, seed=[3, 4]).take(10**10)
    np.testing.assert_array_equal(stream(setup, seed=[3, 4]).take(10**10), first)
    other = stream(setup, seed=[3, 5]).take(10**10)
    assert np.intersect1d(first[(first & 31) != 1], other[(other & 31) != 1]).size < 100


def test_channels_are_parameters():
    channels = Channels(sync=30, a=0, b=17)
    setup, seeds = rough_setup(), {"seed": 5}
    words = LightStream(setup, PulseControls(), "hbt", **seeds, channels=channels).take(10**9)
    usual = LightStream(setup, PulseControls(), "hbt", **seeds, channels=Channels()).take(10**9)
    renamed = {30: 1, 0: 2, 17: 3}
    back = np.array([(word >> 5 << 5) | renamed[int(word & 31)] for word in words])
    np.testing.assert_array_equal(np.sort(back), usual)


@pytest.mark.parametrize("rep_rate_hz", [80e6, 76.3e6])
def test_sync_keeps_the_laser_time(rep_rate_hz):
    """One tag every ``sync_divider`` pulses, at the pulse but for the input's jitter."""
    setup = rough_setup(rep_rate_hz=rep_rate_hz, sync_divider=100_000)
    words = stream(setup, "blanked").take(20 * 10**12 - 10**6)
    t_ps = words[(words & 31) == 1] >> 5
    assert t_ps.size == math.ceil(20 * rep_rate_hz / 100_000)
    nominal_ps = [number * 100_000 * 10**12 // int(rep_rate_hz) for number in range(t_ps.size)]
    off_ps = t_ps - np.array(nominal_ps)
    assert np.abs(off_ps).max() < 6 * 5.0 + 1
    assert off_ps.std() == pytest.approx(5.0, rel=4 / math.sqrt(2 * off_ps.size) + 0.01)


def test_dark_counts_are_poisson():
    """Gaps are exponential beyond the dead time: Kolmogorov-Smirnov, false alarm 1e-4 per seed."""
    setup = rough_setup()
    words = stream(setup, "blanked").take(2 * 10**12)
    t_ps = words[(words & 31) == 3] >> 5
    gaps_ps = np.diff(t_ps) - setup.detector_b.dead_time_ps
    assert gaps_ps.min() >= 0
    assert stats.kstest(gaps_ps, stats.expon(scale=1e12 / 5e4).cdf).pvalue > 1e-4


@pytest.mark.parametrize("path", PATHS)
def test_dead_time_is_kept(path):
    setup = rough_setup()
    words = stream(setup, path).take(20 * 10**9)
    for channel in (2, 3):
        assert np.diff(words[(words & 31) == channel] >> 5).min() >= setup.detector_a.dead_time_ps


def test_drift_does_not_depend_on_who_asked_before():
    drift = CouplingDrift(coupling_sd=0.1, correlation_s=1.0)
    steps = [0, 1, 4095, 4096, 4097, 20_000, 20_001]
    forward = [Drift(drift, [1, 2]).coupling(step) for step in steps]
    shared = Drift(drift, [1, 2])
    backward = [shared.coupling(step) for step in reversed(steps)]
    assert forward == backward[::-1]
    assert shared.coupling(-5) == forward[0]
    values = np.log([shared.coupling(step) for step in range(8192)])
    assert np.abs(np.diff(values)).max() < 6 * 0.1 * math.sqrt(2 * 0.01)


def test_drift_is_an_ornstein_uhlenbeck_process():
    """Variance and correlation over 500 rigs, 4 standard errors: odds of a false alarm 1.9e-4."""
    drift = CouplingDrift(coupling_sd=0.1, correlation_s=20.0)
    rigs = [Drift(drift, seed) for seed in range(500)]
    values = np.log([[rig.coupling(step) for step in (0, 2000, 4500)] for rig in rigs]) + 0.1**2 / 2
    assert np.all(np.abs(values.mean(axis=0)) < 4 * 0.1 / math.sqrt(500))
    assert np.all(np.abs(values.var(axis=0) / 0.01 - 1) < 4 * math.sqrt(2 / 500))
    for first, second, lag_s in ((0, 1, 20.0), (1, 2, 25.0)):
        expected = math.exp(-lag_s / 20.0)
        found = np.corrcoef(values[:, first], values[:, second])[0, 1]
        assert abs(found - expected) < 4 * (1 - expected**2) / math.sqrt(500)


def test_two_acquisitions_see_one_drift():
    """Clicks per 10 ms follow the shared coupling, 4.5 standard errors, 40 steps: false alarm 5e-4."""
    setup = rough_setup(detector_a={"efficiency": 0.8}, detector_b={"efficiency": 0.8})
    drift = Drift(setup.drift, 9)
    quiet = PulseControls(pulse_fwhm_ps=0)
    per_step = 80e6 * 0.01 * setup.transmission * 0.8 * (1 + setup.emitter.leak_photons)
    for seed, start_step in enumerate((0, 35)):
        light = LightStream(setup, quiet, "hbt", seed=seed, start_s=start_step / 100, drift=drift)
        for step in range(start_step, start_step + 20):
            words = light.take(10**10)
            expected = per_step * drift.coupling(step)
            assert abs(np.count_nonzero((words & 31) != 1) - expected) < 4.5 * math.sqrt(expected)


@pytest.mark.parametrize(("draw", "law"), [(uniform, stats.uniform), (exponential, stats.expon), (normal, stats.norm)])
def test_random_numbers_have_their_law(draw, law):
    """Kolmogorov-Smirnov on 300,000 numbers and the serial correlation: false alarm 1.7e-4."""
    state = new_state(np.random.SeedSequence(11))
    numbers = np.array([draw(state) for _ in range(300_000)])
    assert stats.kstest(numbers, law.cdf).pvalue > 1e-4
    tail = law.ppf(1 - 1e-4)
    assert abs(np.count_nonzero(numbers > tail) - 30) < 4 * math.sqrt(30)
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 4 / math.sqrt(numbers.size)


def test_the_profile_is_as_announced():
    from qdhil_sim.light.closed_form import click_rates_hz, predict

    setup = load_setup("pillar-930")
    baseline = predict(setup, PulseControls())
    assert click_rates_hz(setup, PulseControls(), "hbt") == pytest.approx((2e6, 2e6), rel=0.01)
    assert baseline.g2 == pytest.approx(0.0175, abs=0.0005)
    assert baseline.visibility_unc == pytest.approx(0.92, abs=0.002)
    assert predict(setup, PulseControls(pulse_fwhm_ps=20)).g2 > 1.8 * baseline.g2
    jitter = predict(setup, PulseControls(sync_jitter_ps=20))
    assert (jitter.g2, jitter.mean_photons) == (baseline.g2, baseline.mean_photons)
    assert baseline.visibility_unc - jitter.visibility_unc == pytest.approx(0.097, abs=0.003)
    dim = predict(setup, PulseControls(pulse_area_pi=0.8)).mean_photons / baseline.mean_photons
    assert 0.90 <= dim <= 0.91
    spurious = predict(setup, PulseControls(spurious_area_pi=0.1))
    assert spurious.g2 == pytest.approx(0.063, abs=0.001)
    assert spurious.mean_photons / baseline.mean_photons == pytest.approx(1.024, abs=0.001)


def test_all_errors_of_a_profile_come_at_once(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text("rep_rate_hz = -1\nsurprise = 2\ntransmission = 2\n[emitter]\nlifetime_ps = 'x'\n")
    with pytest.raises(ConfigurationError) as caught:
        load_setup(file)
    text = str(caught.value)
    for path in ("rep_rate_hz", "surprise", "transmission", "emitter.lifetime_ps", "detector_a"):
        assert path in text


@pytest.mark.parametrize("name", ["pillar-931", "no/such.toml", ""])
def test_an_unknown_profile_is_one_clear_line(name):
    with pytest.raises(ConfigurationError, match=r"^profile[^\n]*$"):
        load_setup(name)


def test_wrong_arguments_are_refused():
    setup = rough_setup()
    with pytest.raises(ConfigurationError, match="path"):
        stream(setup, "hom")
    with pytest.raises(ConfigurationError, match="start_s"):
        stream(setup, start_s=-1.0)
    with pytest.raises(ConfigurationError, match="threads"):
        LightStream(setup, ALL_CONTROLS, "hbt", seed=1, threads=0)
    with pytest.raises(ConfigurationError, match="duration_ps"):
        stream(setup).take(-1)
    with pytest.raises(ConfigurationError, match="beyond the model"):
        stream(setup, controls=PulseControls(pulse_fwhm_ps=400))


def test_the_package_loads_without_numba_or_scipy():
    code = "import sys, qdhil_sim.light; sys.exit(bool({'numba', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
