"""What a two-qubit density matrix is worth: concurrence, fidelity, purity, largest CHSH value.

Density matrices are complex arrays of shape (4, 4) over HH, HV, VH, VV.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.complex128]

_PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]], np.complex128)
_FLIP = np.kron(_PAULI[1], _PAULI[1])
PHI_PLUS = np.array([1, 0, 0, 1], np.complex128) / np.sqrt(2)
CHSH_OF_PHI_PLUS = np.sqrt(2) * (np.kron(_PAULI[0], _PAULI[0]) + np.kron(_PAULI[2], _PAULI[2]))
"""Operator of the CHSH value at the linear polarisations that are best for Φ+."""


def concurrence(rho: Matrix) -> float:
    """Return Wootters' concurrence, Phys. Rev. Lett. 80, 2245 (1998)."""
    flipped = _FLIP @ rho.conj() @ _FLIP
    roots = np.sort(np.sqrt(np.maximum(np.linalg.eigvals(rho @ flipped).real, 0.0)))
    return max(0.0, float(roots[3] - roots[2] - roots[1] - roots[0]))


def largest_chsh(rho: Matrix) -> float:
    """Return the largest S over all settings, 2·sqrt(u1 + u2): Horodecki, Phys. Lett. A 200, 340 (1995)."""
    correlations = np.array([[np.trace(rho @ np.kron(a, b)).real for b in _PAULI] for a in _PAULI])
    strengths = np.sort(np.linalg.eigvalsh(correlations.T @ correlations))
    return float(2 * np.sqrt(strengths[1] + strengths[2]))


def purity(rho: Matrix) -> float:
    """Return Tr ρ²."""
    return float(np.trace(rho @ rho).real)


def fidelity(rho: Matrix, state: Matrix = PHI_PLUS) -> float:
    """Return the fidelity to a pure state, a vector of shape (4,)."""
    return float((state.conj() @ rho @ state).real)


def chsh_of_phi_plus(rho: Matrix) -> float:
    """Return S at the linear polarisations that are best for Φ+, √2·(<XX> + <ZZ>)."""
    return float(np.trace(rho @ CHSH_OF_PHI_PLUS).real)


def concurrence_tangent(rho: Matrix) -> Matrix:
    """Return the Hermitian W for which Tr(ρ'W) is the concurrence at ``rho``, of full rank, and nowhere above it.

    Concurrence is convex and scales with ρ, so that its derivative, where it isn't 0, is such a W. The roots of
    Wootters' matrix are the singular values of Tᵀ·(σy⊗σy)·T with ρ = T·T†.
    """
    step = 0.01 * float(np.linalg.eigvalsh(rho)[0])
    axes = np.array([np.kron(a, b) for a in (np.eye(2), *_PAULI) for b in (np.eye(2), *_PAULI)]) / 2

    def signed(states: Matrix) -> npt.NDArray[np.float64]:
        factor = np.linalg.cholesky(states)
        roots = np.linalg.svd(factor.swapaxes(1, 2) @ _FLIP @ factor, compute_uv=False)
        return np.asarray(2 * roots[:, 0] - roots.sum(axis=1))

    slopes = (signed(rho + step * axes) - signed(rho - step * axes)) / (2 * step)
    return np.asarray(np.einsum("k,kij->ij", slopes, axes))
