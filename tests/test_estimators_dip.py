"""g2(0) of continuous and of overlapping pulsed light by fits of the delay histogram."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.metrics import Histogram, g2_comb_fit, g2_dip
from qdhil.metrics.dip import blurred_exponential

DATA = Path(__file__).parents[2] / "shared" / "data"
REAL = pytest.mark.skipif(not DATA.is_dir(), reason=f"the recordings are not in {DATA}")
AXIS = np.arange(-100, 101) * 500.0


def _dip(level, g0, decay_ps, sigma_ps, bunched=0.0, slow_ps=1.0, axis=AXIS):
    """Expected counts, averaged over each bin."""
    fine = axis[:, None] + (np.arange(20) - 9.5) / 20 * (axis[1] - axis[0])
    g2 = 1 - (1 + bunched - g0) * blurred_exponential(fine, decay_ps=decay_ps, sigma_ps=sigma_ps)
    g2 += bunched * blurred_exponential(fine, decay_ps=slow_ps, sigma_ps=sigma_ps)
    return level * g2.mean(axis=1)


def _histogram(rng, expected, axis=AXIS):
    return Histogram.of(rng.poisson(expected), first_ps=axis[0], bin_ps=axis[1] - axis[0])


def test_blurred_depth_of_the_reference():
    """τ_a = 0.3 ns, σ = 0.2 ns, g0 = 0.05: the dip reaches 0.401 only."""
    depth = 1 - 0.95 * float(blurred_exponential(0.0, decay_ps=300.0, sigma_ps=200.0))
    assert depth == pytest.approx(0.401, abs=5e-4)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.02, 20), st.floats(-30, 30))
def test_blur_is_the_convolution(width, tau):
    """Against the integral over a Gaussian, in units of the decay."""
    steps = np.linspace(-9, 9, 40_001) * width
    gauss = np.exp(-0.5 * (steps / width) ** 2)
    direct = float((gauss * np.exp(-np.abs(tau - steps))).sum() / gauss.sum())
    blurred = float(blurred_exponential(tau, decay_ps=1.0, sigma_ps=width))
    assert blurred == pytest.approx(direct, rel=2e-3, abs=1e-12)


@pytest.mark.parametrize(
    ("level", "g0", "decay_ps", "sigma_ps"),
    [(20, 0.2, 4000, 300), (1000, 0.05, 2000, 800)],
    ids=["low", "high"],
)
@pytest.mark.parametrize("replicates", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_two_levels_cover(level, g0, decay_ps, sigma_ps, replicates):
    """At few counts with the dip's place given, as it must be.

    Fewer than 51 of 60 have odds of 1 in 1350 at 95 %; fewer than 930 of 1000 1 in 430.
    """
    place = {"zero_delay_ps": 0.0} if level < 100 else {}
    rng, expected = np.random.default_rng(2), _dip(level, g0, decay_ps, sigma_ps)
    results = [g2_dip(_histogram(rng, expected), sigma_ps=sigma_ps, **place) for _ in range(replicates)]
    least = 51 if replicates == 60 else 930
    assert sum(r.g2.low <= g0 <= r.g2.high for r in results) >= least
    assert sum(r.antibunching.low <= decay_ps <= r.antibunching.high for r in results) >= least


def test_three_levels_cover():
    """Fewer than 33 of 40 have odds of 1 in 1400."""
    rng, expected = np.random.default_rng(3), _dip(2000, 0.2, 2000, 400, 0.4, 8000)
    results = [g2_dip(_histogram(rng, expected), sigma_ps=400, bunching=True) for _ in range(40)]
    for truth, of in (
        (0.2, lambda r: r.g2),
        (2000, lambda r: r.antibunching),
        (0.4, lambda r: r.bunching[0]),
        (8000, lambda r: r.bunching[1]),
    ):
        assert sum(of(r).low <= truth <= of(r).high for r in results) >= 33


def test_blocks_add_and_a_shifted_axis_shifts_only_the_delay():
    rng, expected = np.random.default_rng(4), _dip(300, 0.1, 3000, 400)
    one, two = _histogram(rng, expected), _histogram(rng, expected)
    both = one + two
    assert both.counts == tuple(a + b for a, b in zip(one.counts, two.counts, strict=True))
    here = g2_dip(both, sigma_ps=400)
    there = g2_dip(Histogram(both.counts, both.first_ps + 23_940, both.bin_ps), sigma_ps=400)
    assert there.g2.value == pytest.approx(here.g2.value, abs=1e-4)
    assert there.zero_delay_ps - here.zero_delay_ps == pytest.approx(23_940, abs=1)
    assert Histogram.from_record(here.g2.record()["histogram"]) == both


@pytest.mark.parametrize(
    ("expected", "sigma_ps", "match"),
    [
        (np.full(201, 100.0), 300, "no dip"),
        (_dip(2000, 0.1, 300, 2000), 2000, "resolved|no dip"),
        (_dip(50_000, 0.1, 40_000, 300), 300, "range|fit"),
        (_dip(50_000, 0.2, 2000, 300, 0.6, 8000), 300, "fit"),
        (np.full(10, 100.0), 300, "bins"),
    ],
    ids=["flat", "blurred-away", "too-slow", "bunched", "few-bins"],
)
def test_what_cannot_be_resolved_is_refused(expected, sigma_ps, match):
    with pytest.raises(ValueError, match=match):
        g2_dip(_histogram(np.random.default_rng(5), expected), sigma_ps=sigma_ps)


@REAL
def test_nv_centre_of_the_recordings():
    """Independent: g2(0) = 0.275 ± 0.024, τ_a = 12.09 ± 0.53 ns, bunching 0.399 with τ_b = 115.5 ns."""
    (file,) = (DATA / "qudi-hira").glob("*autocorrelation.dat")
    delays, counts = np.loadtxt(file, usecols=(0, 1)).T
    histogram = Histogram.of(counts, first_ps=delays[0], bin_ps=500.0)
    result = g2_dip(histogram, sigma_ps=0.0, bunching=True)
    assert result.g2.value == pytest.approx(0.275, abs=0.024)
    assert result.antibunching.value == pytest.approx(12_090, abs=530)
    assert result.bunching[0].value == pytest.approx(0.399, abs=0.017)
    assert result.bunching[1].value == pytest.approx(115_500, rel=0.01)
    with pytest.raises(ValueError, match="doesn't fit"):
        g2_dip(histogram, sigma_ps=0.0)


PERIOD = 12_500.0
COMB_AXIS = (np.arange(390) + 0.5) * 256


def _comb(amplitude, background, g, decay_ps, zero_ps=50_000.0):
    lags = np.arange(-30, 30)
    comb = np.exp(-np.abs(COMB_AXIS[:, None] - zero_ps - lags * PERIOD) / decay_ps).sum(axis=1)
    return background + amplitude * (comb - (1 - g) * np.exp(-np.abs(COMB_AXIS - zero_ps) / decay_ps))


@pytest.mark.parametrize(
    ("amplitude", "background", "g", "decay_ps"),
    [(6, 0.5, 0.3, 1000), (500, 50, 0.02, 1000), (100, 1, 0.1, 4000)],
    ids=["low", "high", "overlapping"],
)
@pytest.mark.parametrize("replicates", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_comb_covers(amplitude, background, g, decay_ps, replicates):
    """Fewer than 51 of 60 have odds of 1 in 1350 at 95 %; fewer than 930 of 1000 1 in 430."""
    rng, expected = np.random.default_rng(6), _comb(amplitude, background, g, decay_ps)
    results = [
        g2_comb_fit(_histogram(rng, expected, COMB_AXIS), period_ps=PERIOD, delay_ps=50_100.0)
        for _ in range(replicates)
    ]
    least = 51 if replicates == 60 else 930
    assert sum(r.g2.low <= g <= r.g2.high for r in results) >= least
    assert sum(r.lifetime.low <= decay_ps <= r.lifetime.high for r in results) >= least
    assert sum(r.background.low <= background <= r.background.high for r in results) >= least


def test_a_comb_elsewhere_is_refused():
    rng = np.random.default_rng(7)
    histogram = _histogram(rng, _comb(500, 50, 0.02, 1000), COMB_AXIS)
    with pytest.raises(ValueError, match="doesn't fit"):
        g2_comb_fit(histogram, period_ps=11_000.0, delay_ps=50_000.0)
    with pytest.raises(ValueError, match="a period before"):
        g2_comb_fit(histogram, period_ps=PERIOD, delay_ps=3000.0)
    with pytest.raises(ValueError, match="no pairs"):
        g2_comb_fit(Histogram((0,) * 390, 128.0, 256.0), period_ps=PERIOD, delay_ps=50_000.0)
    with pytest.raises(ValueError, match="too few"):
        g2_comb_fit(_histogram(rng, _comb(0.5, 0.1, 0.1, 1000), COMB_AXIS), period_ps=PERIOD, delay_ps=50_000.0)


@REAL
@pytest.mark.parametrize(
    ("name", "independent"),
    [("2p5uW_4000cps_day2_part1", 0.308), ("8uW_5100cps", 0.485), ("20uW_7000cps", 0.569)],
)
def test_pump_power_series_of_the_recordings(name, independent):
    """Independent Poisson fits of the same model; the antibunched peak lies at 61.09 ns."""
    rows = np.loadtxt(DATA / "sps-quality" / f"{name}.txt", delimiter="\t")
    step = 1000 * (rows[1, 0] - rows[0, 0])
    histogram = Histogram.of(rows[:, 1:].sum(axis=1), first_ps=step / 2, bin_ps=step)
    result = g2_comb_fit(histogram, period_ps=PERIOD, delay_ps=61_090.0, fit_period=True)
    assert result.g2.value == pytest.approx(independent, abs=0.002)
    assert result.g2.delay_ps == pytest.approx(61_090, abs=50)
    assert result.period_ps == pytest.approx(PERIOD, abs=3)
