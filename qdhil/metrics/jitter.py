"""Timing jitter of the emission, by what it adds to the width of the rising edge.

    σ_j = sqrt(σ² - σ_0²)

with σ the edge now (``jitter.sigma`` of :func:`~qdhil.metrics.decay.fit_decay`) and σ_0 that of a run known to
be good, or of the laser itself. Jitter between the pulses that excite two photons costs overlap,
M = erfcx(σ_j/T1) for exponential wave packets; jitter of the electronics alone widens the edge as much and
costs none, which tells the two apart.
"""

from __future__ import annotations

import math

from qdhil.metrics.adjacent import check_confidence
from qdhil.metrics.estimate import Estimate
from qdhil.statistics.propagation import propagated_interval


def excess_jitter(sigma: Estimate, reference: Estimate) -> Estimate:
    """Return σ_j in ps, with low = 0 where none is proven; id ``jitter.excess``.

    Parameters
    ----------
    sigma, reference
        Two edges (``jitter.sigma``) of the same detector and the same confidence.

    Raises
    ------
    ValueError
        If an estimate is of another definition, or the confidences differ.
    """
    for edge in (sigma, reference):
        if edge.definition != "jitter.sigma":
            raise ValueError(f"jitter follows from jitter.sigma, not from {edge.definition}")
    check_confidence(sigma.confidence, reference)

    def squared(now: float, before: float) -> float:
        return now * now - before * before

    edges = [(edge.value, edge.low, edge.high) for edge in (sigma, reference)]
    low, high = propagated_interval(squared, edges)
    value = math.sqrt(max(squared(sigma.value, reference.value), 0.0))
    return Estimate(
        definition="jitter.excess",
        value=value,
        low=math.sqrt(max(low, 0.0)),
        high=math.sqrt(max(high, 0.0)),
        confidence=sigma.confidence,
        counts={
            **{f"now_{name}": count for name, count in sigma.counts.items()},
            **{f"reference_{name}": count for name, count in reference.counts.items()},
        },
        window_ps=None,
        delay_ps=None,
        normalisation="reference-edge",
        raw=sigma.value,
        corrected=value,
        correction=f"reference edge of {reference.value:.4g} ps subtracted in quadrature",
    )


def overlap_under_jitter(sigma_j_ps: float, lifetime_ps: float) -> float:
    """Return the overlap M = erfcx(σ_j/T1) that is left by independent Gaussian jitter of each pulse."""
    from scipy.special import erfcx

    if sigma_j_ps < 0 or lifetime_ps <= 0:
        raise ValueError(f"jitter must not be negative and a lifetime positive: {sigma_j_ps}, {lifetime_ps}")
    return float(erfcx(sigma_j_ps / lifetime_ps))
