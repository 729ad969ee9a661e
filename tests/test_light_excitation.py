"""The kinds of excitation: what a pulse makes, and that sampled light has those numbers (4 standard errors)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from light_made import PERIOD_PS, agrees, batches, bright, pairs
from pydantic import ValidationError

from qdhil.errors import ConfigurationError
from qdhil_sim.light import LightStream, PulseControls
from qdhil_sim.light.closed_form import predict, source_numbers
from qdhil_sim.light.controls import decayed_by, pulse_photons

KINDS = {
    "resonant": {"kind": "resonant"},
    "p-shell": {"kind": "p-shell", "relaxation_ps": 30.0},
    "phonon": {"kind": "phonon", "plateau": 0.85},
    "two-photon": {"kind": "two-photon", "biexciton_lifetime_ps": 120.0},
    "above-band": {"kind": "above-band", "relaxation_ps": 50.0, "recapture": 0.05},
    "electrical": {"kind": "electrical", "relaxation_ps": 50.0, "injection_jitter_ps": 40.0, "recapture": 0.1},
}


def excited(kind, area_pi=1.0, fwhm_ps=10.0, **emitter):
    setup = bright(excitation=KINDS[kind], emitter={"lifetime_ps": 200.0, "overlap": 1.0, **emitter})
    return setup, PulseControls(pulse_area_pi=area_pi, pulse_fwhm_ps=fwhm_ps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("area_pi", [0.6, 2.0])
def test_singles_and_purity(kind, area_pi):
    setup, controls = excited(kind, area_pi, leak_photons=0.01, background_photons=0.02)
    form = predict(setup, controls)
    rows = [[a.size, pairs(a, b, 0), pairs(a, b, 7 * PERIOD_PS)] for a, b in batches(setup, "hbt", controls)]
    a = 0.4 * 0.9 * 0.5 * form.mean_photons
    # two background photons of neighbouring periods may be less than half a period apart
    chance = (0.02 / form.mean_photons) ** 2 / 4
    ok, z = agrees(np.array(rows) / 100_000, [a, a * a * (form.g2 + chance), a * a])
    assert ok, z


def test_a_doubled_area_leaves_little_light_and_in_bunches():
    """At 2 pi the rotation ends where it began: what is left comes from decay during the pulse."""
    setup, controls = excited("resonant", 2.0)
    form = predict(setup, controls)
    assert 0.03 < form.mean_photons < 0.07
    assert 8 < form.g2 < 20
    brightest = max(predict(*excited("resonant", area / 10)).mean_photons for area in range(31))
    assert predict(*excited("resonant", 1.0)).mean_photons == pytest.approx(brightest, rel=1e-3)


@pytest.mark.parametrize("fwhm_ps", [2.0, 4.0, 10.0, 20.0])
def test_purity_at_a_pi_pulse(fwhm_ps):
    ratio = fwhm_ps / 200
    assert predict(*excited("resonant", 1.0, fwhm_ps)).g2 == pytest.approx(0.30 * ratio, rel=1e-9)
    two_photon = predict(*excited("two-photon", 1.0, fwhm_ps)).g2
    assert two_photon == pytest.approx(0.30 * (fwhm_ps / 120) ** 2, rel=1e-9)
    for pure in ("p-shell", "phonon"):
        assert predict(*excited(pure, 1.0, fwhm_ps)).g2 == 0


def test_phonons_invert_robustly():
    means = [predict(*excited("phonon", area)).mean_photons for area in (1.0, 1.2, 1.5, 3.0)]
    assert max(means) <= 0.85
    assert min(means) > 0.98 * max(means)
    resonant = [predict(*excited("resonant", area)).mean_photons for area in (1.0, 1.2, 1.5)]
    assert min(resonant) < 0.6 * max(resonant)


def test_a_detuned_laser_excites_less_and_short_pulses_care_less():
    full = [predict(*excited("resonant", 1.0, fwhm)).mean_photons for fwhm in (2.0, 10.0)]
    seen = [predict(*excited("resonant", 1.0, fwhm, detuning_ghz=30.0)).mean_photons for fwhm in (2.0, 10.0)]
    assert 0.9 < seen[0] / full[0] < 1
    assert seen[1] / full[1] < 0.6
    assert seen == [predict(*excited("resonant", 1.0, f, detuning_ghz=-30.0)).mean_photons for f in (2.0, 10.0)]


@pytest.mark.parametrize("kind", ["p-shell", "above-band"])
def test_feeding_delays_the_light(kind):
    """The mean delay of a's click after the pulse is T1 and the relaxation time."""
    setup, _ = excited(kind)
    setup = setup.model_copy(update={"excitation": setup.excitation.model_copy(update={"relaxation_ps": 60.0})})
    words = LightStream(setup, PulseControls(pulse_fwhm_ps=0), "hbt", seed=4).take(10**10)
    delay_ps = (words[(words & 31) == 2] >> 5) % PERIOD_PS
    delay_ps = np.where(delay_ps > PERIOD_PS - 200, delay_ps - PERIOD_PS, delay_ps).astype(float)
    # what is recaptured comes with the pulse
    again = pulse_photons(PulseControls(pulse_fwhm_ps=0), setup.emitter, setup.excitation).reexcitation
    wanted_ps = 260.0 / (1 + again)
    assert abs(delay_ps.mean() - wanted_ps) < 4 * delay_ps.std() / math.sqrt(delay_ps.size)


@pytest.mark.parametrize(("feeding_ps", "delay_ps"), [(60.0, 150.0), (200.0, 300.0), (500.0, 20.0)])
def test_a_second_pulse_with_feeding(feeding_ps, delay_ps):
    """The chance that a dot has emitted by then, and what light tells of it."""
    rng = np.random.default_rng(1)
    done = rng.exponential(feeding_ps, 400_000) + rng.exponential(200.0, 400_000) < delay_ps
    chance = decayed_by(delay_ps, 200.0, feeding_ps)
    assert chance == pytest.approx(done.mean(), abs=4 * done.std() / math.sqrt(done.size))
    setup = bright(
        excitation={"kind": "p-shell", "relaxation_ps": feeding_ps}, emitter={"lifetime_ps": 200.0, "overlap": 1.0}
    )
    controls = PulseControls(pulse_fwhm_ps=0, spurious_area_pi=0.5, spurious_delay_ps=delay_ps)
    form = predict(setup, controls)
    rows = [[a.size, pairs(a, b, 0)] for a, b in batches(setup, "hbt", controls)]
    a = 0.4 * 0.9 * 0.5 * form.mean_photons
    ok, z = agrees(np.array(rows) / 100_000, [a, a * a * form.g2])
    assert ok, z


def test_pulse_pairs_double_the_light():
    setup = bright(excitation={"kind": "pulse-pairs", "separation_ps": 3000.0})
    mean = source_numbers(setup, PulseControls()).mean
    rows = [a.size + b.size for a, b in batches(setup, "hbt")]
    ok, z = agrees(np.array(rows) / 100_000, 2 * 0.4 * 0.9 * mean)
    assert ok, z


def test_refused_excitation():
    for wrong in ({"kind": "magic"}, {"kind": "p-shell"}, {"kind": "resonant", "plateau": 1}):
        with pytest.raises(ValidationError):
            bright(excitation=wrong)
    with pytest.raises(ValidationError, match="half the pulse period"):
        bright(excitation={"kind": "pulse-pairs", "separation_ps": 7000.0})
    with pytest.raises(ValidationError, match="pulse pairs alone"):
        bright(interferometer={"delay_periods": 0})
    setup, controls = excited("resonant", 1.0, 500.0)
    with pytest.raises(ConfigurationError, match="resonant excitation"):
        pulse_photons(controls, setup.emitter, setup.excitation)
    pairs_of = bright(excitation={"kind": "pulse-pairs", "separation_ps": 3000.0}, interferometer={"delay_periods": 0})
    with pytest.raises(ConfigurationError, match="pair_areas"):
        predict(pairs_of, PulseControls())
