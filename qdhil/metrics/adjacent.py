"""Indistinguishability against the interfering side peaks: V_adj, immune to photon-number coherence.

Behind an interferometer with a delay of n pulses, the peaks at lags ±n hold (3 + g)/4 of the far ones for
balanced splitters, so that

    V_adj = 1 - A0·(3 + g) / (2·A_adj),   A_adj = (A_+n + A_-n)/2,

equals V_unc = M_tot - g. A source driven resonantly away from the π-pulse emits superpositions with vacuum,
which lower the far peaks to 1 - C²/2 but leave lags 0 and ±n alone; slow blinking raises far peaks less
than near ones. V_adj is immune to both, and a difference from V_unc reveals them (Loredo et al.,
Nat. Photon. 13, 803 (2019)).
"""

from __future__ import annotations

from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.estimate import Estimate
from qdhil.statistics.intervals import poisson_ratio_interval
from qdhil.statistics.propagation import propagated_interval


def adjacent_counts(counts: PeakCounts, delay_pulses: int) -> int:
    """Return the coincidences at lags ±delay_pulses together; refuse (ValueError) lags that weren't counted."""
    if not 1 <= delay_pulses <= counts.max_lag:
        raise ValueError(f"delay_pulses must lie in [1, {counts.max_lag}], not {delay_pulses}")
    return counts.peaks[counts.max_lag - delay_pulses] + counts.peaks[counts.max_lag + delay_pulses]


def v_adjacent(parallel: PeakCounts, *, g2: Estimate, delay_pulses: int = 1, confidence: float = 0.95) -> Estimate:
    """Return V_adj, parallel polarisation against the peaks at the interferometer's delay; id ``hom.v_adj``.

    Parameters
    ----------
    parallel
        Coincidences with parallel polarisations.
    g2
        g2(0) of the same source, measured separately; its interval is propagated.
    delay_pulses
        Delay n of the interferometer in pulses.
    confidence
        Nominal coverage of the interval; ``g2`` must have the same.

    Raises
    ------
    ValueError
        If the adjacent peaks hold no coincidence or weren't counted, or the confidences differ.
    """
    check_confidence(confidence, g2)
    side = adjacent_counts(parallel, delay_pulses)
    if side == 0:
        raise ValueError("no coincidence in the adjacent peaks: there is nothing to normalise with")

    def visibility(ratio: float, g: float) -> float:
        """Return V of the central peak over both adjacent ones together."""
        return 1 - ratio * (3 + g)

    ratio = parallel.central / side
    limits = poisson_ratio_interval(parallel.central, side, confidence)
    low, high = propagated_interval(visibility, [(ratio, *limits), (g2.value, g2.low, g2.high)])
    value = visibility(ratio, g2.value)
    return Estimate(
        definition="hom.v_adj",
        value=value,
        low=low,
        high=min(high, 1.0),
        confidence=confidence,
        counts={
            "central": parallel.central,
            "adjacent": side,
            "adjacent_peaks": 2,
            "delay_pulses": delay_pulses,
            "g2": g2.value,
            "g2_low": g2.low,
            "g2_high": g2.high,
        },
        window_ps=parallel.window_ps,
        delay_ps=parallel.delay_ps,
        normalisation="adjacent-peaks",
        raw=value,
    )


def check_confidence(confidence: float, *estimates: Estimate) -> None:
    """Refuse (ValueError) to combine intervals of different confidence."""
    for estimate in estimates:
        if abs(estimate.confidence - confidence) > 1e-12:
            raise ValueError(
                f"{estimate.definition} has an interval of {estimate.confidence:g}, not {confidence:g} confidence"
            )
