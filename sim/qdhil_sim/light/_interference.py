"""The photons of a frame behind an unbalanced Mach-Zehnder interferometer.

A signal photon of the long arm waits in a ring until the pulse whose short arm it meets is known; what then
happens to the two says :mod:`~qdhil_sim.light._last_splitter`.

A pulse that leaves the dot in a superposition of no photon and one makes a photon that met none interfere
with itself, as long as the pulse it could have come from instead was empty. One empty pulse can serve one
photon only. This is exact to first order in the clicks per pulse; at the seams of frames it is left out.

A frame is drawn without its neighbours. What may meet a photon of theirs it only sets aside, ``early`` for
the short arm in its first pulses and ``late`` for the long arm in its last; :func:`fill_seam` joins them.
Rows of photons hold (pulse within the frame, start, emission, line), start and emission after the pulse.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qdhil_sim.light._compiled import compiled, inlined
from qdhil_sim.light._detection import Frame, Photons, Tags
from qdhil_sim.light._emission import (
    NOT_OF_THE_DOT,
    PATTERNS,
    SIGNAL,
    Optics,
    Source,
    noise_delay,
    pulse_ps,
    signal_times,
    surviving_patterns,
)
from qdhil_sim.light._last_splitter import Signal, goes_to_a, keep_signal, put, signal_at, split_pair
from qdhil_sim.light._patterns import FULL, Floats, draw_pattern, gap
from qdhil_sim.light._random import Words, normal, uniform
from qdhil_sim.light._wandering import Dot, Wandering, diffused, first_look, look

_SHORT, _LONG, _USED = range(3)
_FIRST, _WAITING, _EARLY, _LATE = range(4)


class Arms(NamedTuple):
    """What a frame knows of its photons so far."""

    ring: Floats
    """The long arm's photons that wait, oldest first from row ``counts[_FIRST]`` on, around the end."""
    seen: Tags
    """By pulse modulo its length: the last with a signal photon in the short arm, in the long arm, and the last
    empty pulse whose emptiness has told a photon where to go."""
    counts: Tags
    """First row of the ring and how many wait there; how many are early and how many late."""
    early: Floats
    late: Floats
    empty: float
    """Chance that a pulse without a surviving photon was empty and coherent with a photon."""


@inlined
def short_is_coherent(rng: Words, empty: float, seen: Tags, missed: int) -> bool:
    """Return whether the pulse that a photon of the short arm did not meet was empty and has not served yet."""
    if empty == 0 or uniform(rng) >= empty:
        return False
    place = missed % seen.shape[1]
    coherent: bool = seen[_SHORT, place] != missed and seen[_USED, place] != missed
    return coherent


@inlined
def long_is_coherent(rng: Words, empty: float, seen: Tags, missed: int) -> bool:
    """Return whether the pulse that a photon of the long arm did not meet was empty; it then serves no other."""
    if empty == 0 or uniform(rng) >= empty:
        return False
    place = missed % seen.shape[1]
    if seen[_LONG, place] == missed:
        return False
    seen[_USED, place] = missed
    return True


@inlined
def oldest_leaves(arms: Arms) -> None:
    """Take the oldest photon out of the ring."""
    following = arms.counts[_FIRST] + 1
    arms.counts[_FIRST] = following if following < arms.ring.shape[0] else 0
    arms.counts[_WAITING] -= 1


@inlined
def pass_unmet(
    rng: Words, source: Source, optics: Optics, frame: Frame, arms: Arms, origin: int, photons: Photons, n: int
) -> int:
    """Send on the long arm's photons from before pulse ``origin``, which nothing can meet now; return the count."""
    while arms.counts[_WAITING] > 0 and arms.ring[arms.counts[_FIRST], 0] < origin:
        pulse, emitted_ps = int(arms.ring[arms.counts[_FIRST], 0]), arms.ring[arms.counts[_FIRST], 2]
        t_ps = pulse_ps(frame, source.separation_ps, pulse) + optics.delay_ps + emitted_ps
        coherent = long_is_coherent(rng, arms.empty, arms.seen, pulse + optics.delay_pulses)
        n = put(photons, n, t_ps, goes_to_a(rng, optics, frame, t_ps, False, coherent))
        oldest_leaves(arms)
    return n


@inlined
def send_signal(
    rng: Words,
    optics: Optics,
    frame: Frame,
    pulses: int,
    arms: Arms,
    signal: Signal,
    short: bool,
    slot_ps: float,
    photons: Photons,
    n: int,
) -> int:
    """Send a signal photon to the splitter or let it wait; return the count of photons sent to the detectors."""
    pulse, delay, room = signal.pulse, optics.delay_pulses, arms.ring.shape[0]
    t_ps = slot_ps + signal.t_ps
    if arms.empty > 0:
        arms.seen[_SHORT if short else _LONG, pulse % room] = pulse
    if optics.within_pairs and (pulse & 1) != short:  # nothing to meet
        n = put(photons, n, t_ps, goes_to_a(rng, optics, frame, t_ps, short, False))
    elif short and pulse < delay:
        keep_signal(arms.early, arms.counts[_EARLY], signal)
        arms.counts[_EARLY] += 1
    elif not short and pulse + delay >= pulses:
        keep_signal(arms.late, arms.counts[_LATE], signal)
        arms.counts[_LATE] += 1
    elif not short:
        place = arms.counts[_FIRST] + arms.counts[_WAITING]
        keep_signal(arms.ring, place if place < room else place - room, signal)
        arms.counts[_WAITING] += 1
    elif arms.counts[_WAITING] > 0 and arms.ring[arms.counts[_FIRST], 0] == pulse - delay:
        other = signal_at(arms.ring, arms.counts[_FIRST])
        at_a, other_at_a = split_pair(rng, optics, signal, other)
        n = put(photons, n, t_ps, at_a)
        n = put(photons, n, slot_ps + other.t_ps, other_at_a)
        oldest_leaves(arms)
    else:
        coherent = short_is_coherent(rng, arms.empty, arms.seen, pulse - delay)
        n = put(photons, n, t_ps, goes_to_a(rng, optics, frame, t_ps, True, coherent))
    return n


@compiled
def fill_hom(
    rng: Words,
    source: Source,
    optics: Optics,
    dot: Dot,
    wandering: Wandering,
    frame: Frame,
    eta: float,
    photons: Photons,
    early: Floats,
    late: Floats,
) -> tuple[int, int, int]:
    """Draw the photons of a frame behind the interferometer.

    Returns how many go on to the detectors, or ``FULL``, how many are early and how many late.
    """
    cumulative = np.empty(PATTERNS)
    scale, chance = surviving_patterns(source, eta, cumulative)
    pair = 1 if source.separation_ps > 0 else 0
    pulses, room = frame.pulses << pair, optics.delay_pulses + 1
    empty = optics.coherence * (1 - source.signal) / (1 - min(source.signal * eta, 1 - 1e-15))
    arms = Arms(np.empty((room, 4)), np.full((3, room), -1), np.zeros(4, np.int64), early, late, empty)
    diffusing = dot.diffusion_per_ps > 0 and optics.interference > 0
    line, line_ps = wandering.detuning_per_ps, 0.0
    on, look_ps = first_look(rng, dot, wandering)
    n, pulse = 0, gap(rng, scale) if scale < math.inf else pulses
    while n + room + 6 <= photons.shape[0]:
        n = pass_unmet(rng, source, optics, frame, arms, min(pulse, pulses) - optics.delay_pulses, photons, n)
        if pulse >= pulses:
            return n, arms.counts[_EARLY], arms.counts[_LATE]
        at_ps = pulse_ps(frame, source.separation_ps, pulse)
        left = pattern = draw_pattern(rng, cumulative)
        if at_ps >= look_ps:
            on, look_ps = look(rng, dot, wandering, at_ps)
        if not on:
            left = pattern & NOT_OF_THE_DOT
        start_ps = source.start_sd_ps * normal(rng) if source.start_sd_ps > 0 else 0.0
        while left:
            kind = left & -left
            left ^= kind
            short = uniform(rng) < optics.to_short
            shift_ps = start_ps + (0.0 if short else optics.delay_error_ps)
            slot_ps = at_ps + (0.0 if short else optics.delay_ps)
            if kind != SIGNAL:
                t_ps = slot_ps + shift_ps + noise_delay(rng, source, frame, kind)
                n = put(photons, n, t_ps, goes_to_a(rng, optics, frame, t_ps, short, False))
                continue
            if diffusing:
                line, line_ps = diffused(rng, dot, wandering, line, line_ps, at_ps), at_ps
            filled_ps, t_ps = signal_times(rng, source, pattern, chance)
            odd = ((frame.first_pulse << pair) + pulse) & 1
            signal = Signal(pulse, shift_ps + filled_ps, shift_ps + t_ps, line + dot.ripple_per_ps * odd)
            n = send_signal(rng, optics, frame, pulses, arms, signal, short, slot_ps, photons, n)
        pulse += 1 + gap(rng, scale)
    return FULL, 0, 0


@compiled
def fill_seam(
    rng: Words,
    optics: Optics,
    separation_ps: float,
    frame: Frame,
    pulses: int,
    waiting: Floats,
    early: Floats,
    photons: Photons,
) -> tuple[int, int]:
    """Draw the photons that join a frame to those before it.

    ``waiting`` are the long arm's from before, with pulses relative to this frame. Returns how many photons
    go on to the detectors, and how many of the first of ``waiting`` are done with.
    """
    n, first = 0, 0
    for index in range(early.shape[0] + 1):
        more = index < early.shape[0]
        origin = (int(early[index, 0]) if more else pulses) - optics.delay_pulses
        while first < waiting.shape[0] and waiting[first, 0] < origin:
            t_ps = pulse_ps(frame, separation_ps, int(waiting[first, 0])) + optics.delay_ps + waiting[first, 2]
            n = put(photons, n, t_ps, goes_to_a(rng, optics, frame, t_ps, False, False))
            first += 1
        if not more:
            break
        signal = signal_at(early, index)
        t_ps = pulse_ps(frame, separation_ps, signal.pulse) + signal.t_ps
        if first < waiting.shape[0] and waiting[first, 0] == origin:
            other = signal_at(waiting, first)
            at_a, other_at_a = split_pair(rng, optics, signal, other)
            n = put(photons, n, t_ps, at_a)
            n = put(photons, n, t_ps - signal.t_ps + other.t_ps, other_at_a)
            first += 1
        else:
            n = put(photons, n, t_ps, goes_to_a(rng, optics, frame, t_ps, True, False))
    return n, first
