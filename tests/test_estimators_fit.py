"""The Poisson fit and what histograms and propagated intervals promise."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import poisson

from qdhil.metrics import Histogram
from qdhil.metrics.poisson_fit import Parameter, fit_poisson
from qdhil.metrics.profile import profile_interval
from qdhil.metrics.skovgaard import point, shift
from qdhil.statistics import poisson_interval, propagated_interval

TIMES = np.arange(50.0)


def _line(p):
    return np.asarray(p[0] * np.exp(-TIMES / p[1]) + p[2])


def test_fit_finds_exact_counts_back():
    truth = np.array([1e7, 8.0, 1e4])
    parameters = [Parameter("a", 1e6, 0, 1e9), Parameter("t", 2.0, 0.1, 100), Parameter("b", 10.0, 0, 1e9)]
    fit = fit_poisson(np.rint(_line(truth)).astype(np.int64), _line, parameters)
    assert fit.values == pytest.approx(truth, rel=1e-4)


@pytest.mark.parametrize("number", [1, 3, 10, 100])
def test_profile_of_one_mean_is_the_mid_p_interval(number):
    """Where the counts below, and half of those equal, have odds of 2.5 %."""
    parameters, counts = [Parameter("m", 3.0, 0.0, 1000.0)], np.array([number])
    fit = fit_poisson(counts, _mean, parameters)
    low, high = profile_interval(counts, _mean, parameters, fit, 0)
    above = lambda m: poisson.sf(number, m) + poisson.pmf(number, m) / 2  # noqa: E731
    assert low == pytest.approx(brentq(lambda m: above(m) - 0.025, 1e-9, number), abs=0.1)
    assert high == pytest.approx(brentq(lambda m: above(m) - 0.975, number, 5 * number + 9), abs=0.2)


def test_shift_of_r_is_the_closed_form_for_one_mean():
    """u = √n·ln(n/m), the Wald statistic of the canonical parameter."""
    counts, best, held = np.array([10.0]), np.array([10.0]), np.array([16.0])
    at = [point(counts, _mean, values, np.array([0.05])) for values in (best, held)]
    r = np.sqrt(2 * (16 - 10 + 10 * np.log(10 / 16)))
    expected = np.log(np.sqrt(10) * np.log(16 / 10) / r) / r
    assert shift(*at, 0, np.array([True]), float(r)) == pytest.approx(expected, abs=1e-4)


def _mean(p):
    return np.asarray(p[:1])


def test_a_bound_of_the_parameter_bounds_its_interval():
    parameters = [Parameter("m", 3.0, 0.5, 100.0)]
    counts = np.array([0])
    fit = fit_poisson(counts, lambda p: np.asarray(p[:1]), parameters)
    assert fit.values[0] == 0.5
    low, high = profile_interval(counts, lambda p: np.asarray(p[:1]), parameters, fit, 0)
    assert low == 0.5
    # 2·(high - 0.5) = 3.84
    assert high == pytest.approx(0.5 + 3.8415 / 2, abs=0.02)


def test_misfit_is_standard_normal_at_any_count():
    """300 replicates at a tenth of a count a bin: mean 0 within 4/√300, spread 1 within 25 %."""
    rng = np.random.default_rng(1)
    expected = _line((0.5, 10.0, 0.05))
    parameters = [
        Parameter("a", 0.5, 0.5, 0.5),
        Parameter("t", 10.0, 10.0, 10.0),
        Parameter("b", 0.05, 1e-4, 1.0),
    ]
    found = [fit_poisson(rng.poisson(expected), _line, parameters).misfit for _ in range(300)]
    assert abs(np.mean(found)) < 4 / np.sqrt(300)
    assert np.std(found) == pytest.approx(1, rel=0.25)


@given(st.floats(1, 50), st.floats(0, 5), st.floats(0, 5), st.floats(0, 5), st.floats(0, 5))
def test_propagation_of_a_sum_is_quadrature(value, d1, u1, d2, u2):
    low, high = propagated_interval(lambda a, b: a - b, [(value, value - d1, value + u1), (2.0, 2 - d2, 2 + u2)])
    assert value - 2 - low == pytest.approx(np.hypot(d1, u2), abs=1e-9)
    assert high - value + 2 == pytest.approx(np.hypot(u1, d2), abs=1e-9)


def test_propagation_of_one_quantity_is_its_own_interval():
    low, high = poisson_interval(7)
    assert propagated_interval(lambda n: 3 * n, [(7.0, low, high)]) == pytest.approx((3 * low, 3 * high))
    with pytest.raises(ValueError, match="outside"):
        propagated_interval(lambda n: n, [(7.0, 8.0, 9.0)])


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_histogram_round_trip_and_sum(counts):
    histogram = Histogram.of(counts, first_ps=-3.5, bin_ps=2.0)
    assert Histogram.from_record(histogram.record()) == histogram
    assert (histogram + histogram).array.tolist() == [2 * n for n in counts]
    assert histogram.times_ps[0] == -3.5


def test_histograms_that_are_none_are_refused():
    with pytest.raises(ValueError, match="whole numbers"):
        Histogram.of([0.5, 1.0], first_ps=0.0, bin_ps=1.0)
    with pytest.raises(ValueError, match="negative"):
        Histogram((1, -1), 0.0, 1.0)
    with pytest.raises(ValueError, match="bin_ps"):
        Histogram((1,), 0.0, 0.0)
    with pytest.raises(ValueError, match="axes"):
        Histogram((1, 2), 0.0, 1.0) + Histogram((1, 2), 0.5, 1.0)
    with pytest.raises(ValueError, match="keys"):
        Histogram.from_record({"counts": [1]})


def test_metrics_import_neither_numba_nor_scipy():
    code = "import qdhil.metrics, sys; print([m for m in ('numba', 'scipy', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
