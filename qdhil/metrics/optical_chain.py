"""Brightness from the detectors back to the source, with statistical and systematic errors kept apart.

Clicks are corrected in this order, each on what the one before left:

    dead time      p = p_obs/(1 - nd·p_obs), nd = floor(τ_d/T) pulses that a click blinds its detector for
    dark counts    p - d·T, by a blanked run
    afterpulses    p/(1 + p_ap)
    multiphoton    B·sqrt(1 - g), single photons per pulse (Somaschi et al., Nat. Photon. 10, 340 (2016))

and then divided by the efficiencies from the detector outwards: detector -> fibre -> first lens. Counting
errors are negligible in a second; the efficiencies' 2-5 % are the budget, shared by all runs on a rig,
so compare two firmwares by their ratio on one rig, never by these intervals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qdhil.metrics.background import BlankedRun
from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.estimate import Estimate
from qdhil.statistics.intervals import poisson_interval
from qdhil.statistics.propagation import Bounded, propagated_interval


@dataclass(frozen=True)
class Efficiency:
    """A transmission or efficiency in (0, 1], with its standard uncertainty."""

    value: float
    sd: float

    def __post_init__(self) -> None:
        if not (0 < self.value <= 1 and self.sd >= 0):
            raise ValueError(f"an efficiency must lie in (0, 1], and its sd not be negative: {self.value}, {self.sd}")


@dataclass(frozen=True)
class DetectorClicks:
    """What both detectors do to the clicks, from their own calibration.

    Parameters
    ----------
    efficiency
        Detection efficiency, mean of both.
    dead_time_ps
        Dead time in ps.
    afterpulse_probability, afterpulse_probability_sd
        Afterpulses per click.
    """

    efficiency: Efficiency
    dead_time_ps: float = 0.0
    afterpulse_probability: float = 0.0
    afterpulse_probability_sd: float = 0.0


@dataclass(frozen=True)
class BrightnessChain:
    """Single photons per pulse at three places; ids ``brightness.corrected``, ``.fibre``, ``.first_lens``."""

    at_detector: Estimate
    in_fibre: Estimate
    at_first_lens: Estimate


def brightness_chain(
    counts: PeakCounts,
    *,
    detectors: DetectorClicks,
    blanked: BlankedRun,
    after_fibre: Efficiency,
    before_fibre: Efficiency,
    g2: Estimate | None = None,
    confidence: float = 0.95,
) -> BrightnessChain:
    """Return photons per pulse at the detectors, in the fibre and at the first lens.

    Parameters
    ----------
    counts
        Singles and pulses.
    detectors
        Efficiency, dead time and afterpulsing.
    blanked
        Clicks without light.
    after_fibre
        Transmission from the fibre's output to the detectors.
    before_fibre
        Transmission from the first lens into the fibre.
    g2
        g2(0), for single photons instead of the mean photon number.
    confidence
        Nominal coverage of the statistical intervals.

    Raises
    ------
    ValueError
        If there are no pulses, the clicks are more than the dead time allows, no more than without light, or
        g2(0) is 1 or more.
    """
    if counts.triggers <= 0:
        raise ValueError("no laser pulses: brightness per pulse has no meaning")
    if g2 is not None and g2.high >= 1:
        raise ValueError(f"g2(0) up to {g2.high:.2f} leaves no single photon to speak of")
    clicks = (counts.singles_a, counts.singles_b, blanked.clicks_a, blanked.clicks_b)
    bounded: list[Bounded] = [(float(n), *poisson_interval(n, confidence)) for n in clicks]
    bounded.append((g2.value, g2.low, g2.high) if g2 else (0.0, 0.0, 0.0))

    def photons(a: float, b: float, dark_a: float, dark_b: float, g: float) -> float:
        darks_hz = dark_a / blanked.dwell_s, dark_b / blanked.dwell_s
        signal = _signal(counts, detectors, a, darks_hz[0]) + _signal(counts, detectors, b, darks_hz[1])
        return signal / (1 + detectors.afterpulse_probability) * math.sqrt(1 - g)

    if photons(*(value for value, _, _ in bounded)) <= 0:
        raise ValueError(f"{sum(clicks[:2])} clicks are no more than those expected without light")
    bounds = (photons(*(value for value, _, _ in bounded)), *propagated_interval(photons, bounded))
    afterpulses = detectors.afterpulse_probability_sd / (1 + detectors.afterpulse_probability)
    steps = "dead time, dark counts, afterpulses" + (", g2(0)" if g2 else "")
    tally: dict[str, int | float] = {
        **dict(zip(("singles_a", "singles_b", "dark_a", "dark_b"), clicks, strict=True)),
        "triggers": counts.triggers,
        "dwell_s": counts.dwell_s,
        "dark_dwell_s": blanked.dwell_s,
    }
    if g2:
        tally |= {f"g2_{name}": count for name, count in g2.counts.items()}
    raw = (counts.singles_a + counts.singles_b) / counts.triggers
    passed = (detectors.efficiency, after_fibre, before_fibre)
    places = (("corrected", 0), ("fibre", 2), ("first_lens", 3))
    return BrightnessChain(
        *(
            _at(f"brightness.{place}", bounds, passed[:upto], afterpulses, (tally, raw, steps, confidence))
            for place, upto in places
        )
    )


def _at(
    definition: str,
    bounds: Bounded,
    passed: tuple[Efficiency, ...],
    afterpulses: float,
    common: tuple[dict[str, int | float], float, str, float],
) -> Estimate:
    """Return the estimate before the light passed these efficiencies; ``afterpulses`` is a relative error."""
    tally, raw, steps, confidence = common
    through = math.prod(efficiency.value for efficiency in passed)
    relative = math.hypot(afterpulses, *(efficiency.sd / efficiency.value for efficiency in passed))
    value, low, high = (bound / through for bound in bounds)
    return Estimate(
        definition=definition,
        value=value,
        low=low,
        high=high,
        confidence=confidence,
        counts=tally,
        window_ps=None,
        delay_ps=None,
        normalisation="triggers",
        raw=raw,
        corrected=value,
        correction=", ".join((steps, *(f"{efficiency.value:g}" for efficiency in passed))),
        corrected_low=low,
        corrected_high=high,
        systematic=relative * value,
    )


def two_photon_probability(brightness: float, g2: float) -> float:
    """Return p2 of a source that emits one or two photons, with B = p1 + p2 and g = 2·p2/(p1 + 2·p2)².

    p2 = (1 - g·B - sqrt(1 - 2g·B))/g, written without cancellation. Raises ValueError where 2·g·B > 1: no
    such source exists.
    """
    if not (0 <= brightness <= 1 and g2 >= 0 and 2 * g2 * brightness <= 1):
        raise ValueError(f"no source of one or two photons has brightness {brightness} and g2(0) {g2}")
    root = math.sqrt(1 - 2 * g2 * brightness)
    # (1 - gB - root)/g = g·B²/(1 - gB + root)
    return g2 * brightness**2 / (1 - g2 * brightness + root)


def _signal(counts: PeakCounts, detectors: DetectorClicks, singles: float, dark_rate_hz: float) -> float:
    blind_pulses = math.floor(detectors.dead_time_ps / counts.period_ps)
    seen = singles / counts.triggers
    if blind_pulses * seen >= 1:
        raise ValueError(f"{seen:.3g} clicks per pulse can't come with a dead time of {blind_pulses} pulses")
    return seen / (1 - blind_pulses * seen) - dark_rate_hz * counts.dwell_s / counts.triggers
