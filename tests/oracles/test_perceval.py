"""Photon statistics at the last splitter against Perceval, an independent simulator of linear optics.

Its precision is set to 0: by default it leaves out unlikely states, which costs up to 3 % of the coincidences.
"""

from __future__ import annotations

import numpy as np
import pytest
from tags_made import in_pulses, pulse_pairs

from qdhil_sim.light import LightStream, PulseControls, Setup
from qdhil_sim.light.closed_form import predict
from qdhil_sim.light.controls import pulse_photons

perceval = pytest.importorskip("perceval")

CASES = [(0.9, 0.5, 20.0, 1.0), (0.7, 0.45, 60.0, 1.0), (1.0, 0.5, 5.0, 0.6), (0.5, 0.3, 100.0, 0.8)]
"""Overlap, transmission of the last splitter, and length and area of the pulse."""
ETA = 0.08


def setup(overlap, transmission):
    detector = {"efficiency": 1.0}
    return Setup(
        rep_rate_hz=80e6,
        transmission=ETA,
        sync_divider=1000,
        emitter={"lifetime_ps": 300.0, "overlap": overlap},
        hbt={"transmission": transmission},
        interferometer={"delay_periods": 1, "bs2_transmission": transmission},
        detector_a=detector,
        detector_b=detector,
    )


def perceval_moments(photons, overlap, transmission, inputs, transmittance):
    """Return <n1>, <n2> and <n1 n2> behind a splitter with a source on either or both inputs."""
    mean, pairs = photons.mean, photons.pair_mean
    noise = perceval.NoiseModel(
        brightness=photons.signal,
        g2=pairs / mean**2,
        g2_distinguishable=True,
        indistinguishability=overlap,
        transmittance=transmittance,
    )
    source = perceval.Source.from_noise_model(noise)
    simulator = perceval.Simulator(perceval.SLOSBackend())
    simulator.set_circuit(perceval.BS.H(theta=perceval.BS.r_to_theta(transmission)))
    simulator.set_precision(0)
    results = simulator.probs_svd(source.generate_distribution(perceval.BasicState(inputs), 0))["results"]
    return [
        sum(weight * value(state) for state, weight in results.items())
        for value in (lambda s: s[0], lambda s: s[1], lambda s: s[0] * s[1])
    ]


@pytest.mark.parametrize(("overlap", "transmission", "fwhm_ps", "area_pi"), CASES)
def test_closed_forms(overlap, transmission, fwhm_ps, area_pi):
    source, controls = setup(overlap, transmission), PulseControls(pulse_fwhm_ps=fwhm_ps, pulse_area_pi=area_pi)
    photons, expected = pulse_photons(controls, source.emitter), predict(source, controls)
    mean = photons.mean
    _, _, hbt = perceval_moments(photons, overlap, transmission, [1, 0], ETA)
    assert hbt / (ETA * mean) ** 2 == pytest.approx(transmission * (1 - transmission) * expected.g2, rel=1e-9)
    # half the light takes either arm, so a slot sees the source on both inputs at half its brightness
    _, _, hom = perceval_moments(photons, overlap, transmission, [1, 1], ETA / 2)
    assert hom / (ETA * mean) ** 2 == pytest.approx(expected.areas_parallel.central, rel=1e-9)
    _, _, crossed = perceval_moments(photons, 0.0, transmission, [1, 1], ETA / 2)
    assert crossed / (ETA * mean) ** 2 == pytest.approx(expected.areas_orthogonal.central, rel=1e-9)


@pytest.mark.parametrize(("overlap", "transmission", "fwhm_ps", "area_pi"), CASES)
def test_sampler(overlap, transmission, fwhm_ps, area_pi):
    """Coincidences per pulse at 4 standard errors, 1 in 16 000 each by chance."""
    source, controls = setup(overlap, transmission), PulseControls(pulse_fwhm_ps=fwhm_ps, pulse_area_pi=area_pi)
    photons = pulse_photons(controls, source.emitter)
    pulses = 16_000_000
    for path, same, inputs, eta in (
        ("hbt", overlap, [1, 0], ETA),
        ("hom_parallel", overlap, [1, 1], ETA / 2),
        ("hom_orthogonal", 0.0, [1, 1], ETA / 2),
    ):
        words = LightStream(source, controls, path, seed=21).take(pulses * 12_500)
        found = pulse_pairs(*(in_pulses(words, channel, 12_500) for channel in (2, 3)))
        expected = perceval_moments(photons, same, transmission, inputs, eta)[2] * pulses
        assert expected > 10
        assert abs(found - expected) < 4 * expected**0.5


@pytest.mark.parametrize("overlap", [0.0, 0.5, 1.0])
def test_every_number_of_photons(overlap):
    """One photon on each input: how many leave by either port, not only in the mean."""
    source = setup(max(overlap, 1e-9), 0.4).model_copy(update={"transmission": 1.0})
    words = LightStream(source, PulseControls(pulse_fwhm_ps=0), "hom_parallel", seed=22).take(2_000_000 * 12_500)
    pulses = [np.bincount(in_pulses(words, channel, 12_500), minlength=2_000_000)[:2_000_000] for channel in (2, 3)]
    simulator = perceval.Simulator(perceval.SLOSBackend())
    simulator.set_circuit(perceval.BS.H(theta=perceval.BS.r_to_theta(0.4)))
    simulator.set_precision(0)
    noise = perceval.NoiseModel(indistinguishability=overlap)
    both = perceval.Source.from_noise_model(noise).generate_distribution(perceval.BasicState([1, 1]), 0)
    table = simulator.probs_svd(both)["results"]
    # a quarter of the slots gets the short photon of one pulse and the long one of the pulse before
    for state, weight in table.items():
        found = int(((pulses[0] == state[0]) & (pulses[1] == state[1])).sum())
        expected = weight * 2_000_000 / 4
        assert abs(found - expected) <= 4 * expected**0.5
