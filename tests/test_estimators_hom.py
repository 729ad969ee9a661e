"""Indistinguishability: adjacent peaks, overlaps, pulse pairs, and the controls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from estimators_made import FEWEST, MOST, block, held, ints
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.metrics import (
    Interferometer,
    PeakCounts,
    adjacent_control,
    g2_area,
    orthogonal_control,
    pulse_pair_overlap,
    source_overlap,
    total_overlap,
    v_adjacent,
    v_unc,
)
from qdhil.metrics.hom_controls import train_areas
from qdhil.metrics.pulse_pairs import pulse_pair_areas

M, G = 0.9, 0.05
LEVELS = pytest.mark.parametrize("central", [2, 10, 1000])


def _exact(overlap, g, optics=None, far=10**8, **changes):
    """Parallel measurement without noise of counting."""
    areas = np.array(train_areas(overlap, g, optics or Interferometer()))
    centre, after, before, unc = areas / areas[3] * far
    peaks = [unc] * 9 + [before, centre, after] + [unc] * 9
    made = PeakCounts(tuple(round(float(p)) for p in peaks), 10**9, 10**9, 10**10, 100.0, 3000, 12_500.0, 0)
    return replace(made, **changes)


def _g2(g, far=10**8):
    return g2_area(
        PeakCounts((far,) * 10 + (round(g * far),) + (far,) * 10, 1, 1, 1, 1.0, 3000, 12_500.0, 0),
        exclude_lags=1,
    )


def _drawn_g2(rng, far):
    return g2_area(block(rng, G * far, far), exclude_lags=1)


def _drawn_parallel(rng, central):
    far = central / ((1 + G - M) / 2)
    return block(rng, central, far, adjacent=far * (3 + G) / 4)


def test_closed_forms_of_the_reference():
    """M_s = 0.95 with separable noise of g = 0.05: V = 0.8525, and M_tot/(1 + g) = 0.8595."""
    m_tot = 0.95 * (1 - 0.05)
    v = v_unc(_exact(m_tot, 0.05), exclude_lags=1)
    assert v.value == pytest.approx(0.8525, abs=1e-6)
    whole = total_overlap(v, g2=_g2(0.05))
    assert whole.value == pytest.approx(m_tot, abs=1e-6)
    assert whole.value / 1.05 == pytest.approx(0.8595, abs=5e-5)
    found = source_overlap(v, g2=_g2(0.05))
    assert found.separable.value == pytest.approx(0.95, abs=1e-6)
    assert found.identical.value == pytest.approx(v.value + 0.05, abs=1e-6)
    assert found.interval.low <= min(found.identical.low, found.correlated.low)
    assert found.interval.high >= max(found.separable.high, found.correlated.high)


def test_correlated_noise_of_the_reference():
    """An extra photon only with a signal photon, p_s = 0.6, g = 0.151, truth 0.92: (V + g)/(1 - g) says 0.9825."""
    v = v_unc(_exact(0.9825 * (1 - 0.151), 0.151), exclude_lags=1)
    found = source_overlap(v, g2=_g2(0.151), source_brightness=0.6)
    assert found.correlated.value == pytest.approx(0.9196, abs=2e-4)
    assert found.separable.value == pytest.approx(0.9825, abs=2e-4)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.floats(0, 0.1), st.floats(0, 1), st.floats(0, 0.3))
def test_overlaps_invert_the_areas_of_any_interferometer(transmission, first, loss, overlap, g):
    optics = Interferometer(transmission, first, loss)
    v = v_unc(_exact(overlap, g, optics), exclude_lags=1)
    assert total_overlap(v, g2=_g2(g), interferometer=optics).value == pytest.approx(overlap, abs=1e-5)
    pairs = _pairs(10**9 * np.array(pulse_pair_areas(overlap, g, optics)))
    assert pulse_pair_overlap(pairs, g2=_g2(g), interferometer=optics).value == pytest.approx(overlap, abs=1e-5)


def _pairs(areas):
    return PeakCounts(tuple(round(float(area)) for area in areas), 1, 1, 1, 1.0, 1000, 2300.0, 0)


def test_pulse_pairs_of_ideal_and_distinguishable_photons():
    ideal, apart = (np.array(pulse_pair_areas(m, 0.0, Interferometer())) for m in (1.0, 0.0))
    assert ideal / ideal[0] == pytest.approx([1, 2, 0, 2, 1])
    assert apart / apart[0] == pytest.approx([1, 2, 2, 2, 1])
    # the same splitter twice: the peaks of the reference
    t, r, g, m = 0.6, 0.4, 0.1, 0.8
    areas = pulse_pair_areas(m, g, Interferometer(t, t))
    expected = [
        r**3 * t,
        r * t**3 + r**3 * t * (1 + 2 * g),
        (r**3 * t + r * t**3) * (1 + 2 * g) - 2 * r * r * t * t * m,
        r * t**3 * (1 + 2 * g) + r**3 * t,
        r * t**3,
    ]
    assert areas == pytest.approx(expected)


def test_v_adjacent_equals_v_unc_and_is_immune_to_lowered_far_peaks():
    counts = _exact(M, G)
    assert v_adjacent(counts, g2=_g2(G)).value == pytest.approx(M - G, abs=1e-6)
    # photon-number coherence C = 0.5: far peaks 1 - C²/2 = 0.875, the others as before
    peaks = [round(p * 0.875) if abs(m) > 1 else p for m, p in zip(range(-10, 11), counts.peaks, strict=True)]
    coherent = replace(counts, peaks=tuple(peaks))
    assert v_adjacent(coherent, g2=_g2(G)).value == pytest.approx(M - G, abs=1e-6)
    assert v_unc(coherent, exclude_lags=1).value < M - G - 0.01
    control = adjacent_control(coherent, g2=_g2(G), exclude_lags=1)
    assert control.value == pytest.approx(1 / 0.875, abs=1e-5)
    assert control.low > 1


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 0.7), st.floats(0.3, 0.7), st.floats(0, 0.05), st.floats(0, 1), st.floats(0, 0.2))
def test_controls_are_one_whatever_the_overlap(transmission, first, loss, overlap, g):
    optics = Interferometer(transmission, first, loss)
    parallel, orthogonal = _exact(overlap, g, optics), _exact(0.0, g, optics)
    how = {"g2": _g2(g), "exclude_lags": 1, "interferometer": optics}
    assert adjacent_control(parallel, **how).value == pytest.approx(1, abs=1e-6)
    assert orthogonal_control(orthogonal, **how).value == pytest.approx(1, abs=1e-6)


def test_systematic_of_the_interferometer_is_apart():
    v = v_unc(_exact(M, G), exclude_lags=1)
    plain = total_overlap(v, g2=_g2(G))
    calibrated = total_overlap(v, g2=_g2(G), interferometer=Interferometer(mode_overlap_loss_sd=0.01))
    assert plain.systematic is None
    assert (calibrated.low, calibrated.high) == (plain.low, plain.high)
    # M ∝ (1 - ε)^-2
    assert calibrated.systematic == pytest.approx(0.02 * M, rel=0.03)


@LEVELS
def test_v_adjacent_covers(central):
    hits = held(lambda rng: v_adjacent(_drawn_parallel(rng, central), g2=_drawn_g2(rng, 50 * central)), M - G)
    assert FEWEST <= hits <= MOST


@LEVELS
def test_total_overlap_covers(central):
    def draw(rng):
        return total_overlap(v_unc(_drawn_parallel(rng, central), exclude_lags=1), g2=_drawn_g2(rng, 50 * central))

    assert FEWEST <= held(draw, M) <= MOST


@LEVELS
def test_source_overlap_covers_under_each_hypothesis(central):
    def draw(rng):
        v = v_unc(_drawn_parallel(rng, central), exclude_lags=1)
        return source_overlap(v, g2=_drawn_g2(rng, 50 * central))

    assert FEWEST <= held(lambda rng: draw(rng).separable, M / (1 - G)) <= MOST
    # the interval over hypotheses must hold each of them, and so covers more
    assert held(lambda rng: draw(rng).interval, M / (1 - G)) >= FEWEST
    assert held(lambda rng: draw(rng).interval, M) >= FEWEST


@LEVELS
def test_controls_cover(central):
    far = central / ((1 + G) / 2)

    def orthogonal(rng):
        counts = block(rng, central, far, adjacent=far * (3 + G) / 4)
        return orthogonal_control(counts, g2=_drawn_g2(rng, 100 * central), exclude_lags=1)

    def adjacent(rng):
        counts = block(rng, central, far, adjacent=far * (3 + G) / 4)
        return adjacent_control(counts, g2=_drawn_g2(rng, 100 * central), exclude_lags=1)

    assert FEWEST <= held(orthogonal, 1.0) <= MOST
    assert FEWEST <= held(adjacent, 1.0) <= MOST


@LEVELS
def test_pulse_pairs_cover(central):
    areas = np.array(pulse_pair_areas(M, G, Interferometer()))

    def draw(rng):
        pairs = PeakCounts(ints(rng.poisson(areas * central / areas[2])), 1, 1, 1, 1.0, 1000, 2300.0, 0)
        return pulse_pair_overlap(pairs, g2=_drawn_g2(rng, 50 * central))

    assert FEWEST <= held(draw, M) <= MOST


def test_what_does_not_go_together_is_refused():
    counts, g2 = _exact(M, G), _g2(G)
    with pytest.raises(ValueError, match="confidence"):
        v_adjacent(counts, g2=g2, confidence=0.9)
    with pytest.raises(ValueError, match=r"hom\.v_unc"):
        total_overlap(v_adjacent(counts, g2=g2), g2=g2)
    with pytest.raises(ValueError, match="delay_pulses"):
        v_adjacent(counts, g2=g2, delay_pulses=11)
    with pytest.raises(ValueError, match="interfere"):
        adjacent_control(counts, g2=g2, exclude_lags=1, delay_pulses=2)
    with pytest.raises(ValueError, match="at least 1"):
        orthogonal_control(counts, g2=g2, exclude_lags=0)
    with pytest.raises(ValueError, match="source_brightness"):
        source_overlap(v_unc(counts, exclude_lags=1), g2=g2, source_brightness=0.0)
    with pytest.raises(ValueError, match="weak noise"):
        source_overlap(v_unc(counts, exclude_lags=1), g2=_g2(0.6))
    with pytest.raises(ValueError, match="splitting"):
        pulse_pair_overlap(_pairs([1, 2, 0, 2, 1]), g2=g2, interferometer=Interferometer(1.0))
    with pytest.raises(ValueError, match="nothing to normalise"):
        pulse_pair_overlap(_pairs([1, 0, 3, 0, 1]), g2=g2)
