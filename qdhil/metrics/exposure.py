"""Clicks of one detector over a time: dark rate, and linearity by a neutral-density step.

    dark rate   d = N/t                                    light off, everything else running
    linearity   L = (m - d)·t_ND / (m_ND - d)              1 for a linear detector, 1/(1 + n·τ_d) for one with
                                                           dead time τ_d at a true rate n
    dead time   τ_d = (1/m - t_ND/m_ND)/(1 - t_ND)         from the same step, dark counts neglected

with m the rate in full light, m_ND that behind a filter of transmission t_ND. The rates of the two runs
must come from a steady source: interleave them.
"""

from __future__ import annotations

from dataclasses import dataclass

from qdhil.metrics.estimate import Estimate
from qdhil.metrics.optical_chain import Efficiency
from qdhil.statistics.intervals import poisson_interval
from qdhil.statistics.propagation import Bounded, propagated_interval


@dataclass(frozen=True)
class Exposure:
    """Clicks of a detector and the time they took, in s; exposures add with ``+``."""

    clicks: int
    dwell_s: float

    def __post_init__(self) -> None:
        if self.clicks < 0 or not self.dwell_s > 0:
            raise ValueError(
                f"an exposure needs a positive dwell, not {self.dwell_s}, and no negative clicks: {self.clicks}"
            )

    def __add__(self, other: Exposure) -> Exposure:
        return Exposure(self.clicks + other.clicks, self.dwell_s + other.dwell_s)

    def rate_hz(self, confidence: float) -> Bounded:
        """Return the rate and its exact Poisson limits."""
        low, high = poisson_interval(self.clicks, confidence)
        return self.clicks / self.dwell_s, low / self.dwell_s, high / self.dwell_s


def dark_rate(blanked: Exposure, *, confidence: float = 0.95) -> Estimate:
    """Return the dark rate in Hz with its exact interval (Garwood); id ``detector.dark_rate``."""
    value, low, high = blanked.rate_hz(confidence)
    return _estimate("detector.dark_rate", (value, low, high), value, confidence, {"dark": blanked}, "dwell")


def linearity(
    full: Exposure,
    attenuated: Exposure,
    blanked: Exposure,
    *,
    transmission: Efficiency,
    confidence: float = 0.95,
) -> Estimate:
    """Return L, the response in full light over that in attenuated light; id ``detector.linearity``.

    ``raw`` is without dark-count subtraction; ``systematic`` is the filter's share.

    Parameters
    ----------
    full, attenuated
        Clicks without and with the filter.
    blanked
        Clicks without light.
    transmission
        Transmission of the filter.
    confidence
        Nominal coverage of the interval.

    Raises
    ------
    ValueError
        If the filter passes everything, or the clicks are no more than those without light.
    """
    if transmission.value >= 1:
        raise ValueError("a filter that passes everything tells nothing about linearity")
    rates = [exposure.rate_hz(confidence) for exposure in (full, attenuated, blanked)]
    if min(rates[0][1], rates[1][1]) <= rates[2][2]:
        raise ValueError("the clicks don't stand out of those without light")

    def ratio(bright: float, dim: float, dark: float) -> float:
        return (bright - dark) * transmission.value / (dim - dark)

    value = ratio(*(rate for rate, _, _ in rates))
    exposures = {"full": full, "attenuated": attenuated, "dark": blanked}
    return _estimate(
        "detector.linearity",
        (value, *propagated_interval(ratio, rates)),
        ratio(rates[0][0], rates[1][0], 0.0),
        confidence,
        exposures,
        "attenuated-light",
        value * transmission.sd / transmission.value,
    )


def dead_time_by_step(
    full: Exposure, attenuated: Exposure, *, transmission: Efficiency, confidence: float = 0.95
) -> Estimate:
    """Return the dead time in ps of a non-paralysable detector; id ``detector.dead_time.step``.

    Parameters
    ----------
    full, attenuated, transmission, confidence
        As for :func:`linearity`. Light must be continuous, or pulsed with a period well below the dead time.

    Raises
    ------
    ValueError
        If a run has no clicks, or the filter passes everything.
    """
    if transmission.value >= 1 or min(full.clicks, attenuated.clicks) == 0:
        raise ValueError("a step needs clicks with and without the filter, and a filter that takes light away")

    def dead_ps(bright: float, dim: float, passed: float = transmission.value) -> float:
        return 1e12 * (1 / bright - passed / dim) / (1 - passed)

    rates = [exposure.rate_hz(confidence) for exposure in (full, attenuated)]
    value, limits = dead_ps(rates[0][0], rates[1][0]), propagated_interval(dead_ps, rates)
    moved = dead_ps(rates[0][0], rates[1][0], transmission.value + transmission.sd)
    return _estimate(
        "detector.dead_time.step",
        (value, *limits),
        value,
        confidence,
        {"full": full, "attenuated": attenuated},
        "attenuated-light",
        abs(moved - value),
    )


def _estimate(
    definition: str,
    bounds: Bounded,
    raw: float,
    confidence: float,
    exposures: dict[str, Exposure],
    normalisation: str,
    systematic: float | None = None,
) -> Estimate:
    tally: dict[str, int | float] = {}
    for name, exposure in exposures.items():
        tally |= {f"{name}_clicks": exposure.clicks, f"{name}_dwell_s": exposure.dwell_s}
    return Estimate(
        definition=definition,
        value=bounds[0],
        low=bounds[1],
        high=bounds[2],
        confidence=confidence,
        counts=tally,
        window_ps=None,
        delay_ps=None,
        normalisation=normalisation,
        raw=raw,
        systematic=systematic,
    )
