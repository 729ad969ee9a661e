"""The dot's slow states, blinking and spectral diffusion, over frames that are drawn independently.

A frame knows of its neighbours only what :class:`Wandering` says, which is drawn in order and cheaply; all
between is drawn within the frame, from the exact law given those ends.

A telegraph is a Poisson process of moments at rate 1/τ_b at which the state is drawn anew, on with the
on-fraction. Its state at a frame's end is that of the frame's last moment, if it had one. An Ornstein-
Uhlenbeck process between two known values is a Gaussian bridge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qdhil_sim.light._compiled import compiled
from qdhil_sim.light._random import Words, exponential, normal, uniform

_FORGOTTEN = 40.0
"""Correlation times after which an end no longer counts: exp(-40) is below rounding."""


class Dot(NamedTuple):
    """How the dot's state wanders; frequencies are angular."""

    on_fraction: float
    blinking_ps: float
    """Correlation time τ_b; 0 where the dot does not blink."""
    diffusion_per_ps: float
    """Standard deviation of the line; 0 where it stands still."""
    diffusion_ps: float
    ripple_per_ps: float
    """Shift of the line of every other pulse."""


class Wandering(NamedTuple):
    """A frame's ends, from its first pulse on."""

    on: bool
    """Whether the dot is bright at the start."""
    last_ps: float
    """The frame's last moment at which that is drawn anew; infinite where there is none."""
    on_after: bool
    detuning_per_ps: float
    detuning_end_per_ps: float
    lasts_ps: float


class Wanderer:
    """The ends of successive frames, from a seed of their own."""

    def __init__(self, dot: Dot, seed: int | Sequence[int] | np.random.SeedSequence) -> None:
        self._dot = dot
        self._rng = np.random.default_rng(seed)
        self._on = bool(self._rng.random() < dot.on_fraction)
        self._detuning_per_ps = dot.diffusion_per_ps * float(self._rng.standard_normal())

    def over(self, lasts_ps: float) -> Wandering:
        """Return the ends of the next frame."""
        dot, on, before = self._dot, self._on, self._detuning_per_ps
        last_ps = math.inf
        if dot.blinking_ps > 0:
            back_ps = dot.blinking_ps * float(self._rng.standard_exponential())
            anew = bool(self._rng.random() < dot.on_fraction)
            if back_ps < lasts_ps:
                last_ps, self._on = lasts_ps - back_ps, anew
        if dot.diffusion_per_ps > 0:
            kept = math.exp(-lasts_ps / dot.diffusion_ps)
            kick = dot.diffusion_per_ps * math.sqrt(-math.expm1(-2 * lasts_ps / dot.diffusion_ps))
            self._detuning_per_ps = kept * before + kick * float(self._rng.standard_normal())
        return Wandering(on, last_ps, self._on, before, self._detuning_per_ps, lasts_ps)


@compiled
def first_look(rng: Words, dot: Dot, wandering: Wandering) -> tuple[bool, float]:
    """Return whether the dot is bright at the start, and until when."""
    if dot.blinking_ps == 0:
        return True, math.inf
    if wandering.last_ps == math.inf:
        return wandering.on, math.inf
    return wandering.on, min(dot.blinking_ps * exponential(rng), wandering.last_ps)


@compiled
def look(rng: Words, dot: Dot, wandering: Wandering, t_ps: float) -> tuple[bool, float]:
    """Return whether the dot is bright at a time after the one until which it was known, and until when.

    What came before the last moment drawn anew does not matter, and the next is as far as ever.
    """
    if t_ps >= wandering.last_ps:
        return wandering.on_after, math.inf
    on = uniform(rng) < dot.on_fraction
    return on, min(t_ps + dot.blinking_ps * exponential(rng), wandering.last_ps)


@compiled
def diffused(rng: Words, dot: Dot, wandering: Wandering, before: float, since_ps: float, t_ps: float) -> float:
    """Return the line at a time given its value at an earlier one and at the frame's end."""
    past = (t_ps - since_ps) / dot.diffusion_ps
    ahead = (wandering.lasts_ps - t_ps) / dot.diffusion_ps
    kept = math.exp(-past)
    free = 1 - kept**2
    mean = kept * before
    if ahead < _FORGOTTEN:
        known = math.exp(-max(ahead, 0.0))
        rest = 1 - known**2
        whole = 1 - (kept * known) ** 2
        if whole <= 0:
            return before
        mean = (mean * rest + wandering.detuning_end_per_ps * known * free) / whole
        free *= rest / whole
    return mean + dot.diffusion_per_ps * math.sqrt(free) * normal(rng)
