"""What limits interference and what bunches light, one cause at a time and together, against closed forms.

Every comparison is at 4 standard errors over 50 batches, seeds fixed: a correct sampler exceeds them in
2.1e-4 of the comparisons, and about 50 of them give odds of a false alarm of 1 % per choice of seeds.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from light_made import BATCHES, PERIOD_PS, agrees, batches, bright, pairs, peaks, ratio_agrees
from scipy.special import erfcx

from qdhil_sim.light import LightStream, PulseControls
from qdhil_sim.light.closed_form import adjacent_visibility, pair_areas, predict, source_numbers
from qdhil_sim.light.overlap import line_overlap, signal_overlap, start_overlap

T1_PS = 200.0
RATE = 1 / T1_PS
SHARP = PulseControls(pulse_fwhm_ps=0)


def dot(**changes):
    return {"lifetime_ps": T1_PS, "overlap": 1.0, **changes}


def detuned(ghz, overlap=1.0):
    total = RATE / overlap
    return RATE * total / (total**2 + (2e-3 * math.pi * ghz) ** 2)


def diffused(ghz, overlap=1.0):
    """The overlap for lines that differ by a Gaussian of this standard deviation."""
    total, spread = RATE / overlap, 2e-3 * math.pi * ghz
    return overlap * math.sqrt(math.pi / 2) * total / spread * float(erfcx(total / (math.sqrt(2) * spread)))


WANDERING = {"diffusion": {"sd_ghz": 0.3, "correlation_ns": 50.0}}
APART = math.sqrt(2 * -math.expm1(-12.5 / 50.0))
FAR_APART = math.sqrt(2 * -math.expm1(-8 * 12.5 / 50.0))
RELAXING = {"kind": "p-shell", "relaxation_ps": 20.0}

LIMITS = {
    "perfect": ({}, {}, 1.0),
    "dephasing": ({"emitter": dot(overlap=0.8)}, {}, 0.8),
    "jitter": ({}, {"sync_jitter_ps": 30.0}, float(erfcx(0.15))),
    "detuning": ({}, {"bias_ripple_ghz": 0.4}, detuned(0.4)),
    "detuning of every second": ({"interferometer": {"delay_periods": 2}}, {"bias_ripple_ghz": 0.4}, 1.0),
    "feeding": ({"excitation": RELAXING}, {}, 1 / 1.1),
    "cascade": (
        {"excitation": {"kind": "two-photon", "biexciton_lifetime_ps": 100.0}},
        {},
        2 / 3,
    ),
    "diffusion": ({"emitter": dot(**WANDERING)}, {}, diffused(0.3 * APART)),
    "diffusion, longer delay": (
        {"emitter": dot(**WANDERING), "interferometer": {"delay_periods": 8}},
        {},
        diffused(0.3 * FAR_APART),
    ),
    "diffusion and dephasing": ({"emitter": dot(overlap=0.9, **WANDERING)}, {}, diffused(0.3 * APART, 0.9)),
    "longer arm": ({"interferometer": {"delay_error_ps": 30.0}}, {}, math.exp(-0.15)),
    "shorter arm": ({"interferometer": {"delay_error_ps": -30.0}}, {}, math.exp(-0.15)),
    "injection": (
        {"excitation": {"kind": "electrical", "relaxation_ps": 20.0, "injection_jitter_ps": 30.0}},
        {},
        start_overlap(T1_PS, 30.0, 20.0, 0.0),
    ),
    "all": (
        {
            "emitter": dot(overlap=0.95, **WANDERING),
            "excitation": RELAXING,
            "interferometer": {"delay_error_ps": 15.0},
        },
        {"sync_jitter_ps": 15.0, "bias_ripple_ghz": 0.2},
        start_overlap(T1_PS, 15.0, 20.0, 15.0) * line_overlap(T1_PS, RATE / 0.95 / 2 - RATE / 2, 0.2, 0.3 * APART),
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_the_overlap(name):
    """The limit is written here on its own, the closed form must equal it, and so must sampled light."""
    changes, settings, expected = LIMITS[name]
    setup = bright(**{"emitter": dot()} | changes)
    controls = PulseControls(pulse_fwhm_ps=0, **settings)
    assert signal_overlap(setup, controls) == pytest.approx(expected, rel=1e-9)
    n = setup.interferometer.delay_periods
    counts = peaks(setup, "hom_parallel", [0, n + 3, -n - 3], controls)
    if expected == 1:
        assert counts[:, 0].sum() == 0
        return
    ok, z = ratio_agrees(2 * counts[:, 0], counts[:, 1:].mean(axis=1), 1 - expected)
    assert ok, z


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jitter", "diffusion and dephasing", "all"])
def test_limits_with_ten_times_the_light(name):
    changes, settings, expected = LIMITS[name]
    setup = bright(**{"emitter": dot()} | changes)
    controls = PulseControls(pulse_fwhm_ps=0, **settings)
    counts = np.concatenate([peaks(setup, "hom_parallel", [0, 4, -4], controls, seed) for seed in range(20, 30)])
    ok, z = ratio_agrees(2 * counts[:, 0], counts[:, 1:].mean(axis=1), 1 - expected)
    assert ok, z


def test_start_overlap_is_the_mean_over_starts():
    """Against plain sampling of the starts, 4 standard errors of 400,000."""
    rng = np.random.default_rng(5)
    for jitter_ps, feeding_ps, mismatch_ps in ((30, 80, 37), (0, 200, -50), (60, 0, 100)):
        apart_ps = mismatch_ps + rng.normal(0, math.sqrt(2) * jitter_ps, 400_000)
        if feeding_ps:
            apart_ps += rng.exponential(feeding_ps, 400_000) - rng.exponential(feeding_ps, 400_000)
        values = np.exp(-np.abs(apart_ps) / T1_PS)
        error = 4 * values.std() / math.sqrt(values.size)
        assert start_overlap(T1_PS, jitter_ps, feeding_ps, mismatch_ps) == pytest.approx(values.mean(), abs=error)


@pytest.mark.parametrize("g2", [0.0, 0.02, 0.1])
def test_purity(g2):
    """Laser leak ν with one signal photon a pulse makes 2ν/(1 + ν)²."""
    leak = (1 - g2 - math.sqrt(1 - 2 * g2)) / g2 if g2 else 0.0
    setup = bright(emitter=dot(leak_photons=leak))
    assert predict(setup, SHARP).g2 == pytest.approx(g2, abs=1e-12)
    counts = peaks(setup, "hbt", [0, 7, -7], SHARP)
    if g2 == 0:
        assert counts[:, 0].sum() == 0
        return
    ok, z = ratio_agrees(counts[:, 0], counts[:, 1:].mean(axis=1), g2)
    assert ok, z


BLINKING = {"on_fraction": 0.5, "correlation_ns": 100.0}


def test_blinking_bunches_the_side_peaks():
    """The envelope 1 + (1 - β)/β exp(-|m|T/τ_b), and singles and g2(0) against far peaks."""
    setup = bright(emitter=dot(leak_photons=0.05, blinking=BLINKING), transmission=0.15)
    source = source_numbers(setup, SHARP)
    lags = [1, 4, 8, 16]
    rows = []
    for a_ps, b_ps in batches(setup, "hbt", SHARP):
        near = [pairs(a_ps, b_ps, lag * PERIOD_PS) for lag in lags]
        rows.append([a_ps.size + b_ps.size, pairs(a_ps, b_ps, 0), *near])
    unit = 100_000 * (0.15 * 0.9 * source.mean / 2) ** 2
    expected = [source.g2, *(source.envelope(lag * PERIOD_PS) for lag in lags)]
    rows = np.array(rows)
    ok, z = agrees(rows[:, 1:] / unit, expected)
    assert ok, z
    ok, z = agrees(rows[:, 0] / 100_000, 0.15 * 0.9 * source.mean)
    assert ok, z
    assert source_numbers(bright(emitter=dot(blinking=BLINKING)), SHARP).envelope(0) == pytest.approx(2)


def test_visibility_from_adjacent_peaks_is_immune_to_slow_blinking():
    """V' = 1 - A0 (3 + g)/(A+ + A-) keeps its value where V, from far peaks, falls below it."""
    steady = bright(emitter=dot(overlap=0.9))
    slow = bright(emitter=dot(overlap=0.9, blinking={"on_fraction": 0.5, "correlation_ns": 50_000.0}))
    # bursts of 100 us are few in a batch, so the peaks compared must see the same ones
    expected = [predict(setup, SHARP) for setup in (steady, slow)]
    adjacent = [adjacent_visibility(form.areas_parallel, form.g2) for form in expected]
    assert adjacent[1] == pytest.approx(adjacent[0], abs=1e-3)
    assert expected[0].visibility_unc == pytest.approx(adjacent[0], rel=1e-9)
    assert expected[1].visibility_unc < adjacent[1] - 0.09
    for setup, form, value in zip((steady, slow), expected, adjacent, strict=True):
        counts = peaks(setup, "hom_parallel", [0, 1, -1], SHARP)
        ok, z = ratio_agrees(counts[:, 0] * (3 + form.g2), counts[:, 1] + counts[:, 2], 1 - value)
        assert ok, z


@pytest.mark.parametrize("path", ["hom_parallel", "hom_orthogonal"])
def test_areas_with_blinking_and_uneven_splitters(path):
    setup = bright(
        emitter=dot(overlap=0.9, leak_photons=0.03, blinking=BLINKING),
        interferometer={"delay_periods": 2, "bs1_short": 0.45, "bs2_transmission": 0.55, "mode_mismatch": 0.02},
    )
    form = predict(setup, PulseControls())
    counts = peaks(setup, path, [0, 2, -2, 200, -200])
    areas = form.areas_parallel if path == "hom_parallel" else form.areas_orthogonal
    ok, z = agrees(counts / (100_000 * (0.4 * 0.9 * form.mean_photons) ** 2), [*areas, areas.uncorrelated])
    assert ok, z


@pytest.mark.parametrize("path", ["hom_parallel", "hom_orthogonal"])
def test_pulse_pairs_have_five_peaks(path):
    setup = bright(
        emitter=dot(overlap=0.9, leak_photons=0.03, lifetime_ps=100.0),
        excitation={"kind": "pulse-pairs", "separation_ps": 2400.0},
        interferometer={"delay_periods": 0, "bs1_short": 0.45, "bs2_transmission": 0.55, "mode_mismatch": 0.02},
    )
    rows = [[pairs(a_ps, b_ps, order * 2400, 1200) for order in range(-2, 3)] for a_ps, b_ps in batches(setup, path)]
    mean = source_numbers(setup, PulseControls()).mean
    areas = pair_areas(setup, PulseControls(), parallel=path == "hom_parallel")
    ok, z = agrees(np.array(rows) / (100_000 * (0.4 * 0.9 * mean) ** 2), [areas[order] for order in range(-2, 3)])
    assert ok, z


def test_pulse_pairs_behind_a_delay_of_periods():
    setup = bright(
        emitter=dot(overlap=0.8, lifetime_ps=100.0),
        excitation={"kind": "pulse-pairs", "separation_ps": 2400.0},
        interferometer={"delay_periods": 3},
    )
    rows = [
        [pairs(a_ps, b_ps, order * PERIOD_PS, 1200) for order in (0, 9)]
        for a_ps, b_ps in batches(setup, "hom_parallel", SHARP)
    ]
    ok, z = ratio_agrees(2 * np.array(rows)[:, 0], np.array(rows)[:, 1], 1 - 0.8)
    assert ok, z


@pytest.mark.parametrize("delay_periods", [1, 300, 1024])
def test_frames_shorter_than_the_delay(delay_periods):
    """500 pulses a frame: all light of the long arm meets that of another frame."""
    setup = bright(
        rep_rate_hz=50e3,
        emitter=dot(overlap=0.8),
        interferometer={"delay_periods": delay_periods, "bs1_short": 0.45, "bs2_transmission": 0.55},
    )
    form = predict(setup, PulseControls())
    stream = LightStream(setup, PulseControls(), "hom_parallel", seed=3)
    orders, rows = [0, delay_periods, -delay_periods, delay_periods + 7], []
    for _ in range(BATCHES):
        words = stream.take(20_000 * 20_000_000)
        a_ps, b_ps = (words[(words & 31) == channel] >> 5 for channel in (2, 3))
        rows.append([pairs(a_ps, b_ps - 1250, order * 20_000_000, 10_000_000) for order in orders])
    periods = 20_000 - np.abs(orders)  # pairs across the ends of a batch are not counted
    ok, z = agrees(np.array(rows) / (periods * (0.4 * 0.9 * form.mean_photons) ** 2), [*form.areas_parallel])
    assert ok, z


@pytest.mark.parametrize("splitters", [{}, {"bs1_short": 0.4, "bs2_transmission": 0.55, "delay_periods": 3}])
def test_photon_number_coherence_lowers_the_far_peaks(splitters):
    """A pulse of half the light: C = 1/2, so A_unc falls by C²/2 = 1/8, and no other peak changes."""
    setup = bright(
        transmission=0.05,
        emitter=dot(number_coherence=1.0),
        interferometer={"phase_scan_hz": 1600.0, **splitters},  # two turns a batch
    )
    half = PulseControls(pulse_fwhm_ps=0, pulse_area_pi=0.5)
    form = predict(setup, half)
    n = setup.interferometer.delay_periods
    rows = peaks(setup, "hom_parallel", [0, n, -n, n + 4, -n - 4, 2 * n + 5], half)
    areas = [*form.areas_parallel, form.areas_parallel.uncorrelated, form.areas_parallel.uncorrelated]
    ok, z = agrees(rows / (100_000 * (0.05 * 0.9 * form.mean_photons) ** 2), areas)
    assert ok, z
    if not splitters:
        assert form.areas_parallel.uncorrelated == pytest.approx(0.25 * (1 - 1 / 8))
        assert adjacent_visibility(form.areas_parallel, 0.0) == pytest.approx(1.0)
