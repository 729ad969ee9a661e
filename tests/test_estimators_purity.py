"""g2(0) against near peaks and singles, its background, upper limit, and what dead time does to it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from estimators_made import FEWEST, MOST, block, held
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.metrics import (
    BlankedRun,
    PeakCounts,
    count_peaks,
    g2_area,
    g2_blanked,
    g2_floor,
    g2_near,
    g2_singles,
    g2_upper_limit,
    near_to_far,
)

LEVELS = pytest.mark.parametrize(("central", "side"), [(2, 100), (10, 500), (1000, 20_000)], ids=["2", "10", "1000"])


@LEVELS
def test_near_peaks_cover(central, side):
    """See estimators_made for the odds of every coverage test."""
    hits = held(lambda rng: g2_near(block(rng, central, side), exclude_lags=1, near_lags=4), central / side)
    assert FEWEST <= hits <= MOST


@LEVELS
def test_singles_cover(central, side):
    mean = math.sqrt(side * 8e7)

    def draw(rng):
        singles_a, singles_b = rng.poisson(mean, 2)
        counts = block(rng, central, side, singles_a=int(singles_a), singles_b=int(singles_b))
        return g2_singles(counts, captured=1.0)

    assert FEWEST <= held(draw, central / side) <= MOST


@LEVELS
@pytest.mark.parametrize("dark_dwell_s", [1.0, 0.001])
def test_blanked_run_covers(central, side, dark_dwell_s):
    g, x, signal = central / side, 0.02, 40_000.0
    dark = x * signal / (3000 / 12_500)
    raw = (g + 2 * x + x * x) / (1 + x) ** 2

    def draw(rng):
        singles = rng.poisson(signal + dark, 2)
        counts = block(rng, raw * side, side, singles_a=int(singles[0]), singles_b=int(singles[1]))
        clicks = rng.poisson(dark * dark_dwell_s, 2)
        blanked = BlankedRun(int(clicks[0]), int(clicks[1]), dark_dwell_s)
        return g2_blanked(counts, blanked, exclude_lags=1)

    assert FEWEST <= held(draw, g, corrected=True) <= MOST


@LEVELS
@pytest.mark.parametrize("width", [1, 30])
def test_floor_covers(central, side, width):
    floor = central / 2 + 0.5

    def draw(rng):
        counts = block(rng, central + floor, side + floor)
        pairs = int(rng.poisson(floor * width))
        return g2_floor(counts, floor_pairs=pairs, floor_width_ps=3000 * width, exclude_lags=1)

    # a floor of one or two counts makes the interval wide: 998 was seen
    assert FEWEST <= held(draw, central / side, corrected=True) <= (MOST if central > 2 or width > 1 else 1000)


def test_floor_error_is_that_of_the_raw_counts():
    """With 100 pairs of which 90 are floor, the error of the 10 is that of 100."""
    rng = np.random.default_rng(0)
    counts = replace(block(rng, 0, 0), peaks=(*[10_000] * 10, 100, *[10_000] * 10))
    estimate = g2_floor(counts, floor_pairs=90_000, floor_width_ps=3_000_000, exclude_lags=1)
    assert estimate.corrected == pytest.approx(10 / 9910)
    half = (estimate.corrected_high - estimate.corrected_low) / 2
    assert half == pytest.approx(1.96 * math.sqrt(100) / 9910, rel=0.05)


@pytest.mark.parametrize("central", [2, 10, 1000])
def test_upper_limit_holds(central):
    """95 % one-sided: below 930 of 1000 with odds of 1 in 430."""
    hits = held(lambda rng: g2_upper_limit(block(rng, central, 10 * central), exclude_lags=1), 0.1)
    assert hits >= FEWEST


def test_upper_limit_of_no_central_count_is_three_counts():
    counts = PeakCounts((1000,) * 10 + (0,) + (1000,) * 10, 1, 1, 1, 1.0, 3000, 12_500.0, 0)
    estimate = g2_upper_limit(counts, exclude_lags=1)
    assert (estimate.raw, estimate.low) == (0.0, 0.0)
    assert estimate.value == estimate.high == pytest.approx(-math.log(0.05) / 1000, rel=1e-3)


def test_dead_time_raises_near_peaks_and_spares_singles_and_far():
    """Two detectors blind for four pulses, p = 0.07: near/far is 1 + p_obs, within 4 standard errors."""
    rng = np.random.default_rng(5)
    pulses, period = 3_000_000, 12_500
    photon = np.flatnonzero(rng.random(pulses) < 0.18)
    goes = rng.random(photon.size) < 0.5
    clicks = [_alive(photon[side], 4) * period for side in (goes, ~goes)]
    peaks = count_peaks(*clicks, period_ps=period, delay_ps=0, window_ps=3000, max_lag=20)
    counts = PeakCounts(
        tuple(int(n) for n in peaks),
        clicks[0].size,
        clicks[1].size,
        pulses,
        pulses * 12.5e-9,
        3000,
        12_500.0,
        0,
    )
    ratio = near_to_far(counts, dead_time_ps=55_000)
    per_pulse = (clicks[0].size + clicks[1].size) / 2 / pulses
    error = (ratio.high - ratio.low) / 3.92
    assert ratio.value == pytest.approx(1 + per_pulse, abs=4 * error)
    assert ratio.corrected == pytest.approx(1, abs=4 * error)
    assert ratio.low > 1
    # no photon pairs here: every normalisation says 0, and the near one would be too low for any other
    assert g2_area(counts, exclude_lags=4).value == 0
    assert sum(counts.peaks[:16]) / 16 == pytest.approx(clicks[0].size * clicks[1].size / pulses, rel=0.02)


def _alive(pulses, dead):
    kept, last = [], -dead - 1
    for pulse in pulses:
        if pulse - last > dead:
            kept.append(pulse)
            last = pulse
    return np.array(kept, np.int64)


@pytest.mark.parametrize("side", [100, 20_000])
def test_near_to_far_covers(side):
    hits = held(lambda rng: near_to_far(block(rng, 5, side, near=(side * 1.07, 4)), dead_time_ps=55_000), 1.07)
    assert FEWEST <= hits <= MOST


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 50), st.integers(1, 500), st.integers(0, 50), st.integers(1, 500))
def test_blocks_add_exactly(central, side, other_central, other_side):
    def one(middle, level):
        return PeakCounts((level,) * 6 + (middle,) + (level,) * 6, 900, 800, 10_000, 1.0, 12_500, 12_500.0, 0)

    both = one(central, side) + one(other_central, other_side)
    near = g2_near(both, exclude_lags=1, near_lags=4)
    assert near.counts["central"] == central + other_central
    assert near.counts["side"] == 6 * (side + other_side)
    assert near.value == pytest.approx((central + other_central) / (side + other_side))
    assert near.low <= near.value <= near.high
    singles = g2_singles(both, captured=1.0)
    assert singles.value == pytest.approx((central + other_central) * 20_000 / (1800 * 1600))


def test_what_cannot_be_normalised_is_refused():
    counts = PeakCounts((0,) * 5 + (1,) + (0,) * 5, 0, 5, 10, 1.0, 3000, 12_500.0, 0)
    with pytest.raises(ValueError, match="near peaks"):
        g2_near(counts, exclude_lags=1, near_lags=3)
    with pytest.raises(ValueError, match="no peaks"):
        g2_near(counts, exclude_lags=3, near_lags=3)
    with pytest.raises(ValueError, match="no clicks"):
        g2_singles(counts, captured=1.0)
    with pytest.raises(ValueError, match="captured"):
        g2_singles(counts, captured=0.0)
    with pytest.raises(ValueError, match="side peaks"):
        g2_upper_limit(counts, exclude_lags=1)
    lit = replace(counts, peaks=(9,) * 11)
    with pytest.raises(ValueError, match="expected without light"):
        g2_blanked(lit, BlankedRun(5, 5, 1.0), exclude_lags=1)
    with pytest.raises(ValueError, match="stand out"):
        g2_floor(lit, floor_pairs=9, floor_width_ps=3000, exclude_lags=1)
    with pytest.raises(ValueError, match="shorter than the period"):
        near_to_far(lit, dead_time_ps=1000)


def test_corrected_interval_travels_and_others_do_without():
    counts = PeakCounts((90,) * 5 + (1,) + (90,) * 5, 9000, 9000, 10**6, 1.0, 3000, 12_500.0, 0)
    record = g2_blanked(counts, BlankedRun(50, 50, 1.0), exclude_lags=1).record()
    assert record["corrected_low"] < record["corrected"] < record["corrected_high"]
    assert "corrected_low" not in g2_area(counts, exclude_lags=1).record()
    json.dumps(record, allow_nan=False)
