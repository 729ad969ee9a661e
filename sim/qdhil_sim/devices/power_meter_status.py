"""Command trees of the power meter that repeat for every quantity or every status register.

``CONFigure`` and ``MEASure`` take each quantity by name; the status tree has two registers more than SCPI
asks for (``MEASurement`` and ``AUXillary``, spelled as in the maker's manual).
"""

from __future__ import annotations

from typing import Any

from qdhil_sim.devices.scpi_instrument import ScpiInstrument
from qdhil_sim.devices.setting import Setting, plain, short_form
from qdhil_sim.protocol.parameters import integer
from qdhil_sim.protocol.scpi import Command, command, declared_command

QUANTITIES = (
    "[:POWer]", ":CURRent[:DC]", ":VOLTage[:DC]", ":PDENsity", ":TEMPerature", ":RESistance", ":FREQuency",
    ":ENERgy", ":EDENsity",
)  # fmt: skip
MEASURED_BIT, SENSOR_BIT = 0x200, 0x20
_MASK = integer(0, 65535, default=0)


class QuantityCommands:
    """``CONFigure``, ``MEASure`` and ``MEASure?`` of every quantity."""

    def __init__(self) -> None:
        self.scpi_commands: list[Command] = []
        for node in QUANTITIES:
            quantity = short_form(node.strip("[:").replace("]", ""))
            configure, measure = _configure(quantity), _measure(quantity)
            self.scpi_commands += [
                declared_command(f"CONFigure[:SCALar]{node}", configure),
                declared_command(f"MEASure[:SCALar]{node}", measure),
                declared_command(f"MEASure[:SCALar]{node}?", measure),
            ]


def _configure(quantity: str) -> Any:
    def choose(meter: PowerMeterStatus) -> None:
        meter.choose(quantity)

    return choose


def _measure(quantity: str) -> Any:
    def measure(meter: PowerMeterStatus) -> str:
        return plain(meter.measure_now(quantity))

    return measure


class PowerMeterStatus(ScpiInstrument):
    """What repeats; the meter itself says what a quantity's value is."""

    quantities = QuantityCommands()
    measurement_enable = Setting("STATus:MEASurement:ENABle", parameter=_MASK)
    measurement_positive = Setting("STATus:MEASurement:PTRansition", parameter=_MASK)
    measurement_negative = Setting("STATus:MEASurement:NTRansition", parameter=_MASK)
    auxiliary_enable = Setting("STATus:AUXillary:ENABle", parameter=_MASK)
    auxiliary_positive = Setting("STATus:AUXillary:PTRansition", parameter=_MASK)
    auxiliary_negative = Setting("STATus:AUXillary:NTRansition", parameter=_MASK)
    _quantity: str

    def choose(self, quantity: str) -> None:
        """Choose what ``READ?`` and ``INITiate`` measure."""
        self._quantity = quantity

    def measure_now(self, quantity: str | None = None) -> float:
        """Measure a quantity."""
        raise NotImplementedError

    def note_measured(self) -> None:
        """Latch in the operation register that a new value is there."""
        self._operation.event |= MEASURED_BIT & self.operation_positive

    @command("STATus:MEASurement[:EVENt]?")
    @command("STATus:MEASurement:CONDition?")
    def get_measurement_status(self) -> int:
        """Return bit 3 while the power is above the range."""
        return self.questionable_condition()

    @command("STATus:AUXillary[:EVENt]?")
    @command("STATus:AUXillary:CONDition?")
    def get_auxiliary_status(self) -> int:
        """Return 0x20: a sensor is connected."""
        return SENSOR_BIT

    @command("STATus:MEASurement:PRESet")
    @command("STATus:AUXillary:PRESet")
    @command("STATus:OPERation:PRESet")
    @command("STATus:QUEStionable:PRESet")
    def preset_registers(self) -> None:
        """Return the filters and enable masks to their defaults."""
        self.preset_status()

    @command("SYSTem:DATE", integer(2000, 2099), integer(1, 12), integer(1, 31))
    def set_date(self, year: int, month: int, day: int) -> None:
        """Set the date."""
        self.values["SYSTem:DATE",] = f"{year},{month},{day}"

    @command("SYSTem:DATE?")
    def get_date(self) -> str:
        """Return year, month and day."""
        return str(self.values.get(("SYSTem:DATE",), "2026,1,1"))

    @command("SYSTem:TIME", integer(0, 23), integer(0, 59), integer(0, 59))
    def set_time(self, hour: int, minute: int, second: int) -> None:
        """Set the time of day."""
        self.values["SYSTem:TIME",] = f"{hour},{minute},{second}"

    @command("SYSTem:TIME?")
    def get_time(self) -> str:
        """Return hour, minute and second."""
        return str(self.values.get(("SYSTem:TIME",), "0,0,0"))
