"""Two-photon interference at the last splitter of an unbalanced Mach-Zehnder interferometer.

A signal photon of the long arm waits in the ring ``arm``, with a row (pulse, start, emission) for each,
until the pulse whose short arm it meets is known; ``span`` holds the ring's first row and its length. Two
signal photons on the two inputs follow the exact rule for exponential wave packets: with emission
starts s and times t, their interference is

    v = (1 - ε)² exp(-2γ*|t_i - t_j|)   where min(t_i, t_j) >= max(s_i, s_j), else 0,

coincidences have the probability T² + R² - 2TRv, and both at a, or both at b, TR(1 + v). Within a
coincidence where both photons could have been at both times, either order has the same amplitude and so
the same odds. Re-excitation, leak and spurious photons are distinguishable from everything and route on
their own.
"""

from __future__ import annotations

import math

import numpy as np

from qdhil_sim.light._compiled import compiled
from qdhil_sim.light._detection import Frame, Photons, Tags
from qdhil_sim.light._kernels import (
    FULL,
    PATTERNS,
    SIGNAL,
    Floats,
    Optics,
    Source,
    draw_pattern,
    emission_delay,
    gap,
    surviving_patterns,
)
from qdhil_sim.light._random import Words, normal, uniform


@compiled
def split_pair(rng: Words, optics: Optics, start_i: float, t_i: float, start_j: float, t_j: float) -> tuple[bool, bool]:
    """Return whether the short arm's photon i and the long arm's photon j go to detector a."""
    transmitted = optics.to_a
    reflected = 1 - transmitted
    both_at_a = transmitted * reflected
    met = min(t_i, t_j) >= max(start_i, start_j)
    v = 0.0
    if met and optics.interference > 0:
        v = optics.interference * math.exp(-2 * optics.dephasing_per_ps * abs(t_i - t_j))
    u = uniform(rng) - 2 * both_at_a * (1 + v)
    if u < 0:
        at_a = u < -both_at_a * (1 + v)
        return at_a, at_a
    coincidence = transmitted**2 + reflected**2 - 2 * both_at_a * v
    i_at_a = 0.5 if met else transmitted**2 / (transmitted**2 + reflected**2)
    at_a = u < i_at_a * coincidence
    return at_a, not at_a


@compiled
def fill_hom(
    rng: Words,
    source: Source,
    optics: Optics,
    frame: Frame,
    eta: float,
    photons: Photons,
    arm: Floats,
    span: Tags,
) -> int:
    """Draw the photons of a frame behind the interferometer; return their count or ``FULL``."""
    cumulative = np.empty(PATTERNS)
    rate, chance = surviving_patterns(source, eta, cumulative)
    n, first, waiting, room = 0, span[0], span[1], arm.shape[0]
    delay_ps = optics.delay_periods * frame.period_ps
    pulse = gap(rng, rate) if rate > 0 else frame.pulses
    while n + room + 5 <= photons.shape[0]:
        origin = frame.first_pulse + min(pulse, frame.pulses) - optics.delay_periods
        while waiting > 0 and arm[first, 0] < origin:  # nothing can meet this photon now
            slot_ps = frame.phase_ps + (arm[first, 0] - frame.first_pulse) * frame.period_ps + delay_ps
            photons[n, 0], photons[n, 1] = slot_ps + arm[first, 2], uniform(rng) >= optics.to_a
            n, waiting, first = n + 1, waiting - 1, following(first, room)
        if pulse >= frame.pulses:
            span[0], span[1] = first, waiting
            return n
        start_ps = source.start_sd_ps * normal(rng) if source.start_sd_ps > 0 else 0.0
        slot_ps = frame.phase_ps + pulse * frame.period_ps
        pattern = draw_pattern(rng, cumulative)
        left = pattern
        while left:
            kind = left & -left
            left ^= kind
            t_ps = start_ps + emission_delay(rng, source, kind, pattern, chance)
            short = uniform(rng) < optics.to_short
            if kind == SIGNAL and not short:
                place = (first + waiting) if first + waiting < room else first + waiting - room
                arm[place, 0], arm[place, 1], arm[place, 2] = frame.first_pulse + pulse, start_ps, t_ps
                waiting += 1
            elif kind == SIGNAL and waiting > 0 and arm[first, 0] == origin:
                at_a, other_at_a = split_pair(rng, optics, start_ps, t_ps, arm[first, 1], arm[first, 2])
                photons[n, 0], photons[n, 1] = slot_ps + t_ps, at_a
                photons[n + 1, 0], photons[n + 1, 1] = slot_ps + arm[first, 2], other_at_a
                n, waiting, first = n + 2, waiting - 1, following(first, room)
            else:
                photons[n, 0] = slot_ps + t_ps + (0.0 if short else delay_ps)
                photons[n, 1] = (uniform(rng) < optics.to_a) == short
                n += 1
        pulse += 1 + gap(rng, rate)
    return FULL


@compiled
def following(place: int, room: int) -> int:
    """Return the next row of a ring."""
    return place + 1 if place + 1 < room else 0
