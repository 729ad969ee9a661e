"""The event sampler against closed forms, with seeds fixed once and for all.

Every comparison is at 4 standard errors, estimated from 50 batches of one acquisition, so that pairs
which share a photon are allowed for. With 49 degrees of freedom a correct sampler exceeds 4 in 2.1e-4 of
the comparisons; about 90 comparisons give odds of a false alarm of 1.9 % per choice of seeds.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from light_made import BATCH_PS, BATCHES, CLEAN, PERIOD_PS, agrees, batches, bright, pairs, peaks, ratio_agrees

from qdhil_sim.light import LightStream, PulseControls
from qdhil_sim.light.closed_form import click_rates_hz, predict

CONTROLS = {
    "baseline": PulseControls(),
    "pulse20": PulseControls(pulse_fwhm_ps=20),
    "area80": PulseControls(pulse_area_pi=0.8),
    "spurious": PulseControls(spurious_area_pi=0.1),
    "spurious-early": PulseControls(spurious_area_pi=0.3, spurious_delay_ps=100, pulse_area_pi=0.7),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_singles_and_purity_on_the_hbt_path(name):
    setup = bright(hbt={"transmission": 0.45}, detector_b={"efficiency": 0.6, "jitter_ps": 30.0})
    expected = predict(setup, CONTROLS[name])
    rows = []
    for a_ps, b_ps in batches(setup, "hbt", CONTROLS[name]):
        rows.append([a_ps.size, b_ps.size, pairs(a_ps, b_ps, 0), pairs(a_ps, b_ps, 7 * PERIOD_PS)])
    a = 0.4 * 0.9 * 0.45 * expected.mean_photons
    b = 0.4 * 0.6 * 0.55 * expected.mean_photons
    ok, z = agrees(np.array(rows) / 100_000, [a, b, a * b * expected.g2, a * b])
    assert ok, z


def test_the_first_order_of_the_controls():
    setup = bright(emitter={"lifetime_ps": 200.0, "overlap": 0.95})
    assert predict(setup, PulseControls()).g2 == pytest.approx(0.30 * 10 / 200, rel=1e-9)
    assert predict(setup, PulseControls(pulse_fwhm_ps=20)).g2 == pytest.approx(0.030, rel=1e-9)
    assert predict(setup, PulseControls(pulse_fwhm_ps=0)).g2 == 0


SPLITTERS = {
    "even": {},
    "even, mismatched": {"mode_mismatch": 0.05},
    "uneven": {"bs1_short": 0.45, "bs2_transmission": 0.55},
    "uneven, mismatched": {"bs1_short": 0.55, "bs2_transmission": 0.45, "mode_mismatch": 0.05},
    "three periods": {"delay_periods": 3, "bs1_short": 0.6, "bs2_transmission": 0.55},
}


@pytest.mark.parametrize("path", ["hom_parallel", "hom_orthogonal"])
@pytest.mark.parametrize("name", SPLITTERS)
def test_hom_areas(name, path):
    """All five kinds of peak, as absolute areas."""
    setup = bright(interferometer=SPLITTERS[name])
    controls = PulseControls(sync_jitter_ps=10, spurious_area_pi=0.2)
    n = setup.interferometer.delay_periods
    counts = peaks(setup, path, [0, n, -n, n + 4, -n - 4], controls)
    expected = predict(setup, controls)
    areas = expected.areas_parallel if path == "hom_parallel" else expected.areas_orthogonal
    unit = 100_000 * (0.4 * 0.9 * expected.mean_photons) ** 2
    ok, z = agrees(counts / unit, [*areas, areas.uncorrelated])
    assert ok, z


@pytest.mark.parametrize("path", ["hom_parallel", "hom_orthogonal"])
def test_noise_goes_through_the_same_splitters(path):
    """Laser leak alone, which never interferes."""
    setup = bright(
        emitter={"lifetime_ps": 200.0, "overlap": 1.0, "leak_photons": 0.6},
        interferometer={"bs1_short": 0.6, "bs2_transmission": 0.3},
    )
    dark_dot = PulseControls(pulse_area_pi=0)
    counts = peaks(setup, path, [1, -1, 5, -5], dark_dot)
    areas = predict(setup, dark_dot).areas_parallel
    unit = 100_000 * (0.4 * 0.9 * 0.6) ** 2
    ok, z = agrees(counts / unit, [areas.plus, areas.minus, areas.uncorrelated, areas.uncorrelated])
    assert ok, z
    zero, z = ratio_agrees(peaks(setup, path, [0], dark_dot)[:, 0], counts[:, 2], areas.central / areas[3])
    assert zero, z


def test_a_second_pulse_finds_the_dot_as_the_first_left_it():
    """Without losses a pi pulse after T1 ln 2 makes a second photon whenever the first has gone."""
    detector = {"efficiency": 1.0}
    setup = bright(
        transmission=1.0,
        emitter={"lifetime_ps": 200.0, "overlap": 1.0},
        hbt={"transmission": 1.0},
        detector_a=detector,
        detector_b=detector,
    )
    delay_ps = 200 * math.log(2)
    twice = PulseControls(pulse_fwhm_ps=0, spurious_area_pi=1.0, spurious_delay_ps=delay_ps)
    words = LightStream(setup, twice, "hbt", seed=3).take(20_000 * PERIOD_PS)
    t_ps = words[(words & 31) == 2] >> 5
    pulse, first, count = np.unique(t_ps // PERIOD_PS, return_index=True, return_counts=True)
    assert pulse.size == 20_000
    alone_ps = t_ps[first[count == 1]] % PERIOD_PS
    assert alone_ps.min() >= math.floor(delay_ps)
    assert abs(alone_ps.size / 20_000 - 0.5) < 4 * math.sqrt(0.25 / 20_000)
    assert t_ps[first[count == 2]].size + alone_ps.size == 20_000
    assert (t_ps[first[count == 2]] % PERIOD_PS).max() <= math.ceil(delay_ps)


def test_definitions_of_the_visibility():
    setup = bright()
    expected = predict(setup, PulseControls())
    assert expected.visibility_unc == pytest.approx(expected.overlap_total - expected.g2)
    assert expected.visibility_cross == pytest.approx(expected.overlap_total / (1 + expected.g2))
    parallel = peaks(setup, "hom_parallel", [0, 5])
    crossed = peaks(setup, "hom_orthogonal", [0], seed=2)
    ok, z = ratio_agrees(2 * parallel[:, 0], parallel[:, 1], 1 - expected.visibility_unc)
    assert ok, z
    ok, z = ratio_agrees(parallel[:, 0], crossed[:, 0], 1 - expected.visibility_cross)
    assert ok, z


def test_the_dip_resolved_in_time():
    """Dephasing spares photons detected together: the dip at τ = 0 stays, and widens with |τ|."""
    ideal = {"efficiency": 0.9}
    setup = bright(emitter={"lifetime_ps": 200.0, "overlap": 0.5}, delay_b_ps=0, detector_a=ideal, detector_b=ideal)
    controls = PulseControls(pulse_fwhm_ps=0)
    half_ps = 50
    close = {
        path: np.array([pairs(a, b, 0, half_ps) for a, b in batches(setup, path, controls, seed)], float)
        for seed, path in enumerate(("hom_parallel", "hom_orthogonal"))
    }
    rate, total = 1 / 200, 1 / (200 * 0.5)
    seen = rate / total * math.expm1(-total * half_ps) / math.expm1(-rate * half_ps)
    ok, z = ratio_agrees(close["hom_parallel"], close["hom_orthogonal"], 1 - seen)
    assert ok, z


def test_dead_time_lifts_the_near_side_peaks():
    dead = {**CLEAN, "dead_time_ps": 4 * PERIOD_PS + 5_000}
    setup = bright(transmission=0.15, detector_a=dead, detector_b=dead)
    near, far = [-4, -3, -2, 2, 3, 4], [-12, -11, -10, 10, 11, 12]
    counts = peaks(setup, "hbt", [*near, *far])
    observed = click_rates_hz(setup, PulseControls(), "hbt")[0] / setup.rep_rate_hz
    ok, z = ratio_agrees(counts[:, :6].mean(axis=1), counts[:, 6:].mean(axis=1), 1 + observed)
    assert ok, z
    none, z = ratio_agrees(counts[:, :6].mean(axis=1), counts[:, 6:].mean(axis=1), 1.0)
    assert not none, z


@pytest.mark.parametrize("path", ["hbt", "hom_parallel", "hom_orthogonal", "blanked"])
def test_click_rates_with_dead_time_and_darks(path):
    detector = {"efficiency": 0.8, "jitter_ps": 18.0, "dark_rate_hz": 2e4, "dead_time_ps": 20_000}
    setup = bright(
        transmission=0.06,
        detector_a=detector,
        detector_b={**detector, "efficiency": 0.7, "dead_time_ps": 8_000},
        interferometer={"bs2_transmission": 0.45},
    )
    counts = np.array([[a.size, b.size] for a, b in batches(setup, path)])
    expected = np.array(click_rates_hz(setup, PulseControls(), path)) * BATCH_PS / 1e12
    ok, z = agrees(counts, expected)
    assert ok, z


@pytest.mark.parametrize("delay_b_ps", [-40_000, 1250])
def test_delay_jitter_and_lifetime(delay_b_ps):
    """t_b - t_a in a far peak: the mean is the delay, the variance that of two decays and two jitters."""
    setup = bright(
        emitter={"lifetime_ps": 200.0, "overlap": 0.95},
        delay_b_ps=delay_b_ps,
        detector_b={"efficiency": 0.9, "jitter_ps": 60.0},
    )
    words = LightStream(setup, PulseControls(pulse_fwhm_ps=0), "hbt", seed=4).take(BATCHES * BATCH_PS)
    a_ps, b_ps = (words[(words & 31) == channel] >> 5 for channel in (2, 3))
    low_ps = a_ps + 5 * PERIOD_PS + delay_b_ps - PERIOD_PS // 2
    place = np.searchsorted(b_ps, low_ps)
    inside = place < b_ps.size
    off_ps = (b_ps[place[inside]] - low_ps[inside] - PERIOD_PS // 2).astype(float)
    off_ps = off_ps[off_ps < PERIOD_PS // 2]
    assert abs(off_ps.mean()) < 4 * off_ps.std() / math.sqrt(off_ps.size)
    square = off_ps**2
    error = square.std() / math.sqrt(off_ps.size)
    rounding = 2 / 12
    assert abs(square.mean() - (2 * 200.0**2 + 20.0**2 + 60.0**2 + rounding)) < 4 * error
