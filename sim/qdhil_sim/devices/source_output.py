"""A source with a limit, connected to the dot's diode: what voltage and current there are.

Shared by the source meters. The limit acts in both directions: a voltage source never drives more than
its current limit, a current source never more than its voltage limit.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from qdhil_sim.devices.diode import Diode
from qdhil_sim.environment import Environment

CURRENT_NOISE_A = 0.3e-12
VOLTAGE_NOISE_V = 1e-6
"""Standard deviations of a reading over one power line cycle."""


@dataclass(frozen=True)
class OperatingPoint:
    """What is at the terminals."""

    voltage_v: float = 0.0
    current_a: float = 0.0
    limited: bool = False


class SourceOutput:
    """The output of a source meter and the diode behind it."""

    def __init__(self, environment: Environment, seed: str, diode: Diode | None = None) -> None:
        self._environment = environment
        self._diode = diode or Diode()
        self._random = random.Random(seed)

    def operating_point(self, function: str, level: float, limit: float) -> OperatingPoint:
        """Return voltage in V and current in A of an output that is on.

        Parameters
        ----------
        function
            ``VOLT`` or ``CURR``: what is sourced.
        level, limit
            In V and A, or in A and V; the limit is the magnitude of the other quantity.
        """
        laser_mw = self._environment.laser_mw if self._environment.laser_on else 0.0
        if function == "VOLT":
            current_a = self._diode.current_a(level, laser_mw)
            if abs(current_a) <= limit:
                return OperatingPoint(level, current_a)
            held_a = limit if current_a > 0 else -limit
            return OperatingPoint(self._diode.voltage_v(held_a, laser_mw), held_a, limited=True)
        voltage_v = self._diode.voltage_v(level, laser_mw)
        if abs(voltage_v) <= limit:
            return OperatingPoint(voltage_v, level)
        held_v = limit if voltage_v > 0 else -limit
        return OperatingPoint(held_v, self._diode.current_a(held_v, laser_mw), limited=True)

    def drive(self, point: OperatingPoint | None) -> None:
        """Put a voltage across the dot; None disconnects it."""
        self._environment.bias_on = point is not None
        self._environment.bias_v = 0.0 if point is None else point.voltage_v

    def noisy(self, point: OperatingPoint, cycles: float) -> tuple[float, float]:
        """Return a reading of voltage and current averaged over ``cycles`` power line cycles."""
        scale = max(cycles, 1e-3) ** -0.5
        return (
            point.voltage_v + self._random.gauss(0.0, VOLTAGE_NOISE_V * scale),
            point.current_a + self._random.gauss(0.0, CURRENT_NOISE_A * scale),
        )
