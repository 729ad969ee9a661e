"""What Stanford Research instruments share: four-letter commands, and errors by number in ``LERR?``."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.scpi_instrument import ScpiInstrument
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.scpi import command

_JOINED = re.compile(rb"\s*([A-Za-z]{4})(\??)\s*([-+.\d].*)\Z", re.DOTALL)
_ILLEGAL_VALUE, _TOO_MANY_ERRORS = 10, 254
_ERRORS_KEPT = 20


class StanfordInstrument(ScpiInstrument):
    """An instrument of this maker; ``error_numbers`` has the maker's number of each SCPI error it knows."""

    error_numbers: ClassVar[Mapping[int, int]]
    terminator = b"\r\n"

    def __init__(self, identity: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(identity, environment, clock, lock)
        self._last_errors: list[int] = []

    def normalise(self, text: bytes) -> bytes:
        """Put the blank in that these instruments do without: ``FREQ80e6``, ``DLAY?2``."""
        match = _JOINED.match(text)
        return text if match is None else match[1] + match[2] + b" " + match[3]

    def queue_error(self, error: ScpiError) -> None:
        """Queue an error, which ``LERR?`` reports by this maker's number."""
        super().queue_error(error)
        if len(self._last_errors) < _ERRORS_KEPT:
            self._last_errors.append(self.error_numbers.get(error.code, _ILLEGAL_VALUE))
        else:
            self._last_errors[-1] = _TOO_MANY_ERRORS

    @command("*CLS")
    def clear_status(self) -> None:
        """Empty the error queues and the event registers."""
        super().clear_status()
        self._last_errors.clear()

    @command("LERR?")
    def get_last_error(self) -> int:
        """Return the number of the oldest error and remove it; 0 for none."""
        return self._last_errors.pop(0) if self._last_errors else 0
