"""Multi-tau correlation: against pairs of coarsened times counted one by one, and its bias as stated."""

from __future__ import annotations

import numpy as np
import pytest

from qdhil.metrics.log_correlate import log_correlate
from qdhil.metrics.multi_tau import multi_tau


@pytest.mark.parametrize("count", [300, 3_000])
def test_every_bin_holds_the_pairs_that_its_kind_says(count):
    rng = np.random.default_rng(1)
    a, b = (np.sort(rng.integers(-(10**8), 10**9, count)) for _ in range(2))
    found = multi_tau(a, b, first_ps=100, last_ps=3 * 10**8, lags=4)
    origin = min(a[0], b[0])
    tau = b[None, :] - a[:, None]
    assert not found.exact.all()
    for centre, width, exact, pairs in zip(found.tau_ps, found.width_ps, found.exact, found.counts, strict=True):
        if exact:
            expected = np.sum((tau >= centre - width / 2) & (tau < centre + width / 2))
        else:
            cells = (b - origin)[None, :] // int(width) - (a - origin)[:, None] // int(width)
            expected = np.sum(cells == round(centre / width))
        assert pairs == expected


def test_uncorrelated_light_gives_one():
    rng = np.random.default_rng(2)
    a, b = (np.sort(rng.integers(0, 10**12, 400_000)) for _ in range(2))
    found = multi_tau(a, b, first_ps=1_000, last_ps=10**10)
    pull = (found.counts - found.expected) / np.sqrt(found.expected)
    # 168 bins; neighbours of wide bins share clicks, so that a bin's variance is up to 1 + 2·pairs per click
    near = found.expected < 400_000
    assert near.sum() > 60
    # 5.5 sigma in any of about 100 bins: odds 4e-6
    assert np.abs(pull[near]).max() < 5.5
    assert np.abs(found.g2[~near] - 1).max() < 0.01


def test_the_bias_of_an_exponential_is_the_stated_one():
    """A comb of start-stop pairs with delays spread as exp(-τ/τ_c): all noise but that of the draw is absent."""
    rng = np.random.default_rng(3)
    tau_c, pairs, apart = 10**6, 200_000, 10**8 + 7
    starts = np.arange(pairs) * apart + rng.integers(0, 10**7, pairs)
    stops = starts + rng.exponential(tau_c, pairs).astype(np.int64)
    found = multi_tau(starts, stops, first_ps=100_000, last_ps=4 * 10**6, lags=2, exact_octaves=1)
    width, tau = found.width_ps, found.tau_ps
    at = int(np.argmin(np.abs(tau - 2 * tau_c)))
    assert not found.exact[at]
    w = width[at] / tau_c
    # the mean of exp over a triangle is exp·(2·sinh(w/2)/w)^2 = exp·(1 + w²/12 + …)
    ratio = found.counts[at] / (pairs * w * np.exp(-tau[at] / tau_c))
    expected = (2 * np.sinh(w / 2) / w) ** 2
    assert expected == pytest.approx(1 + w**2 / 12, abs=w**4 / 100)
    error = 1 / np.sqrt(found.counts[at])
    assert ratio == pytest.approx(expected, abs=4 * error)  # odds 6e-5 of a false alarm
    assert expected - 1 > 4 * error  # else the test could not tell the bias from none


def test_exact_bins_agree_with_log_correlate():
    rng = np.random.default_rng(4)
    a, b = (np.sort(rng.integers(0, 10**10, 20_000)) for _ in range(2))
    found = multi_tau(a, b, first_ps=1_000, last_ps=10**8)
    lower = (found.tau_ps - found.width_ps / 2)[found.exact]
    edges = np.append(lower, lower[-1] + found.width_ps[found.exact][-1]).astype(np.int64)
    assert log_correlate(a, b, edges_ps=edges).tolist() == found.counts[found.exact].tolist()


@pytest.mark.parametrize(
    ("a", "b", "options", "match"),
    [
        ([], [1], {}, "both channels"),
        ([1, 2], [3], {}, "too short"),
        ([2, 1], [3], {}, "not sorted"),
        ([1], [3], {"lags": 1}, "no multi-tau"),
    ],
)
def test_what_can_not_be_counted_is_refused(a, b, options, match):
    with pytest.raises(ValueError, match=match):
        multi_tau(a, b, **options)
