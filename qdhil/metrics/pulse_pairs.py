"""Indistinguishability with pulse pairs (Santori et al., Nature 419, 594 (2002)): five peaks instead of a comb.

Two pulses, an interferometer's delay apart, excite the source once a repetition. With first splitter
s : l, second T : R, fringe visibility 1 - ε, in units of the square of the photon number,

    A_-2 = s·l·R²                            A_+2 = s·l·T²
    A_-1 = T·R(s² + l²) + 2g·s·l·R²          A_+1 = T·R(s² + l²) + 2g·s·l·T²
    A_0  = s·l[T² + R² - 2T·R(1 - ε)²M] + 2g·T·R(s² + l²)

1 : 2 : 0 : 2 : 1 for ideal photons, 1 : 2 : 2 : 2 : 1 for distinguishable ones. M = M_tot follows from the
ratio A_0/(A_-1 + A_+1); both pulses of a pair must have the same g2(0) and brightness.
"""

from __future__ import annotations

from qdhil.metrics.adjacent import adjacent_counts, check_confidence
from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.overlap import Interferometer
from qdhil.statistics.intervals import poisson_ratio_interval
from qdhil.statistics.propagation import propagated_interval


def pulse_pair_areas(
    overlap: float, g2: float, interferometer: Interferometer
) -> tuple[float, float, float, float, float]:
    """Return the relative areas of the peaks -2, -1, 0, +1, +2."""
    t, s = interferometer.transmission, interferometer.first_transmission
    r, long = 1 - t, 1 - s
    mixed, same = s * long, t * r * (s * s + long * long)
    contrast = (1 - interferometer.mode_overlap_loss) ** 2
    centre = mixed * (t * t + r * r - 2 * t * r * contrast * overlap) + 2 * g2 * same
    left, right = same + 2 * g2 * mixed * r * r, same + 2 * g2 * mixed * t * t
    return mixed * r * r, left, centre, right, mixed * t * t


def pulse_pair_overlap(
    counts: PeakCounts,
    *,
    g2: Estimate,
    interferometer: Interferometer | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return M_tot by the pulse-pair geometry; id ``hom.pulse_pairs.m_tot``.

    ``raw`` is Santori's ratio A_0/(A_-1 + A_+1).

    Parameters
    ----------
    counts
        Coincidences by multiples of the pair's separation: ``period_ps`` is that separation.
    g2
        g2(0) of the same source, measured separately; its interval is propagated.
    interferometer
        Its calibration; by default ideal and balanced.
    confidence
        Nominal coverage; ``g2`` must have the same.

    Raises
    ------
    ValueError
        If the peaks ±1 hold no coincidence, a splitting ratio isn't in (0, 1), or the confidences differ.
    """
    check_confidence(confidence, g2)
    optics = interferometer or Interferometer()
    t, s, loss = optics.transmission, optics.first_transmission, optics.mode_overlap_loss
    if not (0 < t < 1 and 0 < s < 1 and 0 <= loss < 1):
        raise ValueError(f"splitting ratios must lie in (0, 1) and ε in [0, 1): {t}, {s}, {loss}")
    side = adjacent_counts(counts, 1)
    if side == 0:
        raise ValueError("no coincidence in the peaks ±1: there is nothing to normalise with")

    def overlap(ratio: float, g: float) -> float:
        _, left, distinct, right, _ = pulse_pair_areas(0.0, g, optics)
        return (distinct - ratio * (left + right)) / (2 * t * (1 - t) * s * (1 - s) * (1 - loss) ** 2)

    ratio = counts.central / side
    limits = poisson_ratio_interval(counts.central, side, confidence)
    low, high = propagated_interval(overlap, [(ratio, *limits), (g2.value, g2.low, g2.high)])
    value = overlap(ratio, g2.value)
    return Estimate(
        definition="hom.pulse_pairs.m_tot",
        value=value,
        low=low,
        high=high,
        confidence=confidence,
        counts={
            "central": counts.central,
            "adjacent": side,
            "g2": g2.value,
            "g2_low": g2.low,
            "g2_high": g2.high,
        },
        window_ps=counts.window_ps,
        delay_ps=counts.delay_ps,
        normalisation="peaks-plus-minus-one",
        raw=ratio,
        corrected=value,
        correction=f"T {t:g}, s {s:g}, ε {loss:g} and g2(0)",
        corrected_low=low,
        corrected_high=high,
    )
