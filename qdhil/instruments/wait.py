"""Wait for an instrument by polling: quick at first, slower later, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST_POLL_S = 0.001
_SLOWEST_POLL_S = 0.25


def wait_until(done: Callable[[], bool], timeout_s: float) -> bool:
    """Poll ``done`` until it holds; return whether it did within ``timeout_s``.

    The pause doubles from 1 ms to 250 ms, so that an instrument on a fast clock costs next to
    nothing and one on a wall clock is not flooded.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_POLL_S
    while not done():
        if time.monotonic() + pause_s > deadline:
            return False
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _SLOWEST_POLL_S)
    return True
