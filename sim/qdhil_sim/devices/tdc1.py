"""The small tagger: S-Fifteen TDC1, a USB serial device with four inputs.

Commands end with CR, LF or a semicolon. ``COUNTS?`` gathers for the time set and answers with the counts
of the inputs, in pairs mode with the coincidences of 1-3, 1-4, 2-3 and 2-4 as well; in timestamp mode it
streams 32-bit words, little endian: 27 bits of time in steps of 2 ns, a dummy bit for the roll-over, and
a bit for each input that fired (TDC1 documentation, "Timestamp mode").
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qdhil_sim.clock import Clock
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.framing.framing import Framing, LineFraming
from qdhil_sim.protocol.framing.instrument import FramedInstrument
from qdhil_sim.protocol.instrument import NotYet
from qdhil_sim.protocol.serial_link import SerialTransport
from qdhil_sim.protocol.server import Transport

STEP_PS = 2000
INPUTS = 4
COINCIDENCE_PS = 10_000
_ROLL_OVER_STEPS = 1 << 27
_SLICE_S = 0.05
_LONGEST_MS = 65535
_PAIRS = ((1, 3), (1, 4), (2, 3), (2, 4))
_HELP = "\r\n".join(
    ["*IDN?", "*RST", "HELP", "TIME <ms>", "TIME?", "SINGLES", "PAIRS", "TIMESTAMP", "MODE?", "COUNTS?", "ABORT",
     "NIM", "TTL", "NEG <v>", "POS <v>", "LEVEL?", "INPKT", "REFCLK <n>", "REFCLK?", "ECLOCK?"]
)  # fmt: skip

Events = tuple[NDArray[np.int64], NDArray[np.int64]]


def no_events(_duration_s: float) -> Events:
    """Return no events: the inputs are open."""
    return np.empty(0, np.int64), np.empty(0, np.int64)


class Tdc1(FramedInstrument):
    """A TDC1.

    ``acquire`` returns the times in ps, sorted and from 0, and the inputs, 1 to 4, of what comes in so many
    seconds; the rack sets it.
    """

    model: ClassVar[str] = "s15-tdc1"
    port: ClassVar[int] = 5000

    def __init__(self, serial: str, _environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"TDC1 {serial}", clock, lock)
        self.acquire: Callable[[float], Events] = no_events
        self._reset()

    def framing(self) -> Framing:
        """Return lines or semicolons in, CR LF out."""
        return LineFraming(b"\r\n", separator=b";")

    def transports(self) -> Mapping[int, Transport]:
        """Return the port as a serial device server offers it."""
        return {self.port: SerialTransport(self)}

    def _reset(self) -> None:
        self._mode = 0
        self._time_ms = 1000
        self._threshold_v = -0.5
        self._reference = 0
        self._counted_until_s: float | None = None

    def answer(self, message: str) -> str | None:
        """Run one command."""
        name, _, argument = message.upper().partition(" ")
        modes = {"SINGLES": 0, "PAIRS": 1, "TIMESTAMP": 3}
        if name in modes:
            self._mode = modes[name]
        elif name in {"NIM", "TTL"}:
            self._threshold_v = -0.5 if name == "NIM" else 1.2
        elif name == "*RST":
            self._reset()
        elif name in {"TIME", "NEG", "POS", "REFCLK"}:
            return self._set(name, argument)
        elif name == "COUNTS?":
            return self._count()
        elif name in self._QUERIES:
            return self._QUERIES[name](self)
        elif name not in {"INPKT", "ABORT"}:
            self.undefined_headers += 1
            return "Unknown command"
        return None

    def _set(self, name: str, argument: str) -> str | None:
        try:
            value = float(argument)
        except ValueError:
            return "Invalid argument"
        if name == "TIME" and 0 <= value <= _LONGEST_MS:
            self._time_ms = int(value)
        elif name == "REFCLK" and value in (0, 1, 2):
            self._reference = int(value)
        elif name in {"NEG", "POS"} and abs(value) <= 3.3:
            self._threshold_v = abs(value) if name == "POS" else -abs(value)
        else:
            return "Argument out of range"
        return None

    def _count(self) -> str:
        """Count for the time set.

        Raises
        ------
        NotYet
            Until that time is over.
        """
        now_s = self.clock.now_s
        until_s = self._counted_until_s
        if until_s is None:
            until_s = self._counted_until_s = now_s + self._time_ms / 1000
        if not self.clock.finish(until_s):
            raise NotYet(until_s)
        self._counted_until_s = None
        times_ps, inputs = self._events(self._time_ms / 1000)
        counts = [int(np.count_nonzero(inputs == number)) for number in (1, 2, 3, 4)]
        if self._mode == 1:
            counts += [_coincidences(times_ps[inputs == a], times_ps[inputs == b]) for a, b in _PAIRS]
        return " ".join(map(str, counts))

    def _events(self, duration_s: float) -> Events:
        """Return what comes in on the four inputs there are."""
        times_ps, inputs = self.acquire(duration_s)
        there = (inputs >= 1) & (inputs <= INPUTS)
        return times_ps[there], inputs[there]

    @property
    def streams(self) -> bool:
        """Whether ``COUNTS?`` streams."""
        return self._mode == 3

    def timestamps(self, stopped: Callable[[], bool]) -> Iterable[bytes]:
        """Yield timestamps for the time set, for ever if it is 0, until ``stopped()``."""
        with self.lock:
            left_s = self._time_ms / 1000 or float("inf")
        elapsed_s = 0.0
        while left_s > 0 and not stopped():
            slice_s = min(_SLICE_S, left_s)
            if not self.clock.turbo or left_s == float("inf"):
                time.sleep(slice_s)
            with self.lock:
                times_ps, inputs = self._events(slice_s)
                self.clock.finish(self.clock.now_s + slice_s)
            yield words(times_ps + round(elapsed_s * 1e12), inputs)
            elapsed_s += slice_s
            left_s -= slice_s

    _QUERIES: ClassVar[dict[str, Callable[[Tdc1], str]]] = {
        "*IDN?": lambda self: self.shown_identity,
        "HELP": lambda _: _HELP,
        "TIME?": lambda self: str(self._time_ms - (1 << 16) * (self._time_ms >= 1 << 15)),
        "MODE?": lambda self: str(self._mode),
        "LEVEL?": lambda self: f"{self._threshold_v:.3f} V",
        "REFCLK?": lambda self: str(self._reference),
        "ECLOCK?": lambda _: "0",
    }


def words(times_ps: NDArray[np.int64], inputs: NDArray[np.int64]) -> bytes:
    """Return timestamps as the device sends them."""
    steps = times_ps // STEP_PS % _ROLL_OVER_STEPS
    return (steps << 5 | 1 << (inputs - 1)).astype("<u4").tobytes()


def _coincidences(first_ps: NDArray[np.int64], second_ps: NDArray[np.int64]) -> int:
    low = np.searchsorted(second_ps, first_ps - COINCIDENCE_PS)
    high = np.searchsorted(second_ps, first_ps + COINCIDENCE_PS)
    return int((high - low).sum())
