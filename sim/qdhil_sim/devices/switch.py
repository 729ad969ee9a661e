"""The optical path switch, a DiCon GP600 with one matrix module X1: one input, as many outputs as paths.

Commands are those of the maker's ASCII set: ``X1 CH <in> <out>``, ``X1 CH <in>?``, ``X1 DIM?``. While a
mirror moves nothing is connected; the next command waits until it has arrived.
"""

from __future__ import annotations

import re
import threading

from qdhil_sim.clock import Clock
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import Instrument
from qdhil_sim.protocol.parameters import integer, number
from qdhil_sim.protocol.scpi import command

MOVE_S = 0.020
INPUTS = 1
_MODULE = re.compile(rb"\s*(X\d+)\s+([A-Za-z]+)\s*([^?]*)(\??)\s*\Z", re.IGNORECASE)
_INPUT = integer(0, 64)
_OUTPUT = integer(0, 64)
_WAVELENGTHS_NM = (930.0, 1310.0, 1550.0)


class Switch(Instrument):
    """The switch of one rig.

    Parameters
    ----------
    outputs
        How many outputs the module has; output 0 is "off".
    """

    no_error = "+0, No Error"

    def __init__(self, serial: str, outputs: int, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"DiCon Fiberoptics Inc,GP600,{serial},1.00", clock, lock)
        self._outputs = outputs
        self._position = 0
        self._wavelength_nm = _WAVELENGTHS_NM[0]
        self._save_state = 0

    @property
    def connected_output(self) -> int:
        """The output that light leaves at now; 0 for none."""
        return self._position if self.clock.now_s >= self.busy_until_s else 0

    def normalise(self, text: bytes) -> bytes:
        """Turn ``X1 CH 1 3`` into ``X1_CH 1,3`` and ``X1 CH 1?`` into ``X1_CH? 1``."""
        match = _MODULE.match(text)
        if match is None:
            return text
        module, verb, arguments, query = match.groups()
        return module + b"_" + verb + query + b" " + b",".join(arguments.replace(b",", b" ").split())

    def reset(self) -> None:
        """Disconnect all fibres."""
        self._move(0)

    def _move(self, output: int) -> None:
        if output != self._position:
            self._position = output
            self.busy_until_s = self.clock.now_s + MOVE_S

    def _check_input(self, number_of_input: int) -> None:
        if number_of_input != INPUTS:
            raise ScpiError(-222, f"input {number_of_input}")

    @command("X1_CH", _INPUT, _OUTPUT)
    def connect(self, number_of_input: int, output: int) -> None:
        """Connect an input to an output; output 0 is off."""
        self._check_input(number_of_input)
        if output > self._outputs:
            raise ScpiError(-222, f"output {output}")
        self._move(output)

    @command("X1_CH?", _INPUT)
    def get_connection(self, number_of_input: int) -> str:
        """Return input and output, once the mirror has arrived."""
        self._check_input(number_of_input)
        return f"{number_of_input},{self._position}"

    @command("X1_DIM?")
    def get_dimensions(self) -> str:
        """Return how many inputs and outputs there are."""
        return f"{INPUTS},{self._outputs}"

    @command("X1_W", number("NM", low=400, high=1700))
    def set_wavelength(self, wavelength_nm: float) -> None:
        """Set the working wavelength in nm."""
        self._wavelength_nm = wavelength_nm

    @command("X1_W?")
    def get_wavelength(self) -> str:
        """Return the working wavelength in nm."""
        return f"{self._wavelength_nm:.1f}"

    @command("X1_WAVESAVAIL?")
    def get_wavelengths(self) -> str:
        """Return the calibrated wavelengths in nm."""
        return ",".join(f"{wavelength_nm:.1f}" for wavelength_nm in _WAVELENGTHS_NM)

    @command("SYSTem:CONFig?")
    def get_configuration(self) -> str:
        """Return the modules."""
        return "X1"

    @command("SYSTem:ERRor?")
    def next_error(self) -> str:
        """Return and remove the oldest error in this maker's form."""
        answer = super().next_error()
        if answer == self.no_error:
            return answer
        code, text = answer.split(",", 1)
        return f"{code}, {text.strip(chr(34))}"

    @command("RESET")
    def reset_module(self) -> None:
        """Disconnect all fibres."""
        self.reset()

    @command("VER?")
    def get_version(self) -> str:
        """Return the firmware version."""
        return "1.00"

    @command("WEN", integer(0, 1))
    def set_save_state(self, enabled: int) -> None:
        """Choose whether positions are saved."""
        self._save_state = enabled

    @command("WEN?")
    def get_save_state(self) -> int:
        """Return whether positions are saved."""
        return self._save_state
