"""The photons of a frame of pulses, drawn event by event through one splitter.

Only pulses with a photon that reaches a detector are drawn: equal losses commute with linear optics,
so all of them act at the source, and the gap to the next such pulse is geometric. Each such pulse has a
pattern of the photons that survived: signal, re-excitation, laser leak, spurious pulse, background.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qdhil_sim.light._compiled import compiled
from qdhil_sim.light._detection import Frame, Photons
from qdhil_sim.light._patterns import FULL, Floats, draw_pattern, gap, given_one
from qdhil_sim.light._random import Words, exponential, normal, uniform
from qdhil_sim.light._wandering import Dot, Wandering, first_look, look

SIGNAL, EXTRA, LEAK, SPURIOUS, BACKGROUND = 1, 2, 4, 8, 16
PATTERNS = 31
NOT_OF_THE_DOT = LEAK | BACKGROUND


class Source(NamedTuple):
    """Photon probabilities per pulse at the emitter, and the times of their emission."""

    signal: float
    extra: float
    leak: float
    spurious: float
    decayed: float
    background: float
    lifetime_ps: float
    feeding_ps: float
    """Mean time in which the emitting level is fed; 0 for at once."""
    start_sd_ps: float
    """Jitter of the pulse, which all its photons share."""
    prompt_sd_ps: float
    """Half duration of the pulse, for photons emitted during it."""
    spurious_delay_ps: float
    separation_ps: float
    """Separation of the pulses of a pair; 0 where there is one pulse a period."""


class Optics(NamedTuple):
    """The last splitter, and on the HOM path what comes before it."""

    to_a: float
    """Intensity from the (short) input to detector a; from the long arm it is 1 - to_a."""
    to_short: float
    delay_pulses: int
    """How many pulses later the pulse comes that the long arm's light meets."""
    within_pairs: bool
    """Whether only the two pulses of a pair meet."""
    delay_ps: float
    """Nominal delay of the long arm."""
    delay_error_ps: float
    interference: float
    """(1 - ε)² for parallel, 0 for orthogonal polarisation."""
    dephasing_per_ps: float
    coherence: float
    """Photon-number coherence of an empty pulse with a photon, and visibility of the fringe they make."""
    scan_per_ps: float
    """Turns of the interferometer's phase."""


@compiled
def surviving_patterns(source: Source, eta: float, cumulative: Floats) -> tuple[float, float]:
    """Fill the cumulative distribution over patterns 1 to 31, given at least one photon.

    Returns the scale -1 / ln P(no photon survives) of the gaps between such pulses, infinite in the dark, and
    the chance that an early signal photon is followed by a surviving spurious one.
    """
    total = 0.0
    for pattern in range(PATTERNS + 1):
        probability = 0.0
        for excited in (False, True):
            weight = source.signal if excited else 1 - source.signal
            spurious = source.spurious * (source.decayed if excited else 1.0) * eta
            weight *= source.leak * eta if pattern & LEAK else 1 - source.leak * eta
            weight *= source.background * eta if pattern & BACKGROUND else 1 - source.background * eta
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
    return given_one(cumulative), source.spurious * eta


@compiled
def pulse_ps(frame: Frame, separation_ps: float, pulse: int) -> float:
    """Return the time of a pulse of the frame, of which a period has one, or two where they come in pairs."""
    if separation_ps > 0:
        return frame.phase_ps + (pulse >> 1) * frame.period_ps + (pulse & 1) * separation_ps
    return frame.phase_ps + pulse * frame.period_ps


@compiled
def signal_times(rng: Words, source: Source, pattern: int, chance: float) -> tuple[float, float]:
    """Return when the emitting level was filled and when the photon came, after the pulse.

    Both are exponential but for what the spurious photon tells: one that survived came from a dot that had
    decayed before the spurious pulse, and where none survived, early decays are that much rarer.
    """
    if chance > 0 and pattern & SPURIOUS:
        return _early_times(rng, source)
    while True:
        filled_ps = source.feeding_ps * exponential(rng) if source.feeding_ps > 0 else 0.0
        t_ps = filled_ps + source.lifetime_ps * exponential(rng)
        if chance == 0 or t_ps >= source.spurious_delay_ps or uniform(rng) >= chance:
            return filled_ps, t_ps


@compiled
def _early_times(rng: Words, source: Source) -> tuple[float, float]:
    """Return filling and emission given that the emission comes before the spurious pulse."""
    left_ps, filled_ps = source.spurious_delay_ps, 0.0
    whole = -math.expm1(-left_ps / source.lifetime_ps)
    while source.feeding_ps > 0:
        reach = -math.expm1(-source.spurious_delay_ps / source.feeding_ps)
        filled_ps = -source.feeding_ps * math.log1p(-uniform(rng) * reach)
        left_ps = source.spurious_delay_ps - filled_ps
        if uniform(rng) * whole < -math.expm1(-left_ps / source.lifetime_ps):
            break
    reach = -math.expm1(-left_ps / source.lifetime_ps)
    return filled_ps, filled_ps - source.lifetime_ps * math.log1p(-uniform(rng) * reach)


@compiled
def noise_delay(rng: Words, source: Source, frame: Frame, kind: int) -> float:
    """Return the emission time of a surviving photon that is not the signal after its pulse."""
    if kind == SPURIOUS:
        fed_ps = source.feeding_ps * exponential(rng) if source.feeding_ps > 0 else 0.0
        return source.spurious_delay_ps + fed_ps + source.lifetime_ps * exponential(rng)
    if kind == BACKGROUND:
        return frame.period_ps * uniform(rng)
    return source.prompt_sd_ps * normal(rng)


@compiled
def fill_hbt(
    rng: Words,
    source: Source,
    optics: Optics,
    dot: Dot,
    wandering: Wandering,
    frame: Frame,
    eta: float,
    photons: Photons,
) -> int:
    """Draw the photons of a frame behind one splitter; return their count or ``FULL``."""
    cumulative = np.empty(PATTERNS)
    scale, chance = surviving_patterns(source, eta, cumulative)
    pulses = frame.pulses * (2 if source.separation_ps > 0 else 1)
    on, look_ps = first_look(rng, dot, wandering)
    n = 0
    pulse = gap(rng, scale) if scale < math.inf else pulses
    while pulse < pulses:
        if n + 5 > photons.shape[0]:
            return FULL
        pattern = draw_pattern(rng, cumulative)
        start_ps = pulse_ps(frame, source.separation_ps, pulse)
        if start_ps >= look_ps:
            on, look_ps = look(rng, dot, wandering, start_ps)
        if not on:
            pattern &= NOT_OF_THE_DOT
        if source.start_sd_ps > 0:
            start_ps += source.start_sd_ps * normal(rng)
        left = pattern
        while left:
            kind = left & -left
            left ^= kind
            if kind == SIGNAL:
                photons[n, 0] = start_ps + signal_times(rng, source, pattern, chance)[1]
            else:
                photons[n, 0] = start_ps + noise_delay(rng, source, frame, kind)
            photons[n, 1] = uniform(rng) < optics.to_a
            n += 1
        pulse += 1 + gap(rng, scale)
    return n
