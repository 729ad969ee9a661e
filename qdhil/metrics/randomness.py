"""Min-entropy of the bits that a photon's choice of detector gives (NIST SP 800-90B, 6.3.1 and 6.3.3).

    most common value   H = -log2 p_u,  p_u = p + 2.576·sqrt(p(1 - p)/(L - 1))
    Markov              H = -log2(probability of the likeliest sequence of 128 bits)/128

The standard looks at six sequences for the second; here it is the likeliest of all, which is never less cautious.
Unequal splitting or efficiency shows in the first; dead time, which makes the same detector twice in a row
less likely, in the second. The smaller of the two is what may be extracted per bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.estimate import Estimate
from qdhil.statistics.intervals import clopper_pearson

_Z_99 = 2.576
_SEQUENCE = 128
_FEWEST_BITS = 1000


@dataclass(frozen=True)
class BitCounts:
    """Ones, bits and transitions of a sequence of bits; those of blocks add with ``+``.

    Parameters
    ----------
    ones, bits
        Number of ones, and of all bits.
    transitions
        Pairs of successive bits, as (00, 01, 10, 11).
    """

    ones: int
    bits: int
    transitions: tuple[int, int, int, int]

    @classmethod
    def of(cls, bits: npt.ArrayLike) -> BitCounts:
        """Return those of an array of 0 and 1, shape (bits,); refuse (ValueError) anything else."""
        array = np.asarray(bits)
        if array.ndim != 1 or array.dtype.kind not in "iub" or not bool(np.all((array == 0) | (array == 1))):
            raise ValueError("bits must be a one-dimensional array of 0 and 1")
        whole = array.astype(np.int64)
        pairs = np.bincount(2 * whole[:-1] + whole[1:], minlength=4) if whole.size else np.zeros(4, np.int64)
        same_same, up, down, one_one = (int(pair) for pair in pairs)
        return cls(int(whole.sum()), int(whole.size), (same_same, up, down, one_one))

    def __add__(self, other: BitCounts) -> BitCounts:
        both = tuple(a + b for a, b in zip(self.transitions, other.transitions, strict=True))
        return BitCounts(self.ones + other.ones, self.bits + other.bits, (both[0], both[1], both[2], both[3]))


def most_common_value(counts: BitCounts, *, confidence: float = 0.95) -> Estimate:
    """Return min-entropy per bit by the most common value; id ``qrng.min_entropy.mcv``.

    ``value`` is the standard's cautious figure (p raised to its 99 % limit), ``raw`` that of p itself, to which
    the exact interval belongs.

    Raises
    ------
    ValueError
        If there are fewer than 1000 bits.
    """
    _check(counts)
    common = max(counts.ones, counts.bits - counts.ones)
    p = common / counts.bits
    cautious = min(1.0, p + _Z_99 * math.sqrt(p * (1 - p) / (counts.bits - 1)))
    low, high = clopper_pearson(common, counts.bits, confidence)
    # the more common of the two has at least a half
    limits = (-math.log2(high), -math.log2(max(low, 0.5)))
    return _estimate("qrng.min_entropy.mcv", -math.log2(cautious), limits, -math.log2(p), counts, confidence)


def markov(counts: BitCounts, *, confidence: float = 0.95) -> Estimate:
    """Return min-entropy per bit of a first-order Markov chain; id ``qrng.min_entropy.markov``.

    The limits take every transition probability to the limits of its exact interval (Bonferroni over both
    states), so they err on the wide side.

    Raises
    ------
    ValueError
        If there are fewer than 1000 bits, or one value never occurs before another bit.
    """
    _check(counts)
    n00, n01, n10, n11 = counts.transitions
    if n00 + n01 == 0 or n10 + n11 == 0:
        raise ValueError("one value never occurs: there are no transitions to judge")
    start = counts.ones / counts.bits
    each = 1 - (1 - confidence) / 2
    up = clopper_pearson(n01, n00 + n01, each)
    down = clopper_pearson(n10, n10 + n11, each)
    value = _chain_entropy(start, n01 / (n00 + n01), n10 / (n10 + n11))
    corners = [_chain_entropy(start, u, d) for u in _inner(up) for d in _inner(down)]
    limits = (min(corners), max(corners))
    return _estimate("qrng.min_entropy.markov", value, limits, value, counts, confidence)


def min_entropy(counts: BitCounts, *, confidence: float = 0.95) -> Estimate:
    """Return the smaller of both estimators: what may be extracted per bit; ids as theirs."""
    both = most_common_value(counts, confidence=confidence), markov(counts, confidence=confidence)
    return min(both, key=lambda estimate: estimate.value)


def _inner(limits: tuple[float, float]) -> tuple[float, ...]:
    """Return the limits, and a half where it lies between them: there the chain is most random."""
    low, high = limits
    return (low, 0.5, high) if low < 0.5 < high else (low, high)


def _chain_entropy(start: float, up: float, down: float) -> float:
    """Return -log2 of the likeliest sequence's probability, per bit; ``up`` is P(1 after 0), ``down`` P(0 after 1)."""
    with np.errstate(divide="ignore"):
        steps = np.log2([[1 - up, up], [down, 1 - down]])
        best = np.log2([1 - start, start])
    for _ in range(_SEQUENCE - 1):
        best = (best[:, None] + steps).max(axis=0)
    return min(-float(best.max()) / _SEQUENCE, 1.0)


def _check(counts: BitCounts) -> None:
    if counts.bits < _FEWEST_BITS:
        raise ValueError(f"{counts.bits} bits are too few for an entropy: {_FEWEST_BITS} are needed")


def _estimate(
    definition: str,
    value: float,
    limits: tuple[float, float],
    raw: float,
    counts: BitCounts,
    confidence: float,
) -> Estimate:
    names = ("pairs_00", "pairs_01", "pairs_10", "pairs_11")
    return Estimate(
        definition=definition,
        value=value,
        low=max(min(limits[0], value), 0.0),
        high=min(max(limits[1], value), 1.0),
        confidence=confidence,
        counts={
            "ones": counts.ones,
            "bits": counts.bits,
            **dict(zip(names, counts.transitions, strict=True)),
        },
        window_ps=None,
        delay_ps=None,
        normalisation="bits",
        raw=raw,
    )
