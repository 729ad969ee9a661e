"""The cold finger: two first-order thermal masses, a cooler, a heater and a parasitic heat load.

Finger: ``C dT/dt = K (T_base - T) + P_heater + P_load``; sample: follows the finger with a time constant
of its own. Temperatures in K, powers in W, times in s. Steps of constant power are exact (exponentials),
so the result does not depend on how often it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

STEP_S = 0.05
STEADY_K_PER_S = 1e-5
ON_SETPOINT_K = 1e-3
RESTING = 1e-10
"""Change per step, in K or per cent, below which the rest of a wait is skipped."""

FULL_POWER_W = (0.0, 0.5, 5.0, 50.0)
"""Heater power at 100 % in the ranges off, low, medium and high."""


@dataclass
class ColdFinger:
    """State and constants of one cold finger."""

    finger_k: float = 4.0
    sample_k: float = 4.0
    load_w: float = 0.0
    base_k: float = 3.0
    cooling_w_per_k: float = 0.5
    heat_capacity_j_per_k: float = 10.0
    sample_time_constant_s: float = 4.0

    @property
    def time_constant_s(self) -> float:
        """Time constant of the finger, C/K."""
        return self.heat_capacity_j_per_k / self.cooling_w_per_k

    def steady_k(self, heater_w: float) -> float:
        """Temperature that the finger tends to."""
        return self.base_k + (heater_w + self.load_w) / self.cooling_w_per_k

    def step(self, heater_w: float, duration_s: float) -> None:
        """Let time pass at constant heater power."""
        target_k = self.steady_k(heater_w)
        before_k = self.finger_k
        self.finger_k = target_k + (before_k - target_k) * math.exp(-duration_s / self.time_constant_s)
        mean_k = (before_k + self.finger_k) / 2
        decay = math.exp(-duration_s / self.sample_time_constant_s)
        self.sample_k = mean_k + (self.sample_k - mean_k) * decay

    def is_steady(self, heater_w: float) -> bool:
        """Whether neither mass changes by more than ``STEADY_K_PER_S``."""
        finger_rate = (self.steady_k(heater_w) - self.finger_k) / self.time_constant_s
        sample_rate = (self.finger_k - self.sample_k) / self.sample_time_constant_s
        return max(abs(finger_rate), abs(sample_rate)) < STEADY_K_PER_S


@dataclass
class HeaterLoop:
    """A heater with its range and a PID loop, as in the Model 336 manual, section 2.8.

    ``output = P (e + I/100 * integral of e + D/100 * de/dt)`` in per cent of the range's full power, with
    the error in K. The integral is held inside the output's limits (no wind-up).
    """

    setpoint_k: float = 4.0
    gain: float = 50.0
    reset: float = 20.0
    rate: float = 0.0
    manual_percent: float = 0.0
    range_index: int = 2
    mode: int = 1
    integral_percent: float = 0.0
    last_error_k: float = 0.0

    @property
    def full_power_w(self) -> float:
        """Power at 100 % of the range chosen."""
        return FULL_POWER_W[self.range_index]

    @property
    def fixed_percent(self) -> float | None:
        """Output in per cent when the loop is open or off; None when it is closed."""
        if self.mode == 1 and self.range_index != 0:
            return None
        return max(self.manual_percent, 0.0) if self.mode == 3 else 0.0

    def percent(self, temperature_k: float, duration_s: float) -> float:
        """Advance the loop by one step and return its output in per cent of full power."""
        if (fixed_percent := self.fixed_percent) is not None:
            self.integral_percent = 0.0
            return fixed_percent
        error_k = self.setpoint_k - temperature_k
        slope = (error_k - self.last_error_k) / duration_s
        self.last_error_k = error_k
        proportional = self.gain * error_k + self.manual_percent
        self.integral_percent += self.gain * self.reset / 100 * error_k * duration_s
        self.integral_percent = min(max(self.integral_percent, -proportional), 100 - proportional)
        derivative = self.gain * self.rate / 100 * slope
        return min(max(proportional + self.integral_percent + derivative, 0.0), 100.0)


class ThermalSystem:
    """Cold finger and heater loop advanced together along device time, in steps of ``STEP_S``."""

    def __init__(self, now_s: float) -> None:
        self.finger = ColdFinger()
        self.loop = HeaterLoop()
        self.ramp_k_per_s = 0.0
        self.target_k = self.loop.setpoint_k
        heater_w = self.finger.cooling_w_per_k * (self.target_k - self.finger.base_k)
        self.output_percent = self.loop.integral_percent = 100 * heater_w / self.loop.full_power_w
        self._time_s = now_s

    @property
    def heater_w(self) -> float:
        """Heater power now."""
        return self.output_percent / 100 * self.loop.full_power_w

    @property
    def ramping(self) -> bool:
        """Whether the setpoint is on its way to its target."""
        return self.loop.setpoint_k != self.target_k

    @property
    def steady(self) -> bool:
        """Whether nothing moves any more."""
        return self._regulated and not self.ramping and self.finger.is_steady(self.heater_w)

    @property
    def _regulated(self) -> bool:
        """Whether the heater's output will stay as it is."""
        fixed_percent = self.loop.fixed_percent
        if fixed_percent is not None:
            return self.output_percent == fixed_percent
        error_k = self.loop.setpoint_k - self.finger.finger_k
        saturated = self.output_percent == 0 if error_k < 0 else self.output_percent == 100
        return saturated or abs(error_k) < ON_SETPOINT_K

    def advance_to(self, now_s: float) -> None:
        """Let device time pass until ``now_s``."""
        while now_s - self._time_s >= STEP_S:
            before = (self.finger.finger_k, self.finger.sample_k, self.output_percent)
            self._step()
            after = (self.finger.finger_k, self.finger.sample_k, self.output_percent)
            if not self.ramping and max(abs(b - a) for a, b in zip(after, before, strict=True)) < RESTING:
                self._time_s += (now_s - self._time_s) // STEP_S * STEP_S

    def settle(self, done: Callable[[], bool], limit_s: float) -> float:
        """Let time pass until ``done()``, at most ``limit_s``; return the device time then."""
        end_s = self._time_s + limit_s
        while not done() and self._time_s < end_s:
            self._step()
        return self._time_s

    def set_target(self, target_k: float) -> None:
        """Choose a setpoint; with a ramp it is approached at the ramp's rate."""
        self.target_k = target_k
        if self.ramp_k_per_s == 0:
            self.loop.setpoint_k = target_k

    def _step(self) -> None:
        if self.ramping:
            most_k = self.ramp_k_per_s * STEP_S
            gap_k = self.target_k - self.loop.setpoint_k
            near = most_k == 0 or abs(gap_k) <= most_k
            self.loop.setpoint_k = self.target_k if near else self.loop.setpoint_k + math.copysign(most_k, gap_k)
        self.output_percent = self.loop.percent(self.finger.finger_k, STEP_S)
        self.finger.step(self.heater_w, STEP_S)
        self._time_s += STEP_S
