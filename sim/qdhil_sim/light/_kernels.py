"""The photons of a frame of pulses, drawn event by event through the HBT or the HOM path.

Only pulses with a photon that reaches a detector are drawn: equal losses commute with linear optics,
so all of them act at the source, and the gap to the next such pulse is geometric. Each such pulse has a
pattern of the photons that survived: signal, re-excitation, laser leak, spurious pulse.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qdhil_sim.light._compiled import compiled
from qdhil_sim.light._detection import Frame, Photons
from qdhil_sim.light._random import Words, exponential, normal, uniform

Floats = npt.NDArray[np.float64]

SIGNAL, EXTRA, LEAK, SPURIOUS = 1, 2, 4, 8
PATTERNS = 15
FULL = -1
"""Returned where a buffer is too small."""
_MOST_GAP = 2.0**50


class Source(NamedTuple):
    """Photon probabilities per pulse at the emitter, and the times of their emission."""

    signal: float
    extra: float
    leak: float
    spurious: float
    decayed: float
    lifetime_ps: float
    start_sd_ps: float
    """Jitter of the pulse, which all its photons share."""
    prompt_sd_ps: float
    """Half duration of the pulse, for photons emitted during it."""
    spurious_delay_ps: float


class Optics(NamedTuple):
    """The last splitter, and on the HOM path what comes before it."""

    to_a: float
    """Intensity from the (short) input to detector a; from the long arm it is 1 - to_a."""
    to_short: float
    delay_periods: int
    interference: float
    """(1 - ε)² for parallel, 0 for orthogonal polarisation."""
    dephasing_per_ps: float


@compiled
def surviving_patterns(source: Source, eta: float, cumulative: Floats) -> tuple[float, float]:
    """Fill the cumulative distribution over patterns 1 to 15, given at least one photon.

    Returns the rate -ln P(no photon survives) of the gap between such pulses, and the chance that an
    early signal photon is followed by a surviving spurious one.
    """
    total = 0.0
    for pattern in range(PATTERNS + 1):
        probability = 0.0
        for excited in (False, True):
            weight = source.signal if excited else 1 - source.signal
            spurious = source.spurious * (source.decayed if excited else 1.0) * eta
            weight *= source.leak * eta if pattern & LEAK else 1 - source.leak * eta
            weight *= spurious if pattern & SPURIOUS else 1 - spurious
            if excited:
                weight *= eta if pattern & SIGNAL else 1 - eta
                weight *= source.extra * eta if pattern & EXTRA else 1 - source.extra * eta
            elif pattern & (SIGNAL | EXTRA):
                weight = 0.0
            probability += weight
        if pattern:
            total += probability
            cumulative[pattern - 1] = total
    if total > 0:
        cumulative /= total
    return -math.log1p(-min(total, 1 - 1e-15)), source.spurious * eta


@compiled
def gap(rng: Words, rate: float) -> int:
    """Return how many pulses without a surviving photon come before the next with one."""
    return int(min(exponential(rng) / rate, _MOST_GAP))


@compiled
def draw_pattern(rng: Words, cumulative: Floats) -> int:
    """Return which photons survived."""
    u = uniform(rng)
    pattern = 1
    while pattern < PATTERNS and u >= cumulative[pattern - 1]:
        pattern += 1
    return pattern


@compiled
def signal_delay(rng: Words, source: Source, pattern: int, chance: float) -> float:
    """Return the emission time of a surviving signal photon after its pulse.

    It is exponential but for what the spurious photon tells: one that survived came from a dot that had
    decayed before the spurious pulse, and where none survived, early decays are that much rarer.
    """
    if chance == 0:
        return source.lifetime_ps * exponential(rng)
    if pattern & SPURIOUS:
        return -source.lifetime_ps * math.log1p(-uniform(rng) * source.decayed)
    while True:
        delay_ps = source.lifetime_ps * exponential(rng)
        if delay_ps >= source.spurious_delay_ps or uniform(rng) >= chance:
            return delay_ps


@compiled
def emission_delay(rng: Words, source: Source, kind: int, pattern: int, chance: float) -> float:
    """Return the emission time of a surviving photon after its pulse."""
    if kind == SIGNAL:
        return signal_delay(rng, source, pattern, chance)
    if kind == SPURIOUS:
        return source.spurious_delay_ps + source.lifetime_ps * exponential(rng)
    return source.prompt_sd_ps * normal(rng)


@compiled
def fill_hbt(rng: Words, source: Source, optics: Optics, frame: Frame, eta: float, photons: Photons) -> int:
    """Draw the photons of a frame behind one splitter; return their count or ``FULL``."""
    cumulative = np.empty(PATTERNS)
    rate, chance = surviving_patterns(source, eta, cumulative)
    n = 0
    pulse = gap(rng, rate) if rate > 0 else frame.pulses
    while pulse < frame.pulses:
        if n + 4 > photons.shape[0]:
            return FULL
        pattern = draw_pattern(rng, cumulative)
        start_ps = frame.phase_ps + pulse * frame.period_ps
        if source.start_sd_ps > 0:
            start_ps += source.start_sd_ps * normal(rng)
        left = pattern
        while left:
            kind = left & -left
            left ^= kind
            photons[n, 0] = start_ps + emission_delay(rng, source, kind, pattern, chance)
            photons[n, 1] = uniform(rng) < optics.to_a
            n += 1
        pulse += 1 + gap(rng, rate)
    return n
