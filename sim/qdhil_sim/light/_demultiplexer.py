"""The photons of a demultiplexed source at its outputs."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qdhil_sim.light._compiled import compiled
from qdhil_sim.light._detection import Frame, Photons
from qdhil_sim.light._patterns import FULL, Floats, draw_pattern, gap, given_one
from qdhil_sim.light._random import Words, exponential, normal, uniform

SIGNAL, EXTRA, LEAK = 1, 2, 4
_PATTERNS = 7


class Routes(NamedTuple):
    """The source and the demultiplexer."""

    photon: float
    another: float
    leak: float
    survives: float
    """From the emitter to a detector, the output's own transmission aside."""
    leaks: Floats
    """Share of the light of every other turn that comes out of each output."""
    through: Floats
    """Transmission of each output."""
    pulses_per_turn: int
    lifetime_ps: float
    prompt_sd_ps: float


@compiled
def patterns(routes: Routes, cumulative: Floats) -> float:
    """Fill the cumulative distribution over surviving photons, given one at least; return the scale of the gaps."""
    total, eta = 0.0, routes.survives
    for pattern in range(1, _PATTERNS + 1):
        probability = routes.photon
        probability *= eta if pattern & SIGNAL else 1 - eta
        probability *= routes.another * eta if pattern & EXTRA else 1 - routes.another * eta
        if not pattern & (SIGNAL | EXTRA):
            probability += 1 - routes.photon
        probability *= routes.leak * eta if pattern & LEAK else 1 - routes.leak * eta
        total += probability
        cumulative[pattern - 1] = total
    return given_one(cumulative)


@compiled
def leave(rng: Words, leaks: Floats, turn: int) -> int:
    """Return the output that a photon leaves by."""
    u = uniform(rng)
    for output in range(leaks.size):
        if output != turn:
            u -= leaks[output]
            if u < 0:
                return output
    return turn


@compiled
def fill(rng: Words, routes: Routes, frame: Frame, photons: Photons) -> int:
    """Draw the photons of a frame at the outputs; return their count or ``FULL``."""
    cumulative = np.empty(_PATTERNS)
    scale, n = patterns(routes, cumulative), 0
    through, leaks, leaking = routes.through, routes.leaks, routes.leaks.sum() > 0
    pulse = gap(rng, scale) if scale < math.inf else frame.pulses
    while pulse < frame.pulses:
        if n + 3 > photons.shape[0]:
            return FULL
        pattern = draw_pattern(rng, cumulative)
        turn = ((frame.first_pulse + pulse) // routes.pulses_per_turn) % through.size
        start_ps = frame.phase_ps + pulse * frame.period_ps
        left = pattern
        while left:
            kind = left & -left
            left ^= kind
            output = leave(rng, leaks, turn) if leaking else turn
            late_ps = routes.lifetime_ps * exponential(rng) if kind == SIGNAL else routes.prompt_sd_ps * normal(rng)
            if through[output] < 1 and uniform(rng) >= through[output]:
                continue
            photons[n, 0], photons[n, 1] = start_ps + late_ps, output
            n += 1
        pulse += 1 + gap(rng, scale)
    return n
