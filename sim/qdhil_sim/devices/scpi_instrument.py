"""What every SCPI-1999 instrument has beside its own tree: status registers, save and recall, version.

The registers are those of SCPI-1999 volume 1, chapter 9: a condition, transition filters, an event that
latches until it is read, and an enable mask; their summaries are bits 3 (questionable) and 7 (operation)
of the status byte.
"""

from __future__ import annotations

import threading
from typing import Any

from qdhil_sim.clock import Clock
from qdhil_sim.devices.setting import Setting
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import MASTER_SUMMARY_BIT, Instrument
from qdhil_sim.protocol.parameters import integer, optional
from qdhil_sim.protocol.scpi import command

QUESTIONABLE_SUMMARY_BIT, OPERATION_SUMMARY_BIT = 0x08, 0x80
_REGISTER = integer(0, 65535, default=0)
_POSITIVE = integer(0, 65535, default=32767)
_STORES = 10


class Register:
    """One event register that latches the transitions of a condition."""

    def __init__(self) -> None:
        self.condition = 0
        self.event = 0

    def look(self, condition: int, positive: int, negative: int) -> None:
        """Take the condition now and latch what changed since the last look."""
        rose, fell = condition & ~self.condition, self.condition & ~condition
        self.event |= rose & positive | fell & negative
        self.condition = condition

    def read(self) -> int:
        """Return the event register and clear it."""
        event, self.event = self.event, 0
        return event


class ScpiInstrument(Instrument):
    """Base of the instruments that act on a rig's environment.

    Parameters
    ----------
    identity
        Answer to ``*IDN?``.
    environment
        The bench of the rig; every access holds the rig's lock.
    """

    options = "0"
    scpi_version = "1999.0"

    operation_enable = Setting("STATus:OPERation:ENABle", parameter=_REGISTER)
    operation_positive = Setting("STATus:OPERation:PTRansition", parameter=_POSITIVE)
    operation_negative = Setting("STATus:OPERation:NTRansition", parameter=_REGISTER)
    questionable_enable = Setting("STATus:QUEStionable:ENABle", parameter=_REGISTER)
    questionable_positive = Setting("STATus:QUEStionable:PTRansition", parameter=_POSITIVE)
    questionable_negative = Setting("STATus:QUEStionable:NTRansition", parameter=_REGISTER)
    power_on_clear = Setting("*PSC", parameter=integer(0, 1, default=1))

    def __init__(self, identity: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(identity, clock, lock)
        self.environment = environment
        self.values: dict[tuple[Any, ...], Any] = {}
        self._stores: dict[int, dict[tuple[Any, ...], Any]] = {}
        self._operation, self._questionable = Register(), Register()

    # What a device may change.

    def apply(self) -> None:
        """Act on the environment as the settings now say; called after every change of a setting."""

    def operation_condition(self) -> int:
        """Return the condition of the operation register: what goes on now."""
        return 0

    def questionable_condition(self) -> int:
        """Return the condition of the questionable register: what makes readings doubtful."""
        return 0

    def reset(self) -> None:
        """Return every setting but the status masks to its reset value."""
        self.values = {key: value for key, value in self.values.items() if str(key[0]).startswith(("STAT", "*"))}
        self.apply()

    # Status.

    def _look(self) -> None:
        self._operation.look(self.operation_condition(), self.operation_positive, self.operation_negative)
        self._questionable.look(self.questionable_condition(), self.questionable_positive, self.questionable_negative)

    def status_byte(self) -> int:
        """Return the status byte with the summaries of both registers."""
        self._look()
        status = super().status_byte() & ~MASTER_SUMMARY_BIT
        if self._operation.event & self.operation_enable:
            status |= OPERATION_SUMMARY_BIT
        if self._questionable.event & self.questionable_enable:
            status |= QUESTIONABLE_SUMMARY_BIT
        return status | (MASTER_SUMMARY_BIT if status & self.get_service_enable() else 0)

    @command("*CLS")
    def clear_status(self) -> None:
        """Empty the error queue and the event registers."""
        super().clear_status()
        self._look()
        self._operation.event = self._questionable.event = 0

    @command("STATus:OPERation[:EVENt]?")
    def get_operation_event(self) -> int:
        """Return what happened, and clear it."""
        self._look()
        return self._operation.read()

    @command("STATus:OPERation:CONDition?")
    def get_operation_condition(self) -> int:
        """Return what goes on now."""
        return self.operation_condition()

    @command("STATus:QUEStionable[:EVENt]?")
    def get_questionable_event(self) -> int:
        """Return what was doubtful, and clear it."""
        self._look()
        return self._questionable.read()

    @command("STATus:QUEStionable:CONDition?")
    def get_questionable_condition(self) -> int:
        """Return what is doubtful now."""
        return self.questionable_condition()

    @command("STATus:PRESet")
    def preset_status(self) -> None:
        """Return the filters and enable masks to their defaults."""
        self.values = {key: value for key, value in self.values.items() if not str(key[0]).startswith("STAT")}

    # Common commands beyond the mandatory ones.

    @command("*OPT?")
    def get_options(self) -> str:
        """Return the options fitted."""
        return self.options

    @command("*TRG")
    def trigger_command(self) -> None:
        """Trigger as the group execute trigger does."""
        self.trigger()

    @command("*SAV", integer(0, _STORES))
    def save(self, store: int) -> None:
        """Keep every setting in a store."""
        self._stores[store] = dict(self.values)

    @command("*RCL", integer(0, _STORES))
    def recall(self, store: int) -> None:
        """Return to the settings of a store; store 0 is the reset state until something is kept there."""
        if store not in self._stores and store:
            raise ScpiError(-224, f"nothing is stored in {store}")
        self.values = dict(self._stores.get(store, {}))
        self.apply()

    @command("SYSTem:VERSion?")
    def get_scpi_version(self) -> str:
        """Return the year of the SCPI standard."""
        return self.scpi_version

    @command("SYSTem:PRESet")
    def preset(self) -> None:
        """Do what ``*RST`` does."""
        self.reset()

    @command("SYSTem:ERRor:ALL?")
    def all_errors(self) -> str:
        """Return and remove every error."""
        return ",".join(self.next_error() for _ in range(max(1, self.count_errors())))

    @command("SYSTem:ERRor:CODE[:NEXT]?")
    def next_error_code(self) -> str:
        """Return the number of the oldest error and remove it."""
        return self.next_error().partition(",")[0]

    @command("SYSTem:BEEPer[:IMMediate]", optional(integer(0, 20000), 0), optional(integer(0, 100), 0))
    def beep(self, frequency_hz: int, duration_s: int) -> None:
        """Beep; nobody listens."""
