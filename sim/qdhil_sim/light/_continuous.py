"""Detected photons of a continuously pumped dot, by exact sums over the cycles in between."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qdhil_sim.light._compiled import compiled
from qdhil_sim.light._detection import Photons
from qdhil_sim.light._random import Words, exponential, normal, uniform

Floats = npt.NDArray[np.float64]
FULL = -1
_NEVER_PS = 2.0**60
_FEW = 4


class Cycle(NamedTuple):
    """One cycle of the dot: it is pumped, leaves the excited state, and emits or is shelved."""

    detected: float
    """Chance that a cycle ends in a detected photon."""
    shelved: float
    """Chance that a cycle goes by the dark state."""
    pump_ps: float
    excited_ps: float
    dark_ps: float
    background_gap_ps: float
    """Mean time between background photons; 0 where there are none."""


@compiled
def gamma(rng: Words, shape: int) -> float:
    """Return the sum of ``shape`` exponentials of mean 1.

    Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26, 363 (2000).
    """
    if shape <= _FEW:
        total = 0.0
        for _ in range(shape):
            total += exponential(rng)
        return total
    d = shape - 1 / 3
    c = 1 / math.sqrt(9 * d)
    while True:
        x = normal(rng)
        root = 1 + c * x
        if root <= 0:
            continue
        v, u, square = root * root * root, uniform(rng), x * x
        if u < 1 - 0.0331 * square * square or math.log(u) < square / 2 + d * (1 - v + math.log(v)):
            return d * v


@compiled
def dot_gap(rng: Words, cycle: Cycle) -> float:
    """Return the time from one detected photon of the dot to the next."""
    if cycle.detected <= 0:
        return _NEVER_PS
    lost = 0
    if cycle.detected < 1:
        lost = int(min(exponential(rng) / -math.log1p(-cycle.detected), 2.0**50))
    time_ps = cycle.pump_ps * gamma(rng, lost + 1) + cycle.excited_ps * gamma(rng, lost + 1)
    if cycle.shelved > 0 and lost > 0:
        # a cycle without a detected photon was shelved with these odds
        odds = min(cycle.shelved / (1 - cycle.detected), 1.0)
        trips, place = 0, -1
        while odds < 1:
            place += 1 + int(min(exponential(rng) / -math.log1p(-odds), 2.0**50))
            if place >= lost:
                break
            trips += 1
        if odds >= 1:
            trips = lost
        time_ps += cycle.dark_ps * gamma(rng, trips)
    return time_ps


@compiled
def fill(rng: Words, cycle: Cycle, to_a: float, lasts_ps: float, coming: Floats, photons: Photons) -> int:
    """Draw the photons of a frame; ``coming`` holds the times of the next of the dot and of the background.

    A negative time asks for a first one.
    """
    gap_ps = cycle.background_gap_ps
    if coming[0] < 0:
        coming[0] = dot_gap(rng, cycle)
        coming[1] = gap_ps * exponential(rng) if gap_ps > 0 else _NEVER_PS
    n = 0
    while min(coming[0], coming[1]) < lasts_ps:
        if n == photons.shape[0]:
            return FULL
        which = 0 if coming[0] <= coming[1] else 1
        photons[n, 0] = coming[which]
        photons[n, 1] = uniform(rng) >= to_a
        n += 1
        coming[which] += dot_gap(rng, cycle) if which == 0 else gap_ps * exponential(rng)
    for which in range(2):
        if coming[which] < _NEVER_PS / 2:
            coming[which] -= lasts_ps
    return n
