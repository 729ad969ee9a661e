"""Pairs of the biexciton-exciton cascade: times, rates and correlations against closed forms.

Comparisons are at 4 standard errors: 1 in 16 000 each by chance.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError
from tags_made import in_pulses, pieces, pulse_pairs, times_ps

from qdhil.metrics import fidelity_six_settings
from qdhil.metrics.entanglement import time_averaged_state
from qdhil.metrics.two_qubit import concurrence, fidelity, largest_chsh
from qdhil_sim.light.cascade import (
    CascadeEmitter,
    CascadeSetup,
    PairChannels,
    PairStream,
    mean_state,
    pair_quality,
    pair_share,
)
from qdhil_sim.light.detector import Detector
from qdhil_sim.light.wave_plates import ANALYSERS

IDEAL = CascadeEmitter(pair_probability=0.9, lifetime_biexciton_ps=120, lifetime_exciton_ps=250, splitting_uev=1.0)
ROUGH = CascadeEmitter(
    pair_probability=0.5,
    lifetime_biexciton_ps=150,
    lifetime_exciton_ps=300,
    splitting_uev=2.0,
    scattering_ps=3000,
    dephasing_ps=1500,
    noise_biexciton=0.03,
    noise_exciton=0.05,
)
EMITTERS = pytest.mark.parametrize("emitter", [IDEAL, ROUGH], ids=["ideal", "rough"])
BASES = {"HV": "HV", "DA": "DA", "RL": "RL"}


def setup(emitter, **changes):
    detector = Detector(efficiency=0.8, jitter_ps=10.0)
    fields = {
        "rep_rate_hz": 80e6,
        "transmission_biexciton": 0.2,
        "transmission_exciton": 0.25,
        "sync_divider": 1000,
        "emitter": emitter,
        "detector_biexciton": detector,
        "detector_exciton": detector,
    }
    return CascadeSetup.model_validate(fields | changes)


def taken(source, setting, seconds, seed=1):
    stream = PairStream(source, ANALYSERS[setting[0]], ANALYSERS[setting[1]], seed=[seed, *map(ord, setting)])
    return stream.take(round(seconds * 1e12))


@EMITTERS
@pytest.mark.parametrize("setting", ["HH", "DD", "RR", "RL", "HD", "DL"])
def test_pairs_at_the_four_ports(emitter, setting):
    """Each of the four coincidence counts is that of the mean state."""
    source, seconds = setup(emitter), 0.05
    words = taken(source, setting, seconds)
    states = [ANALYSERS[letter].analysed() for letter in setting]
    others = [np.array([-state[1].conj(), state[0].conj()]) for state in states]
    rho = mean_state(emitter)
    first, second = 0.2 * 0.8, 0.25 * 0.8
    per_pulse = emitter.pair_probability / pair_share(emitter) * first * second
    for channel, one in ((2, states[0]), (3, others[0])):
        for other_channel, two in ((4, states[1]), (5, others[1])):
            joint = np.kron(one, two)
            expected = (joint.conj() @ rho @ joint).real * per_pulse * seconds * 80e6
            found = pulse_pairs(
                in_pulses(words, channel, source.period_ps), in_pulses(words, other_channel, source.period_ps)
            )
            assert abs(found - expected) < 4 * max(expected, 1) ** 0.5


@EMITTERS
def test_singles_are_unpolarised(emitter):
    source, seconds = setup(emitter), 0.02
    first = (emitter.pair_probability + emitter.noise_biexciton) * 0.2 * 0.8
    second = (emitter.pair_probability + emitter.noise_exciton) * 0.25 * 0.8
    for setting in ("HV", "DR"):
        counts = np.bincount(taken(source, setting, seconds) & 31, minlength=6)[2:]
        expected = np.array([first, first, second, second]) / 2 * 80e6 * seconds
        assert np.all(np.abs(counts - expected) < 4 * expected**0.5)


@EMITTERS
def test_six_settings_give_the_fidelity(emitter):
    source, pairs = setup(emitter), {}
    for basis, (like, unlike) in BASES.items():
        words = taken(source, like * 2, 0.03)
        pulses = [in_pulses(words, channel, source.period_ps) for channel in (2, 3, 4, 5)]
        parallel = pulse_pairs(pulses[0], pulses[2]) + pulse_pairs(pulses[1], pulses[3])
        crossed = pulse_pairs(pulses[0], pulses[3]) + pulse_pairs(pulses[1], pulses[2])
        assert unlike != like
        pairs[basis] = (parallel, crossed)
    found = fidelity_six_settings(pairs, confidence=1 - 6e-5)
    assert found.low <= pair_quality(emitter).fidelity <= found.high
    assert found.high - found.low < 0.02


def test_the_splitting_turns_the_phase():
    """Time-resolved: behind D, D the odds oscillate with S·τ/ħ, and the mean does not show it."""
    emitter = IDEAL.model_copy(update={"splitting_uev": 8.0, "lifetime_exciton_ps": 800.0})
    source = setup(emitter, detector_biexciton=Detector(efficiency=1.0), detector_exciton=Detector(efficiency=1.0))
    words = taken(source, "DD", 0.1)
    first, second = times_ps(words, 2), times_ps(words, 4)
    edges = np.linspace(0, 1600, 41)
    place = np.searchsorted(second, first)
    delay = second[np.minimum(place, second.size - 1)] - first
    counts = np.histogram(delay[delay > 0], edges)[0]
    middle = (edges[1:] + edges[:-1]) / 2
    shape = np.exp(-middle / 800) * (1 + np.cos(8.0 * middle / 658.2119569))
    expected = shape * counts.sum() / shape.sum()
    assert np.all(np.abs(counts - expected) < 4.5 * np.maximum(expected, 1) ** 0.5 + 0.02 * expected.max())
    assert counts[0] > 100 * counts[6]  # half a turn takes 258 ps


def test_lifetimes():
    source = setup(IDEAL, detector_biexciton=Detector(efficiency=1.0), detector_exciton=Detector(efficiency=1.0))
    words = taken(source, "HH", 0.05)
    first = times_ps(words, 2) % 12_500
    assert first.mean() == pytest.approx(120, abs=4 * 120 / first.size**0.5 + 0.5)
    second = times_ps(words, 4) % 12_500
    sd = math.hypot(120, 250)
    assert second.mean() == pytest.approx(120 + 250, abs=4 * sd / second.size**0.5 + 0.5)


def test_no_second_pair_in_a_pulse():
    """Both ports of one analyser never click together without noise; with it, as the noise predicts."""
    for emitter in (IDEAL, ROUGH):
        source = setup(emitter)
        words = taken(source, "HH", 0.05)
        found = pulse_pairs(*(in_pulses(words, channel, source.period_ps) for channel in (2, 3)))
        expected = emitter.pair_probability * emitter.noise_biexciton / 2 * 0.16**2 * 0.05 * 80e6
        assert abs(found - expected) <= 4 * expected**0.5


@pytest.mark.parametrize(
    ("splitting_uev", "lifetime_ns", "expected"),
    [(1, 0.25, (0.9370, 0.9348, 2.738)), (2, 0.25, (0.8170, 0.7963, 2.557)), (1, 1.0, (0.6511, 0.5498, 2.282))],
)
def test_quality_of_the_reference(splitting_uev, lifetime_ns, expected):
    emitter = IDEAL.model_copy(update={"splitting_uev": splitting_uev, "lifetime_exciton_ps": 1000 * lifetime_ns})
    found = pair_quality(emitter)
    assert found == pytest.approx(expected, abs=5e-4)
    assert found == pytest.approx(time_averaged_state(splitting_uev, lifetime_ns), abs=1e-4)


@EMITTERS
def test_closed_forms_are_those_of_the_state(emitter):
    rho, quality = mean_state(emitter), pair_quality(emitter)
    assert np.trace(rho) == pytest.approx(1)
    assert np.linalg.eigvalsh(rho).min() > -1e-12
    assert (fidelity(rho), concurrence(rho), largest_chsh(rho)) == pytest.approx(quality, abs=1e-7)


def test_fidelity_with_scattering_and_background():
    """F = (1 + k·g' + 2k·g''/(1 + (g''x)²))/4, Hudson et al., Phys. Rev. Lett. 99, 266802 (2007)."""
    lifetime, x = 300.0, 2.0 * 300 / 658.2119569
    spin, both = 1 / (1 + lifetime / 3000), 1 / (1 + lifetime / 3000 + lifetime / 1500)
    share = pair_share(ROUGH)
    expected = (1 + share * spin + 2 * share * both / (1 + (both * x) ** 2)) / 4
    assert pair_quality(ROUGH).fidelity == pytest.approx(expected)
    assert share == pytest.approx(0.5 / (0.5 * 1.08 + 0.0015))


def test_takes_cut_one_and_the_same_acquisition():
    detector = Detector(
        efficiency=0.5,
        jitter_ps=200.0,
        dark_rate_hz=1e4,
        dead_time_ps=30_000,
        afterpulse_probability=0.05,
        dead_time_kind="paralysable",
    )
    source = setup(ROUGH.model_copy(update={"pulse_jitter_ps": 30.0}), rep_rate_hz=76.3e6, detector_exciton=detector)

    def stream(seed):
        return PairStream(source, ANALYSERS["D"], ANALYSERS["L"], seed=seed)

    whole = stream(3).take(3 * 10**10)
    assert np.all(np.diff(whole) >= 0)
    assert set(np.unique(whole & 31)) == {1, 2, 3, 4, 5}
    for durations in ([3 * 10**9] * 10, [1, 7, 9_999_999_992, 0, 2 * 10**10]):
        np.testing.assert_array_equal(pieces(stream(3), durations), whole)
    assert not np.array_equal(stream(4).take(3 * 10**10), whole)
    sync = times_ps(whole, 1)
    assert np.abs(sync - np.arange(sync.size) * 1000 * source.period_ps).max() < 12 * 5


def test_channels_are_parameters_and_distinct():
    wired = PairChannels(sync=30, biexciton=7, biexciton_reflected=8, exciton=9, exciton_reflected=0)
    words = PairStream(setup(IDEAL), ANALYSERS["H"], ANALYSERS["H"], seed=1, channels=wired).take(10**9)
    assert set(np.unique(words & 31)) == {0, 7, 8, 9, 30}
    with pytest.raises(ValidationError, match="own input"):
        PairChannels(sync=2)
