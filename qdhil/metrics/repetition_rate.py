"""The highest repetition rate at which a source still meets all its limits.

At each rate of a sweep every metric has an estimate, and every limit says on which side of a number its whole
interval must lie. The answer is the largest rate at which all limits hold, and at all lower rates too: an
isolated success above a failure proves nothing. What physics alone costs at a rate f, with T = 1/f:
residual excitation e^(-T/T1), and (1 + nd·p)^-1 of the clicks with nd = floor(τ_d/T) pulses dead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from qdhil.metrics.estimate import Estimate


@dataclass(frozen=True)
class Limit:
    """What a metric must prove: its whole interval at most ``at_most`` and at least ``at_least``."""

    at_least: float = -math.inf
    at_most: float = math.inf

    def holds(self, estimate: Estimate) -> bool:
        """Return whether the whole interval lies within."""
        return self.at_least <= estimate.low and estimate.high <= self.at_most


@dataclass(frozen=True)
class RateSweep:
    """What a sweep tells.

    Parameters
    ----------
    highest_hz
        Largest rate up to which all limits hold; ``None`` where they fail at the lowest.
    next_hz
        The next rate of the sweep, where a limit failed; ``None`` where none did.
    failed
        Definitions that failed at ``next_hz``.
    """

    highest_hz: float | None
    next_hz: float | None
    failed: tuple[str, ...]


def highest_rate(sweep: Sequence[tuple[float, Sequence[Estimate]]], limits: Mapping[str, Limit]) -> RateSweep:
    """Return the largest rate up to which every limit is proven to hold.

    Parameters
    ----------
    sweep
        Repetition rates in Hz, in any order, each with its estimates.
    limits
        What each definition must prove; a missing estimate counts as a failure.

    Raises
    ------
    ValueError
        If there is no rate, a rate occurs twice or isn't positive, or there are no limits.
    """
    rates = sorted(sweep, key=lambda point: point[0])
    if not rates or not limits:
        raise ValueError("a sweep needs rates, and limits to hold")
    if rates[0][0] <= 0 or any(a[0] == b[0] for a, b in pairwise(rates)):
        raise ValueError("rates must be positive, and each may occur once")
    highest: float | None = None
    for rate_hz, estimates in rates:
        found = {estimate.definition: estimate for estimate in estimates}
        failed = tuple(name for name, limit in limits.items() if name not in found or not limit.holds(found[name]))
        if failed:
            return RateSweep(highest, rate_hz, failed)
        highest = rate_hz
    return RateSweep(highest, None, ())


def residual_excitation(rate_hz: float, lifetime_ps: float) -> float:
    """Return e^(-T/T1), the chance that the emitter is still excited when the next pulse comes."""
    _check(rate_hz)
    return math.exp(-1e12 / (rate_hz * lifetime_ps))


def live_fraction(rate_hz: float, *, clicks_per_pulse: float, dead_time_ps: float) -> float:
    """Return 1/(1 + nd·p), the share of pulses for which a detector is live.

    ``clicks_per_pulse`` is p without dead time.
    """
    _check(rate_hz)
    return 1 / (1 + math.floor(dead_time_ps * rate_hz * 1e-12) * clicks_per_pulse)


def _check(rate_hz: float) -> None:
    if not rate_hz > 0:
        raise ValueError(f"a repetition rate must be positive, not {rate_hz}")
