"""The time tagger TAGGER-8: acquisitions of fixed duration, handed out in checked blocks of tags.

``ACQ:DUR 1.0;STAR``, then ``TAGS:DATA? <n>`` until a block is empty and ``ACQ:STAT?`` says DONE. Each
block holds :func:`qdhil.tags.wire.encode_block`; blocks, empty ones too, count up from 0 in each acquisition.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

from qdhil.errors import ConfigurationError
from qdhil.tags.wire import HEADER_BYTES, encode_block
from qdhil_sim.clock import Clock
from qdhil_sim.devices.acquisition import FIFO_TAGS, Acquisition, Light
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import Block, Instrument
from qdhil_sim.protocol.parameters import integer, number
from qdhil_sim.protocol.scpi import command

DURATION_LIMITS_S = (1e-6, 3600.0)
MAX_BLOCK_TAGS = 1 << 23
GATE_S = 0.02
_LARGEST_FAULT = 1 << 24
_SOME_TAGS = integer(1, MAX_BLOCK_TAGS)


class Tagger(Instrument):
    """The tagger of one rig.

    Parameters
    ----------
    open_light
        Returns the light as it is now, from now on; its argument tells the acquisition's random numbers
        from those of other acquisitions.
    """

    def __init__(self, serial: str, open_light: Callable[[int], Light], clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"QDHIL,TAGGER-8,{serial},2.1.0", clock, lock)
        self._open_light = open_light
        self._duration_s = 1.0
        self._acquisitions = 0
        self._gates = 0
        self._acquisition: Acquisition | None = None
        self._next_block_fault: dict[str, int] = {}

    def inject(self, fault: str, value: Any) -> None:
        """Switch a fault on: ``crc``, ``sequence`` and ``drop`` hit the next block that holds tags."""
        if fault in {"crc", "sequence", "drop"}:
            count = 1 if value is None else int(value)
            if not 1 <= count <= _LARGEST_FAULT:
                raise ValueError(f"{fault} is a number from 1 to {_LARGEST_FAULT}, not {value!r}")
            self._next_block_fault[fault] = count
        else:
            super().inject(fault, value)

    def feed(self) -> None:
        """In real time, take in the light that has come; called at short intervals."""
        if self._acquisition is not None and not self.clock.turbo:
            self._acquisition.draw_until(self.clock.now_s)

    def pending_until_s(self) -> float:
        """End of the acquisition."""
        return self._acquisition.end_s if self._acquisition else 0.0

    def reset(self) -> None:
        """Stop and discard; durations return to 1 s."""
        self._acquisition = None
        self._duration_s = 1.0

    @command("ACQuire:DURation", number("S", low=DURATION_LIMITS_S[0], high=DURATION_LIMITS_S[1]))
    def set_duration(self, duration_s: float) -> None:
        """Set the duration of the next acquisition in s."""
        self._duration_s = duration_s

    @command("ACQuire:DURation?")
    def get_duration(self) -> str:
        """Return the duration of the next acquisition in s."""
        return f"{self._duration_s:.9g}"

    @command("ACQuire:STARt")
    def start(self) -> None:
        """Start an acquisition; what is left of the last one is discarded."""
        now_s = self.clock.now_s
        if self._acquisition is not None and now_s < self._acquisition.end_s:
            raise ScpiError(-213, "an acquisition is running")
        try:
            light = self._open_light(self._acquisitions + 1)
        except ConfigurationError as error:
            raise ScpiError(-310, str(error)) from error
        self._acquisitions += 1
        fifo_tags = None if self.clock.turbo else FIFO_TAGS
        self._acquisition = Acquisition(self._acquisitions, light, now_s, self._duration_s, fifo_tags)

    @command("ACQuire:STOP")
    def stop(self) -> None:
        """End the acquisition now."""
        if self._acquisition is not None:
            self._acquisition.stop(self.clock.now_s)

    @command("ACQuire:STATe?")
    def get_state(self) -> str:
        """Return IDLE, RUN or DONE; in turbo asking sees the acquisition done."""
        if self._acquisition is None:
            return "IDLE"
        return "DONE" if self.clock.finish(self._acquisition.end_s) else "RUN"

    @command("ACQuire:ID?")
    def get_id(self) -> int:
        """Return the id of the last acquisition; 0 if there was none."""
        return self._acquisitions

    @command("ACQuire:PROGress?")
    def get_progress(self) -> str:
        """Return how long light has been taken, in s."""
        done_s = self._acquisition.progress_s(self.clock.now_s) if self._acquisition else 0.0
        return f"{done_s:.6f}"

    @command("TAGS:DATA?", _SOME_TAGS)
    def get_tags(self, count: int) -> Block:
        """Return the next block of up to ``count`` tags; empty when none wait."""
        acquisition = self._running()
        if self.clock.turbo:
            acquisition.draw_tags(count)
            self.clock.finish(acquisition.start_s + acquisition.drawn_s)
        else:
            acquisition.draw_until(self.clock.now_s)
        return self._next_block(acquisition, count)

    @command("TAGS:DROPped?")
    def get_dropped(self) -> int:
        """Return how many tags of the acquisition were lost."""
        return self._acquisition.dropped if self._acquisition else 0

    @command("INPut<n>:COUNt?")
    def get_count_rate(self, channel: int) -> str:
        """Return the count rate of an input in 1/s, over a gate of 20 ms."""
        if not 0 <= channel <= 30:
            raise ScpiError(-114)
        self._gates += 1
        tags = self._open_light(-self._gates).take(round(GATE_S * 1e12))
        if self.clock.turbo:
            self.clock.finish(self.clock.now_s + GATE_S)
        return f"{int((tags & 31 == channel).sum()) / GATE_S:.1f}"

    def _running(self) -> Acquisition:
        if self._acquisition is None:
            raise ScpiError(-230, "no acquisition was started")
        return self._acquisition

    def _next_block(self, acquisition: Acquisition, count: int) -> Block:
        tags = acquisition.fetch(count)
        fault = {}
        if tags.size:
            fault, self._next_block_fault = self._next_block_fault | self._lasting_faults(tags.size), {}
        if lost := min(fault.get("drop", 0), tags.size):
            tags = tags[lost:]
            acquisition.dropped += lost
        acquisition.sequence += fault.get("sequence", 0)
        data = encode_block(
            tags, sequence=acquisition.sequence, acquisition=acquisition.number, dropped=acquisition.dropped
        )
        acquisition.sequence += 1
        return Block(_flip_bit(data) if "crc" in fault else data)

    def _lasting_faults(self, count: int) -> dict[str, int]:
        """Return the faults that strike this block of ``count`` tags, with their values."""
        faults = {kind: 1 for kind in ("crc", "sequence") if self.link.happens(kind)}
        if share := self.link.severity("drop"):
            faults["drop"] = math.ceil(share * count)
        return faults


def _flip_bit(data: bytes) -> bytes:
    at = HEADER_BYTES + (len(data) - HEADER_BYTES) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if at < len(data) else data
