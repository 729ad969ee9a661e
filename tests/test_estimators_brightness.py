"""Brightness along the optical chain, and what detectors add to the clicks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from estimators_made import FEWEST, MOST, block, held
from hypothesis import given
from hypothesis import strategies as st

from qdhil.metrics import (
    BlankedRun,
    DetectorClicks,
    Efficiency,
    Exposure,
    Histogram,
    Intervals,
    PeakCounts,
    afterpulsing,
    brightness_chain,
    dark_rate,
    dead_time,
    dead_time_by_step,
    g2_area,
    linearity,
    two_photon_probability,
)

ETA, AFTER, BEFORE = Efficiency(0.8, 0.024), Efficiency(0.5, 0.02), Efficiency(0.6, 0.0)
LEVELS = pytest.mark.parametrize("clicks", [10, 1000])


def _chain(counts, **changes):
    how = {
        "detectors": DetectorClicks(ETA),
        "blanked": BlankedRun(0, 0, 1.0),
        "after_fibre": AFTER,
        "before_fibre": BEFORE,
    }
    return brightness_chain(counts, **{**how, **changes})


def _counts(singles_a, singles_b, *, triggers=10**8):
    return PeakCounts((9,) * 21, singles_a, singles_b, triggers, 1.25, 3000, 12_500.0, 0)


def test_order_of_corrections():
    """Clicks made forward: photon, afterpulse, dark count, dead time; the chain takes them off in reverse."""
    p, dark_hz, p_ap, blind = 0.02, 5000.0, 0.01, 3
    live = p * (1 + p_ap) + dark_hz * 12.5e-9
    seen = round(1e8 * live / (1 + blind * live))
    dark_clicks = round(dark_hz * 100)
    chain = _chain(
        _counts(seen, seen),
        detectors=DetectorClicks(ETA, 40_000.0, p_ap, 0.001),
        blanked=BlankedRun(dark_clicks, dark_clicks, 100.0),
    )
    assert chain.at_detector.value == pytest.approx(2 * p, rel=1e-6)
    assert chain.in_fibre.value == pytest.approx(2 * p / 0.4, rel=1e-6)
    assert chain.at_first_lens.value == pytest.approx(2 * p / 0.24, rel=1e-6)
    assert chain.at_detector.raw == pytest.approx(2 * seen / 1e8)


def test_systematic_errors_add_in_quadrature_and_stay_apart():
    chain = _chain(_counts(10**6, 10**6))
    relative = [e.systematic / e.value for e in (chain.at_detector, chain.in_fibre, chain.at_first_lens)]
    assert relative == pytest.approx([0, math.hypot(0.03, 0.04), math.hypot(0.03, 0.04)])
    statistical = [(e.high - e.low) / e.value for e in (chain.at_detector, chain.at_first_lens)]
    assert statistical[0] == pytest.approx(statistical[1])
    assert statistical[0] == pytest.approx(2 * 1.96 / math.sqrt(2e6), rel=0.01)


def test_multiphoton_share():
    side = PeakCounts((10**6,) * 10 + (40_000,) + (10**6,) * 10, 1, 1, 1, 1.0, 3000, 12_500.0, 0)
    g2 = g2_area(side, exclude_lags=1)
    counts = _counts(10**6, 10**6)
    assert _chain(counts, g2=g2).at_detector.value == pytest.approx(0.02 * math.sqrt(1 - 0.04))


@given(st.floats(1e-3, 1), st.floats(0, 0.99))
def test_two_photon_probability_inverts_its_definition(brightness, share):
    p1, p2 = brightness * (1 - share), brightness * share
    g = 2 * p2 / (p1 + 2 * p2) ** 2
    # near 2gB = 1 the root loses half the digits
    assert two_photon_probability(brightness, min(g, 0.5 / brightness)) == pytest.approx(p2, abs=1e-7)


@LEVELS
def test_chain_covers(clicks):
    truth = 2 * clicks / (8e7 * 0.8 * 0.5 * 0.6)

    def draw(rng):
        singles, darks = rng.poisson(clicks + 0.5, 2), rng.poisson(0.5 * 40, 2)
        counts = block(rng, 0, 0, singles_a=int(singles[0]), singles_b=int(singles[1]))
        return _chain(counts, blanked=BlankedRun(int(darks[0]), int(darks[1]), 40.0)).at_first_lens

    assert FEWEST <= held(draw, truth) <= MOST


@LEVELS
def test_dark_rate_covers(clicks):
    hits = held(lambda rng: dark_rate(Exposure(int(rng.poisson(clicks)), 4.0)), clicks / 4)
    assert FEWEST <= hits <= MOST


@pytest.mark.parametrize("clicks", [30, 1000])
def test_linearity_covers(clicks):
    def draw(rng):
        means = (9 * clicks + 0.05, clicks + 0.05, 50)
        full, dim, dark = (Exposure(int(n), dwell) for n, dwell in zip(rng.poisson(means), (1, 1, 1000), strict=True))
        return linearity(full, dim, dark, transmission=Efficiency(0.1, 0.001))

    assert FEWEST <= held(draw, 0.9) <= MOST


@pytest.mark.parametrize("clicks", [200, 100_000])
def test_dead_time_by_step_covers_and_agrees_with_linearity(clicks):
    true_hz, tau = 1e6, 50e-9
    rates = [n / (1 + n * tau) for n in (true_hz, true_hz / 10)]

    def runs(numbers):
        return [Exposure(int(n), clicks / rate) for n, rate in zip(numbers, rates, strict=True)]

    tenth = Efficiency(0.1, 0.0)
    exact = runs([10**9, 10**9])
    exact = [Exposure(10**12, 10**12 / rate) for rate in rates]
    assert dead_time_by_step(*exact, transmission=tenth).value == pytest.approx(50_000, rel=1e-6)
    seen = linearity(*exact, Exposure(0, 1e9), transmission=tenth).value
    assert seen == pytest.approx((1 + 1e5 * tau) / (1 + 1e6 * tau), rel=1e-6)
    hits = held(lambda rng: dead_time_by_step(*runs(rng.poisson(clicks, 2)), transmission=tenth), 50_000)
    assert FEWEST <= hits <= MOST


@pytest.mark.parametrize("number", [3, 10, 5000])
def test_dead_time_by_intervals_covers(number):
    def draw(rng):
        gaps = (45_000 + rng.exponential(1e6, number)).astype(np.int64)
        return dead_time(Intervals.of(np.concatenate(([0], np.cumsum(gaps)))))

    assert FEWEST <= held(draw, 45_000) <= MOST


def test_intervals_of_blocks_add():
    one, two = Intervals.of([0, 50, 200]), Intervals.of([0, 60, 100, 400])
    assert one + two == Intervals(5, 600, 40)
    with pytest.raises(ValueError, match="too few"):
        Intervals.of([0, 1])


@LEVELS
def test_afterpulsing_covers(clicks):
    """``clicks``: pairs in a bin."""
    excess = 1.5 * clicks * np.exp(-np.arange(40) / 4.0)
    level = np.concatenate((np.zeros(20), clicks + excess, np.full(60, clicks)))

    def draw(rng):
        pairs = Histogram.of(rng.poisson(level), first_ps=500.0, bin_ps=1000.0)
        return afterpulsing(pairs, clicks=10_000, dead_time_ps=20_000.0, settled_ps=60_000.0)

    assert FEWEST <= held(draw, float(excess.sum()) / 10_000) <= MOST


def test_refusals():
    with pytest.raises(ValueError, match="efficiency"):
        Efficiency(0.0, 0.1)
    with pytest.raises(ValueError, match="no laser pulses"):
        _chain(_counts(1, 1, triggers=0))
    with pytest.raises(ValueError, match="dead time"):
        _chain(_counts(9 * 10**7, 1), detectors=DetectorClicks(ETA, 40_000.0))
    with pytest.raises(ValueError, match="no source"):
        two_photon_probability(0.9, 0.9)
    with pytest.raises(ValueError, match="passes everything"):
        linearity(Exposure(9, 1.0), Exposure(9, 1.0), Exposure(0, 1.0), transmission=Efficiency(1.0, 0.0))
    with pytest.raises(ValueError, match="positive dwell"):
        Exposure(3, 0.0)
    with pytest.raises(ValueError, match="settled"):
        afterpulsing(Histogram((1, 2), 0.0, 1.0), clicks=5, dead_time_ps=0.0, settled_ps=9.0)
