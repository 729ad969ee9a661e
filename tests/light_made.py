"""Bright light for short tests, and pair counts compared with closed forms at 4 standard errors."""

from __future__ import annotations

import math

import numpy as np

from qdhil_sim.light import LightStream, PulseControls, Setup

BATCHES = 50
PERIOD_PS = 12_500
BATCH_PULSES = 100_000
BATCH_PS = BATCH_PULSES * PERIOD_PS
CLEAN = {"efficiency": 0.9, "jitter_ps": 20.0}


def bright(**changes):
    """Return a setup so bright that short acquisitions tell, without dead time or dark counts."""
    fields = {
        "rep_rate_hz": 80e6,
        "transmission": 0.4,
        "delay_b_ps": 1250,
        "sync_divider": 8192,
        "emitter": {"lifetime_ps": 200.0, "overlap": 0.95, "leak_photons": 0.01},
        "detector_a": CLEAN,
        "detector_b": CLEAN,
    }
    return Setup.model_validate(fields | changes)


def batches(setup, path, controls=None, seed=1):
    """Yield the times of a and of b in batches of 100,000 periods, b corrected for its delay."""
    stream = LightStream(setup, controls or PulseControls(), path, seed=seed)
    for _ in range(BATCHES):
        words = stream.take(round(BATCH_PULSES * setup.period_ps))
        t_ps, channel = words >> 5, words & 31
        yield t_ps[channel == 2], t_ps[channel == 3] - setup.delay_b_ps


def pairs(a_ps, b_ps, shift_ps, half_ps=PERIOD_PS // 2):
    """Count all pairs with -half <= t_b - t_a - shift < half."""
    low = np.searchsorted(b_ps, a_ps + shift_ps - half_ps)
    high = np.searchsorted(b_ps, a_ps + shift_ps + half_ps)
    return int((high - low).sum())


def peaks(setup, path, orders, controls=None, seed=1):
    """Return pair counts by batch and order of peak."""
    return np.array(
        [
            [pairs(a_ps, b_ps, round(order * setup.period_ps), round(setup.period_ps / 2)) for order in orders]
            for a_ps, b_ps in batches(setup, path, controls, seed)
        ],
        dtype=float,
    )


def agrees(samples, expected):
    """Tell whether the mean over batches is within 4 standard errors of a value."""
    error = np.std(samples, axis=0, ddof=1) / math.sqrt(len(samples))
    # what never happens must be expected never to happen
    z = (np.mean(samples, axis=0) - expected) / np.maximum(error, 1e-12)
    return bool(np.all(np.abs(z) < 4)), z


def ratio_agrees(above, below, expected):
    """Tell whether the ratio of two batch means is within 4 standard errors (delta method) of a value."""
    return agrees(above - expected * below, 0.0)
