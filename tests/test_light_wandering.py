"""The dot's slow states: exact laws across the seams of frames, and within them (4 standard errors)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qdhil_sim.light._random import new_state
from qdhil_sim.light._wandering import Dot, Wanderer, diffused, first_look, look

FRAME_PS = 1000.0
WALKS = 4000
TIMES_PS = (100.0, 950.0, 1050.0, 1900.0, 2600.0)


def walks(dot, value_at):
    """Return the state at ``TIMES_PS`` over three frames, for many seeds."""
    rows = []
    for seed in range(WALKS):
        wanderer, row = Wanderer(dot, [seed, 1]), []
        for frame in range(3):
            wandering = wanderer.over(FRAME_PS)
            rng = new_state(np.random.SeedSequence([seed, frame]))
            row += value_at(rng, wandering, [t - frame * FRAME_PS for t in TIMES_PS if t // FRAME_PS == frame])
        rows.append(row)
    return np.array(rows, dtype=float)


@pytest.mark.parametrize("correlation_ps", [100.0, 700.0, 5000.0])
def test_blinking_is_a_telegraph(correlation_ps):
    """Mean, and correlation of every pair of times; 16 comparisons."""
    dot = Dot(0.3, correlation_ps, 0.0, 1.0, 0.0)

    def value_at(rng, wandering, times_ps):
        on, look_ps = first_look(rng, dot, wandering)
        values = []
        for t_ps in times_ps:
            if t_ps >= look_ps:
                on, look_ps = look(rng, dot, wandering, t_ps)
            values.append(on)
        return values

    states = walks(dot, value_at)
    assert np.all(np.abs(states.mean(axis=0) - 0.3) < 4 * math.sqrt(0.21 / WALKS))
    for i, early_ps in enumerate(TIMES_PS):
        for j in range(i):
            expected = 0.3 * (0.3 + 0.7 * math.exp(-(early_ps - TIMES_PS[j]) / correlation_ps))
            error = math.sqrt(expected * (1 - expected) / WALKS)
            assert abs((states[:, i] * states[:, j]).mean() - expected) < 4 * error


@pytest.mark.parametrize("correlation_ps", [20.0, 700.0, 5000.0])
def test_diffusion_is_an_ornstein_uhlenbeck_process(correlation_ps):
    """Variance, and correlation of every pair of times; 16 comparisons."""
    dot = Dot(1.0, 0.0, 2.0, correlation_ps, 0.0)

    def value_at(rng, wandering, times_ps):
        line, since_ps, values = wandering.detuning_per_ps, 0.0, []
        for t_ps in times_ps:
            line, since_ps = diffused(rng, dot, wandering, line, since_ps, t_ps), t_ps
            values.append(line)
        return values

    lines = walks(dot, value_at) / 2.0
    assert np.all(np.abs(lines.mean(axis=0)) < 4 / math.sqrt(WALKS))
    assert np.all(np.abs(lines.var(axis=0) - 1) < 4 * math.sqrt(2 / WALKS))
    for i, early_ps in enumerate(TIMES_PS):
        for j in range(i):
            expected = math.exp(-(early_ps - TIMES_PS[j]) / correlation_ps)
            error = math.sqrt((1 + expected**2) / WALKS)
            assert abs((lines[:, i] * lines[:, j]).mean() - expected) < 4 * error
