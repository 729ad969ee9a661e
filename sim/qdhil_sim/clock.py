"""Device time of one rig: real, or as fast as the client asks.

In ``realtime`` device time is the host's monotonic clock. In ``turbo`` it stands still between
commands, except that

- acquiring light moves it by the time acquired,
- asking after a pending operation (boot, lock, settling, acquisition) moves it to the operation's end,
- each command costs 1 ms.

A client that polls in the ordinary way therefore never waits, and the same client works in real time.
"""

from __future__ import annotations

import time
from typing import Literal

COMMAND_COST_S = 1e-3


class Clock:
    """Device time in seconds since the rig was switched on."""

    def __init__(self, kind: Literal["turbo", "realtime"]) -> None:
        self.turbo = kind == "turbo"
        self._origin_s = time.monotonic()
        self._turbo_s = 0.0

    @property
    def now_s(self) -> float:
        """Device time now."""
        return self._turbo_s if self.turbo else time.monotonic() - self._origin_s

    def charge_command(self) -> None:
        """Let the time of one command pass."""
        self._turbo_s += COMMAND_COST_S

    def finish(self, until_s: float) -> bool:
        """Return whether an operation that ends at ``until_s`` is over; in turbo, asking makes it so."""
        if self.turbo:
            self._turbo_s = max(self._turbo_s, until_s)
        return self.now_s >= until_s

    def remaining_s(self, until_s: float) -> float:
        """Return the wait in seconds of the host until ``until_s``; never more than 0 in turbo."""
        return 0.0 if self.finish(until_s) else until_s - self.now_s
