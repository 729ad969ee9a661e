"""Wave plates, and the state of the simulated pairs reconstructed from sixteen settings."""

from __future__ import annotations

import numpy as np
import pytest
from tags_made import in_pulses, pulse_pairs

from qdhil.metrics import chsh, reconstruct_state
from qdhil.metrics.tomography import POLARISATIONS
from qdhil_sim.light.cascade import CascadeEmitter, CascadeSetup, PairStream, mean_state, pair_quality
from qdhil_sim.light.detector import Detector
from qdhil_sim.light.wave_plates import ANALYSERS, SIXTEEN_SETTINGS, WavePlates


def source(**changes):
    fields = {"pair_probability": 0.9, "lifetime_biexciton_ps": 120, "lifetime_exciton_ps": 250}
    detector = {"efficiency": 0.9, "jitter_ps": 15.0, "dead_time_ps": 9000, "dark_rate_hz": 100}
    return CascadeSetup(
        rep_rate_hz=80e6,
        transmission_biexciton=0.2,
        transmission_exciton=0.2,
        sync_divider=8192,
        emitter=CascadeEmitter(**fields | changes),
        detector_biexciton=Detector(**detector),
        detector_exciton=Detector(**detector),
    )


def coincidences(setup, first, second, seconds, seed, channels=(2, 4)):
    words = PairStream(setup, first, second, seed=seed).take(round(seconds * 1e12))
    return pulse_pairs(*(in_pulses(words, channel, setup.period_ps) for channel in channels))


@pytest.mark.parametrize("letter", "HVDARL")
def test_plates_analyse_the_polarisations_of_tomography(letter):
    analysed = ANALYSERS[letter].analysed()
    assert abs(np.vdot(analysed, np.array(POLARISATIONS[letter]))) ** 2 == pytest.approx(1)


def test_a_half_wave_plate_turns_linear_light_by_twice_its_angle():
    for angle_deg in (10.0, 33.0, -70.0):
        analysed = WavePlates(quarter_deg=2 * angle_deg, half_deg=angle_deg).analysed()
        turned = np.radians(2 * angle_deg)
        assert abs(np.vdot(analysed, [np.cos(turned), np.sin(turned)])) ** 2 == pytest.approx(1)


def test_a_wrong_retardance_leaves_a_wrong_state():
    exact, wrong = ANALYSERS["R"], ANALYSERS["R"].model_copy(update={"quarter_error_deg": 10.0})
    overlap = abs(np.vdot(exact.analysed(), wrong.analysed())) ** 2
    assert overlap == pytest.approx(np.cos(np.radians(5.0)) ** 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"splitting_uev": 1.0},
        {"splitting_uev": 2.0, "scattering_ps": 3000, "noise_biexciton": 0.02, "noise_exciton": 0.03},
    ],
    ids=["splitting", "everything"],
)
def test_sixteen_settings_give_the_state_back(changes):
    """Fidelity, concurrence and CHSH within 4 standard errors: 1 in 16 000 each by chance."""
    setup = source(**changes)
    counts = [
        coincidences(setup, ANALYSERS[one], ANALYSERS[two], 0.03, [11, place])
        for place, (one, two) in enumerate(SIXTEEN_SETTINGS)
    ]
    found = reconstruct_state(list(SIXTEEN_SETTINGS), counts)
    quality, rho = pair_quality(setup.emitter), mean_state(setup.emitter)
    x_and_z = [np.array([[0, 1], [1, 0]]), np.diag([1, -1])]
    best = 2**0.5 * sum(np.trace(rho @ np.kron(m, m)).real for m in x_and_z)
    for estimate, truth in (
        (found.fidelity, quality.fidelity),
        (found.concurrence, quality.concurrence),
        (found.chsh, best),
    ):
        error = (estimate.high - estimate.low) / 3.92
        assert error < 0.03
        assert abs(estimate.value - truth) < 4 * error
    assert np.abs(found.rho - rho).max() < 0.02


def test_chsh_violates_the_classical_bound():
    """Linear polarisations of Φ+ at 0° and 45°, 22.5° and 67.5°, all four ports: S = √2·(<XX> + <ZZ>)."""
    setup, outcomes = source(splitting_uev=0.5), []

    def linear(angle_deg):
        return WavePlates(quarter_deg=angle_deg, half_deg=angle_deg / 2)

    for place, (one, two) in enumerate([(0, 22.5), (0, 67.5), (45, 22.5), (45, 67.5)]):
        four = [
            coincidences(setup, linear(one), linear(two), 0.05, [12, place], ports)
            for ports in ((2, 4), (2, 5), (3, 4), (3, 5))
        ]
        outcomes.append(tuple(four))
    found = chsh(outcomes, confidence=1 - 6e-5)
    rho = mean_state(setup.emitter)
    expected = 2**0.5 * ((1 - 4 * rho[1, 1].real) + 2 * rho[0, 3].real)
    assert found.low <= expected <= found.high
    assert found.low > 2
