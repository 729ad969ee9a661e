"""E-processes: exact likelihoods, mean of at most 1 under the null, and the error rates at any look."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, chi2, nchypergeom_fisher, norm

from qdhil.statistics.dispersion import ONE_IN_1000, SameArmPair, chi_squared_quantile, dispersion
from qdhil.statistics.evidence import alternatives, family_mean_log10, log10_of, mixed, offenders
from qdhil.statistics.evidence_counts import ArmCount, RatioTable, arm_increment, table_increment
from qdhil.statistics.evidence_scalar import scalar_evidence

MARGIN = alternatives(math.log(1.5), 0.0)
TOLERATED = alternatives(0.0, math.log(1.5))


def test_a_mixture_lies_on_its_side_and_weighs_one():
    assert max(MARGIN.log_ratios) < MARGIN.edge
    assert min(TOLERATED.log_ratios) > TOLERATED.edge
    assert sum(math.exp(weight) for weight in MARGIN.log_weights) == pytest.approx(1)
    assert 0.0 in [pytest.approx(ratio, abs=1e-12) for ratio in MARGIN.log_ratios]
    with pytest.raises(ValueError, match="can't be told"):
        alternatives(1.0, 1.0)


@pytest.mark.parametrize(
    ("candidate", "baseline", "exposure"),
    [
        ((12, 3000), (20, 2900), 1.1),
        ((0, 50), (3, 60), 1.0),
        ((250, 3000), (240, 2800), 0.7),
        ((5, 2), (4, 3), 1.0),
    ],
)
def test_increments_are_fishers_likelihood_ratios(candidate, baseline, exposure):
    found = table_increment(RatioTable(candidate, baseline, exposure), MARGIN)
    n1, n2, drawn = sum(candidate), sum(baseline), candidate[0] + baseline[0]
    log_p = [
        nchypergeom_fisher.logpmf(candidate[0], n1 + n2, n1, drawn, math.exp(ratio) * exposure)
        for ratio in (MARGIN.edge, *MARGIN.log_ratios)
    ]
    for value, reference in zip(found, log_p[1:], strict=True):
        # scipy underflows in the far tail
        assert value == pytest.approx(reference - log_p[0], abs=1e-7) or (reference == -math.inf and value < -700)


def test_increments_of_very_many_counts_agree_with_the_normal_law():
    """10^6 centrals, far beyond the whole support: the log ratio is normal with variance 1/x + 1/y."""
    table = RatioTable((1_003_000, 10**8), (1_000_000, 10**8))
    mixture = alternatives(math.log(1.01), 0.0)
    found = np.array(table_increment(table, mixture))
    sd = math.sqrt(2e-6 + 2e-8)
    seen = math.log(1.003)
    law = norm.logpdf(seen, mixture.log_ratios, sd) - norm.logpdf(seen, mixture.edge, sd)
    near = np.abs(np.array(mixture.log_ratios)) < 0.01
    assert near.sum() >= 3
    assert found[near] == pytest.approx(law[near], rel=0.05, abs=0.5)


def test_the_mean_of_a_likelihood_ratio_is_one_at_the_edge_and_less_beyond():
    n1, n2, drawn = 3000, 2900, 40
    x = np.arange(drawn + 1)
    rows = np.array(
        [table_increment(RatioTable((int(k), n1 - int(k)), (drawn - int(k), n2 - drawn + int(k))), MARGIN) for k in x]
    )
    for ratio, expected in ((1.5, 1.0), (2.0, None)):
        means = nchypergeom_fisher.pmf(x, n1 + n2, n1, drawn, ratio) @ np.exp(rows)
        if expected is not None:
            assert means == pytest.approx(np.full(means.size, expected), rel=1e-6)
        else:
            assert means.max() < 1


def test_an_arm_against_a_limit_is_binomial():
    mixture = alternatives(math.log(0.05), math.log(0.03))
    found = arm_increment(ArmCount(40, 11_000, exposure=1 / 10), mixture)
    log_p = [binom.logpmf(40, 11_040, o / (1 + o)) for o in np.exp([mixture.edge, *mixture.log_ratios]) / 10]
    assert found == pytest.approx([value - log_p[0] for value in log_p[1:]], abs=1e-6)


def test_an_uncertain_exposure_costs_evidence_and_keeps_the_mean_below_one():
    """An exposure wrong by 3 % rms, integrated exactly: without the discount the mean of some ratio is 1.2 or more."""
    sd, drawn, odds = 0.03, 400, 1.5
    x = np.arange(185, 296)
    seen = binom.pmf(x, drawn, odds / (1 + odds))
    nodes, weights = np.polynomial.hermite_e.hermegauss(11)
    weights = weights / weights.sum()
    means = {}
    for log_variance in (0.0, sd**2):
        means[log_variance] = sum(
            weight * p * np.exp(table_increment(_binomial(int(k), drawn, math.exp(sd * node), log_variance), MARGIN))
            for node, weight in zip(nodes, weights, strict=True)
            for k, p in zip(x, seen, strict=True)
        )
    assert means[sd**2].max() <= 1 + 1e-3
    assert means[0.0].max() >= 1.2


def _binomial(counted: int, drawn: int, exposure: float, log_variance: float) -> RatioTable:
    """A table whose references are so many that the candidate's count is binomial."""
    return RatioTable((counted, 10**9), (drawn - counted, 10**9), exposure, log_variance)


def test_counts_out_of_range_are_refused():
    for bad in (
        lambda: RatioTable((-1, 3), (2, 3)),
        lambda: RatioTable((1, 3), (2, 3), exposure=0.0),
        lambda: RatioTable((1, 3), (2, 3), log_variance=math.nan),
        lambda: ArmCount(1, -3, 1.0),
        lambda: ArmCount(1, 3, math.inf),
    ):
        with pytest.raises(ValueError, match=r"negative|out of range"):
            bad()


@pytest.mark.parametrize("mean", [2.0, 20.0])
def test_a_true_margin_is_rarely_ruled_out_at_any_of_many_looks(mean):
    """60 looks at rate 5 %: at most 75 of 1500 series; exact tests repeated 20 times have 19 %."""
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(1500):
        rows = [
            table_increment(RatioTable((int(x), 100_000), (int(y), 100_000)), MARGIN)
            for x, y in zip(rng.poisson(1.5 * mean, 60), rng.poisson(mean, 60), strict=True)
        ]
        wrong += bool(mixed(np.array(rows), MARGIN.log_weights).max() >= math.log(20))
    assert wrong <= 75


def test_t_process_is_one_sided_and_exact_under_the_null():
    """P(ever 20 over 40 quads) <= 5 %: 4000 series, measured 2.3 %; one quad says nothing."""
    rng = np.random.default_rng(12)
    series = rng.normal(0.3, 2.0, (4000, 40))
    evidence = [scalar_evidence(row, 0.3, above=True) for row in series]
    assert np.mean([e.max() >= math.log(20) for e in evidence]) <= 0.05
    assert all(e[0] == 0.0 for e in evidence)
    clear = scalar_evidence(rng.normal(5.0, 1.0, 6), 0.0, above=True)
    assert clear[-1] > math.log(100)
    assert scalar_evidence(-rng.normal(5.0, 1.0, 6), 0.0, above=True)[-1] < 0
    assert scalar_evidence(-rng.normal(5.0, 1.0, 6), 0.0, above=False)[-1] > math.log(20)


def test_t_process_agrees_with_its_integral():
    """Numerical integration over effect and spread, of one mixture component each."""
    from scipy.integrate import dblquad

    x, null = np.array([0.4, 1.1, 0.7, 0.2]), 0.0

    def likelihood(log_sigma: float, effect: float) -> float:
        return float(np.exp(norm.logpdf(x, null + effect * math.exp(log_sigma), math.exp(log_sigma)).sum()))

    bottom = dblquad(lambda s, _: likelihood(s, 0.0), 0, 1, -6, 6)[0]
    values = []
    for g in (1.0, 10.0, 100.0):
        sd = math.sqrt(g)
        top = dblquad(lambda s, d, sd=sd: likelihood(s, d) * 2 * norm.pdf(d, 0, sd), 0, 12, -6, 6)[0]
        values.append(top / bottom)
    assert math.exp(scalar_evidence(x, null, above=True)[-1]) == pytest.approx(np.mean(values), rel=1e-3)


@pytest.mark.parametrize("contrasts", [[0.1, math.nan], [0.1, 0.1, 0.1], [[0.1, 0.2]]])
def test_contrasts_that_tell_nothing_are_refused(contrasts):
    with pytest.raises(ValueError, match=r"finite|equal"):
        scalar_evidence(contrasts, 0.0, above=True)


def test_family_is_a_weighted_mean_of_e_values():
    assert family_mean_log10([0.25, 0.75], [2.0, 0.0]) == pytest.approx(math.log10(0.25 * 100 + 0.75))
    assert family_mean_log10([0.5], [-300.0]) == -300.0
    assert family_mean_log10([], []) == -300.0
    for shares in ([0.7, 0.7], [-0.1]):
        with pytest.raises(ValueError, match="shares"):
            family_mean_log10(shares, [0.0] * len(shares))


def test_e_bh_names_the_harmed():
    equal = [0.25] * 4
    assert offenders(equal, [3.0, 0.0, -1.0, 0.0], 0.05) == [0]
    assert offenders(equal, [1.0, 1.0, 0.0, 0.0], 0.05) == []
    assert offenders(equal, [1.7, 1.7, 1.7, 0.0], 0.05) == [0, 1, 2], "4/(0.05 x 3) = 27 is reached by three"
    assert offenders([0.0, 1.0], [9.0, 0.0], 0.05) == []
    assert offenders([], [], 0.05) == []


def test_log10_holds_in_json():
    assert log10_of(-math.inf) == -300.0
    assert log10_of(1e6) == 300.0
    with pytest.raises(ValueError, match="not a number"):
        log10_of(math.nan)


def test_dispersion_of_poisson_counts_and_of_counts_that_scatter():
    """Twice 200 pairs: phi of 1 with a standard error of 0.1; excess variance of 20 % rms at mean 100 makes 5."""
    rng = np.random.default_rng(5)
    plain = [SameArmPair((int(a), int(b)), (1.0, 1.0)) for a, b in rng.poisson(100, (200, 2))]
    wild = [
        SameArmPair((int(a), int(b)), (1.0, 1.0)) for a, b in rng.poisson(100 * np.exp(rng.normal(0, 0.2, (200, 2))))
    ]
    assert dispersion(plain).phi == pytest.approx(1, abs=0.4)
    assert dispersion(wild).phi == pytest.approx(5, rel=0.4)
    assert dispersion(wild).excessive
    assert dispersion([]).phi is None
    assert not dispersion([SameArmPair((0, 0), (1.0, 1.0))]).excessive


def test_quantiles_of_chi_squared():
    for freedom in (1, 2, 6, 40):
        assert chi_squared_quantile(freedom) == pytest.approx(chi2.ppf(0.9, freedom), rel=0.05)
        assert chi_squared_quantile(freedom, ONE_IN_1000) == pytest.approx(chi2.ppf(0.999, freedom), rel=0.05)


@pytest.mark.parametrize("above", [True, False])
def test_contrasts_at_the_null_itself_say_nothing_and_spoil_nothing(above):
    found = scalar_evidence([0.0, 0.0, 0.01, 0.02, 0.015], 0.0, above=above)
    assert found[:2].tolist() == [0.0, 0.0]
    assert np.all(np.isfinite(found))
    assert (found[-1] > 0) == above
