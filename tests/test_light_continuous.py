"""Continuous light against the closed form of its correlation, blurred by both detectors.

A histogram agrees where Pearson's χ² is not beyond its 0.99994 quantile: by chance 1 in 16 000 each.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, linalg, stats
from tags_made import differences, pieces, times_ps

from qdhil.errors import ConfigurationError
from qdhil.metrics import Histogram, g2_dip
from qdhil_sim.light._continuous import gamma
from qdhil_sim.light._random import new_state
from qdhil_sim.light.continuous import (
    ContinuousEmitter,
    ContinuousSetup,
    ContinuousStream,
    blurred_decay,
    correlation,
)
from qdhil_sim.light.detector import Detector

TWO_LEVELS = ContinuousEmitter(lifetime_ps=500, pump_per_ns=0.5, background_share=0.03)
SLOW = ContinuousEmitter(lifetime_ps=500, pump_per_ns=1.5, shelving_per_ns=0.3, return_per_ns=0.2)
UNLIKELY = 6e-5


def setup(emitter, sigma_ps=0.0, transmission=0.02, **changes):
    detector = Detector(efficiency=0.9, jitter_ps=sigma_ps)
    return ContinuousSetup(
        transmission=transmission, emitter=emitter, detector_a=detector, detector_b=detector, **changes
    )


@pytest.mark.parametrize("sigma_ps", [0.0, 150.0])
@pytest.mark.parametrize("emitter", [TWO_LEVELS, SLOW], ids=["two-levels", "shelving"])
def test_correlation(emitter, sigma_ps):
    lasts_ps, bin_ps, reach_ps = 4 * 10**11, 100, 6000
    words = ContinuousStream(setup(emitter, sigma_ps), seed=5).take(lasts_ps)
    first, second = times_ps(words, 2), times_ps(words, 3)
    edges = np.arange(-reach_ps, reach_ps + 1, bin_ps)
    counts = differences(first, second, edges)
    fine = correlation(emitter).at(edges[0] + 5 + 10 * np.arange(10 * counts.size), sigma_ps=sigma_ps * 2**0.5)
    expected = fine.reshape(-1, 10).mean(axis=1) * first.size * second.size * bin_ps / lasts_ps
    assert expected.min() > 25
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(chi_squared, counts.size) > UNLIKELY
    assert counts[np.abs(edges[:-1]) < 200].sum() < 0.8 * counts[:4].sum()


def test_the_dip_of_the_reference():
    """τ_a = 0.3 ns, blur 0.2 ns, g2(0) = 0.05: the dip reaches 0.401 only."""
    emitter = ContinuousEmitter(lifetime_ps=600, pump_per_ns=1 / 0.6, background_share=1 - math.sqrt(0.95))
    shape = correlation(emitter)
    assert shape.antibunching_ps == pytest.approx(300)
    assert shape.at(0.0) == pytest.approx(0.05)
    assert shape.at(0.0, sigma_ps=200.0) == pytest.approx(0.401, abs=5e-4)


def test_the_estimator_sees_through_the_blur():
    emitter = ContinuousEmitter(lifetime_ps=1000, pump_per_ns=0.4, background_share=0.05)
    words = ContinuousStream(setup(emitter, 100.0, 0.03), seed=6).take(4 * 10**11)
    edges = np.arange(-10_000, 10_001, 100)
    counts = differences(times_ps(words, 2), times_ps(words, 3), edges)
    histogram = Histogram.of(counts, first_ps=-9950.0, bin_ps=100.0)
    found = g2_dip(histogram, sigma_ps=100 * 2**0.5, zero_delay_ps=0.0, confidence=1 - UNLIKELY)
    assert found.g2.low <= 1 - 0.95**2 <= found.g2.high
    assert found.antibunching.low <= correlation(emitter).antibunching_ps <= found.antibunching.high


@pytest.mark.parametrize("emitter", [TWO_LEVELS, SLOW], ids=["two-levels", "shelving"])
def test_closed_form_is_that_of_the_rate_equations(emitter):
    decay, pump = 1 / emitter.lifetime_ps, emitter.pump_per_ns / 1e3
    shelve, back = emitter.shelving_per_ns / 1e3, emitter.return_per_ns / 1e3
    rates = np.array([[-pump, decay, back], [pump, -decay - shelve, 0], [0, shelve, -back]])
    last = linalg.expm(rates * 1e7) @ [1, 0, 0]
    shape = correlation(emitter)
    assert shape.photons_per_ps == pytest.approx(last[1] * decay)
    for delay_ps in (0, 100, 1000, 5000):
        excited = (linalg.expm(rates * delay_ps) @ [1, 0, 0])[1] / last[1]
        assert shape.at(delay_ps) == pytest.approx(1 + shape.contrast * (excited - 1))


@pytest.mark.parametrize("delay_ps", [0.0, 50.0, -300.0, 3000.0])
@pytest.mark.parametrize(("decay_ps", "sigma_ps"), [(300.0, 200.0), (50.0, 400.0), (2000.0, 20.0)])
def test_blurred_decay(delay_ps, decay_ps, sigma_ps):
    exact, _ = integrate.quad(
        lambda x: math.exp(-abs(delay_ps - x) / decay_ps) * stats.norm.pdf(x, scale=sigma_ps),
        -12 * sigma_ps,
        12 * sigma_ps,
        points=[delay_ps] if abs(delay_ps) < 12 * sigma_ps else None,
        limit=200,
    )
    assert blurred_decay(delay_ps, decay_ps, sigma_ps) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("rate_hz", [1e6, 1e7])
def test_count_rates(rate_hz):
    """Antibunched and bunched light at a detected share of 1 to 3 % is close to Poissonian in its number."""
    for emitter in (TWO_LEVELS, SLOW):
        emitted_hz = 1e12 * correlation(emitter).photons_per_ps / (1 - emitter.background_share)
        source = setup(emitter, transmission=rate_hz / emitted_hz / 0.9, splitter_transmission=0.3)
        words = ContinuousStream(source, seed=8).take(10**11)
        for channel, share in ((2, 0.3), (3, 0.7)):
            expected = rate_hz * share / 10
            assert abs(times_ps(words, channel).size - expected) < 4 * (1.2 * expected) ** 0.5


def test_takes_cut_one_and_the_same_acquisition():
    source = setup(SLOW, 100.0, delay_b_ps=-3000)
    whole = ContinuousStream(source, seed=[1, 2]).take(3 * 10**10)
    assert np.all(np.diff(whole) >= 0)
    for durations in ([3 * 10**9] * 10, [1, 7, 9_999_999_992, 0, 2 * 10**10]):
        np.testing.assert_array_equal(pieces(ContinuousStream(source, seed=[1, 2]), durations), whole)
    assert not np.array_equal(ContinuousStream(source, seed=[1, 3]).take(3 * 10**10), whole)


def test_rates_are_steady_from_the_start():
    """The dark state lasts 0.5 µs: a dot that began in its ground state would be bright at first."""
    emitter = ContinuousEmitter(lifetime_ps=500, pump_per_ns=1, shelving_per_ns=0.5, return_per_ns=0.002)
    source = setup(emitter, transmission=0.5)
    counts = [ContinuousStream(source, seed=seed).take(8 * 10**5).size for seed in range(150)]
    expected = 150 * correlation(emitter).photons_per_ps * 0.45 * 8e5
    assert expected > 300
    assert abs(sum(counts) - expected) < 4 * np.std(counts) * 150**0.5


def test_blanked():
    dark = setup(TWO_LEVELS).model_copy(update={"detector_a": Detector(efficiency=0.9, dark_rate_hz=1e5)})
    words = ContinuousStream(dark, "blanked", seed=1).take(10**11)
    assert set(words & 31) == {2}
    assert abs(words.size - 1e4) < 400


@pytest.mark.parametrize("delay_ps", [5000, -5000])
def test_the_dip_is_at_the_delay_of_b(delay_ps):
    words = ContinuousStream(setup(TWO_LEVELS, delay_b_ps=delay_ps), seed=3).take(10**11)
    counts = differences(times_ps(words, 2), times_ps(words, 3), np.arange(-8050, 8051, 100))
    assert abs((np.argmin(counts) - 80) * 100 - delay_ps) <= 100


@pytest.mark.parametrize("shape", [1, 2, 4, 5, 60])
def test_gamma_variates(shape):
    rng = new_state(np.random.SeedSequence(1))
    drawn = [gamma(rng, shape) for _ in range(4000)]
    assert stats.kstest(drawn, stats.gamma(shape).cdf).pvalue > UNLIKELY


def test_errors():
    with pytest.raises(ConfigurationError, match="return_per_ns"):
        ContinuousStream(setup(ContinuousEmitter(lifetime_ps=1, pump_per_ns=1, shelving_per_ns=1)), seed=1)
    with pytest.raises(ConfigurationError, match="path"):
        ContinuousStream(setup(SLOW), "hom", seed=1)
    with pytest.raises(ConfigurationError, match="below 1"):
        ContinuousStream(setup(SLOW.model_copy(update={"background_share": 1.0})), seed=1)
    with pytest.raises(ConfigurationError, match="negative"):
        ContinuousStream(setup(SLOW), seed=1).take(-1)
