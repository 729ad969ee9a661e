"""A limit cycle of the excitation power: the light of a rig swings with it as device time passes."""

from __future__ import annotations

import math

from qdhil_sim.light.drift import STEP_PS, Drift
from qdhil_sim.light.setup import CouplingDrift

_STEP_S = STEP_PS * 1e-12


class SwingingLight(Drift):
    """The drift of a rig, times how the excitation follows the power: sin² of half the pulse area.

    The area goes with the square root of the power, so a pi pulse loses light on either side of it, twice a
    period. What the swing does to a pulse's second photon is left out: it is of second order in the swing.

    Parameters
    ----------
    drift
        The drift beneath.
    area_pi
        Pulse area at the mean power, in units of pi.
    swing, period_s
        Amplitude relative to the mean power, and period.
    """

    def __init__(self, drift: Drift, area_pi: float, swing: float, period_s: float) -> None:
        super().__init__(CouplingDrift(), 0)
        self._drift = drift
        self._area_pi = area_pi
        self._swing = swing
        self._period_s = period_s

    def coupling(self, step: int) -> float:
        """Return the coupling in a step of device time, relative to that at the mean power."""
        power = 1 + self._swing * math.sin(2 * math.pi * step * _STEP_S / self._period_s)
        excited = math.sin(math.pi * self._area_pi * math.sqrt(power) / 2) ** 2
        return self._drift.coupling(step) * excited / math.sin(math.pi * self._area_pi / 2) ** 2
