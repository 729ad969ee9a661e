"""From visibility to wave-packet overlap: M_tot of the whole field, and M_s of the source's own photons.

M_tot follows from A0/A_unc, g2(0) and the interferometer (see :func:`~qdhil.metrics.indistinguishability.m_tot`).
What of g2(0) is noise, and of which kind, no HOM measurement tells, so M_s is an interval over hypotheses:

    noise identical to the signal       M_s = V + g
    noise separable and distinct        M_s = (V + g)/(1 - g)        Ollivier et al., PRL 126, 063602 (2021)
    noise only with a signal photon     M_s = (V + g)/(1 - ξ)²,      ξ(1 - ξ) = g·μ_s/2

with V + g replaced by M_tot where the interferometer isn't ideal. The second is exact for Poissonian noise. In the
third ξ is the share of the extra photons and μ_s the probability of a signal photon; ξ = g·μ_s/2 to first order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from qdhil.metrics.adjacent import check_confidence
from qdhil.metrics.estimate import Estimate
from qdhil.metrics.indistinguishability import m_tot
from qdhil.statistics.propagation import propagated_interval


@dataclass(frozen=True)
class Interferometer:
    """Splitting and contrast of an unbalanced interferometer, with standard uncertainties.

    Parameters
    ----------
    transmission, transmission_sd
        T of the last splitter (R = 1 - T).
    first_transmission, first_transmission_sd
        Share s of the first splitter that takes the short arm (the long arm gets 1 - s).
    mode_overlap_loss, mode_overlap_loss_sd
        ε, one minus the classical fringe visibility.
    """

    transmission: float = 0.5
    first_transmission: float = 0.5
    mode_overlap_loss: float = 0.0
    transmission_sd: float = 0.0
    first_transmission_sd: float = 0.0
    mode_overlap_loss_sd: float = 0.0


@dataclass(frozen=True)
class SourceOverlap:
    """M_s under each hypothesis on the noise, and the interval that holds them all.

    Parameters
    ----------
    identical, separable, correlated
        M_s with its statistical interval under each; ids ``hom.m_s.identical``, ``hom.m_s.separable``,
        ``hom.m_s.correlated``.
    interval
        From the lowest to the highest statistical limit; ``value`` is the middle of the hypotheses and has
        no meaning of its own; id ``hom.m_s``.
    """

    identical: Estimate
    separable: Estimate
    correlated: Estimate
    interval: Estimate


def total_overlap(
    v: Estimate, *, g2: Estimate, interferometer: Interferometer | None = None, confidence: float = 0.95
) -> Estimate:
    """Return M_tot, the overlap of the whole field of two pulses; id ``hom.m_tot``.

    ``raw`` is V itself. The interval joins those of V and g2(0); what the interferometer's calibration adds
    is ``systematic``.

    Parameters
    ----------
    v
        V_unc of a parallel measurement (``hom.v_unc``).
    g2
        g2(0) of the same source, measured separately.
    interferometer
        Its calibration; by default ideal and balanced.
    confidence
        Nominal coverage; ``v`` and ``g2`` must have the same.

    Raises
    ------
    ValueError
        If ``v`` is another definition, the confidences differ, or the interferometer is out of range.
    """
    optics = _checked(v, g2, interferometer, confidence)
    return _estimate("hom.m_tot", lambda overlap, _: overlap, (v, g2), optics)


def source_overlap(
    v: Estimate,
    *,
    g2: Estimate,
    interferometer: Interferometer | None = None,
    source_brightness: float = 1.0,
    confidence: float = 0.95,
) -> SourceOverlap:
    """Return M_s under three hypotheses on what g2(0) is made of, and the interval that holds all.

    Parameters
    ----------
    v, g2, interferometer, confidence
        As for :func:`total_overlap`.
    source_brightness
        Signal photons per pulse μ_s before losses, for correlated noise; 1 is the most cautious.

    Raises
    ------
    ValueError
        As :func:`total_overlap`, or if g2(0) is too large for the hypotheses or the brightness isn't in (0, 1].
    """
    optics = _checked(v, g2, interferometer, confidence)
    if not 0 < source_brightness <= 1:
        raise ValueError(f"source_brightness must lie in (0, 1], not {source_brightness}")
    if g2.high >= 1 or 2 * g2.high * source_brightness > 1:
        raise ValueError(f"g2(0) up to {g2.high:.2f} is no weak noise on single photons")
    hypotheses: dict[str, Callable[[float, float], float]] = {
        "identical": lambda overlap, _: overlap,
        "separable": lambda overlap, g: overlap / (1 - g),
        "correlated": lambda overlap, g: overlap / (1 - _extra_share(g, source_brightness)) ** 2,
    }
    found = {name: _estimate(f"hom.m_s.{name}", of, (v, g2), optics) for name, of in hypotheses.items()}
    values = [estimate.value for estimate in found.values()]
    middle = (min(values) + max(values)) / 2
    low = min(estimate.low for estimate in found.values())
    high = max(estimate.high for estimate in found.values())
    whole = replace(
        found["identical"],
        definition="hom.m_s",
        value=middle,
        low=low,
        high=high,
        corrected=middle,
        corrected_low=low,
        corrected_high=high,
    )
    return SourceOverlap(found["identical"], found["separable"], found["correlated"], whole)


def _extra_share(g: float, source_brightness: float) -> float:
    return (1 - math.sqrt(1 - 2 * g * source_brightness)) / 2


def _checked(v: Estimate, g2: Estimate, interferometer: Interferometer | None, confidence: float) -> Interferometer:
    if v.definition != "hom.v_unc":
        raise ValueError(f"an overlap follows from hom.v_unc, not from {v.definition}")
    check_confidence(confidence, v, g2)
    return interferometer or Interferometer()


def _estimate(
    definition: str,
    hypothesis: Callable[[float, float], float],
    sources: tuple[Estimate, Estimate],
    optics: Interferometer,
) -> Estimate:
    """Return ``hypothesis(M_tot, g)`` with its statistical interval and the optics' systematic uncertainty."""
    v, g2 = sources

    def overlap(visibility: float, g: float, transmission: float, first: float, loss: float) -> float:
        whole = m_tot(
            (1 - visibility) / 2,
            g2=g,
            transmission=transmission,
            first_transmission=first,
            mode_overlap_loss=loss,
        )
        return hypothesis(whole, g)

    settings = (optics.transmission, optics.first_transmission, optics.mode_overlap_loss)
    errors = (optics.transmission_sd, optics.first_transmission_sd, optics.mode_overlap_loss_sd)
    value = overlap(v.value, g2.value, *settings)
    counted = [(v.value, v.low, v.high), (g2.value, g2.low, g2.high)]
    low, high = propagated_interval(lambda visibility, g: overlap(visibility, g, *settings), counted)
    calibrated = [(x, max(x - error, 0.0), x + error) for x, error in zip(settings, errors, strict=True)]
    # the effect of T and s is even about 1/2: the larger of both directions stands for both
    below, above = propagated_interval(lambda *x: overlap(v.value, g2.value, *x), calibrated)
    return Estimate(
        definition=definition,
        value=value,
        low=low,
        high=high,
        confidence=v.confidence,
        counts={**v.counts, **{f"g2_{name}": count for name, count in g2.counts.items()}},
        window_ps=v.window_ps,
        delay_ps=v.delay_ps,
        normalisation=v.normalisation,
        raw=v.value,
        corrected=value,
        correction="T {:g}, s {:g}, ε {:g} and g2(0)".format(*settings),
        corrected_low=low,
        corrected_high=high,
        systematic=max(value - below, above - value) if any(errors) else None,
    )
