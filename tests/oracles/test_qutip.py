"""Excitation and re-excitation of a driven dot against the master equation, solved by QuTiP."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qdhil_sim.light.continuous import ContinuousEmitter, correlation
from qdhil_sim.light.controls import REEXCITATION_FLOOR, PulseControls, pulse_photons
from qdhil_sim.light.emitter import Emitter

qutip = pytest.importorskip("qutip")

STEPS = 80
OPTIONS = {"atol": 1e-10, "rtol": 1e-8}


def driven(fwhm, area_pi):
    """Return mean photons and g2(0) of a dot with lifetime 1 under one resonant Gaussian pulse.

    A photon leaves the dot in its ground state, from where the rest of the pulse drives it again; the second
    photon is what that makes.
    """
    ground, excited = qutip.basis(2, 0), qutip.basis(2, 1)
    lowering = ground * excited.dag()
    sd = fwhm / math.sqrt(8 * math.log(2))
    times = np.linspace(-4 * sd, 4 * sd, STEPS + 1)

    def rabi(t):
        return math.pi * area_pi / (sd * math.sqrt(2 * math.pi)) * math.exp(-t * t / (2 * sd * sd))

    hamiltonian = qutip.QobjEvo([[(lowering + lowering.dag()) / 2, rabi]])

    def photons(at):
        solved = qutip.mesolve(
            hamiltonian,
            ground,
            at,
            c_ops=[lowering],
            e_ops=[excited * excited.dag()],
            options=OPTIONS | {"max_step": fwhm / 20},
        )
        population = np.array(solved.expect[0])
        return population, float(np.trapezoid(population, at) + population[-1])

    population, mean = photons(times)
    later = [photons(times[place:])[1] for place in range(STEPS)] + [0.0]
    return mean, 2 * float(np.trapezoid(population * np.array(later), times)) / mean**2


@pytest.mark.parametrize(("fwhm", "g2"), [(0.01, 0.0031), (0.02, 0.0061), (0.05, 0.0150), (0.1, 0.0290)])
def test_the_floor_of_a_pi_pulse(fwhm, g2):
    mean, found = driven(fwhm, 1.0)
    assert found == pytest.approx(g2, rel=0.02)
    assert found == pytest.approx(REEXCITATION_FLOOR * fwhm, rel=0.04)
    photons = pulse_photons(PulseControls(pulse_fwhm_ps=200 * fwhm), Emitter(lifetime_ps=200, overlap=1))
    assert photons.mean == pytest.approx(mean, rel=0.005)
    assert photons.pair_mean / photons.mean**2 == pytest.approx(found, rel=0.04)


@pytest.mark.parametrize("area_pi", [0.25, 0.5, 0.8, 1.2, 1.5, 1.8, 2.0, 2.5])
def test_other_areas(area_pi):
    """From an incomplete rotation to a full one, where light is rare and bunched."""
    mean, found = driven(0.02, area_pi)
    controls = PulseControls(pulse_fwhm_ps=4, pulse_area_pi=area_pi)
    photons = pulse_photons(controls, Emitter(lifetime_ps=200, overlap=1))
    assert photons.mean == pytest.approx(mean, rel=0.02)
    assert photons.pair_mean / photons.mean**2 == pytest.approx(found, rel=0.08)


@pytest.mark.parametrize("shelved", [False, True])
def test_continuous_light(shelved):
    """The three-level correlation by the quantum regression theorem."""
    extra = {"shelving_per_ns": 0.3, "return_per_ns": 0.2} if shelved else {}
    emitter = ContinuousEmitter(lifetime_ps=500, pump_per_ns=0.8, **extra)
    ground, excited, dark = (qutip.basis(3, level) for level in range(3))
    jumps = [
        (0.8, excited * ground.dag()),
        (2.0, ground * excited.dag()),
        (emitter.shelving_per_ns, dark * excited.dag()),
        (max(emitter.return_per_ns, 1e-9), ground * dark.dag()),
    ]
    operators = [math.sqrt(rate) * jump for rate, jump in jumps if rate > 0]
    hamiltonian = 0 * ground * ground.dag()
    start = ground * ground.dag()
    delays_ns = np.linspace(0, 30, 61)
    light = excited * excited.dag()
    population = np.array(
        qutip.mesolve(hamiltonian, start, delays_ns, c_ops=operators, e_ops=[light], options=OPTIONS).expect[0]
    )
    steady = qutip.expect(light, qutip.steadystate(hamiltonian, operators)) if shelved else 0.8 / 2.8
    np.testing.assert_allclose(correlation(emitter).at(1e3 * delays_ns), population / steady, atol=2e-6)
