"""A demultiplexed source: rates at every output, extinction, purity across outputs, alignment.

Comparisons are at 4.5 standard errors where many are made at once: 64 together exceed it 1 in 2000 by chance.
"""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from tags_made import in_pulses, pieces, pulse_pairs

from qdhil.errors import ConfigurationError
from qdhil_sim.light.demultiplexer import ArraySetup, ArrayStream, Output, PhotonSource
from qdhil_sim.light.detector import Detector

SOURCE = PhotonSource(lifetime_ps=200, photon=0.8, another=0.03, leak_photons=0.02)
DETECTOR = Detector(efficiency=0.8, jitter_ps=15.0)


def setup(outputs=8, extinction=0.002, **changes):
    ports = tuple(
        Output(transmission=0.5 + 0.05 * place, extinction=extinction * (place + 1), detector=DETECTOR)
        for place in range(outputs)
    )
    fields = {
        "rep_rate_hz": 80e6,
        "transmission": 0.3,
        "sync_divider": 800,
        "source": SOURCE,
        "outputs": ports,
    }
    return ArraySetup.model_validate(fields | changes)


@pytest.mark.parametrize("pulses_per_turn", [1, 5])
def test_every_output_gets_its_turn_and_a_little_of_the_others(pulses_per_turn):
    source, lasts_ps = setup(pulses_per_turn=pulses_per_turn), 10**11
    words = ArrayStream(source, seed=1).take(lasts_ps)
    turns = lasts_ps / source.turn_ps
    for output in range(8):
        pulses = in_pulses(words, 2 + output, source.period_ps)
        found = np.bincount(pulses // pulses_per_turn % 8, minlength=8)
        expected = np.array([source.photons_per_turn(output, turn) for turn in range(8)]) * turns * pulses_per_turn
        assert np.all(np.abs(found - expected) < 4.5 * expected**0.5)


def test_purity_shows_between_the_outputs():
    """Without extinction nothing is coincident; with it, light of one pulse at two outputs is g2 of the source."""
    clean = ArrayStream(setup(extinction=0.0), seed=2).take(10**11)
    ports = [in_pulses(clean, 2 + output, 12_500) for output in range(8)]
    assert pulse_pairs(ports[0], ports[1]) == 0
    assert pulse_pairs(ports[0], ports[1], lag=1) > 10_000
    mixed = setup(outputs=2, extinction=0.3, transmission=0.5)
    words = ArrayStream(mixed, seed=2).take(10**11)
    first, second = (in_pulses(words, channel, 12_500) for channel in (2, 3))
    central = pulse_pairs(first, second)
    # a turn's light goes to both outputs, so its pairs are g2 times the product of what each gets
    expected = sum(mixed.photons_per_turn(0, turn) * mixed.photons_per_turn(1, turn) for turn in (0, 1)) * SOURCE.g2
    expected *= 10**11 / mixed.turn_ps
    assert abs(central - expected) < 4 * expected**0.5
    assert SOURCE.g2 == pytest.approx(2 * (0.8 * 0.03 + 0.8 * 1.03 * 0.02) / (0.8 * 1.03 + 0.02) ** 2)


def test_delay_lines_make_a_round_arrive_together():
    source = setup(extinction=0.0).aligned()
    words = ArrayStream(source, seed=3).take(10**11)
    ports = [in_pulses(words, 2 + output, source.turn_ps, 1000) for output in range(8)]
    # the last output's light comes in its own turn, and every other waits for it
    last = 7 * source.period_ps
    phases = [((words[(words & 31) == 2 + port] >> 5) - last + 1000) % source.turn_ps for port in range(8)]
    assert all(np.mean(phase < 6000) > 0.999 for phase in phases)
    rounds = 10**11 / source.turn_ps
    expected = source.photons_per_turn(0, 0) * source.photons_per_turn(1, 1) * rounds
    assert abs(pulse_pairs(ports[0], ports[1]) - expected) < 4 * expected**0.5


def test_takes_cut_one_and_the_same_acquisition():
    noisy = Detector(efficiency=0.6, jitter_ps=80.0, dark_rate_hz=1e4, dead_time_ps=30_000, afterpulse_probability=0.03)
    ports = [Output(transmission=0.5, delay_ps=1000 * place, detector=noisy).model_dump() for place in range(8)]
    source = setup(outputs=8, rep_rate_hz=76.3e6)
    source = ArraySetup.model_validate(source.model_dump() | {"outputs": ports})
    whole = ArrayStream(source, seed=4).take(3 * 10**10)
    assert np.all(np.diff(whole) >= 0)
    assert set(np.unique(whole & 31)) == set(range(1, 10))
    for durations in ([3 * 10**9] * 10, [1, 7, 9_999_999_992, 0, 2 * 10**10]):
        np.testing.assert_array_equal(pieces(ArrayStream(source, seed=4), durations), whole)
    assert not np.array_equal(ArrayStream(source, seed=5).take(3 * 10**10), whole)


def test_errors():
    with pytest.raises(ConfigurationError, match="8 outputs need as many channels"):
        ArrayStream(setup(), seed=1, channels=[2, 3])
    with pytest.raises(ConfigurationError, match="must differ"):
        ArrayStream(setup(), seed=1, channels=[1, 2, 3, 4, 5, 6, 7, 8])
    with pytest.raises(ValidationError, match="lets light through"):
        setup(outputs=2).model_validate(
            setup(outputs=2).model_dump() | {"outputs": [{"transmission": 0.0, "detector": DETECTOR.model_dump()}] * 2}
        )
    with pytest.raises(ValidationError, match="more than 1"):
        setup(outputs=8, extinction=0.05)
    with pytest.raises(ValidationError, match="at least 2"):
        setup(outputs=1)
