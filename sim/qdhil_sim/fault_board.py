"""The faults of one rig as device time passes: when each begins, how it grows and when it is over."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass

from qdhil_sim.clock import Clock
from qdhil_sim.scenario import LIGHT, Fault


@dataclass(frozen=True)
class Entry:
    """A fault that was set, and how bad it is now."""

    number: int
    fault: Fault
    since_s: float
    """Device time when it was set, from which its onset counts."""
    severity_now: float = 0.0


class FaultBoard:
    """The faults set on one rig.

    The tuple of entries is replaced as a whole, so that levels are read without a lock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._set: tuple[Entry, ...] = ()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def entries(self) -> list[Entry]:
        """Return every fault that was set and not cleared, with its severity now."""
        now_s = self._clock.now_s
        return [Entry(each.number, each.fault, each.since_s, _severity(each, now_s)) for each in self._set]

    def add(self, fault: Fault) -> int:
        """Set a fault, its onset counting from now, and return its number."""
        with self._lock:
            entry = Entry(next(self._numbers), fault, self._clock.now_s)
            self._set = (*self._set, entry)
        return entry.number

    def clear(self, *, number: int | None = None, instrument: str | None = None, kind: str | None = None) -> int:
        """Clear the faults that match everything named, all if nothing is, and return how many they were."""
        with self._lock:
            kept = tuple(
                entry
                for entry in self._set
                if (number is not None and entry.number != number)
                or (instrument is not None and entry.fault.instrument != instrument)
                or (kind is not None and entry.fault.kind != kind)
            )
            cleared = len(self._set) - len(kept)
            self._set = kept
        return cleared

    def level(self, instrument: str, kind: str) -> float:
        """Return the severity of a fault now; the worst if it was set more than once."""
        now_s = self._clock.now_s
        return max(
            (_severity(e, now_s) for e in self._set if (e.fault.instrument, e.fault.kind) == (instrument, kind)),
            default=0.0,
        )

    def light_level(self, kind: str) -> float:
        """Return the severity of a fault of the light now."""
        return self.level(LIGHT, kind)


def _severity(entry: Entry, now_s: float) -> float:
    return entry.fault.severity_at(now_s - entry.since_s)
