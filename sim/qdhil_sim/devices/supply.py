"""The supply of the rig, a Rohde & Schwarz HMP4040: four outputs, the first feeds the controller.

A command acts on the output that ``INSTrument`` selected. An output delivers when it is active
(``OUTPut:SELect``) and the general switch is on (``OUTPut:GENeral``). Device: R&S HMP series user manual,
chapter 6. The controller is a resistive load and runs while it has enough voltage.
"""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.scpi_instrument import ScpiInstrument
from qdhil_sim.devices.setting import Setting, plain
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import boolean, choice, integer, number, optional
from qdhil_sim.protocol.scpi import command

OUTPUTS = 4
CONTROLLER_OUTPUT = 1
CONTROLLER_OHM = 8.0
CONTROLLER_LOWEST_V = 10.8
CONTROLLER_V, CONTROLLER_LIMIT_A = 12.0, 2.5
LARGEST_V, LARGEST_A, LARGEST_W = 32.05, 10.01, 160.0
_VOLTAGE = number("V", low=0, high=LARGEST_V, default=0.0)
_CURRENT = number("A", low=0.0005, high=LARGEST_A, default=0.1)
_ARBITRARY_POINTS = 128


def _milli(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else plain(value)


def _tenth_milli(value: Any) -> str:
    return f"{value:.4f}"


def _selected(supply: Any) -> tuple[int]:
    return (supply.selected,)


class Supply(ScpiInstrument):
    """The supply of one rig."""

    model: ClassVar[str] = "rs-hmp4040"
    port: ClassVar[int] = 5025
    scpi_version = "1995.0"

    selected = Setting("INSTrument:NSELect", parameter=integer(1, OUTPUTS, default=1))
    selected_name = Setting(
        "INSTrument[:SELect]",
        parameter=choice(*(f"OUT{n}" for n in range(1, 5)), *(f"OUTPut{n}" for n in range(1, 5)), default="OUT1"),
        read=lambda supply, _: f"OUTP{supply.selected}",
        write=lambda supply, _, name: setattr(supply, "selected", int(name[-1])),
    )
    voltage_v = Setting(
        "[SOURce:]VOLTage[:LEVel][:IMMediate][:AMPLitude]", parameter=_VOLTAGE, chosen=_selected, form=_milli,
        step=lambda supply: supply.voltage_step_v[supply.selected],
    )  # fmt: skip
    voltage_step_v = Setting(
        "[SOURce:]VOLTage[:LEVel]:STEP[:INCRement]", parameter=number("V", low=0, high=LARGEST_V, default=1.0),
        chosen=_selected, form=_milli,
    )  # fmt: skip
    limit_a = Setting(
        "[SOURce:]CURRent[:LEVel][:IMMediate][:AMPLitude]", parameter=_CURRENT, chosen=_selected, form=_tenth_milli,
        step=lambda supply: supply.current_step_a[supply.selected],
    )  # fmt: skip
    current_step_a = Setting(
        "[SOURce:]CURRent[:LEVel]:STEP[:INCRement]", parameter=number("A", low=0, high=LARGEST_A, default=0.1),
        chosen=_selected, form=_tenth_milli,
    )  # fmt: skip
    protection_v = Setting(
        "[SOURce:]VOLTage:PROTection[:LEVel]", parameter=number("V", low=0.01, high=32.5, default=32.5),
        chosen=_selected, form=_milli,
    )  # fmt: skip
    protection_mode = Setting(
        "[SOURce:]VOLTage:PROTection:MODE", parameter=choice("MEASured", "PROTected", default="MEAS"), chosen=_selected
    )
    fuse = Setting("FUSE[:STATe]", parameter=boolean, reset=False, chosen=_selected)
    fuse_delay_ms = Setting("FUSE:DELay", parameter=integer(0, 250, default=0), chosen=_selected)
    active = Setting("OUTPut:SELect", parameter=boolean, reset=False, chosen=_selected)
    general = Setting("OUTPut:GENeral", parameter=boolean, reset=False)
    repetitions = Setting("ARBitrary:REPetitions", parameter=integer(0, 255, default=0))

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"ROHDE&SCHWARZ,HMP4040,{serial},HW50020001/SW2.62", environment, clock, lock)
        self.voltage_v[CONTROLLER_OUTPUT] = CONTROLLER_V
        self.limit_a[CONTROLLER_OUTPUT] = CONTROLLER_LIMIT_A
        self.active[CONTROLLER_OUTPUT] = self.general = environment.controller_powered
        self._tripped: set[int] = set()
        self._arbitrary: list[float] = []

    def delivered(self, output: int) -> tuple[float, float]:
        """Return voltage in V and current in A of an output; only the first has a load."""
        if not (self.general and self.active[output]) or output in self._tripped:
            return 0.0, 0.0
        voltage_v = self.voltage_v[output]
        if output != CONTROLLER_OUTPUT:
            return voltage_v, 0.0
        current_a = min(voltage_v / CONTROLLER_OHM, self.limit_a[output])
        return current_a * CONTROLLER_OHM, current_a

    def _limited(self, output: int) -> bool:
        on = self.general and self.active[output] and output == CONTROLLER_OUTPUT
        return bool(on and self.voltage_v[output] / CONTROLLER_OHM > self.limit_a[output])

    def apply(self) -> None:
        """Trip what is protected, then feed the controller or not."""
        for output in range(1, OUTPUTS + 1):
            too_high = self.delivered(output)[0] > self.protection_v[output]
            if too_high or (self.fuse[output] and self._limited(output)):
                self._tripped.add(output)
        self.environment.controller_powered = self.delivered(CONTROLLER_OUTPUT)[0] >= CONTROLLER_LOWEST_V

    def reset(self) -> None:
        """Switch every output off."""
        self._tripped.clear()
        super().reset()

    def questionable_condition(self) -> int:
        """Return bit 0 for a voltage that is held back, bit 1 for a current: the first output in current limit."""
        return 0x01 if any(self._limited(output) for output in range(1, OUTPUTS + 1)) else 0

    # Outputs.

    @command("OUTPut[:STATe]", boolean)
    def set_output(self, on: bool) -> None:
        """Make the selected output active and switch it on, or off."""
        self.active[self.selected] = on
        if on:
            self.general = True
            self._tripped.discard(self.selected)
        self.apply()

    @command("OUTPut[:STATe]?")
    def get_output(self) -> int:
        """Return whether the selected output delivers."""
        return int(self.general and self.active[self.selected] and self.selected not in self._tripped)

    @command("APPLy", _VOLTAGE, optional(_CURRENT, None))
    def set_both(self, voltage_v: float, limit_a: float | None) -> None:
        """Set voltage and current limit of the selected output."""
        if voltage_v * (limit_a or 0) > LARGEST_W * 2.01:
            raise ScpiError(-222, "the power is too high")
        self.voltage_v[self.selected] = voltage_v
        if limit_a is not None:
            self.limit_a[self.selected] = limit_a
        self.apply()

    @command("APPLy?")
    def get_both(self) -> str:
        """Return voltage and current limit of the selected output."""
        return f"{self.voltage_v[self.selected]:.3f}, {self.limit_a[self.selected]:.4f}"

    @command("MEASure[:SCALar][:VOLTage][:DC]?")
    def measure_voltage(self) -> str:
        """Return the voltage of the selected output in V."""
        return f"{self.delivered(self.selected)[0]:.3f}"

    @command("MEASure[:SCALar]:CURRent[:DC]?")
    def measure_current(self) -> str:
        """Return the current of the selected output in A."""
        return f"{self.delivered(self.selected)[1]:.4f}"

    @command("[SOURce:]VOLTage:PROTection:TRIPped?")
    @command("FUSE:TRIPped?")
    def get_tripped(self) -> int:
        """Return whether the selected output was switched off by its protection."""
        return int(self.selected in self._tripped)

    @command("[SOURce:]VOLTage:PROTection:CLEar")
    def clear_protection(self) -> None:
        """Let the selected output deliver again."""
        self._tripped.discard(self.selected)
        self.apply()

    @command("FUSE:LINK", integer(1, OUTPUTS))
    @command("FUSE:UNLink", integer(1, OUTPUTS))
    def link_fuse(self, output: int) -> None:
        """Link the selected output's fuse with another's; with one load there is nothing to link."""

    @command("STATus:QUEStionable:INSTrument:ISUMmary<1-4>:CONDition?")
    @command("STATus:QUEStionable:INSTrument:ISUMmary<1-4>[:EVENt]?")
    def get_output_condition(self, output: int) -> int:
        """Return bit 0 while an output limits its current, bit 1 while it holds its voltage."""
        return 1 if self._limited(output) else 2 if self.delivered(output)[0] else 0

    # Arbitrary sequences: kept; the outputs follow their last point when one runs out.

    @command("ARBitrary:DATA", *(number(low=0, high=LARGEST_V),) * 3,
             *(optional(number(low=0, high=LARGEST_V), None),) * (3 * _ARBITRARY_POINTS - 3))  # fmt: skip
    def set_sequence(self, *points: float | None) -> None:
        """Set triplets of voltage in V, current in A and dwell time in s."""
        values = [value for value in points if value is not None]
        if len(values) % 3:
            raise ScpiError(-109, "points are triplets")
        self._arbitrary = values

    @command("ARBitrary:DATA?")
    def get_sequence(self) -> str:
        """Return the triplets of the sequence."""
        return ",".join(f"{value:.3f}" for value in self._arbitrary)

    @command("ARBitrary:TRANsfer", integer(1, OUTPUTS))
    @command("ARBitrary:STARt", integer(1, OUTPUTS))
    def start_sequence(self, output: int) -> None:
        """Run the sequence on an output, which is left at its last point."""
        if not self._arbitrary:
            raise ScpiError(-221, "there is no sequence")
        self.voltage_v[output], self.limit_a[output] = self._arbitrary[-3], self._arbitrary[-2]
        self.apply()

    @command("ARBitrary:STOP", integer(1, OUTPUTS))
    def stop_sequence(self, output: int) -> None:
        """Stop the sequence on an output."""

    @command("ARBitrary:CLEar", optional(integer(1, OUTPUTS), 1))
    def clear_sequence(self, output: int) -> None:
        """Forget the sequence."""
        del output
        self._arbitrary = []

    @command("ARBitrary:SAVE", integer(1, 3))
    def save_sequence(self, store: int) -> None:
        """Keep the sequence in a store."""
        self.values["ARBitrary:STORE", store] = list(self._arbitrary)

    @command("ARBitrary:RESTore", integer(1, 3))
    def restore_sequence(self, store: int) -> None:
        """Return to the sequence of a store."""
        self._arbitrary = list(self.values.get(("ARBitrary:STORE", store), []))

    @command("SYSTem:LOCal")
    @command("SYSTem:REMote")
    @command("SYSTem:RWLock")
    @command("SYSTem:MIX")
    def set_remote(self) -> None:
        """Choose who has the front panel; nobody stands there."""
