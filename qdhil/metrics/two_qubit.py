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
    x, _, z = _PAULI
    return float(np.sqrt(2) * np.trace(rho @ (np.kron(x, x) + np.kron(z, z))).real)
