"""State of a polarisation pair by quantum state tomography (James et al., Phys. Rev. A 64, 052312 (2001)).

Counts n_ν in sixteen (or more) pairs of polarisations; ρ = T·T†/Tr(T·T†) with T lower triangular is physical
whatever its sixteen real elements, which also carry the pairs N = Tr(T·T†). They minimise

    L = Σ_ν (m_ν - n_ν)²/(2·m_ν),   m_ν = N·<ψ_ν|ρ|ψ_ν>,

the likelihood of counts whose variance is their mean. Linear inversion, which begins the search, mostly isn't
physical. L has local minima, so the search begins at several points. Intervals are ±t standard deviations of
Poisson resamples around the fitted counts. Intervals of 95 % held 94 to 97 % of true values with 2000 counts a setting
and a state of purity 0.88, and 91 to 94 % with 500 and 0.62.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.estimate import Estimate
from qdhil.metrics.two_qubit import Matrix, chsh_of_phi_plus, concurrence, fidelity, purity

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
_SMALLEST = 1e-9
_LOWER = np.tril_indices(4)
_STRICT = np.tril_indices(4, -1)
_RESTARTS = 4
_METRICS = {
    "fidelity": fidelity,
    "concurrence": concurrence,
    "purity": purity,
    "chsh": chsh_of_phi_plus,
}


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
    resamples: int = 100,
    seed: int = 0,
    confidence: float = 0.95,
) -> Tomography:
    """Return the most likely state with intervals by resampling.

    Parameters
    ----------
    settings
        Polarisations of both photons, such as ``"HV"``, over H, V, D, A, R, L; equal exposure for all.
    counts
        Pairs in each setting.
    resamples
        Poisson resamples for the intervals.
    seed
        Seed of the resampling, so that a record can be recomputed.
    confidence
        Nominal coverage of the intervals.

    Raises
    ------
    ValueError
        If a setting is unknown, the settings don't determine a state, there are no pairs or fewer than 20 resamples.
    """
    projectors = _projectors(settings)
    n = np.asarray(counts, np.float64)
    if n.shape != (len(settings),) or bool((n < 0).any()) or n.sum() == 0 or resamples < 20:
        raise ValueError("tomography needs one count a setting, none negative, not all zero, and 20 resamples or more")
    inverted = _invert(projectors, n)
    elements, loss = _most_likely(projectors, n, _starts(inverted))
    rho = _state(elements)
    rng = np.random.default_rng(seed)
    states = []
    for draw in rng.poisson(_expected(projectors, elements), (resamples, n.size)):
        # a search from the fit alone ends in a nearby local minimum, and the spread comes out wrong
        starts = [elements, _starts(_invert(projectors, draw))[-1]]
        states.append(_state(_most_likely(projectors, draw, starts)[0]))
    tally = {setting: int(count) for setting, count in zip(settings, counts, strict=True)}
    found = {name: _estimate(name, rho, states, tally, confidence) for name in _METRICS}
    eigenvalues = np.sort(np.linalg.eigvalsh(inverted / np.trace(inverted).real))[::-1]
    return Tomography(rho, loss, tuple(float(value) for value in eigenvalues), **found)


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


def _invert(projectors: Matrix, n: Floats) -> Matrix:
    """Return the Hermitian matrix, not normalised, whose projections are nearest to the counts."""
    design = np.einsum("vi,vj->vij", projectors.conj(), projectors).reshape(n.size, 16)
    solution = np.linalg.lstsq(design, n.astype(np.complex128), rcond=None)[0].reshape(4, 4)
    return np.asarray((solution + solution.conj().T) / 2)


def _starts(inverted: Matrix) -> list[Floats]:
    values, vectors = np.linalg.eigh(inverted)
    starts = []
    for part in np.geomspace(1e-4, 0.3, _RESTARTS):
        lifted = np.maximum(values, part * values.max())
        factor = np.linalg.cholesky((vectors * lifted) @ vectors.conj().T)
        starts.append(np.concatenate((factor[_LOWER].real, factor[_STRICT].imag)))
    return starts


def _factor(elements: Floats) -> Matrix:
    factor = np.zeros((4, 4), np.complex128)
    factor[_LOWER] = elements[:10]
    factor[_STRICT] += 1j * elements[10:]
    return factor


def _state(elements: Floats) -> Matrix:
    factor = _factor(elements)
    rho = factor @ factor.conj().T
    return np.asarray(rho / np.trace(rho).real)


def _expected(projectors: Matrix, elements: Floats) -> Floats:
    return np.asarray(np.sum(np.abs(projectors.conj() @ _factor(elements)) ** 2, axis=1) + _SMALLEST)


def _most_likely(projectors: Matrix, n: Floats, starts: Sequence[Floats]) -> tuple[Floats, float]:
    from scipy.optimize import least_squares

    def residuals(elements: Floats) -> Floats:
        m = _expected(projectors, elements)
        return np.asarray((m - n) / np.sqrt(m))

    def slopes(elements: Floats) -> Floats:
        amplitudes = projectors.conj() @ _factor(elements)
        products = 2 * np.einsum("vi,vk->vik", projectors.conj(), amplitudes.conj())
        by_element = np.hstack((products[:, *_LOWER].real, -products[:, *_STRICT].imag))
        m = _expected(projectors, elements)
        return np.asarray((0.5 * (1 + n / m) / np.sqrt(m))[:, None] * by_element)

    fits = [least_squares(residuals, start, jac=slopes, max_nfev=500, xtol=1e-8, ftol=1e-8) for start in starts]
    best = min(fits, key=lambda fit: float(fit.cost))
    return np.asarray(best.x), float(best.cost)


def _estimate(name: str, rho: Matrix, states: list[Matrix], tally: dict[str, int], confidence: float) -> Estimate:
    from scipy.special import stdtrit

    worth = _METRICS[name]
    value, again = worth(rho), [worth(state) for state in states]
    reach = float(stdtrit(len(again) - 1, (1 + confidence) / 2)) * float(np.std(again, ddof=1))
    top = 2 * 2**0.5 if name == "chsh" else 1.0
    return Estimate(
        definition=f"entanglement.tomography.{name}",
        value=value,
        low=max(value - reach, 0.0),
        high=min(value + reach, top),
        confidence=confidence,
        counts=tally,
        window_ps=None,
        delay_ps=None,
        normalisation="all-settings",
        raw=value,
    )
