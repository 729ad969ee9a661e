"""How a motorised axis moves: a trapezoid of velocity along device time."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Move:
    """One move from rest to rest; positions, velocity and acceleration in the axis's unit and seconds."""

    start_s: float
    origin: float
    target: float
    velocity: float
    acceleration: float

    @classmethod
    def resting(cls, position: float) -> Move:
        """Return a move that is over, at ``position``."""
        return cls(-math.inf, position, position, 1.0, 1.0)

    @property
    def _ramp_s(self) -> float:
        """Time of speeding up; a short move never reaches the velocity."""
        return min(self.velocity / self.acceleration, math.sqrt(abs(self.target - self.origin) / self.acceleration))

    @property
    def duration_s(self) -> float:
        """Time from start to rest."""
        distance, ramp_s = abs(self.target - self.origin), self._ramp_s
        if distance == 0:
            return 0.0
        return 2 * ramp_s + max(0.0, distance - self.acceleration * ramp_s**2) / self.velocity

    @property
    def end_s(self) -> float:
        """Device time at which the axis rests again."""
        return self.start_s + self.duration_s

    def position(self, now_s: float) -> float:
        """Return where the axis is."""
        if now_s >= self.end_s:
            return self.target
        elapsed_s, ramp_s = max(0.0, now_s - self.start_s), self._ramp_s
        left_s = self.duration_s - elapsed_s
        if elapsed_s < ramp_s:
            path = self.acceleration * elapsed_s**2 / 2
        elif left_s < ramp_s:
            path = abs(self.target - self.origin) - self.acceleration * left_s**2 / 2
        else:
            path = self.acceleration * ramp_s * (elapsed_s - ramp_s / 2)
        return self.origin + math.copysign(path, self.target - self.origin)

    def speed(self, now_s: float) -> float:
        """Return the velocity now, with its sign."""
        if not self.start_s < now_s < self.end_s:
            return 0.0
        elapsed_s = now_s - self.start_s
        value = self.acceleration * min(elapsed_s, self._ramp_s, self.duration_s - elapsed_s)
        return math.copysign(value, self.target - self.origin)

    def stopped(self, now_s: float) -> Move:
        """Return the move cut short: it brakes at the acceleration from now on."""
        speed = self.speed(now_s)
        if speed == 0.0:
            return Move.resting(self.position(now_s))
        here = self.position(now_s)
        rest = here + math.copysign(speed**2 / (2 * self.acceleration), speed)
        return Move(now_s, here, rest, abs(speed), self.acceleration)
