"""Entanglement of polarisation pairs without tomography: fidelity in six settings, and CHSH.

    F(Φ+) = ¼·(1 + C_HV + C_DA - C_RL),   C_b = (N_par - N_orth)/(N_par + N_orth)

with N_par the pairs found in equal and N_orth those in opposite polarisations of basis b, and

    S = E(a, b) - E(a, b') + E(a', b) + E(a', b'),   abs(S) <= 2 for local hidden variables

with E from the four outcomes of each setting. A pair of a source with splitting S between the states reaches, averaged
over the decay, F = ½[1 + 1/(1 + x²)] with x = S·T1/ħ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qdhil.metrics.estimate import Estimate
from qdhil.statistics.intervals import clopper_pearson
from qdhil.statistics.propagation import Bounded, propagated_interval

HBAR_UEV_NS = 0.6582119569
"""ħ in µeV·ns (CODATA 2018)."""
SETTINGS = ("HV", "DA", "RL")


def fidelity_six_settings(pairs: Mapping[str, tuple[int, int]], *, confidence: float = 0.95) -> Estimate:
    """Return the fidelity to Φ+ = (HH + VV)/√2; id ``entanglement.fidelity``.

    Parameters
    ----------
    pairs
        For each basis ``"HV"``, ``"DA"``, ``"RL"`` the pairs found in equal and in opposite polarisations.
    confidence
        Nominal coverage; the interval joins the exact ones of the three contrasts.

    Raises
    ------
    ValueError
        If a basis is missing, unknown, or without pairs.
    """
    if set(pairs) != set(SETTINGS):
        raise ValueError(f"pairs are needed in the bases {', '.join(SETTINGS)}, not {', '.join(sorted(pairs))}")
    contrasts = [_contrast(*pairs[basis], confidence) for basis in SETTINGS]

    def fidelity(rectilinear: float, diagonal: float, circular: float) -> float:
        return (1 + rectilinear + diagonal - circular) / 4

    low, high = propagated_interval(fidelity, contrasts)
    tally = {}
    for basis in SETTINGS:
        tally[f"{basis}_parallel"], tally[f"{basis}_orthogonal"] = pairs[basis]
    return _estimate(
        "entanglement.fidelity",
        (fidelity(*(value for value, _, _ in contrasts)), max(low, 0.0), min(high, 1.0)),
        tally,
        "pairs-per-basis",
        confidence,
    )


def chsh(outcomes: Sequence[tuple[int, int, int, int]], *, confidence: float = 0.95) -> Estimate:
    """Return S of the CHSH inequality by sixteen counts; id ``entanglement.chsh``.

    Parameters
    ----------
    outcomes
        For the settings (a, b), (a, b'), (a', b), (a', b'): pairs found as (++, +-, -+, --).
    confidence
        Nominal coverage; the interval joins the exact ones of the four correlations.

    Raises
    ------
    ValueError
        If there aren't four settings, or one has no pairs.
    """
    if len(outcomes) != 4:
        raise ValueError(f"CHSH needs 4 settings, not {len(outcomes)}")
    correlations = [_contrast(same + both, one + other, confidence) for same, one, other, both in outcomes]

    def total(first: float, second: float, third: float, fourth: float) -> float:
        return first - second + third + fourth

    low, high = propagated_interval(total, correlations)
    names = ("a_b", "a_b2", "a2_b", "a2_b2")
    tally = {
        f"{setting}_{outcome}": count
        for setting, counts in zip(names, outcomes, strict=True)
        for outcome, count in zip(("pp", "pm", "mp", "mm"), counts, strict=True)
    }
    bounds = (total(*(value for value, _, _ in correlations)), max(low, -4.0), min(high, 4.0))
    return _estimate("entanglement.chsh", bounds, tally, "pairs-per-setting", confidence)


def time_averaged_state(splitting_uev: float, lifetime_ns: float) -> tuple[float, float, float]:
    """Return fidelity, concurrence and largest CHSH value of a pair with a fine-structure splitting.

    Averaged over the exciton's decay; the XX-X state is (HH + e^(iSτ/ħ)·VV)/√2.
    """
    x = splitting_uev * lifetime_ns / HBAR_UEV_NS
    concurrence = 1 / math.sqrt(1 + x * x)
    return (1 + concurrence**2) / 2, concurrence, 2 * math.sqrt(1 + concurrence**2)


def _contrast(parallel: int, orthogonal: int, confidence: float) -> Bounded:
    total = parallel + orthogonal
    if min(parallel, orthogonal) < 0 or total == 0:
        raise ValueError(f"a contrast needs pairs, and none negative: {parallel} and {orthogonal}")
    low, high = clopper_pearson(parallel, total, confidence)
    return (parallel - orthogonal) / total, 2 * low - 1, 2 * high - 1


def _estimate(
    definition: str, bounds: Bounded, tally: Mapping[str, int], normalisation: str, confidence: float
) -> Estimate:
    return Estimate(
        definition=definition,
        value=bounds[0],
        low=bounds[1],
        high=bounds[2],
        confidence=confidence,
        counts=dict(tally),
        window_ps=None,
        delay_ps=None,
        normalisation=normalisation,
        raw=bounds[0],
    )
