"""The bench's effect on the light: nothing at nominal values, and the right tendency beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qdhil_sim.environment import Environment
from qdhil_sim.light import LightStream, PulseControls, load_setup
from qdhil_sim.light.bench_light import dephasing_per_ns, light_on, linewidth_ghz
from qdhil_sim.light.closed_form import click_rates_hz, predict

SETUP, CONTROLS = load_setup("pillar-930"), PulseControls(spurious_area_pi=0.1)


def bench(**changes):
    return light_on(Environment(**changes), SETUP, CONTROLS)


def form(**changes):
    light = bench(**changes)
    return predict(light.setup, light.controls)


def rate_hz(**changes):
    light = bench(**changes)
    return sum(click_rates_hz(light.setup, light.controls, "hbt"))


def test_the_nominal_bench_leaves_the_light_as_it_is():
    light = bench()
    assert (light.setup, light.controls, light.lit) == (SETUP, CONTROLS, True)
    assert light.line_nm == pytest.approx(930.0)
    words = [LightStream(setup, CONTROLS, "hbt", seed=1).take(10**9) for setup in (SETUP, light.setup)]
    np.testing.assert_array_equal(*words)


def test_heat_dephases_dims_and_reddens():
    kelvins = [2.0, 4.0, 6.0, 10.0, 20.0, 40.0]
    lights = [bench(temperature_k=kelvin) for kelvin in kelvins]
    rates = [dephasing_per_ns(SETUP.emitter, kelvin) for kelvin in kelvins]
    assert all(np.diff(rates) > 0)
    assert all(np.diff([form(temperature_k=kelvin).visibility_unc for kelvin in kelvins]) < 0)
    assert all(np.diff([light.setup.transmission for light in lights]) < 0)
    assert all(np.diff([light.line_nm for light in lights]) > 0)
    assert all(np.diff([light.linewidth_ghz for light in lights]) > 0)
    assert form(temperature_k=10.0).overlap_signal == pytest.approx(0.85, abs=0.01)
    assert lights[3].setup.transmission / SETUP.transmission == pytest.approx(0.92, abs=0.01)


def test_bias_moves_the_line_off_the_laser_and_the_dot_off_its_plateau():
    for off_v in (-0.04, 0.04):
        light = bench(bias_v=0.45 + off_v)
        assert light.setup.emitter.detuning_ghz == pytest.approx(-250 * off_v)
        assert light.line_nm - 930 == pytest.approx(-250 * off_v * 930**2 / 299_792_458, rel=1e-3)
        assert form(bias_v=0.45 + off_v).mean_photons < 0.95 * form().mean_photons
    assert form(bias_v=0.56).mean_photons < 0.01
    assert form(bias_on=False).mean_photons < 0.01
    # the laser can follow the line on the plateau
    tuned = bench(bias_v=0.47, laser_nm=299_792_458 / (299_792_458 / 930 + 250 * 0.02))
    assert tuned.setup.emitter.detuning_ghz == pytest.approx(0, abs=1e-6)


def test_power_turns_the_dot():
    areas = [bench(laser_mw=10 * factor**2).controls.pulse_area_pi for factor in (0.5, 1.0, 2.0)]
    assert areas == pytest.approx([0.5, 1.0, 2.0])
    assert form(laser_mw=2.5).mean_photons < 0.6
    assert form(laser_mw=40.0).g2 > 1.0
    assert bench(laser_mw=20.0).setup.emitter.leak_photons == pytest.approx(2 * SETUP.emitter.leak_photons)


@pytest.mark.parametrize(
    "off", [{"laser_on": False}, {"pulse_gate_on": False}, {"controller_powered": False}, {"laser_mw": 0.0}]
)
def test_no_excitation_no_light(off):
    light = bench(**off)
    assert not light.lit


def test_the_delay_stage_and_the_clock_mismatch_the_interferometer():
    assert form(hom_delay_error_ps=20.0).overlap_signal == pytest.approx(
        form().overlap_signal * math.exp(-0.1), rel=1e-9
    )
    clock = bench(rep_rate_hz=80.08e6)
    assert clock.setup.interferometer.delay_error_ps == pytest.approx(12_500 - 1e12 / 80.08e6)
    assert form(hom_delay_error_ps=20.0).mean_photons == form().mean_photons


def test_collection_and_detector_currents():
    assert rate_hz(collection=0.5) == pytest.approx(0.5 * rate_hz(), rel=0.05)
    dim = bench(detector_bias_ua={1: 10.0, 2: 18.0}).setup
    assert dim.detector_a.efficiency == pytest.approx(0.4, abs=0.01)
    assert dim.detector_a.jitter_ps > 18
    assert dim.detector_b == SETUP.detector_b
    assert bench(detector_bias_ua={1: 21.0, 2: 18.0}).setup.detector_a.efficiency == 0
    assert bench(detector_bias_ua={1: 19.5, 2: 18.0}).setup.detector_a.dark_rate_hz > 200


def test_linewidth_at_the_transform_limit():
    emitter = SETUP.emitter.model_copy(update={"overlap": 1.0})
    assert linewidth_ghz(emitter) == pytest.approx(0.796, abs=0.001)
    wide = emitter.model_copy(update={"diffusion": emitter.diffusion.model_copy(update={"sd_ghz": 10.0})})
    assert linewidth_ghz(wide) == pytest.approx(math.sqrt(8 * math.log(2)) * 10, rel=0.03)
