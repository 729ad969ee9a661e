"""The physical two-photon state that fits counts best, for many sets of counts at once.

Mean counts m_ν = N·<ψ_ν|ρ|ψ_ν> of N pairs in the state ρ minimise L = Σ_ν (m_ν - n_ν)²/(2·m_ν), the likelihood of
counts whose variance is their mean (James et al., Phys. Rev. A 64, 052312 (2001)). L is convex in N·ρ = T·T†, which is
physical whatever the sixteen complex elements of T: with all of them no local minima are left (Burer and Monteiro,
Math. Program. 103, 427 (2005)); a triangular T, which has as many elements as ρ, gets caught in some.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdhil.metrics.two_qubit import Matrix

Floats = npt.NDArray[np.float64]

_SMALLEST = 1e-9
_ELEMENTS = 32
_LIFTED = (0.4, 1.0)
_ROUNDS = 300
_CONVERGED = 1e-6
"""Change of L below which a step is the last; errors are where it rises by a half."""


def lifted_starts(inverted: Matrix) -> Floats:
    """Return elements of physical states near a Hermitian matrix, shape (starts, 32): where searches begin."""
    values, vectors = np.linalg.eigh(inverted)
    starts = []
    for part in _LIFTED:
        lifted = np.maximum(values, part * values.max())
        factor = np.linalg.cholesky((vectors * lifted) @ vectors.conj().T)
        starts.append(np.concatenate((factor.real.ravel(), factor.imag.ravel())))
    return np.array(starts)


def factors(elements: Floats) -> Matrix:
    """Return T, shape (states, 4, 4), from its real and imaginary parts, shape (states, 32)."""
    real, imaginary = elements.reshape(-1, 2, 4, 4).swapaxes(0, 1)
    return np.asarray(real + 1j * imaginary)


def states_of(elements: Floats) -> Matrix:
    """Return density matrices, shape (states, 4, 4)."""
    factor = factors(elements)
    rho = factor @ factor.conj().swapaxes(1, 2)
    return np.asarray(rho / np.trace(rho, axis1=1, axis2=2).real[:, None, None])


def expected_counts(projectors: Matrix, elements: Floats) -> Floats:
    """Return mean counts, shape (states, settings)."""
    return np.asarray(np.sum(np.abs(projectors.conj() @ factors(elements)) ** 2, axis=2) + _SMALLEST)


def most_likely(projectors: Matrix, n: Floats, starts: Floats) -> tuple[Floats, Floats]:
    """Return the elements of least L and that L, by the steps of Levenberg and Marquardt, for many searches at once.

    Parameters
    ----------
    projectors
        Product states, shape (settings, 4).
    n
        Counts, shape (states, settings).
    starts
        Where each search begins, shape (states, 32).
    """
    found, loss = starts.copy(), _losses(projectors, n, starts)
    damping, active = np.full(len(n), 1e-3), np.arange(len(n))
    for _ in range(_ROUNDS):
        gradient, curvature = _descent(projectors, n[active], found[active])
        diagonal = np.einsum("sii->si", curvature)
        # T times any unitary matrix is the same state, so that the curvature alone has no inverse
        diagonal += damping[active, None] * (diagonal + 1e-6 * diagonal.max(axis=1, keepdims=True))
        trial = found[active] - np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        again = _losses(projectors, n[active], trial)
        gain = loss[active] - again
        better = gain >= 0
        found[active[better]], loss[active[better]] = trial[better], again[better]
        damping[active] = np.where(better, np.maximum(damping[active] / 10, 1e-9), damping[active] * 10)
        # a small gain by a short step, strongly damped, is no end
        settled = better & (gain < _CONVERGED) & (damping[active] < 1e-3)
        active = active[~(settled | (damping[active] > 1e10))]
        if not active.size:
            break
    return found, loss


def _losses(projectors: Matrix, n: Floats, elements: Floats) -> Floats:
    m = expected_counts(projectors, elements)
    return np.asarray(((m - n) ** 2 / (2 * m)).sum(axis=1))


def _descent(projectors: Matrix, n: Floats, elements: Floats) -> tuple[Floats, Floats]:
    """Return gradient and Gauss-Newton curvature of L, shapes (states, 32) and (states, 32, 32)."""
    amplitudes = projectors.conj() @ factors(elements)
    products = 2 * projectors.conj()[None, :, :, None] * amplitudes.conj()[:, :, None, :]
    by_element = np.stack((products.real, -products.imag), axis=2).reshape(*products.shape[:2], _ELEMENTS)
    m = expected_counts(projectors, elements)
    slopes = (0.5 * (1 + n / m) / np.sqrt(m))[:, :, None] * by_element
    gradient = np.einsum("svk,sv->sk", slopes, (m - n) / np.sqrt(m))
    return gradient, slopes.swapaxes(1, 2) @ slopes
