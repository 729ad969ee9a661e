"""Estimators: formulas, limits, exact intervals, corrections."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from qdhil.metrics import (
    PeakCounts,
    at_detector,
    count_block,
    excluded_lags,
    g2_area,
    m_tot,
    noise_ratio,
    v_co_cross,
    v_unc,
)


def _counts(central, far, *, near=None, lags=10):
    near = far if near is None else near
    half = [far] * (lags - 1) + [near]
    return PeakCounts(
        peaks=(*half, central, *reversed(half)),
        singles_a=1_000_000,
        singles_b=900_000,
        triggers=80_000_000,
        dwell_s=1.0,
        window_ps=3_000,
        period_ps=12_500.0,
        delay_ps=1_250,
    )


def test_g2_is_central_over_mean_side_peak():
    estimate = g2_area(_counts(20, 1000), exclude_lags=1)
    assert estimate.definition == "g2.pulsed.area"
    assert estimate.value == estimate.raw == pytest.approx(0.02)
    assert estimate.corrected is None
    assert estimate.low < 0.02 < estimate.high
    assert dict(estimate.counts) == {"central": 20, "side": 18_000, "side_peaks": 18}
    assert (estimate.window_ps, estimate.delay_ps) == (3_000, 1_250)
    json.dumps(estimate.record(), allow_nan=False)


def test_no_central_count_is_a_limit_and_no_side_count_a_refusal():
    estimate = g2_area(_counts(0, 100), exclude_lags=0)
    assert (estimate.value, estimate.low) == (0.0, 0.0)
    # upper limit 3.69 expected counts (0.025 = e^-x) over 100
    assert estimate.high == pytest.approx(0.0369, rel=0.01)
    with pytest.raises(ValueError, match="nothing to normalise with"):
        g2_area(_counts(3, 0), exclude_lags=0)


@pytest.mark.parametrize("x", [0.0, 0.01, 0.2])
def test_noise_correction_inverts_the_noise_formula(x):
    seen = (0.02 + 2 * x + x * x) / (1 + x) ** 2
    counts = _counts(round(seen * 10**8), 10**8)
    estimate = g2_area(counts, exclude_lags=1, noise_ratio=x)
    assert estimate.corrected == pytest.approx(0.02, abs=1e-7)
    assert estimate.value == pytest.approx(seen, abs=1e-7)
    v = v_unc(counts, exclude_lags=1, noise_ratio=(x, x))
    assert v.corrected == pytest.approx(1 - 2 * 0.02, abs=1e-7)
    assert v.raw == pytest.approx((0.96 - 2 * x) / (1 + 2 * x), abs=2 * x * x + 1e-7)


def test_noise_ratio_of_dark_counts():
    # 100 Hz in 3 ns windows of 80 MHz pulses, 1 Mcps of which 100 are dark
    x = noise_ratio(dark_rate_hz=100, singles=1_000_000, triggers=80_000_000, dwell_s=1, window_ps=3_000)
    assert x == pytest.approx(100 * 3e-9 / ((1e6 - 100) / 80e6))
    with pytest.raises(ValueError, match="dark counts"):
        noise_ratio(dark_rate_hz=100, singles=50, triggers=80_000_000, dwell_s=1, window_ps=3_000)


def test_v_unc_and_v_co_cross_are_different_numbers():
    # 50:50, M = 0.9, g = 0.05: A0/A_unc = (1 + g - M)/2 and, orthogonal, (1 + g)/2
    parallel = _counts(75_000, 10**6, near=762_500)
    orthogonal = _counts(525_000, 10**6, near=762_500)
    unc = v_unc(parallel, exclude_lags=1)
    cross = v_co_cross(parallel, orthogonal, exclude_lags=1)
    assert (unc.definition, cross.definition) == ("hom.v_unc", "hom.v_co_cross")
    assert unc.value == pytest.approx(0.9 - 0.05)
    assert cross.value == pytest.approx(0.9 / 1.05)
    assert unc.low < unc.value < unc.high
    assert cross.low < cross.value < cross.high
    assert m_tot((1 - unc.value) / 2, g2=0.05) == pytest.approx(0.9)


def test_m_tot_inverts_the_forward_areas_for_any_splitter():
    t, s, loss, g, m = 0.45, 0.53, 0.01, 0.03, 0.88
    r, long = 1 - t, 1 - s
    central = t * r * g * (s * s + long**2) + s * long * (t * t + r * r - 2 * t * r * (1 - loss) ** 2 * m)
    far = (s * t + long * r) * (s * r + long * t)
    inverted = m_tot(central / far, g2=g, transmission=t, first_transmission=s, mode_overlap_loss=loss)
    assert inverted == pytest.approx(m, abs=1e-12)
    with pytest.raises(ValueError, match="splitting"):
        m_tot(0.1, g2=0.0, transmission=1.0)


def test_interfering_peaks_are_no_far_peaks():
    counts = _counts(10, 1000, near=750)
    with pytest.raises(ValueError, match="at least 1"):
        v_unc(counts, exclude_lags=0)
    with pytest.raises(ValueError, match="at least 1"):
        v_co_cross(counts, counts, exclude_lags=0)
    assert v_unc(counts, exclude_lags=1).value == pytest.approx(1 - 2 * 0.01)


def test_v_co_cross_refuses_what_it_cannot_compare():
    counts = _counts(10, 1000)
    with pytest.raises(ValueError, match="orthogonal"):
        v_co_cross(counts, _counts(0, 1000), exclude_lags=1)
    with pytest.raises(ValueError, match="window_ps"):
        v_co_cross(counts, replace(counts, window_ps=2_000), exclude_lags=1)


def test_full_interference_is_the_limit_one():
    estimate = v_co_cross(_counts(0, 1000), _counts(500, 1000), exclude_lags=1)
    assert estimate.value == estimate.high == 1.0
    assert 0.98 < estimate.low < 1.0


@pytest.mark.parametrize(("far", "trials"), [(40, 1500), (2_000, 1500)])
def test_intervals_cover(far, trials):
    """Coverage of the three 95 % intervals at 4 and at 200 expected centrals.

    All are exact, so coverage is at least 0.95; below 0.93 in 1500 trials has odds of 3·10^-4 each.
    """
    rng = np.random.default_rng(95)
    r_par, r_perp, g = 0.1, 0.52, 0.02
    hits = np.zeros(3)
    for _ in range(trials):
        parallel = replace(_counts(0, 0), peaks=tuple(rng.poisson([far] * 10 + [r_par * far] + [far] * 10).tolist()))
        crossed = replace(_counts(0, 0), peaks=tuple(rng.poisson([far] * 10 + [r_perp * far] + [far] * 10).tolist()))
        hbt = replace(_counts(0, 0), peaks=tuple(rng.poisson([far] * 10 + [g * far] + [far] * 10).tolist()))
        for i, (estimate, truth) in enumerate(
            (
                (v_unc(parallel, exclude_lags=1), 1 - 2 * r_par),
                (v_co_cross(parallel, crossed, exclude_lags=1), 1 - r_par / r_perp),
                (g2_area(hbt, exclude_lags=1), g),
            )
        ):
            hits[i] += estimate.low <= truth <= estimate.high
    assert np.all(hits / trials >= 0.93)


def test_brightness_corrects_dead_time_first_then_darks():
    estimate = at_detector(_counts(1, 10), dead_time_ps=20_000, dark_rate_hz=(100.0, 200.0))
    seen_a, seen_b = 1 / 80, 0.9 / 80
    expected = seen_a / (1 - seen_a) + seen_b / (1 - seen_b) - 300 * 12.5e-9
    assert estimate.definition == "brightness.detected"
    assert estimate.raw == pytest.approx(1.9 / 80)
    assert estimate.corrected == pytest.approx(expected, rel=1e-12)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * np.sqrt(1.9e6) / 80e6, rel=1e-3)


def test_impossible_brightness_is_refused():
    with pytest.raises(ValueError, match="dead time"):
        at_detector(_counts(1, 10), dead_time_ps=12_500 * 100)
    with pytest.raises(ValueError, match="no laser pulses"):
        at_detector(replace(_counts(1, 10), triggers=0))


def test_blocks_add_exactly_and_travel_as_plain_data():
    one = _counts(3, 100)
    two = replace(_counts(5, 90), period_ps=12_500.5)
    both = one + two
    assert both.central == 8
    assert both.far(1) == (18 * 190, 18)
    assert (both.singles_a, both.triggers, both.dwell_s) == (2_000_000, 160_000_000, 2.0)
    assert both.period_ps == pytest.approx(12_500.25)
    assert PeakCounts.from_record(json.loads(json.dumps(both.record()))) == both
    with pytest.raises(ValueError, match="keys"):
        PeakCounts.from_record({"peaks": [1]})


@pytest.mark.parametrize(
    "change", [{"window_ps": 2_000}, {"delay_ps": 0}, {"period_ps": 12_600.0}, {"peaks": (1, 2, 3)}]
)
def test_blocks_of_different_definitions_do_not_add(change):
    with pytest.raises(ValueError, match="blocks differ"):
        _counts(3, 100) + replace(_counts(3, 100), **change)


@pytest.mark.parametrize("exclude", [-1, 10, 11])
def test_far_peaks_must_remain(exclude):
    with pytest.raises(ValueError, match="exclude_lags"):
        _counts(3, 100).far(exclude)


def test_excluded_lags_take_dead_time_and_interferometer():
    assert excluded_lags(period_ps=12_500, dead_time_ps=20_000) == 2
    assert excluded_lags(period_ps=12_500, dead_time_ps=80_000) == 7
    assert excluded_lags(period_ps=12_500, interferometer_periods=2) == 2


def test_a_block_is_counted_from_tags():
    period, divider, pulses = 12_500.25, 1000, 400_000
    rng = np.random.default_rng(8)
    sync = np.rint(np.arange(0, pulses + 1, divider) * period).astype(np.int64)
    pulse_a = np.flatnonzero(rng.random(pulses) < 0.05)
    pulse_b = np.flatnonzero(rng.random(pulses) < 0.05)
    pulse_b = pulse_b[~np.isin(pulse_b, pulse_a)]
    t_a, t_b = (np.rint(p * period).astype(np.int64) for p in (pulse_a, pulse_b))
    counts = count_block(t_a, t_b + 1_250, sync, sync_divider=divider, delay_ps=1_250, window_ps=3_000, max_lag=5)
    expected = [int(np.isin(pulse_a + m, pulse_b).sum()) for m in range(-5, 6)]
    assert list(counts.peaks) == expected
    assert counts.central == 0
    assert counts.triggers == pulses
    assert counts.period_ps == pytest.approx(period, abs=1e-5)
    with pytest.raises(ValueError, match="sync tags"):
        count_block(t_a, t_b, sync[:1], sync_divider=1, delay_ps=0, window_ps=10)
