"""What every instrument does: run messages, keep an error queue and the IEEE 488.2 status registers.

An error never becomes an answer: a refused command queues its SCPI error, sets its bit in the event
status register, and unknown headers are counted as well.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.protocol.answers import Block, LastWords, NotYet
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.link_faults import WRONG_IDENTITY, Buffer, LinkFaults, first_half
from qdhil_sim.protocol.message import split_outside_data
from qdhil_sim.protocol.parameters import integer
from qdhil_sim.protocol.scpi import Command, CommandTable, command, parse_unit

__all__ = ["Block", "Buffer", "Instrument", "LastWords", "NotYet"]
_ERROR_QUEUE_LENGTH = 16
_DEVICE_ERROR = -300
_LONGEST_NAP_S = 0.02
OPERATION_COMPLETE_BIT, POWER_ON_BIT = 0x01, 0x80
ERROR_AVAILABLE_BIT, EVENT_SUMMARY_BIT, MASTER_SUMMARY_BIT = 0x04, 0x20, 0x40


class Abandoned(Exception):  # noqa: N818 - what the client did, not an error
    """The client cleared the device while it waited."""


class _OfThread(threading.local):
    """What belongs to the message that a thread runs."""

    abandoned: Callable[[], bool] | None = None


class Instrument:
    """Base of the simulated instruments; subclasses declare their commands with :func:`command`.

    Parameters
    ----------
    identity
        Answer to ``*IDN?``.
    clock, lock
        Device time and the lock of the rig: one command of a rig runs at a time.
    """

    terminator: ClassVar[bytes] = b"\n"
    no_error: ClassVar[str] = '0,"No error"'
    _table: ClassVar[CommandTable]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._table = CommandTable(cls)

    def __init__(self, identity: str, clock: Clock, lock: threading.RLock) -> None:
        self.link = LinkFaults(identity)
        self.identity = identity
        self.clock = clock
        self.lock = lock
        self.undefined_headers = 0
        self.silent = False
        self.after_command: Callable[[], None] = lambda: None
        """Called, with the rig's lock held, when a command is done: what it did to the bench may matter elsewhere."""
        self.disconnect: Callable[[], None] = lambda: None
        self.busy_until_s = 0.0
        self._thread = _OfThread()
        self._errors: deque[ScpiError] = deque()
        self._event_status = POWER_ON_BIT
        self._event_enable = 0
        self._service_enable = 0

    @property
    def identity(self) -> str:
        """Maker, model, serial and firmware, or what a fault says instead."""
        return WRONG_IDENTITY if self.link.wrong_identity else self._identity

    @identity.setter
    def identity(self, identity: str) -> None:
        self._identity = identity

    # What a device may change.

    def accepts_connections(self) -> bool:
        """Whether a new connection is taken now."""
        return True

    def answers(self) -> bool:
        """Whether the next query is answered at all."""
        return True

    def normalise(self, text: bytes) -> bytes:
        """Rewrite one unit of a dialect into ``header arguments``."""
        return text

    def pending_until_s(self) -> float:
        """Device time at which every overlapped operation is over."""
        return self.busy_until_s

    def reset(self) -> None:
        """Do what ``*RST`` does."""

    def trigger(self) -> None:
        """Do what a group execute trigger does."""

    def inject(self, fault: str, value: Any) -> None:
        """Switch a fault on; ``silent`` with ``False`` ends the silence.

        Raises
        ------
        ValueError
            If this instrument has no such fault.
        """
        if fault == "silent":
            self.silent = value is not False
        elif fault == "wrong_identity":
            self.identity = str(value or WRONG_IDENTITY)
        else:
            raise ValueError(f"{type(self).__name__} has no fault {fault!r}")

    # Running messages.

    def respond(self, message: bytes, abandoned: Callable[[], bool] = lambda: False) -> list[Buffer]:
        """Run one program message and return the buffers of its answer; empty if there is none.

        Parameters
        ----------
        abandoned
            Asked during waits: whether the client has cleared the device, which ends a wait without an answer.
        """
        if self.silent or self.link.half_open:
            return []
        self._queue_device_errors(self.link.errors)
        self._thread.abandoned = abandoned
        try:
            answer = self.run_message(message)
            if not answer or self.link.happens("silent"):
                return []
            self.nap(self.link.delay_s)
        except Abandoned:
            return []
        answer = self.link.damage(answer)
        return LastWords(first_half(answer)) if self.link.happens("reconnect") else answer

    def run_message(self, message: bytes) -> list[Buffer]:
        """Run one message on a link without faults; dialects that are not SCPI override this."""
        answers: list[list[Buffer]] = []
        try:
            path = ""
            for text in split_outside_data(message, b";"):
                if text:
                    path = self._run_unit(text, path, answers)
        except ScpiError as error:
            with self.lock:
                self.queue_error(error)
        if not answers:
            return []
        for answer in answers[1:]:
            answer.insert(0, b";")
        return [part for answer in answers for part in answer] + [self.terminator]

    def nap(self, duration_s: float) -> None:
        """Let some of the host's time pass; the rig's lock is not held.

        Raises
        ------
        Abandoned
            If the client clears the device meanwhile.
        """
        end_s = time.monotonic() + duration_s
        while True:
            if self._thread.abandoned is not None and self._thread.abandoned():
                raise Abandoned
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(left_s, _LONGEST_NAP_S))

    def _queue_device_errors(self, count: int) -> None:
        with self.lock:
            for _ in range(count):
                self.queue_error(ScpiError(_DEVICE_ERROR))

    def queue_error(self, error: ScpiError) -> None:
        """Put an error into the queue; a full queue ends with -350 as SCPI asks."""
        self._event_status |= error.event_status_bit
        if error.code == -113:
            self.undefined_headers += 1
        if len(self._errors) == _ERROR_QUEUE_LENGTH:
            self._errors[-1] = ScpiError(-350)
        else:
            self._errors.append(error)

    def power_on_status(self) -> None:
        """Start the status registers and the error queue afresh."""
        self._errors.clear()
        self._event_status = POWER_ON_BIT
        self._event_enable = self._service_enable = 0

    def status_byte(self) -> int:
        """Return the status byte without the message-available bit, which is the transport's to know."""
        status = ERROR_AVAILABLE_BIT if self._errors else 0
        if self._event_status & self._event_enable:
            status |= EVENT_SUMMARY_BIT
        if status & self._service_enable:
            status |= MASTER_SUMMARY_BIT
        return status

    def _run_unit(self, text: bytes, path: str, answers: list[list[Buffer]]) -> str:
        try:
            unit, path = parse_unit(self.normalise(text), path)
            found, suffixes = self._table.find(unit.header, query=unit.query)
            values = [*suffixes, *found.values(unit.arguments)]
        except ScpiError as error:
            with self.lock:
                self.queue_error(error)
            # After a command error the rest of the message is unusable only if its header was: go on.
            return path
        answer = self._execute(found, values)
        if answer is not None:
            answers.append(answer.buffers() if isinstance(answer, Block) else [str(answer).encode()])
        return path

    def _execute(self, found: Command, values: Sequence[Any]) -> Any:
        while True:
            with self.lock:
                wait_s = self.clock.remaining_s(self.busy_until_s)
                if wait_s <= 0:
                    try:
                        return self._call(found, values)
                    except NotYet as pending:
                        wait_s = self.clock.remaining_s(pending.until_s)
            self.nap(min(wait_s, _LONGEST_NAP_S))

    def _call(self, found: Command, values: Sequence[Any]) -> Any:
        try:
            answer = found.method(self, *values)
        except ScpiError as error:
            self.queue_error(error)
            answer = None
        self.clock.charge_command()
        self.after_command()
        return answer if found.query and answer is not None and self.answers() else None

    # IEEE 488.2 common commands and the error queue.

    @command("*IDN?")
    def get_identity(self) -> str:
        """Return the identity."""
        return self.identity

    @command("*CLS")
    def clear_status(self) -> None:
        """Empty the error queue and the event registers."""
        self._errors.clear()
        self._event_status = 0

    @command("*ESE", integer(0, 255))
    def set_event_enable(self, mask: int) -> None:
        """Set the mask of the event status register."""
        self._event_enable = mask

    @command("*ESE?")
    def get_event_enable(self) -> int:
        """Return the mask of the event status register."""
        return self._event_enable

    @command("*ESR?")
    def get_event_status(self) -> int:
        """Return the event status register and clear it."""
        status, self._event_status = self._event_status, 0
        return status

    @command("*SRE", integer(0, 255))
    def set_service_enable(self, mask: int) -> None:
        """Set the mask of the status byte."""
        self._service_enable = mask & ~MASTER_SUMMARY_BIT

    @command("*SRE?")
    def get_service_enable(self) -> int:
        """Return the mask of the status byte."""
        return self._service_enable

    @command("*STB?")
    def get_status_byte(self) -> int:
        """Return the status byte."""
        return self.status_byte()

    @command("*OPC")
    def note_completion(self) -> None:
        """Set the operation-complete bit when all is done."""
        self.wait()
        self._event_status |= OPERATION_COMPLETE_BIT

    @command("*OPC?")
    def get_completion(self) -> int:
        """Return 1 when all is done."""
        self.wait()
        return 1

    @command("*WAI")
    def wait(self) -> None:
        """Go on when all is done."""
        until_s = self.pending_until_s()
        if not self.clock.finish(until_s):
            raise NotYet(until_s)

    @command("*RST")
    def reset_state(self) -> None:
        """Return to the reset state."""
        self.reset()

    @command("*TST?")
    def self_test(self) -> int:
        """Return 0: passed."""
        return 0

    @command("SYSTem:ERRor[:NEXT]?")
    def next_error(self) -> str:
        """Return and remove the oldest error."""
        if not self._errors:
            return self.no_error
        error = self._errors.popleft()
        return f'{error.code},"{error.text.replace(chr(34), chr(39))}"'

    @command("SYSTem:ERRor:COUNt?")
    def count_errors(self) -> int:
        """Return how many errors wait."""
        return len(self._errors)

    @command("SYSTem:HEADers:UNDefined?")
    def count_undefined_headers(self) -> int:
        """Return how many unknown headers came since power-on."""
        return self.undefined_headers
