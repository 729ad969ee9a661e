"""One photon or two at the last splitter of an unbalanced Mach-Zehnder interferometer.

Two signal photons on the two inputs follow the exact rule for exponential wave packets: with emission starts
s, times t and lines δ, their interference is

    v = (1 - ε)² exp(-2γ*|t_i - t_j|) cos((δ_i - δ_j)|t_i - t_j|)   where min(t_i, t_j) >= max(s_i, s_j),

else 0; coincidences have the probability T² + R² - 2TRv, and both at a, or both at b, TR(1 + v). Within a
coincidence where both photons could have been at both times, either order has the same amplitude and so
the same odds. All other photons are distinguishable from everything and route on their own.

A photon that met none and could have come from either of two pulses, the other being empty, interferes with
itself: it goes to a with probability sT + lR + 2 sqrt(sTlR) cos φ, where the phase φ turns slowly.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from qdhil_sim.light._compiled import compiled, inlined
from qdhil_sim.light._detection import Frame, Photons
from qdhil_sim.light._emission import Optics
from qdhil_sim.light._patterns import Floats
from qdhil_sim.light._random import Words, uniform


class Signal(NamedTuple):
    """A signal photon: its pulse within the frame; the start of its emission, its emission after that; its line."""

    pulse: int
    start_ps: float
    t_ps: float
    line_per_ps: float


@inlined
def signal_at(rows: Floats, place: int) -> Signal:
    """Return the signal photon of a row."""
    return Signal(int(rows[place, 0]), rows[place, 1], rows[place, 2], rows[place, 3])


@inlined
def keep_signal(rows: Floats, place: int, signal: Signal) -> None:
    """Write a signal photon to a row."""
    rows[place, 0], rows[place, 1] = signal.pulse, signal.start_ps
    rows[place, 2], rows[place, 3] = signal.t_ps, signal.line_per_ps


@compiled
def split_pair(rng: Words, optics: Optics, short: Signal, long: Signal) -> tuple[bool, bool]:
    """Return whether the short arm's photon and the long arm's photon go to detector a."""
    transmitted = optics.to_a
    reflected = 1 - transmitted
    both_at_a = transmitted * reflected
    apart_ps = abs(short.t_ps - long.t_ps)
    met = min(short.t_ps, long.t_ps) >= max(short.start_ps, long.start_ps)
    v = 0.0
    if met and optics.interference > 0:
        v = optics.interference * math.exp(-2 * optics.dephasing_per_ps * apart_ps)
        if short.line_per_ps != long.line_per_ps:
            v *= math.cos((short.line_per_ps - long.line_per_ps) * apart_ps)
    u = uniform(rng) - 2 * both_at_a * (1 + v)
    if u < 0:
        at_a = u < -both_at_a * (1 + v)
        return at_a, at_a
    coincidence = transmitted**2 + reflected**2 - 2 * both_at_a * v
    short_at_a = 0.5 if met else transmitted**2 / (transmitted**2 + reflected**2)
    at_a = u < short_at_a * coincidence
    return at_a, not at_a


@inlined
def goes_to_a(rng: Words, optics: Optics, frame: Frame, t_ps: float, short: bool, coherent: bool) -> bool:
    """Return whether a photon that met none goes to detector a.

    A coherent one may be of either of two pulses, the other being empty, and interferes with itself.
    """
    if not coherent:
        return (uniform(rng) < optics.to_a) == short
    by_short, by_long = optics.to_short * optics.to_a, (1 - optics.to_short) * (1 - optics.to_a)
    turns = optics.scan_per_ps * frame.base_ps
    phase = 2 * math.pi * (turns - math.floor(turns) + optics.scan_per_ps * t_ps)
    at_a: bool = uniform(rng) < by_short + by_long + 2 * math.sqrt(by_short * by_long) * math.cos(phase)
    return at_a


@inlined
def put(photons: Photons, n: int, t_ps: float, at_a: bool) -> int:
    """Send a photon to a detector; return the new count."""
    photons[n, 0], photons[n, 1] = t_ps, at_a
    return n + 1
