"""Entanglement by six settings, by CHSH, and by tomography."""

from __future__ import annotations

import math

import numpy as np
import pytest
from estimators_made import FEWEST, MOST, held, ints

from qdhil.metrics import chsh, fidelity_six_settings, reconstruct_state
from qdhil.metrics.entanglement import time_averaged_state
from qdhil.metrics.tomography import POLARISATIONS
from qdhil.metrics.two_qubit import PHI_PLUS, concurrence, concurrence_tangent, fidelity, largest_chsh, purity

JAMES = dict(
    zip(
        ["HH", "HV", "VV", "VH", "RH", "RV", "DV", "DH", "DR", "DD", "RD", "HD", "VD", "VL", "HL", "RL"],
        (
            34749,
            324,
            35805,
            444,
            16324,
            17521,
            13441,
            16901,
            17932,
            32028,
            15132,
            17238,
            13171,
            17170,
            16722,
            33586,
        ),
        strict=True,
    )
)


def _werner(part):
    return part * np.outer(PHI_PLUS, PHI_PLUS.conj()) + (1 - part) * np.eye(4) / 4


def _expected(rho, pairs):
    states = [np.kron(POLARISATIONS[one], POLARISATIONS[two]) for one, two in map(tuple, JAMES)]
    return pairs * np.array([(s.conj() @ rho @ s).real for s in states])


@pytest.mark.parametrize(
    ("splitting_uev", "lifetime_ns", "expected"),
    [
        (1, 0.25, (0.9370, 0.9348, 2.738)),
        (2, 0.25, (0.8170, 0.7963, 2.557)),
        (1, 1.0, (0.6511, 0.5498, 2.282)),
    ],
)
def test_fine_structure_of_the_reference(splitting_uev, lifetime_ns, expected):
    found = time_averaged_state(splitting_uev, lifetime_ns)
    assert found[:2] == pytest.approx(expected[:2], abs=1e-4)
    assert found[2] == pytest.approx(expected[2], abs=1e-3)


@pytest.mark.parametrize("pairs", [10, 100, 10_000])
def test_six_settings_cover(pairs):
    contrasts = {"HV": 0.9, "DA": 0.85, "RL": -0.8}

    def draw(rng):
        return fidelity_six_settings(
            {
                basis: ints(rng.poisson((pairs * (1 + contrast) / 2, pairs * (1 - contrast) / 2)))
                for basis, contrast in contrasts.items()
            }
        )

    assert FEWEST <= held(draw, (1 + 0.9 + 0.85 + 0.8) / 4) <= MOST


@pytest.mark.parametrize("pairs", [20, 100, 10_000])
def test_chsh_covers(pairs):
    signs, each = (1, -1, 1, 1), 0.65

    def draw(rng):
        return chsh(
            [
                ints(rng.poisson(pairs * np.array([1 + s * each, 1 - s * each, 1 - s * each, 1 + s * each]) / 4))
                for s in signs
            ]
        )

    assert FEWEST <= held(draw, 4 * each) <= MOST


def test_chsh_of_the_singlet_bound():
    half = round(1e6 * (1 + 2**-0.5) / 4), round(1e6 * (1 - 2**-0.5) / 4)
    like, unlike = (half[0], half[1], half[1], half[0]), (half[1], half[0], half[0], half[1])
    estimate = chsh([like, unlike, like, like])
    assert estimate.value == pytest.approx(2 * math.sqrt(2), abs=1e-5)
    assert (estimate.high - estimate.low) / 3.92 == pytest.approx(math.sqrt(4 * 0.5 / 1e6), rel=0.01)


def test_known_states():
    bell, mixed = _werner(1.0).astype(complex), _werner(0.0).astype(complex)
    assert (concurrence(bell), purity(bell), fidelity(bell)) == pytest.approx((1, 1, 1))
    assert largest_chsh(bell) == pytest.approx(2 * math.sqrt(2))
    assert (concurrence(mixed), purity(mixed), largest_chsh(mixed)) == pytest.approx((0, 0.25, 0), abs=1e-9)
    assert concurrence(_werner(0.7).astype(complex)) == pytest.approx((3 * 0.7 - 1) / 2)


def test_james_data():
    """James et al., Phys. Rev. A 64, 052312 (2001): eigenvalues of the linear inversion, and the minimum of L.

    The matrix published as the maximum-likelihood one has L = 486, so that it is no minimum.
    """
    found = reconstruct_state(list(JAMES), list(JAMES.values()))
    assert found.likelihood <= 344.3
    assert found.inverted_eigenvalues == pytest.approx((1.0215, 0.0681, -0.0244, -0.0653), abs=1e-4)
    assert np.linalg.eigvalsh(found.rho).min() >= -1e-12
    assert np.trace(found.rho).real == pytest.approx(1)
    assert found.concurrence.value == pytest.approx(0.9212, abs=5e-4)
    assert found.fidelity.value == pytest.approx(0.960, abs=1e-3)
    assert found.purity.value == pytest.approx(0.932, abs=1e-3)
    assert largest_chsh(found.rho) == pytest.approx(2.718, abs=1e-3)


def test_exact_counts_give_the_state_back():
    rng = np.random.default_rng(1)
    factor = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    rho = factor @ factor.conj().T
    rho /= np.trace(rho).real
    found = reconstruct_state(list(JAMES), np.rint(_expected(rho, 1e9)).astype(int).tolist())
    assert np.abs(found.rho - rho).max() < 1e-6
    assert found.concurrence.value == pytest.approx(concurrence(rho), abs=1e-5)


def test_tangent_of_the_concurrence_is_below_it():
    """At the state equal to it; at 200 others not above it, pure ones and mixed."""
    rng, state = np.random.default_rng(4), _werner(0.8).astype(complex)
    tangent = concurrence_tangent(state)
    assert np.trace(state @ tangent).real == pytest.approx(concurrence(state), abs=1e-6)
    for rank in (1, 2, 4) * 70:
        factor = rng.normal(size=(4, rank)) + 1j * rng.normal(size=(4, rank))
        other = factor @ factor.conj().T / np.sum(np.abs(factor) ** 2)
        assert np.trace(other @ tangent).real <= concurrence(other) + 1e-6


@pytest.mark.parametrize("pairs", [30, 3000])
def test_intervals_of_tomography_hold_the_value_and_stay_physical(pairs):
    rng = np.random.default_rng(5)
    for part in (0.0, 0.5, 1.0):
        found = reconstruct_state(list(JAMES), rng.poisson(_expected(_werner(part), pairs)).tolist())
        for estimate, most in (
            (found.fidelity, 1.0),
            (found.concurrence, 1.0),
            (found.purity, 1.0),
            (found.chsh, 2 * math.sqrt(2)),
        ):
            assert estimate.low <= estimate.value <= estimate.high <= most + 1e-9


def test_refusals():
    with pytest.raises(ValueError, match="HV, DA, RL"):
        fidelity_six_settings({"HV": (1, 1)})
    with pytest.raises(ValueError, match="needs pairs"):
        fidelity_six_settings({"HV": (1, 1), "DA": (0, 0), "RL": (1, 1)})
    with pytest.raises(ValueError, match="4 settings"):
        chsh([(1, 1, 1, 1)])
    with pytest.raises(ValueError, match="'XY'"):
        reconstruct_state(["XY"], [1])
    with pytest.raises(ValueError, match="do not determine"):
        reconstruct_state(list(JAMES)[:15], [1] * 15)
    with pytest.raises(ValueError, match="twice"):
        reconstruct_state(["HH", *JAMES], [1] * 17)
    with pytest.raises(ValueError, match="not all zero"):
        reconstruct_state(list(JAMES), [0] * 16)
