"""Which photons of a pulse survive to a detector, and how many pulses pass before one of which any does.

A pattern is a set of bits, one for each photon that a pulse may make; that of no photon is not drawn.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from qdhil_sim.light._compiled import compiled
from qdhil_sim.light._random import Words, exponential, uniform

Floats = npt.NDArray[np.float64]

FULL = -1
"""Returned where a buffer is too small."""
_MOST_GAP = 2.0**50


@compiled
def given_one(cumulative: Floats) -> float:
    """Divide the summed probabilities of the patterns with a photon by the last, which is that of any photon.

    Returns the scale -1 / ln P(no photon survives) of the gaps between such pulses, infinite in the dark.
    """
    total = cumulative[-1]
    if total <= 0:
        return math.inf
    cumulative /= total
    return -1 / math.log1p(-min(total, 1 - 1e-15))


@compiled
def gap(rng: Words, scale: float) -> int:
    """Return how many pulses without a surviving photon come before the next with one."""
    return int(min(exponential(rng) * scale, _MOST_GAP))


@compiled
def draw_pattern(rng: Words, cumulative: Floats) -> int:
    """Return which photons survived."""
    u = uniform(rng)
    pattern = 1
    while pattern < cumulative.size and u >= cumulative[pattern - 1]:
        pattern += 1
    return pattern
