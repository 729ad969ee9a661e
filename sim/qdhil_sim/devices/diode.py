"""The diode that holds the dot: current against voltage at low temperature.

A p-i-n diode with ideality-limited forward current, shunt and series resistance, photocurrent of the
laser, and reverse breakdown. The junction's voltage V_j is the parameter that both terminal quantities
are monotonic in:

    I = I_s (exp(V_j / nV_t) - 1) + V_j / R_shunt - I_photo - I_s exp(-(V_j + V_b) / V_a),   V = V_j + I R_series.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_LARGEST_EXPONENT = 300.0
_LOWEST_V, _HIGHEST_V = -250.0, 40.0
_HALVINGS = 80


@dataclass(frozen=True)
class Diode:
    """Constants of one diode; defaults turn on at 1.5 V (GaAs at 4 K) and break down at -12 V."""

    turn_on_v: float = 1.5
    turn_on_current_a: float = 1e-6
    ideality_voltage_v: float = 0.040
    shunt_ohm: float = 1e9
    series_ohm: float = 1e3
    breakdown_v: float = 12.0
    avalanche_voltage_v: float = 0.1
    photocurrent_a_per_mw: float = 20e-12

    def junction_current_a(self, junction_v: float, laser_mw: float) -> float:
        """Return the current in A at a junction voltage."""
        forward = _exp((junction_v - self.turn_on_v) / self.ideality_voltage_v)
        reverse = _exp(-(junction_v + self.breakdown_v) / self.avalanche_voltage_v)
        leak_a = junction_v / self.shunt_ohm - self.photocurrent_a_per_mw * laser_mw
        return self.turn_on_current_a * (forward - reverse) + leak_a

    def current_a(self, voltage_v: float, laser_mw: float = 0.0) -> float:
        """Return the current in A at a terminal voltage."""

        def excess_v(junction_v: float) -> float:
            return junction_v + self.junction_current_a(junction_v, laser_mw) * self.series_ohm - voltage_v

        return self.junction_current_a(_root(excess_v), laser_mw)

    def voltage_v(self, current_a: float, laser_mw: float = 0.0) -> float:
        """Return the terminal voltage in V at a current."""
        junction_v = _root(lambda tried_v: self.junction_current_a(tried_v, laser_mw) - current_a)
        return junction_v + current_a * self.series_ohm


def _exp(exponent: float) -> float:
    return math.exp(min(exponent, _LARGEST_EXPONENT))


def _root(increasing: Callable[[float], float]) -> float:
    low, high = _LOWEST_V, _HIGHEST_V
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if increasing(middle) > 0:
            high = middle
        else:
            low = middle
    return (low + high) / 2
