"""The frames of an acquisition: which pulses, what coupling, what ends of the dot's slow states, what seed.

A frame ends where device time passes into the next step of the drift. All that a frame needs of the frames
before it is here and cheap, so frames can be drawn in any order and by any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from qdhil_sim.light._detection import Frame
from qdhil_sim.light._random import Words, new_state
from qdhil_sim.light._wandering import Dot, Wanderer, Wandering
from qdhil_sim.light.drift import STEP_PS


class FrameTask(NamedTuple):
    """One frame, and all that drawing it takes."""

    frame: Frame
    coupling: float
    """Chance of a photon to get from the emitter to a click."""
    wandering: Wandering
    light_rng: Words
    seam_rng: Words
    final_ps: int
    """Tags before this time are final once the frame is drawn."""


class Frames:
    """Successive frames.

    Parameters
    ----------
    period
        Pulse period in ps.
    start_ps
        Device time at time 0 of the acquisition.
    first_pulse
        The pulse with which the light begins, before time 0.
    margin_ps
        How much earlier than its pulse a tag can be.
    coupling
        The coupling in a step of the drift.
    dot, seed
        The dot, and the seed of all that is drawn.
    """

    def __init__(
        self,
        period: Fraction,
        start_ps: int,
        first_pulse: int,
        margin_ps: int,
        coupling: Callable[[int], float],
        dot: Dot,
        seed: np.random.SeedSequence,
    ) -> None:
        self._period, self._start_ps, self._margin_ps = period, start_ps, margin_ps
        self._coupling = coupling
        wandering, self._seed = seed.spawn(2)
        self._wanderer = Wanderer(dot, wandering)
        self._pulse, self._step = first_pulse, 0
        self._final_ps = -(1 << 56)

    def next(self) -> FrameTask:
        """Return the next frame."""
        self._step += 1
        end_ps = self._step * STEP_PS - self._start_ps % STEP_PS
        first, self._pulse = self._pulse, max(math.ceil(end_ps / self._period), self._pulse)
        exact = first * self._period
        base_ps, pulses = math.floor(exact), self._pulse - first
        frame = Frame(base_ps, float(exact - base_ps), float(self._period), first, pulses, self._final_ps)
        self._final_ps = math.floor(self._pulse * self._period) - self._margin_ps
        seed = np.random.SeedSequence(self._seed.entropy, spawn_key=(*self._seed.spawn_key, self._step))
        light_rng, seam_rng = (new_state(part) for part in seed.spawn(2))
        return FrameTask(
            frame,
            self._coupling(self._start_ps // STEP_PS + self._step - 1),
            self._wanderer.over(pulses * float(self._period)),
            light_rng,
            seam_rng,
            self._final_ps,
        )
