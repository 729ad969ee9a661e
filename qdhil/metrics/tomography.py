"""State of a polarisation pair by quantum state tomography (James et al., Phys. Rev. A 64, 052312 (2001)).

The state is the physical one that fits the counts best, :mod:`~qdhil.metrics.state_fit`. Where the counts point
outside the physical states, as those of nearly pure ones do, what is computed from it is biased by up to its standard
error, and resampling repeats the bias instead of telling it (Schwemmer et al., Phys. Rev. Lett. 114, 080403 (2015)).
So the intervals are those of linear inversion, which has no such bias, with the Poisson errors of the counts: of
Tr(ρW) for fidelity and CHSH value, which are linear in ρ; for concurrence, which is convex and never below its
tangent, with W the tangent at the best state mixed with a fifth of unpolarised light, where it is smooth; and of
Tr ρ² less the share of the counting noise for purity. They are widened to hold the value of the best state, and
cut to what is possible; about nearly pure states they are wider than that value's own scatter.
Intervals of 95 % held 94 to 99 % of true values for mixtures of Φ+ with unpolarised light, at 50 to 2000 pairs a
setting and down to purity 0.6, and the concurrence in 92 to 94 % of states of lower rank or with dephasing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.estimate import Estimate
from qdhil.metrics.state_fit import lifted_starts, most_likely, states_of
from qdhil.metrics.two_qubit import (
    CHSH_OF_PHI_PLUS,
    PHI_PLUS,
    Matrix,
    chsh_of_phi_plus,
    concurrence,
    concurrence_tangent,
    fidelity,
    purity,
)

Floats = npt.NDArray[np.float64]

POLARISATIONS: dict[str, tuple[complex, complex]] = {
    "H": (1, 0),
    "V": (0, 1),
    "D": (2**-0.5, 2**-0.5),
    "A": (2**-0.5, -(2**-0.5)),
    "R": (2**-0.5, -1j * 2**-0.5),
    "L": (2**-0.5, 1j * 2**-0.5),
}
"""Components along H and V; R = (H - iV)/√2 as in the reference."""
_TSIRELSON = 2 * 2**0.5
_MIXED = 0.2


@dataclass(frozen=True)
class Tomography:
    """The state that fits the counts best, and what it is worth.

    Parameters
    ----------
    rho
        Density matrix over HH, HV, VH, VV, shape (4, 4).
    likelihood
        L at the minimum.
    inverted_eigenvalues
        Eigenvalues of the linear inversion, falling; negative ones say how unphysical it is. ``None`` unless
        the settings determine it.
    fidelity, concurrence, purity, chsh
        Fidelity to Φ+ = (HH + VV)/√2, concurrence, purity, and CHSH value at the settings best for Φ+; ids
        ``entanglement.tomography.fidelity`` and so on. For the best of all settings, see
        :func:`~qdhil.metrics.two_qubit.largest_chsh`; chosen by the same counts, it is biased upwards.
    """

    rho: Matrix
    likelihood: float
    inverted_eigenvalues: tuple[float, ...]
    fidelity: Estimate
    concurrence: Estimate
    purity: Estimate
    chsh: Estimate


def reconstruct_state(
    settings: Sequence[str],
    counts: Sequence[int],
    *,
    confidence: float = 0.95,
) -> Tomography:
    """Return the most likely state with intervals for what it is worth.

    Parameters
    ----------
    settings
        Polarisations of both photons, such as ``"HV"``, over H, V, D, A, R, L; equal exposure for all.
    counts
        Pairs in each setting.
    confidence
        Nominal coverage of the intervals.

    Raises
    ------
    ValueError
        If a setting is unknown, the settings don't determine a state, or there are no pairs.
    """
    from scipy.special import ndtri

    projectors = _projectors(settings)
    n = np.asarray(counts, np.float64)
    if n.shape != (len(settings),) or bool((n < 0).any()) or n.sum() == 0:
        raise ValueError("tomography needs one count a setting, none negative, and not all zero")
    parts = _inversion(projectors)
    inverted = np.einsum("v,vij->ij", n, parts)
    starts = lifted_starts(inverted)
    elements, losses = most_likely(projectors, np.repeat(n[None], len(starts), 0), starts)
    best = int(np.argmin(losses))
    rho, loss = states_of(elements[best : best + 1])[0], float(losses[best])
    reach = float(ndtri((1 + confidence) / 2))
    chsh = chsh_of_phi_plus(rho)
    found = {
        "fidelity": (fidelity(rho), *_linear(n, parts, np.outer(PHI_PLUS, PHI_PLUS.conj()), reach), 0.0, 1.0),
        "concurrence": (
            concurrence(rho), *_linear(n, parts, concurrence_tangent(_smooth(rho)), reach), 0.0, 1.0,
        ),
        "purity": (purity(rho), *_unbiased_purity(n, parts, reach), 0.25, 1.0),
        "chsh": (chsh, *_linear(n, parts, CHSH_OF_PHI_PLUS, reach), -_TSIRELSON, _TSIRELSON),
    }  # fmt: skip
    tally = {setting: int(count) for setting, count in zip(settings, counts, strict=True)}
    estimates = {name: _estimate(name, numbers, tally, confidence) for name, numbers in found.items()}
    eigenvalues = np.sort(np.linalg.eigvalsh(inverted / np.trace(inverted).real))[::-1]
    return Tomography(rho, loss, tuple(float(value) for value in eigenvalues), **estimates)


def _projectors(settings: Sequence[str]) -> Matrix:
    """Return one product state a setting, shape (settings, 4)."""
    for setting in settings:
        if len(setting) != 2 or not set(setting) <= set(POLARISATIONS):
            raise ValueError(f"a setting is two of {', '.join(POLARISATIONS)}, not {setting!r}")
    if len(set(settings)) != len(settings):
        raise ValueError("a setting occurs twice: add its counts")
    states = np.array([np.kron(POLARISATIONS[one], POLARISATIONS[two]) for one, two in map(tuple, settings)])
    design = np.einsum("vi,vj->vij", states.conj(), states).reshape(len(states), 16)
    if np.linalg.matrix_rank(design) < 16:
        raise ValueError(f"these {len(states)} settings do not determine a two-photon state")
    return states


def _inversion(projectors: Matrix) -> Matrix:
    """Return the Hermitian matrix that one count in each setting adds to the linear inversion, (settings, 4, 4)."""
    design = np.einsum("vi,vj->vij", projectors.conj(), projectors).reshape(len(projectors), 16)
    parts = np.linalg.pinv(design).T.reshape(-1, 4, 4)
    return np.asarray((parts + parts.conj().swapaxes(1, 2)) / 2)


def _smooth(rho: Matrix) -> Matrix:
    return np.asarray((1 - _MIXED) * rho + _MIXED * np.eye(4) / 4)


def _linear(n: Floats, parts: Matrix, operator: Matrix, reach: float) -> tuple[float, float]:
    """Return the interval of Tr(ρ·operator) by linear inversion, ``reach`` standard errors to both sides."""
    weights, traces = np.einsum("ij,vji->v", operator, parts).real, np.einsum("vii->v", parts).real
    total = float(n @ traces)
    value = float(n @ weights) / total
    error = math.sqrt(float(((weights - value * traces) ** 2) @ n)) / total
    return value - reach * error, value + reach * error


def _unbiased_purity(n: Floats, parts: Matrix, reach: float) -> tuple[float, float]:
    """Return the interval of Tr ρ² by linear inversion: the square of the noise is taken off, and adds to the error."""
    overlaps, traces = np.einsum("vij,wji->vw", parts, parts).real, np.einsum("vii->v", parts).real
    total = float(n @ traces)
    value = float(n @ overlaps @ n - np.diag(overlaps) @ n) / total**2
    slopes = 2 * (overlaps @ n / total**2 - value * traces / total)
    variance = float(slopes**2 @ n + 2 * n @ overlaps**2 @ n / total**4)
    return value - reach * math.sqrt(variance), value + reach * math.sqrt(variance)


def _estimate(
    name: str, numbers: tuple[float, float, float, float, float], tally: dict[str, int], confidence: float
) -> Estimate:
    """Return the estimate of (value, low, high, least, most)."""
    value, low, high, least, most = numbers
    return Estimate(
        definition=f"entanglement.tomography.{name}",
        value=value,
        low=min(max(low, least), value),
        high=max(min(high, most), value),
        confidence=confidence,
        counts=tally,
        window_ps=None,
        delay_ps=None,
        normalisation="all-settings",
        raw=value,
    )
