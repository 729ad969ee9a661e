"""Random numbers for the kernels: xoshiro256++ and ziggurat samplers, compiled into their callers.

Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47, 36 (2021);
Marsaglia and Tsang, "The ziggurat method for generating random variables", J. Stat. Softw. 5, 8 (2000).
The layer and the abscissa come from different bits of one word, so neighbouring draws stay independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qdhil_sim.light._compiled import compiled

Words = npt.NDArray[np.uint64]

_LAYERS = 256
_TAIL_EXPONENTIAL = 7.69711747013104972
_TAIL_NORMAL = 3.6541528853610088
_UNIT = 2.0**-53


def new_state(seed: np.random.SeedSequence) -> Words:
    """Return the four words of a generator."""
    return seed.generate_state(4, np.uint64).astype(np.uint64)


def _layers(
    tail: float, area: float, density: Callable[[float], float], inverse: Callable[[float], float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the right edges of layers of equal area under a falling density, and the density there."""
    edges = [area / density(tail), tail]
    while len(edges) < _LAYERS:
        edges.append(inverse(area / edges[-1] + density(edges[-1])))
    edges.append(0.0)
    return np.array(edges), np.array([density(edge) for edge in edges])


_EDGE_E, _HEIGHT_E = _layers(
    _TAIL_EXPONENTIAL,
    (_TAIL_EXPONENTIAL + 1) * math.exp(-_TAIL_EXPONENTIAL),
    lambda x: math.exp(-x),
    lambda y: -math.log(y),
)
_EDGE_N, _HEIGHT_N = _layers(
    _TAIL_NORMAL,
    _TAIL_NORMAL * math.exp(-(_TAIL_NORMAL**2) / 2) + math.sqrt(math.pi / 2) * math.erfc(_TAIL_NORMAL / math.sqrt(2)),
    lambda x: math.exp(-x * x / 2),
    lambda y: math.sqrt(-2 * math.log(y)),
)
_LOW = np.uint64(_LAYERS - 1)
_ONE = np.uint64(1)
_S11, _S17, _S19, _S23, _S41, _S45 = (np.uint64(shift) for shift in (11, 17, 19, 23, 41, 45))


@compiled
def next_word(state: Words) -> np.uint64:
    """Return 64 random bits."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    total = s0 + s3
    word: np.uint64 = ((total << _S23) | (total >> _S41)) + s0
    shifted = s1 << _S17
    s2 ^= s0
    s3 ^= s1
    state[1] = s1 ^ s2
    state[0] = s0 ^ s3
    state[2] = s2 ^ shifted
    state[3] = (s3 << _S45) | (s3 >> _S19)
    return word


@compiled
def uniform(state: Words) -> float:
    """Return a uniform number in [0, 1)."""
    x: float = np.int64(next_word(state) >> _S11) * _UNIT
    return x


@compiled
def exponential(state: Words) -> float:
    """Return an exponential number of mean 1."""
    tail = 0.0
    while True:
        word = next_word(state)
        layer = word & _LOW
        x: float = np.int64(word >> _S11) * _UNIT * _EDGE_E[layer]
        if x < _EDGE_E[layer + _ONE]:
            return tail + x
        if layer == 0:
            tail += _TAIL_EXPONENTIAL
            continue
        low, high = _HEIGHT_E[layer], _HEIGHT_E[layer + _ONE]
        if low + (high - low) * uniform(state) < math.exp(-x):
            return tail + x


@compiled
def normal(state: Words) -> float:
    """Return a Gaussian number of mean 0 and standard deviation 1."""
    while True:
        word = next_word(state)
        layer = word & _LOW
        x: float = (np.int64(word) >> 10) * _UNIT * _EDGE_N[layer]
        if abs(x) < _EDGE_N[layer + _ONE]:
            return x
        if layer == 0:
            return math.copysign(_beyond_tail(state), x)
        low, high = _HEIGHT_N[layer], _HEIGHT_N[layer + _ONE]
        if low + (high - low) * uniform(state) < math.exp(-x * x / 2):
            return x


@compiled
def _beyond_tail(state: Words) -> float:
    """Return a normal number given that it exceeds the last layer's edge (Marsaglia 1964)."""
    while True:
        x = exponential(state) / _TAIL_NORMAL
        if 2 * exponential(state) > x * x:
            return _TAIL_NORMAL + x
