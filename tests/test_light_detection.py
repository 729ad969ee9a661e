"""Detectors with memory: dead time of both kinds, afterpulsing, crosstalk, bias; and the tagger's FIFO.

Statistical comparisons are at 4 standard errors: 1 in 16 000 each by chance.
"""

from __future__ import annotations

import numpy as np
import pytest
from tags_made import differences, pieces, times_ps

from qdhil.errors import ConfigurationError
from qdhil.metrics import Histogram, Intervals, afterpulsing, auto_correlate, dead_time
from qdhil_sim.light import LightStream, PulseControls, Setup, load_setup
from qdhil_sim.light.clicks import non_paralysable_rate_hz, paralysable_rate_hz
from qdhil_sim.light.continuous import ContinuousEmitter, ContinuousSetup, ContinuousStream, correlation
from qdhil_sim.light.detector import Detector, TaggerInputs
from qdhil_sim.light.detector_bank import Input
from qdhil_sim.light.detector_bias import (
    AVALANCHE,
    NANOWIRE,
    PASSIVE_AVALANCHE,
    at_current,
    at_excess_bias,
)
from qdhil_sim.light.event_stream import EventStream
from qdhil_sim.light.time_tagger import TimeTagger

NOISY = {"afterpulse_probability": 0.05, "afterpulse_decay_ps": 40_000.0}


class Steady(EventStream):
    """Detectors in the dark: their dark counts are steady Poisson light."""

    def __init__(self, *detectors, seed=1, tagger=None):
        inputs = [Input(2 + place, detector) for place, detector in enumerate(detectors)]
        super().__init__(inputs, seed=seed, period=None, sync=None, lasting_ps=0.0, tagger=tagger)

    def _draw(self, _frame, _lasts_ps, _photons):
        return 0


def steady(rate_hz, **changes):
    return Detector(efficiency=1.0, dark_rate_hz=rate_hz, **changes)


@pytest.mark.parametrize("rate_hz", [1e6, 1e7, 5e7])
def test_dead_time_of_both_kinds(rate_hz):
    """Clicks of a renewal process: their number has the variance n·(σ/mean)² <= n."""
    lasts_s, dead_ps = 0.1, 40_000
    live = times_ps(Steady(steady(rate_hz, dead_time_ps=dead_ps)).take(10**11), 2)
    held = times_ps(Steady(steady(rate_hz, dead_time_ps=dead_ps, dead_time_kind="paralysable")).take(10**11), 2)
    expected = non_paralysable_rate_hz(rate_hz, dead_ps) * lasts_s
    assert abs(live.size - expected) < 4 * expected**0.5
    expected = paralysable_rate_hz(rate_hz, dead_ps) * lasts_s
    assert abs(held.size - expected) < 4 * expected**0.5
    assert np.diff(live).min() >= dead_ps
    assert np.diff(held).min() >= dead_ps


def test_dead_time_is_measured():
    clicks = times_ps(Steady(steady(3e6, dead_time_ps=35_000)).take(10**11), 2)
    found = dead_time(Intervals.of(clicks), confidence=1 - 6e-5)
    assert found.low <= 35_000 <= found.high


def test_afterpulses_are_measured():
    detector = steady(2e5, dead_time_ps=20_000, **NOISY)
    clicks = times_ps(Steady(detector).take(3 * 10**12), 2)
    bin_ps, reach_ps = 5_000, 2_000_000
    counts = auto_correlate(clicks, window_ps=reach_ps, bin_ps=bin_ps)
    half = counts[counts.size // 2 :]
    histogram = Histogram.of(half, first_ps=bin_ps / 2, bin_ps=bin_ps)
    found = afterpulsing(histogram, clicks=clicks.size, dead_time_ps=20_000, settled_ps=600_000, confidence=1 - 6e-5)
    # an afterpulse has afterpulses of its own, so a click is followed by p/(1 - p)
    assert found.low <= 0.05 / 0.95 <= found.high
    assert found.high < 2 * found.low
    expected = 2e5 * 3 / 0.95 / (1 + 2e5 / 0.95 * 20e-9)
    assert abs(clicks.size - expected) < 4 * (1.2 * expected) ** 0.5 + 0.002 * expected


def test_afterpulses_decay():
    clicks = times_ps(Steady(steady(2e4, dead_time_ps=20_000, **NOISY)).take(5 * 10**12), 2)
    gaps = np.diff(clicks)
    early = gaps[gaps < 20_000 + 400_000] - 20_000
    level = (gaps > 10**6).sum() * 2e4 * 400e-9
    mean = (early.sum() - level * 200_000) / (early.size - level)
    assert mean == pytest.approx(40_000, abs=4 * 40_000 / early.size**0.5 + 4 * 200_000 * level**0.5 / early.size)
    assert gaps.min() >= 20_000


def test_crosstalk_is_a_peak_at_its_delay():
    tagger = TaggerInputs(crosstalk_probability=0.02, crosstalk_delay_ps=700)
    words = Steady(steady(1e5), steady(1e5), tagger=tagger).take(10**12)
    first, second = times_ps(words, 2), times_ps(words, 3)
    counts = differences(first, second, np.array([-701, -700, -699, 699, 700, 701]))
    for found, clicks in ((counts[4], first.size), (counts[0] + counts[1], second.size)):
        assert abs(found - 0.02 * clicks) < 4 * (0.02 * clicks) ** 0.5 + 4
    alone = Steady(steady(1e5), tagger=tagger).take(10**10)
    assert alone.size > 0


def test_the_tagger_has_a_dead_time_of_its_own():
    """It hides tags; the detector has clicked all the same."""
    words = Steady(steady(1e7), tagger=TaggerInputs(dead_time_ps=50_000)).take(10**11)
    assert np.diff(times_ps(words, 2)).min() >= 50_000
    expected = non_paralysable_rate_hz(1e7, 50_000) * 0.1
    assert abs(words.size - expected) < 4 * expected**0.5


def test_takes_cut_one_and_the_same_acquisition():
    detectors = [
        steady(2e6, dead_time_ps=30_000, **NOISY),
        steady(3e6, dead_time_ps=40_000, dead_time_kind="paralysable", jitter_ps=100.0),
    ]
    tagger = TaggerInputs(crosstalk_probability=0.03, crosstalk_delay_ps=500, dead_time_ps=2000)
    whole = Steady(*detectors, tagger=tagger).take(3 * 10**10)
    assert np.all(np.diff(whole) >= 0)
    assert whole[0] >= 0
    for durations in ([3 * 10**9] * 10, [1, 7, 9_999_999_992, 0, 2 * 10**10]):
        np.testing.assert_array_equal(pieces(Steady(*detectors, tagger=tagger), durations), whole)
    assert not np.array_equal(Steady(*detectors, tagger=tagger, seed=2).take(3 * 10**10), whole)


def test_any_number_of_channels():
    words = Steady(*[steady(1e5 * (place + 1)) for place in range(29)]).take(10**11)
    counts = np.bincount(words & 31, minlength=32)[2:31]
    expected = 1e4 * np.arange(1, 30)
    assert np.all(np.abs(counts - expected) < 5 * expected**0.5)
    with pytest.raises(ConfigurationError, match="must differ"):
        Steady(*[steady(1e5)] * 30)


def light(pump_per_ns=1.0, detector=None):
    detector = detector or Detector(efficiency=1.0)
    emitter = ContinuousEmitter(lifetime_ps=500, pump_per_ns=pump_per_ns)
    setup = ContinuousSetup(transmission=0.01, emitter=emitter, detector_a=detector, detector_b=detector)
    return ContinuousStream(setup, seed=4)


def test_the_fifo_loses_what_it_has_no_room_for_and_says_so():
    whole = light().take(10**10)
    tagger = TimeTagger(light(), fifo_tags=500, readout_hz=2e6)
    kept = tagger.take(10**10)
    assert tagger.dropped == whole.size - kept.size
    assert sum(tagger.dropped_by_channel.values()) == tagger.dropped
    assert set(tagger.dropped_by_channel) == {2, 3}
    # what leaves is what the readout takes, and what still waits
    assert kept.size == pytest.approx(2e6 * 0.01 + 500, abs=2)
    assert np.isin(kept, whole).all()
    again = TimeTagger(light(), fifo_tags=500, readout_hz=2e6)
    np.testing.assert_array_equal(pieces(again, [10**9] * 10), kept)
    assert again.dropped == tagger.dropped


def test_a_fast_readout_loses_nothing():
    tagger = TimeTagger(light(), fifo_tags=1000, readout_hz=1e9)
    np.testing.assert_array_equal(tagger.take(10**10), light().take(10**10))
    assert tagger.dropped == 0
    assert tagger.dropped_by_channel == {}
    with pytest.raises(ConfigurationError, match="readout_hz"):
        TimeTagger(light(), fifo_tags=10, readout_hz=0)


def test_nanowire_bias():
    assert at_current(NANOWIRE, 18.0) == NANOWIRE
    currents = np.arange(2.0, 20.0, 0.5)
    detectors = [at_current(NANOWIRE, current) for current in currents]
    assert np.all(np.diff([d.efficiency for d in detectors]) > 0)
    assert np.all(np.diff([d.dark_rate_hz for d in detectors]) > 0)
    assert np.all(np.diff([d.jitter_ps for d in detectors]) < 0)
    # a plateau: the last 2 µA below nominal bias matter little to the light, much to the dark counts
    assert at_current(NANOWIRE, 16.0).efficiency > 0.99 * NANOWIRE.efficiency
    assert at_current(NANOWIRE, 16.0).dark_rate_hz == pytest.approx(NANOWIRE.dark_rate_hz / 10)
    for blind in (0.0, 20.0, 25.0):
        assert at_current(NANOWIRE, blind).efficiency == 0
        assert at_current(NANOWIRE, blind).dark_rate_hz == 0


def test_avalanche_bias():
    assert at_excess_bias(AVALANCHE, 5.0) == AVALANCHE
    volts = np.arange(0.5, 10, 0.5)
    detectors = [at_excess_bias(AVALANCHE, v) for v in volts]
    for name in ("efficiency", "dark_rate_hz", "afterpulse_probability"):
        assert np.all(np.diff([getattr(d, name) for d in detectors]) > 0)
    assert at_excess_bias(AVALANCHE, 0.0).efficiency == 0


def test_what_has_a_plain_dead_time():
    assert NANOWIRE.has_plain_dead_time
    assert not AVALANCHE.has_plain_dead_time
    assert not PASSIVE_AVALANCHE.has_plain_dead_time


def test_saturation_at_high_rates():
    """Eighteen times the light gives ten times the clicks, or of passively quenched diodes eight times."""
    emitted_hz = 1e12 * correlation(ContinuousEmitter(lifetime_ps=500, pump_per_ns=10.0)).photons_per_ps * 0.01
    for kind, observed in (
        ("non-paralysable", non_paralysable_rate_hz),
        ("paralysable", paralysable_rate_hz),
    ):
        detector = Detector(efficiency=1.0, dead_time_ps=100_000, dead_time_kind=kind)
        clicks = light(10.0, detector).take(10**11).size
        expected = 0.2 * observed(emitted_hz / 2, 100_000)
        assert expected < 0.6 * emitted_hz * 0.1
        assert abs(clicks - expected) < 4 * expected**0.5


def pulsed(**changes):
    """Return a pulsed rig whose detectors have memory."""
    fields = load_setup("pillar-930").model_dump()
    fields["detector_a"] |= {
        "afterpulse_probability": 0.04,
        "afterpulse_decay_ps": 30_000.0,
        "dark_rate_hz": 2e4,
    }
    fields["detector_b"] |= {"dead_time_kind": "paralysable", "dead_time_ps": 70_000}
    return Setup.model_validate(fields | changes)


@pytest.mark.parametrize("path", ["hbt", "hom_parallel", "blanked"])
def test_pulsed_light_on_detectors_with_memory_is_cut_anywhere(path):
    setup = pulsed(tagger={"dead_time_ps": 3000, "crosstalk_probability": 0.01, "crosstalk_delay_ps": 400})
    whole = LightStream(setup, PulseControls(), path, seed=5).take(3 * 10**10)
    assert np.all(np.diff(whole) >= 0)
    for durations in ([3 * 10**9] * 10, [1, 7, 9_999_999_992, 0, 2 * 10**10]):
        again = pieces(LightStream(setup, PulseControls(), path, seed=5), durations)
        np.testing.assert_array_equal(again, whole)


def test_pulsed_light_has_afterpulses_and_paralysis():
    setup = pulsed()
    words = LightStream(setup, PulseControls(), "hbt", seed=6).take(3 * 10**11)
    plain = LightStream(load_setup("pillar-930"), PulseControls(), "hbt", seed=6).take(3 * 10**11)
    a, b, plain_a = times_ps(words, 2), times_ps(words, 3), times_ps(plain, 2)
    assert np.diff(b).min() >= 70_000
    # 2 Mcps and 20 ns of dead time: 4 % more clicks, less what they blind
    assert 1.02 < a.size / plain_a.size < 1.05
    # out of the laser's beat: light comes within 2 ns of its pulse
    between = (a + 400) % 12_500 > 3000
    expected = 0.04 * a.size * (1 - 3000 / 12_500)
    assert abs(between.sum() - 0.3 * 2e4 * 0.76 - expected) < 0.06 * expected
