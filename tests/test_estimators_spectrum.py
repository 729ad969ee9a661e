"""Lines, stability, and the sweep of the repetition rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from estimators_made import FEWEST, MOST, held
from scipy.special import voigt_profile

from qdhil.metrics import Limit, allan_deviation, drift, fit_line, highest_rate, transform_limit_hz
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.repetition_rate import live_fraction, residual_excitation

AXIS = np.linspace(-10, 10, 101)
_SIGMA_PER_FWHM = 1 / math.sqrt(8 * math.log(2))


def _line(area, floor, width, instrument=0.0):
    return floor + area * 0.2 * voigt_profile(AXIS - 0.3, instrument * _SIGMA_PER_FWHM, width / 2)


@pytest.mark.parametrize(
    ("area", "floor", "width", "instrument"),
    [(100, 0.5, 2.0, 0.0), (20_000, 20, 1.0, 1.0)],
    ids=["low", "high"],
)
@pytest.mark.parametrize("replicates", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_line_covers(area, floor, width, instrument, replicates):
    """Fewer than 88 of 100 have odds of 1 in 680 at 95 %; fewer than 930 of 1000 1 in 430."""
    rng, expected = np.random.default_rng(1), _line(area, floor, width, instrument)
    found = [fit_line(AXIS, rng.poisson(expected), instrument_fwhm=instrument) for _ in range(replicates)]
    least = 88 if replicates == 100 else 930
    assert sum(f.centre.low <= 0.3 <= f.centre.high for f in found) >= least
    assert sum(f.fwhm.low <= width <= f.fwhm.high for f in found) >= least


def test_camera_signal_covers_by_its_scatter():
    """Gain 7: fewer than 88 of 100 have odds of 1 in 680."""
    rng, expected = np.random.default_rng(2), _line(3000, 20, 1.5)
    found = [fit_line(AXIS, 7.3 * rng.poisson(expected), photon_counts=False) for _ in range(100)]
    assert sum(f.centre.low <= 0.3 <= f.centre.high for f in found) >= 88
    assert sum(f.fwhm.low <= 1.5 <= f.fwhm.high for f in found) >= 88


def test_transform_limit_of_the_reference():
    assert transform_limit_hz(200.0) == pytest.approx(796e6, rel=1e-3)


@pytest.mark.parametrize(
    ("counts", "match"),
    [
        (np.full(101, 50), "no line"),
        (-np.ones(101), "negative"),
        (np.full(101, 1.5), "whole"),
        (_line(20_000, 20, 0.01).round(), "resolved|no Voigt"),
        (
            (_line(20_000, 20, 1.0) + _line(20_000, 20, 1.0)[::-1].take(range(-20, 81), mode="wrap")).round(),
            "no Voigt",
        ),
        (np.ones(5), "points"),
    ],
    ids=["flat", "negative", "rates", "narrow", "two-lines", "short"],
)
def test_spectra_that_tell_nothing_are_refused(counts, match):
    rng = np.random.default_rng(3)
    axis = AXIS[: counts.size]
    drawn = rng.poisson(counts) if counts.min() >= 0 and np.all(counts == np.rint(counts)) else counts
    with pytest.raises(ValueError, match=match):
        fit_line(axis, drawn)


@pytest.mark.parametrize(("size", "averaged"), [(12, 1), (500, 1), (500, 10)])
def test_allan_deviation_covers_white_noise(size, averaged):
    def draw(rng):
        return allan_deviation(rng.normal(0, 2, size), spacing_s=0.5, averaged=averaged)

    assert FEWEST <= held(draw, 2 / math.sqrt(averaged)) <= MOST


def test_allan_deviation_of_a_pure_drift():
    values = 3.0 * 0.5 * np.arange(100)
    assert allan_deviation(values, spacing_s=0.5, averaged=8).value == pytest.approx(3.0 * 4.0 / math.sqrt(2))


@pytest.mark.parametrize("size", [10, 300])
def test_drift_covers(size):
    hits = held(lambda rng: drift(rng.normal(0, 1, size) + 0.3 * np.arange(size), spacing_s=1.0), 0.3)
    assert FEWEST <= hits <= MOST


def test_drift_of_a_wandering_line_is_not_claimed():
    """AR(1) with r = 0.5 and no drift: a naive error would be right in 75 of 100 only."""

    def draw(rng):
        noise, state, series = rng.normal(0, 1, 400), 0.0, np.empty(400)
        for i, kick in enumerate(noise):
            state = 0.5 * state + kick
            series[i] = state
        return drift(series, spacing_s=1.0)

    assert held(draw, 0.0, replicates=200) >= 180


def _estimates(*bounds):
    return [Estimate(name, (a + b) / 2, a, b, 0.95, {}, None, None, "", 0.0) for name, a, b in bounds]


def test_highest_rate_needs_all_limits_up_to_it():
    limits = {"g2": Limit(at_most=0.05), "v": Limit(at_least=0.9)}
    good, bad = (
        _estimates(("g2", 0, 0.04), ("v", 0.92, 0.95)),
        _estimates(("g2", 0.04, 0.06), ("v", 0.92, 0.95)),
    )
    sweep = [(160e6, good), (80e6, good), (320e6, bad), (640e6, good)]
    found = highest_rate(sweep, limits)
    assert (found.highest_hz, found.next_hz, found.failed) == (160e6, 320e6, ("g2",))
    assert highest_rate([(80e6, good[:1])], limits).failed == ("v",)
    assert highest_rate([(80e6, good)], limits).next_hz is None
    with pytest.raises(ValueError, match="once"):
        highest_rate([(80e6, good), (80e6, good)], limits)
    with pytest.raises(ValueError, match="needs rates"):
        highest_rate([], limits)


def test_costs_of_a_rate():
    assert residual_excitation(1e9, 200.0) == pytest.approx(math.exp(-5))
    # 50 ns at 80 MHz: four pulses dead
    assert live_fraction(80e6, clicks_per_pulse=0.05, dead_time_ps=50_000) == pytest.approx(1 / 1.2)
    with pytest.raises(ValueError, match="positive"):
        residual_excitation(0.0, 200.0)
