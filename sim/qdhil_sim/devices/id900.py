"""The ID900-style tagger: blocks named as in the maker's command tree, SCPI text over ZeroMQ.

Inputs feed counters, histograms and raw outputs; ``RECord:PLAY`` gathers for the record's duration.
Times are in ps, which the instrument calls its time base and writes as ``TB``. Each command is one
ZeroMQ request; an answer that reports an error begins with ``SCPI_ERR_``. Raw tags leave as unsigned
64-bit little-endian ps, one PAIR socket an input (ID900 user guide, "Remote control").
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qdhil_sim.clock import Clock
from qdhil_sim.devices.id900_settings import Id900Settings
from qdhil_sim.devices.tdc1 import Events, no_events
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.link_faults import Buffer
from qdhil_sim.protocol.parameters import boolean_or_integer, choice, text
from qdhil_sim.protocol.scpi import command

INPUTS = (1, 2, 3, 4)
RAW_PORT = 4241
"""Input n sends its tags on this port plus n."""
RESOLUTION_PS = {"HIRES": 1, "LOWRES": 100}
_SWITCH = boolean_or_integer(0, 1)
_ERROR_NAMES = {
    -113: "UNDEFINED_HEADER", -109: "MISSING_PARAMETER", -108: "PARAMETER_NOT_ALLOWED", -222: "DATA_OUT_OF_RANGE",
    -224: "ILLEGAL_PARAMETER_VALUE", -221: "SETTINGS_CONFLICT", -114: "HEADER_SUFFIX_OUT_OF_RANGE",
}  # fmt: skip


class Id900(Id900Settings):
    """An ID900 with four inputs.

    ``acquire`` returns the times in ps, sorted and from 0, and the inputs, 1 to 4, of what comes in so many
    seconds; ``send`` puts tags on an input's raw output and says whether they went out. The rack sets both.
    """

    model: ClassVar[str] = "idq-id900"
    port: ClassVar[int] = 5555
    terminator: ClassVar[bytes] = b""

    def __init__(self, serial: str, _environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"IDQ,ID900,{serial},2.12.0", clock, lock)
        self.acquire: Callable[[float], Events] = no_events
        self.send: Callable[[int, bytes], bool] = lambda _number, _data: True
        self._refusals: list[int] = []
        self._no_answer = False
        self.reset()

    def reset(self) -> None:
        """Return to the state after power-on."""
        self.values.clear()
        self._resolution = "HIRES"
        self._counts = dict.fromkeys(INPUTS, 0)
        self._sending = dict.fromkeys(INPUTS, False)
        self._lost = dict.fromkeys(INPUTS, 0)
        self._links: dict[tuple[str, int], str] = {}
        self._histograms: dict[int, NDArray[np.int64] | None] = dict.fromkeys(INPUTS)
        self._record_end_s: float | None = None
        self._recorded_s = 0.0

    def queue_error(self, error: ScpiError) -> None:
        """Queue an error and note it for the answer."""
        super().queue_error(error)
        self._refusals.append(error.code)

    def run_message(self, message: bytes) -> list[Buffer]:
        """Run one request; its answer is its queries' or the first error."""
        self._refusals.clear()
        answer = super().run_message(message)
        if self._refusals:
            return [f"SCPI_ERR_{_ERROR_NAMES.get(self._refusals[0], 'COMMAND')}".encode()]
        self._no_answer = not answer
        return answer

    def respond(self, message: bytes, abandoned: Callable[[], bool] = lambda: False) -> list[Buffer]:
        """Answer one request; one without an answer gets an empty one, only a silent device sends none."""
        self._no_answer = False
        answer = super().respond(message, abandoned)
        return [b""] if self._no_answer and not answer else answer

    def input_number(self, number: int) -> int:
        """Return the number of an input that exists.

        Raises
        ------
        ScpiError
            -114 if it doesn't.
        """
        if number not in INPUTS:
            raise ScpiError(-114)
        return number

    # Device.

    @command("DEVIce:RESolution", choice("HIRES", "LOWRES"))
    def set_resolution(self, name: str) -> None:
        """Choose the resolution."""
        self._resolution = name

    @command("DEVIce:RESolution?")
    def get_resolution(self) -> str:
        """Return the resolution."""
        return self._resolution

    @command("DEVIce:RESolution:BWIDth?")
    def get_resolution_width(self) -> int:
        """Return the resolution in ps."""
        return RESOLUTION_PS[self._resolution]

    @command("DEVIce:SAMPling:RECAlibrate")
    @command("DEVIce:SAMPling:RECALibrate")
    def recalibrate(self) -> None:
        """Calibrate the inputs."""

    @command("STATe?")
    def get_state(self) -> str:
        """Return RUNNING while a record plays, else IDLE."""
        return "IDLE" if self.collect() else "RUNNING"

    # Inputs.

    @command("INPUt<n>:COUNter?")
    def get_counter(self, number: int) -> int:
        """Return an input's counts: all since the reset, or of one integration time (CYCLE)."""
        self.input_number(number)
        self.collect()
        if self.count_mode[number] == "ACCUM":
            return self._counts[number]
        integration_ms = float(self.integration[number])
        self.clock.finish(self.clock.now_s + integration_ms / 1000)
        return int(np.count_nonzero(self.acquire(integration_ms / 1000)[1] == number))

    @command("INPUt<n>:COUNter:RESEt")
    def reset_counter(self, number: int) -> None:
        """Start counting from 0."""
        self._counts[self.input_number(number)] = 0

    @command("INPUt<n>:HIRES:ERROR?")
    def get_input_error(self, number: int) -> int:
        """Return 0: the input works."""
        return 0 * self.input_number(number)

    @command("INPUt<n>:HIRES:ERROR:CLEAR")
    def clear_input_error(self, number: int) -> None:
        """Clear an input's error."""
        self.input_number(number)

    # Raw tags.

    @command("TSSTatistic<n>:DATA:RAW:SEND", _SWITCH)
    @command("RAW<n>:SEND", _SWITCH)
    def set_sending(self, number: int, state: int) -> None:
        """Send an input's tags, or stop."""
        self._sending[self.input_number(number)] = bool(state)

    @command("TSSTatistic<n>:DATA:RAW:SEND?")
    @command("RAW<n>:SEND?")
    def get_sending(self, number: int) -> str:
        """Return ON or OFF."""
        return "ON" if self._sending[self.input_number(number)] else "OFF"

    @command("TSSTatistic<n>:DATA:RAW:ERROrs?")
    @command("TSSTatistic<n>:DATA:RAW:ERRORS?")
    @command("RAW<n>:ERROrs?")
    @command("RAW<n>:ERRORS?")
    def get_lost(self, number: int) -> int:
        """Return how many tags could not be sent."""
        return self._lost[self.input_number(number)]

    @command("TSSTatistic<n>:DATA:RAW:ERRORS:CLEAr")
    @command("RAW<n>:ERROrs:CLEAr")
    @command("RAW<n>:ERRORS:CLEAr")
    def clear_lost(self, number: int) -> None:
        """Forget them."""
        self._lost[self.input_number(number)] = 0

    # Recording.

    @command("RECord:PLAY")
    def play(self) -> None:
        """Gather for the record's duration, 1 s without another."""
        duration_ps = int(self.duration[()].removesuffix("TB"))
        self._recorded_s = duration_ps * 1e-12
        self._record_end_s = self.clock.now_s + self._recorded_s
        if self.clock.turbo:
            self.collect()

    @command("RECord:STOP")
    def stop(self) -> None:
        """End the record now."""
        if self._record_end_s is not None:
            left_s = max(0.0, self._record_end_s - self.clock.now_s)
            self._recorded_s -= left_s
            self._record_end_s -= left_s
            self.collect()

    @command("RECord:STATus?")
    def get_status(self) -> str:
        """Return PLAYING or STOPPED."""
        return "STOPPED" if self.collect() else "PLAYING"

    def collect(self) -> bool:
        """Return whether no record plays; the end of one fills counters, histograms and raw outputs."""
        if self._record_end_s is None:
            return True
        if not self.clock.finish(self._record_end_s):
            return False
        self._record_end_s = None
        times_ps, inputs = self.acquire(self._recorded_s)
        times_ps = times_ps // RESOLUTION_PS[self._resolution] * RESOLUTION_PS[self._resolution]
        for number in INPUTS:
            mine_ps = times_ps[inputs == number]
            self._counts[number] += len(mine_ps)
            if self._sending[number] and not self.send(number, mine_ps.astype("<u8").tobytes()):
                self._lost[number] += len(mine_ps)
            self._fill_histogram(number, times_ps, inputs)
        return True

    # Histograms: differences from the reference block's tags to the stop block's.

    @command("HISTogram<n>[:INPOrt]:REF:LINK", text)
    def link_reference(self, number: int, block: str) -> None:
        """Choose the reference: INPU1 to 4, or the combiners TSCO5 to 8 that pass them on."""
        self._links["REF", self.input_number(number)] = block.upper()

    @command("HISTogram<n>[:INPOrt]:STOP:LINK", text)
    def link_stop(self, number: int, block: str) -> None:
        """Choose the stop."""
        self._links["STOP", self.input_number(number)] = block.upper()

    @command("HISTogram<n>:FLUSh")
    @command("TSSTatistic<n>:DATA:HISTOgram:FLUSh")
    def flush(self, number: int) -> None:
        """Empty a histogram."""
        self._histograms[self.input_number(number)] = None

    @command("HISTogram<n>:DATA?")
    @command("TSSTatistic<n>:DATA:HISTOgram?")
    def get_histogram(self, number: int) -> str:
        """Return the bins as a list."""
        self.collect()
        _, _, bins = self._axis(self.input_number(number))
        counts = self._histograms[number]
        return "[" + ", ".join(map(str, np.zeros(bins, int) if counts is None else counts)) + "]"

    def _axis(self, number: int) -> tuple[int, int, int]:
        least = int(self.least[number].removesuffix("TB"))
        width = int(self.width[number].removesuffix("TB"))
        return least, width, int(self.bins[number])

    def _fill_histogram(self, number: int, times_ps: NDArray[np.int64], inputs: NDArray[np.int64]) -> None:
        reference, stop = (self._linked_input(role, number) for role in ("REF", "STOP"))
        if reference is None or stop is None:
            return
        least, width, bins = self._axis(number)
        first, second = times_ps[inputs == reference], times_ps[inputs == stop]
        low = np.searchsorted(second, first + least)
        lengths = np.searchsorted(second, first + least + width * bins) - low
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        differences = second[np.repeat(low, lengths) + within] - np.repeat(first, lengths)
        counts = np.bincount((differences - least) // width, minlength=bins)[:bins]
        held = self._histograms[number]
        self._histograms[number] = counts if held is None or len(held) != bins else held + counts

    def _linked_input(self, role: str, number: int) -> int | None:
        block = self._links.get((role, number), "")
        if block.startswith("INPU") and block[-1:].isdigit():
            return int(block[-1])
        return int(block[4:]) - 4 if block.startswith("TSCO") and block[4:].isdigit() else None
