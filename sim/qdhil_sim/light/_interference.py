"""Two-photon interference at the last splitter of an unbalanced Mach-Zehnder interferometer.

A signal photon of the long arm waits in a queue until the pulse whose short arm it meets is known. Two
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
from typing import NamedTuple

import numpy as np

from qdhil_sim.light._compiled import compiled
from qdhil_sim.light._detection import Clicks, Frame, Tags, click
from qdhil_sim.light._kernels import (
    FULL,
    PATTERNS,
    SIGNAL,
    Floats,
    Optics,
    Source,
    draw_pattern,
    gap,
    surviving_patterns,
)
from qdhil_sim.light._random import Words, normal, uniform


class LongArm(NamedTuple):
    """The signal photons that wait in the long arm: a ring with room for ``delay_periods + 1``."""

    pulse: Tags
    times_ps: Floats
    """Start and emission of each, relative to its pulse."""
    span: Tags
    """First place of the ring and number of photons in it."""


@compiled
def split_pair(
    rng: Words, optics: Optics, start_i: float, t_i: float, start_j: float, t_j: float
) -> tuple[bool, bool]:
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
    clicks: Clicks,
    frame: Frame,
    eta: float,
    buffer: Tags,
    n: int,
    arm: LongArm,
) -> int:
    """Append the photons of a frame behind the interferometer; return the new count or ``FULL``."""
    cumulative = np.empty(PATTERNS)
    rate, chance = surviving_patterns(source, eta, cumulative)
    pulse = gap(rng, rate) if rate > 0 else frame.pulses
    while pulse < frame.pulses:
        n = flush(rng, optics, clicks, frame, pulse, buffer, n, arm)
        if n == FULL or n + 5 > buffer.size:
            return FULL
        pattern = draw_pattern(rng, cumulative)
        start_ps = source.start_sd_ps * normal(rng) if source.start_sd_ps > 0 else 0.0
        left = pattern
        while left:
            kind = left & -left
            left ^= kind
            t_ps = start_ps + emission_delay(rng, source, kind, pattern, chance)
            if kind == SIGNAL:
                n = route_signal(rng, optics, clicks, frame, pulse, start_ps, t_ps, buffer, n, arm)
            else:
                n = route_alone(rng, optics, clicks, frame, pulse, t_ps, buffer, n)
        pulse += 1 + gap(rng, rate)
    return flush(rng, optics, clicks, frame, frame.pulses, buffer, n, arm)


@compiled
def route_signal(
    rng: Words,
    optics: Optics,
    clicks: Clicks,
    frame: Frame,
    pulse: int,
    start_ps: float,
    t_ps: float,
    buffer: Tags,
    n: int,
    arm: LongArm,
) -> int:
    """Send a signal photon into the long arm, or through the short one with the photon it meets."""
    number = frame.first_pulse + pulse
    first = arm.span[0]
    if uniform(rng) >= optics.to_short:
        place = first + arm.span[1]
        if place >= arm.pulse.size:
            place -= arm.pulse.size
        arm.pulse[place] = number
        arm.times_ps[place, 0], arm.times_ps[place, 1] = start_ps, t_ps
        arm.span[1] += 1
        return n
    slot_ps = frame.phase_ps + pulse * frame.period_ps
    if arm.span[1] == 0 or arm.pulse[first] != number - optics.delay_periods:
        return click(rng, clicks, frame, uniform(rng) < optics.to_a, slot_ps + t_ps, buffer, n)
    other_start_ps, other_ps = arm.times_ps[first, 0], arm.times_ps[first, 1]
    drop_first(arm)
    i_at_a, j_at_a = split_pair(rng, optics, start_ps, t_ps, other_start_ps, other_ps)
    n = click(rng, clicks, frame, i_at_a, slot_ps + t_ps, buffer, n)
    return click(rng, clicks, frame, j_at_a, slot_ps + other_ps, buffer, n)


@compiled
def drop_first(arm: LongArm) -> None:
    """Take the first waiting photon out of the ring."""
    arm.span[0] = arm.span[0] + 1 if arm.span[0] + 1 < arm.pulse.size else 0
    arm.span[1] -= 1


@compiled
def flush(
    rng: Words, optics: Optics, clicks: Clicks, frame: Frame, pulse: int, buffer: Tags, n: int, arm: LongArm
) -> int:
    """Send on the waiting photons whose slot is before ``pulse``: nothing can meet them now."""
    while arm.span[1] > 0:
        first = arm.span[0]
        slot = arm.pulse[first] + optics.delay_periods - frame.first_pulse
        if slot >= pulse:
            break
        if n >= buffer.size:
            return FULL
        local_ps = frame.phase_ps + slot * frame.period_ps + arm.times_ps[first, 1]
        n = click(rng, clicks, frame, uniform(rng) >= optics.to_a, local_ps, buffer, n)
        drop_first(arm)
    return n


@compiled
def route_alone(
    rng: Words, optics: Optics, clicks: Clicks, frame: Frame, pulse: int, t_ps: float, buffer: Tags, n: int
) -> int:
    """Send one distinguishable photon through both splitters."""
    short = uniform(rng) < optics.to_short
    slot = pulse if short else pulse + optics.delay_periods
    local_ps = frame.phase_ps + slot * frame.period_ps + t_ps
    return click(rng, clicks, frame, (uniform(rng) < optics.to_a) == short, local_ps, buffer, n)
