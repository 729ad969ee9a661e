"""Photon pairs of the biexciton-exciton cascade behind two polarisation analysers.

A pulse's photons are drawn only where at least one survives to a detector. Ports: 0 and 1 are where the
biexciton's analyser transmits and reflects, 2 and 3 those of the exciton's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qdhil_sim.light._compiled import compiled
from qdhil_sim.light._detection import Frame, Photons
from qdhil_sim.light._patterns import FULL, Floats, draw_pattern, gap, given_one
from qdhil_sim.light._random import Words, exponential, normal, uniform

BIEXCITON, EXCITON, NOISE_BIEXCITON, NOISE_EXCITON = 1, 2, 4, 8
_PATTERNS = 15


class Pairs(NamedTuple):
    """The source, and how likely its photons survive."""

    pair: float
    noise_biexciton: float
    noise_exciton: float
    survives_biexciton: float
    survives_exciton: float
    lifetime_biexciton_ps: float
    lifetime_exciton_ps: float
    phase_per_ps: float
    """S/ħ: how fast the pair's phase turns while the exciton lives."""
    scattered_per_ps: float
    """Rate at which the exciton's polarisation is lost."""
    dephased_per_ps: float
    """Rate at which only the phase between its two states is lost."""
    start_sd_ps: float


class Analysis(NamedTuple):
    """Odds that both analysers transmit: populations + Re(coherence·exp(-iφ))."""

    populations: float
    coherence_real: float
    coherence_imag: float


@compiled
def patterns(source: Pairs, cumulative: Floats) -> float:
    """Fill the cumulative distribution over surviving photons, given one at least; return the scale of the gaps."""
    total = 0.0
    eta, eta_x = source.survives_biexciton, source.survives_exciton
    for pattern in range(_PATTERNS + 1):
        both = eta if pattern & BIEXCITON else 1 - eta
        both *= eta_x if pattern & EXCITON else 1 - eta_x
        probability = source.pair * both
        if not pattern & (BIEXCITON | EXCITON):
            probability += 1 - source.pair
        noise, noise_x = source.noise_biexciton * eta, source.noise_exciton * eta_x
        probability *= noise if pattern & NOISE_BIEXCITON else 1 - noise
        probability *= noise_x if pattern & NOISE_EXCITON else 1 - noise_x
        if pattern:
            total += probability
            cumulative[pattern - 1] = total
    return given_one(cumulative)


@compiled
def both_transmitted(rng: Words, source: Pairs, analysis: Analysis, lived_ps: float) -> float:
    """Return the odds that both photons of a pair are transmitted, for how long its exciton lived."""
    if source.scattered_per_ps > 0 and exponential(rng) < source.scattered_per_ps * lived_ps:
        return 0.25
    if source.dephased_per_ps > 0 and exponential(rng) < source.dephased_per_ps * lived_ps:
        return analysis.populations
    phase = source.phase_per_ps * lived_ps
    return analysis.populations + analysis.coherence_real * math.cos(phase) + analysis.coherence_imag * math.sin(phase)


@compiled
def fill(rng: Words, source: Pairs, analysis: Analysis, frame: Frame, photons: Photons) -> int:
    """Draw the photons of a frame at the four ports; return their count or ``FULL``."""
    cumulative = np.empty(_PATTERNS)
    scale = patterns(source, cumulative)
    n = 0
    pulse = gap(rng, scale) if scale < math.inf else frame.pulses
    while pulse < frame.pulses:
        if n + 4 > photons.shape[0]:
            return FULL
        pattern = draw_pattern(rng, cumulative)
        start_ps = frame.phase_ps + pulse * frame.period_ps + source.start_sd_ps * normal(rng)
        first_ps = start_ps + source.lifetime_biexciton_ps * exponential(rng)
        lived_ps = source.lifetime_exciton_ps * exponential(rng)
        reflected = uniform(rng) >= 0.5
        if pattern & BIEXCITON:
            photons[n, 0], photons[n, 1] = first_ps, reflected
            n += 1
        if pattern & EXCITON:
            same = 0.5
            if pattern & BIEXCITON:  # either port is as likely, so both reflected is as likely as both transmitted
                same = 2 * both_transmitted(rng, source, analysis, lived_ps)
            photons[n, 0], photons[n, 1] = first_ps + lived_ps, 2 + (reflected == (uniform(rng) < same))
            n += 1
        if pattern & NOISE_BIEXCITON:
            photons[n, 0] = start_ps + source.lifetime_biexciton_ps * exponential(rng)
            photons[n, 1] = uniform(rng) >= 0.5
            n += 1
        if pattern & NOISE_EXCITON:
            photons[n, 0] = start_ps + source.lifetime_exciton_ps * exponential(rng)
            photons[n, 1] = 2 + (uniform(rng) >= 0.5)
            n += 1
        pulse += 1 + gap(rng, scale)
    return n
