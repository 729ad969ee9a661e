"""The odds of light at the detectors in one slot behind the last splitter, enumerated photon by photon.

The rules are those of the event sampler: two signal photons on the two inputs of the last splitter
interfere, everything else routes on its own. A pulse's light takes part in two slots, now by the short arm
and later by the long arm; bits stand for detectors that it reaches, 1 for a and 2 for b.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qdhil_sim.light.controls import PulsePhotons

Floats = npt.NDArray[np.float64]

SHARES = 8
"""What a pulse can leave in the long arm: 4 for a signal photon, plus the bits that its noise will reach."""


class Routing(NamedTuple):
    """How light gets from the emitter to the detectors."""

    survival: float
    """Transmission from the emitter to the last splitter."""
    to_short: float
    to_a: float
    efficiency_a: float
    efficiency_b: float
    interference: float
    """Mean of the interference term v over pairs of signal photons."""


def slot_odds(photons: PulsePhotons, routing: Routing) -> Floats:
    """Return the odds of (new share of the long arm, light at a, light at b) for each oldest share.

    A share is signal·4 + noise, where bit 0 of noise stands for detector a and bit 1 for b.
    """
    pulse, signals = _pulse(photons, routing), _signal_light(routing)
    slot = np.zeros((SHARES, SHARES, 2, 2))
    for old in range(SHARES):
        old_signal, old_noise = divmod(old, 4)
        for where, now, later in np.argwhere(pulse > 0).tolist():
            short, new = int(where == 1), 4 * int(where == 2) + later
            for light in range(4):
                seen = light | now | old_noise
                slot[old, new, seen & 1, seen >> 1] += pulse[where, now, later] * signals[short, old_signal, light]
    return slot


def _pulse(photons: PulsePhotons, routing: Routing) -> Floats:
    """Return the odds of (signal lost, short or long; detectors that noise reaches in this slot; and later)."""
    total = np.zeros((3, 16))
    alive, short = routing.survival, routing.to_short
    for excited in (True, False):
        signal = [1 - alive, alive * short, alive * (1 - short)] if excited else [1.0, 0.0, 0.0]
        noise = _either(
            _noise(photons.leak, routing),
            _noise(photons.spurious * (photons.decayed if excited else 1.0), routing),
        )
        if excited:
            noise = _either(noise, _noise(photons.reexcitation, routing))
        total += (photons.signal if excited else 1 - photons.signal) * np.outer(signal, noise)
    return total.reshape(3, 4, 4).swapaxes(1, 2)


def _noise(chance: float, routing: Routing) -> Floats:
    """Return the odds of the detectors that a noise photon reaches; bits: a and b now, a and b later."""
    alive, short, to_a = chance * routing.survival, routing.to_short, routing.to_a
    odds = np.zeros(16)
    odds[1] = alive * short * to_a * routing.efficiency_a
    odds[2] = alive * short * (1 - to_a) * routing.efficiency_b
    odds[4] = alive * (1 - short) * (1 - to_a) * routing.efficiency_a
    odds[8] = alive * (1 - short) * to_a * routing.efficiency_b
    odds[0] = 1 - odds.sum()
    return odds


def _either(first: Floats, second: Floats) -> Floats:
    """Return the odds of the detectors that either of two independent photons reaches."""
    odds = np.zeros_like(first)
    for i, p in enumerate(first):
        for j, q in enumerate(second):
            odds[i | j] += p * q
    return odds


def _signal_light(routing: Routing) -> Floats:
    """Return the odds of the detectors that signal photons of the (short, long) arm reach in one slot."""
    t, a, b = routing.to_a, routing.efficiency_a, routing.efficiency_b
    r, v = 1 - t, routing.interference
    apart, together = t**2 + r**2 - 2 * t * r * v, t * r * (1 + v)
    odds = np.zeros((2, 2, 4))
    odds[1, 0, 1:3] = t * a, r * b
    odds[0, 1, 1:3] = r * a, t * b
    odds[1, 1, 1] = apart * a * (1 - b) + together * (1 - (1 - a) ** 2)
    odds[1, 1, 2] = apart * b * (1 - a) + together * (1 - (1 - b) ** 2)
    odds[1, 1, 3] = apart * a * b
    odds[..., 0] = 1 - odds.sum(axis=-1)
    return odds
