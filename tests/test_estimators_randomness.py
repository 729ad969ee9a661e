"""Min-entropy of bits."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from estimators_made import FEWEST, MOST, held
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.metrics import BitCounts, markov, min_entropy, most_common_value


def _chain(rng, bits, up, down):
    """Bits of a Markov chain."""
    draws, state, out = rng.random(bits), 0, np.empty(bits, np.int64)
    for i in range(bits):
        state = int(draws[i] < up) if state == 0 else int(draws[i] >= down)
        out[i] = state
    return BitCounts.of(out)


def test_most_common_value_is_the_standard_formula():
    counts = BitCounts(5200, 10_000, (2000, 2000, 2000, 3999))
    upper = 0.52 + 2.576 * math.sqrt(0.52 * 0.48 / 9999)
    estimate = most_common_value(counts)
    assert estimate.value == pytest.approx(-math.log2(upper))
    assert estimate.raw == pytest.approx(-math.log2(0.52))


@pytest.mark.parametrize("bits", [1000, 100_000])
def test_most_common_value_covers(bits):
    hits = held(
        lambda rng: most_common_value(BitCounts(int(rng.binomial(bits, 0.55)), bits, (0, 0, 0, 0))),
        -math.log2(0.55),
    )
    assert hits >= FEWEST
    if bits > 1000:
        assert hits <= MOST


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100), st.integers(1, 100), st.integers(1, 100), st.integers(0, 100))
def test_markov_is_the_likeliest_sequence(n00, n01, n10, n11):
    """Against the best of all sequences by dynamic programming."""
    zeros, ones = 10 * (n00 + n01), 10 * (n10 + n11)
    scale = math.ceil(1000 / (zeros + ones))
    counts = BitCounts(ones * scale, (zeros + ones) * scale, (n00 * scale, n01 * scale, n10 * scale, n11 * scale))
    start = np.log2(np.maximum([zeros, ones], 1e-300) / (zeros + ones))
    steps = np.array([[n00, n01], [n10, n11]], float)
    with np.errstate(divide="ignore"):
        steps = np.log2(steps / steps.sum(axis=1, keepdims=True))
    best = start
    for _ in range(127):
        best = (best[:, None] + steps).max(axis=0)
    assert markov(counts).value == pytest.approx(min(-float(best.max()) / 128, 1.0), abs=1e-9)


def test_markov_covers_and_sees_dead_time():
    """The interval is over corners and so wide: at least 930 of 1000."""
    up, down = 0.55, 0.6
    truth = markov(BitCounts(550_000, 1_150_000, (270_000, 330_000, 330_000, 220_000))).value
    rng = np.random.default_rng(1)
    found = [markov(_chain(rng, 2000, up, down)) for _ in range(100)]
    assert sum(e.low <= truth <= e.high for e in found) >= 93
    seen = _chain(rng, 200_000, 0.6, 0.6)
    # no bias, but the same detector twice in a row is rare
    assert most_common_value(seen).value > 0.98
    assert min_entropy(seen).definition == "qrng.min_entropy.markov"
    assert min_entropy(seen).value == pytest.approx(-math.log2(0.6), abs=0.01)


def test_bits_of_blocks_add():
    rng = np.random.default_rng(2)
    one, two = (rng.integers(0, 2, 1500) for _ in range(2))
    both = BitCounts.of(one) + BitCounts.of(two)
    whole = BitCounts.of(np.concatenate((one, two)))
    assert (both.ones, both.bits) == (whole.ones, whole.bits)
    # only the pair across the border is missing
    assert sum(whole.transitions) - sum(both.transitions) == 1
    brute = [int(np.sum((one[:-1] == a) & (one[1:] == b))) for a, b in product((0, 1), repeat=2)]
    assert BitCounts.of(one).transitions == tuple(brute)


def test_refusals():
    with pytest.raises(ValueError, match="too few"):
        most_common_value(BitCounts.of([0, 1] * 100))
    with pytest.raises(ValueError, match="0 and 1"):
        BitCounts.of([0, 1, 2])
    with pytest.raises(ValueError, match="never occurs"):
        markov(BitCounts.of(np.zeros(2000, np.int64)))
