"""How often intervals of 95 % hold the truth, in 1000 replicates at few and at many counts, for every public estimator.

The bounds and their odds stand in estimators_made; estimators that are drawn quickly are tested beside what else they
promise, and :data:`COVERED` says where.
"""

from __future__ import annotations

import math
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
from estimators_made import FEWEST, MOST, REPLICATES, block, held, holding
from test_estimators_blinking import _trace
from test_estimators_decay import PERIOD, _clicks
from test_estimators_dip import _dip, _histogram
from test_estimators_entanglement import JAMES, _expected, _werner
from test_estimators_randomness import _chain
from test_estimators_spectrum import AXIS, _line

import qdhil.metrics
from qdhil.metrics import (
    Estimate,
    at_detector,
    excess_jitter,
    fit_decay,
    fit_line,
    g2_dip,
    lifetime_tail,
    markov,
    min_entropy,
    reconstruct_state,
    trace_blinking,
)
from qdhil.metrics.two_qubit import chsh_of_phi_plus, concurrence, fidelity, purity

slow = pytest.mark.slow

COVERED = {
    "adjacent_control": "test_estimators_hom.py::test_controls_cover",
    "afterpulsing": "test_estimators_brightness.py::test_afterpulsing_covers",
    "allan_deviation": "test_estimators_spectrum.py::test_allan_deviation_covers_white_noise",
    "at_detector": "test_estimators_coverage.py::test_brightness_at_the_detector",
    "brightness_chain": "test_estimators_brightness.py::test_chain_covers",
    "chsh": "test_estimators_entanglement.py::test_chsh_covers",
    "dark_rate": "test_estimators_brightness.py::test_dark_rate_covers",
    "dead_time": "test_estimators_brightness.py::test_dead_time_by_intervals_covers",
    "dead_time_by_step": "test_estimators_brightness.py::test_dead_time_by_step_covers_and_agrees_with_linearity",
    "drift": "test_estimators_spectrum.py::test_drift_covers",
    "excess_jitter": "test_estimators_coverage.py::test_excess_jitter",
    "fidelity_six_settings": "test_estimators_entanglement.py::test_six_settings_cover",
    "fit_decay": "test_estimators_coverage.py::test_decay_of_two_exponentials",
    "fit_envelope": "test_estimators_blinking.py::test_envelope_covers",
    "fit_line": "test_estimators_spectrum.py::test_line_covers",
    "g2_area": "test_metrics_estimates.py::test_intervals_cover",
    "g2_blanked": "test_estimators_purity.py::test_blanked_run_covers",
    "g2_comb_fit": "test_estimators_dip.py::test_comb_covers",
    "g2_dip": "test_estimators_coverage.py::test_dip_of_three_levels",
    "g2_floor": "test_estimators_purity.py::test_floor_covers",
    "g2_near": "test_estimators_purity.py::test_near_peaks_cover",
    "g2_singles": "test_estimators_purity.py::test_singles_cover",
    "g2_upper_limit": "test_estimators_purity.py::test_upper_limit_holds",
    "inter_peak_floor": "test_estimators_decay.py::test_prompt_fraction_and_floor_cover",
    "lifetime_tail": "test_estimators_coverage.py::test_lifetime_by_the_tail",
    "linearity": "test_estimators_brightness.py::test_linearity_covers",
    "markov": "test_estimators_coverage.py::test_markov",
    "min_entropy": "test_estimators_coverage.py::test_markov",
    "most_common_value": "test_estimators_randomness.py::test_most_common_value_covers",
    "near_to_far": "test_estimators_purity.py::test_near_to_far_covers",
    "orthogonal_control": "test_estimators_hom.py::test_controls_cover",
    "prompt_fraction": "test_estimators_decay.py::test_prompt_fraction_and_floor_cover",
    "pulse_pair_overlap": "test_estimators_hom.py::test_pulse_pairs_cover",
    "reconstruct_state": "test_estimators_coverage.py::test_tomography",
    "source_overlap": "test_estimators_hom.py::test_source_overlap_covers_under_each_hypothesis",
    "total_overlap": "test_estimators_hom.py::test_total_overlap_covers",
    "trace_blinking": "test_estimators_coverage.py::test_blinking_by_the_trace",
    "v_adjacent": "test_estimators_hom.py::test_v_adjacent_covers",
    "v_co_cross": "test_metrics_estimates.py::test_intervals_cover",
    "v_unc": "test_metrics_estimates.py::test_intervals_cover",
}


def _has_estimates(kind: object) -> bool:
    if kind is Estimate or any(_has_estimates(part) for part in typing.get_args(kind)):
        return True
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return False
    hints = typing.get_type_hints(kind)
    return any(_has_estimates(hints[field.name]) for field in fields(kind))


def test_every_public_estimator_has_a_coverage_test():
    public = {name: getattr(qdhil.metrics, name) for name in qdhil.metrics.__all__}
    functions = {name: of for name, of in public.items() if callable(of) and not isinstance(of, type)}
    estimators = {name for name, of in functions.items() if _has_estimates(typing.get_type_hints(of).get("return"))}
    assert estimators == set(COVERED)
    for name, place in COVERED.items():
        file, test = place.split("::")
        text = (Path(__file__).parent / file).read_text()
        assert f"def {test}(" in text, place
        assert f"{name}(" in text, place


def _count(draw, truths, *, of=getattr, replicates=REPLICATES, seed=1):
    """How many intervals of each of several estimates hold the truth; a refusal is none."""
    rng, hits, made = np.random.default_rng(seed), dict.fromkeys(truths, 0), 0
    while made < replicates:
        try:
            result = draw(rng)
        except ValueError:
            made += 1
            continue
        made += 1
        for name, truth in truths.items():
            hits[name] += holding(of(result, name), truth)
    return hits


def _right(hits):
    assert all(FEWEST <= number <= MOST for number in hits.values()), hits


@slow
@pytest.mark.parametrize(("level", "bunched"), [(200, 0.6), (2000, 0.4)], ids=["low", "high"])
def test_dip_of_three_levels(level, bunched):
    expected = _dip(level, 0.2, 2000, 400, bunched, 8000)

    def draw(rng):
        found = g2_dip(_histogram(rng, expected), sigma_ps=400, bunching=True)
        return {"g2": found.g2, "fast": found.antibunching, "a": found.bunching[0], "slow": found.bunching[1]}

    _right(_count(draw, {"g2": 0.2, "fast": 2000, "a": bunched, "slow": 8000}, of=lambda found, name: found[name]))


@slow
@pytest.mark.parametrize("photons", [300, 5000], ids=["low", "high"])
def test_decay_and_edge(photons):
    def draw(rng):
        return fit_decay(_clicks(rng, photons, 0.03 * photons, 400.0, 80.0), period_ps=PERIOD, response=None)

    _right(_count(draw, {"lifetime": 400, "sigma": 80, "floor": 0.03 / 1.03}))


@slow
@pytest.mark.parametrize(
    ("photons", "fast_ps", "slow_ps"), [(2000, 200, 2000), (30_000, 300, 1500)], ids=["low", "high"]
)
def test_decay_of_two_exponentials(photons, fast_ps, slow_ps):
    def draw(rng):
        clicks = _clicks(rng, photons, photons / 100, fast_ps, 60.0, slow=0.3, t2_ps=slow_ps)
        return fit_decay(clicks, period_ps=PERIOD, response=60.0, exponentials=2)

    _right(_count(draw, {"lifetime": fast_ps, "slow": slow_ps, "slow_share": 0.3}))


@slow
@pytest.mark.parametrize(("clicks", "noise"), [(8000, 160), (30_000, 600)], ids=["low", "high"])
def test_lifetime_by_the_tail(clicks, noise):
    def draw(rng):
        times = 2000 + rng.normal(0, 30, clicks) + rng.exponential(150.0, clicks)
        times = np.concatenate((times, rng.uniform(0, 12_500, noise)))
        return lifetime_tail(16 * (times // 16).astype(np.int64), period_ps=12_500.0)

    assert FEWEST <= held(draw, 150.0) <= MOST


@slow
@pytest.mark.parametrize(("area", "floor"), [(300, 2), (20_000, 20)], ids=["low", "high"])
def test_line_of_a_camera(area, floor):
    """Signals of gain 7: the error comes from the scatter."""
    expected = _line(area, floor, 1.5)
    draw = lambda rng: fit_line(AXIS, 7.3 * rng.poisson(expected), photon_counts=False)  # noqa: E731
    _right(_count(draw, {"centre": 0.3, "fwhm": 1.5}))


@slow
@pytest.mark.parametrize(("part", "pairs"), [(0.7, 50), (0.7, 500), (0.92, 300), (0.92, 2000)])
def test_tomography(part, pairs):
    rho = _werner(part).astype(complex)
    expected = _expected(rho, pairs)
    truths = {of.__name__: of(rho) for of in (fidelity, concurrence, purity)} | {"chsh": chsh_of_phi_plus(rho)}
    _right(_count(lambda rng: reconstruct_state(list(JAMES), rng.poisson(expected).tolist()), truths))


@slow
@pytest.mark.parametrize("bins", [4000, 50_000], ids=["about-10-dwells", "about-120-dwells"])
def test_blinking_by_the_trace(bins):
    draw = lambda rng: trace_blinking(_trace(rng, bins, 250, 150), bin_s=0.01)  # noqa: E731
    _right(_count(draw, {"on_time": 2.5, "off_time": 1.5, "on_fraction": 0.625}))


@slow
@pytest.mark.parametrize("bits", [2000, 20_000])
def test_markov(bits):
    """The interval is the hull of those of the transitions, and so holds the truth more often than it says."""
    truth = -math.log2(0.6)  # alternating bits are the likeliest
    assert held(lambda rng: markov(_chain(rng, bits, 0.6, 0.6)), truth) >= FEWEST
    assert held(lambda rng: min_entropy(_chain(rng, bits, 0.6, 0.6)), truth) >= FEWEST


@pytest.mark.parametrize("clicks", [5, 1000])
def test_brightness_at_the_detector(clicks):
    def draw(rng):
        singles = rng.poisson(clicks, 2)
        return at_detector(block(rng, 0, 0, singles_a=int(singles[0]), singles_b=int(singles[1])))

    assert FEWEST <= held(draw, 2 * clicks / 8e7) <= MOST


@pytest.mark.parametrize("error", [0.5, 10.0])
def test_excess_jitter(error):
    """Edges of 80 and 60 ps, known to within ``error``."""

    def edge(rng, sigma_ps):
        value = rng.normal(sigma_ps, error)
        reach = 1.96 * error
        return Estimate("jitter.sigma", value, value - reach, value + reach, 0.95, {}, None, None, "", value)

    def draw(rng):
        return excess_jitter(edge(rng, 80.0), edge(rng, 60.0))

    assert FEWEST <= held(draw, math.sqrt(80**2 - 60**2)) <= MOST
