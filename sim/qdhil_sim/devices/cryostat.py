"""The cold finger's temperature controller, a Lake Shore Model 336.

Inputs: A the cold finger, B the sample, C the cooler's plate, D not connected. Output 1 drives the heater.
Asking for a temperature while it settles sees it settled in turbo; in real time it is what it is.
"""

from __future__ import annotations

import math
import threading
from typing import Any, ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.coldfinger import ThermalSystem
from qdhil_sim.devices.cryostat_settings import CryostatSettings, sensor_ohm
from qdhil_sim.devices.stored_setting import StoredSetting
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import choice, integer, number, optional, text
from qdhil_sim.protocol.scpi import command

SETTLE_LIMIT_S = 1800.0
_MOST_LOAD_W = 1e3
ZERO_CELSIUS_K = 273.15
INPUTS = ("A", "B", "C", "D")
_INPUT = choice(*INPUTS)
_INPUTS_OR_ALL = optional(choice(*INPUTS, "0"), "A")
_OUTPUT = integer(1, 4)
_HEATER = integer(1, 2)
_FLAG = integer(0, 1)
_LIMIT = number("K", low=0, high=400)
_DISCONNECTED = "D"
_OFF_OUTPUTS = (2, 3, 4)


class Cryostat(CryostatSettings):
    """The temperature controller of one rig, with the cold finger behind it.

    The sample's temperature goes to ``environment`` whenever the device looks; :meth:`sense` makes it look.
    """

    model: ClassVar[str] = "lakeshore-336"
    port: ClassVar[int] = 7777
    terminator = b"\r\n"

    alarm = StoredSetting(
        "ALARM", "0,+0.0000,+0.0000,+0.0000,0,0,0",
        _FLAG, number(), number(), number(), _FLAG, _FLAG, _FLAG, selector=(_INPUT,),
    )  # fmt: skip
    brightness = StoredSetting("BRIGT", "3", integer(0, 3))
    leds = StoredSetting("LEDS", "1", _FLAG)
    interface_mode = StoredSetting("MODE", "0", integer(0, 2))
    curve = StoredSetting("INCRV", "21", integer(0, 59), selector=(_INPUT,))
    input_type = StoredSetting(
        "INTYPE", "3,1,0,1,1", integer(0, 4), _FLAG, integer(0, 8), _FLAG, integer(1, 3), selector=(_INPUT,)
    )
    input_name = StoredSetting("INNAME", "Cold finger", text, selector=(_INPUT,))
    temperature_limit = StoredSetting("TLIMIT", "+350.0000", _LIMIT, selector=(_INPUT,))
    filter = StoredSetting("FILTER", "0,8,10", _FLAG, integer(2, 64), integer(1, 10), selector=(_INPUT,))
    heater_setup = StoredSetting(
        "HTRSET", "2,2,+1.0000,2", integer(1, 2), integer(0, 4), number("A", low=0, high=2), integer(1, 2),
        selector=(_HEATER,),
    )  # fmt: skip
    warmup = StoredSetting("WARMUP", "0,+0.0000", _FLAG, number(), selector=(_OUTPUT,))
    keypad_lock = StoredSetting("LOCK", "0,123", _FLAG, integer(0, 999))
    keypad = StoredSetting("KEYST", "0", _FLAG)

    def __init__(
        self, serial: str, clock: Clock, lock: threading.RLock, environment: Environment | None = None
    ) -> None:
        super().__init__(f"LSCI,MODEL336,{serial}/{serial},2.9", clock, lock)
        self.environment = environment or Environment()
        self.values: dict[tuple[Any, ...], str] = {}
        self.thermal = ThermalSystem(clock.now_s)
        self._extremes: dict[str, tuple[float, float]] = {}

    def reset(self) -> None:
        """Return the kept settings to their defaults; the loop goes on."""
        self.values.clear()

    def pending_until_s(self) -> float:
        """Nothing here is an overlapped operation in the sense of ``*OPC?``."""
        return 0.0

    def inject(self, fault: str, value: Any) -> None:
        """Switch a fault on; ``warm`` is a heat load in W on the cold finger."""
        if fault != "warm":
            super().inject(fault, value)
            return
        load_w = 1.0 if value is None else float(value)
        if not 0 <= load_w <= _MOST_LOAD_W:
            raise ValueError(f"warm is a heat load of 0 to {_MOST_LOAD_W:g} W, not {value!r}")
        self.sense()
        self.thermal.finger.load_w = load_w

    # Temperatures.

    def sense(self) -> None:
        """Bring the cold finger to device time and tell the bench how warm the sample is."""
        self.thermal.advance_to(self.clock.now_s)
        self.environment.temperature_k = self.thermal.finger.sample_k
        for name in INPUTS:
            low_k, high_k = self._extremes.get(name, (math.inf, -math.inf))
            self._extremes[name] = (min(low_k, self._kelvin(name)), max(high_k, self._kelvin(name)))

    def _observe(self) -> None:
        self.sense()
        if self.clock.turbo and not self.thermal.steady:
            self.clock.finish(self.thermal.settle(lambda: self.thermal.steady, SETTLE_LIMIT_S))
            self.sense()

    def _kelvin(self, name: str) -> float:
        finger = self.thermal.finger
        return {"A": finger.finger_k, "B": finger.sample_k, "C": finger.base_k, _DISCONNECTED: 0.0}[name]

    def _readings(self, name: str, offset: float) -> str:
        self._observe()
        names = INPUTS if name == "0" else (name,)
        return ",".join(f"{0.0 if each == _DISCONNECTED else self._kelvin(each) + offset:+.4f}" for each in names)

    @command("KRDG?", _INPUTS_OR_ALL)
    def get_kelvin(self, name: str) -> str:
        """Return the temperature in K; input 0 means all."""
        return self._readings(name, 0.0)

    @command("CRDG?", _INPUTS_OR_ALL)
    def get_celsius(self, name: str) -> str:
        """Return the temperature in degrees Celsius."""
        return self._readings(name, -ZERO_CELSIUS_K)

    @command("SRDG?", _INPUTS_OR_ALL)
    def get_sensor_units(self, name: str) -> str:
        """Return the sensors' resistance in ohm."""
        self._observe()
        names = INPUTS if name == "0" else (name,)
        ohms = (0.0 if each == _DISCONNECTED else sensor_ohm(self._kelvin(each)) for each in names)
        return ",".join(f"{ohm:+.1f}" for ohm in ohms)

    @command("MDAT?", _INPUT)
    def get_extremes(self, name: str) -> str:
        """Return the lowest and the highest reading in K since they were reset."""
        self.sense()
        low_k, high_k = self._extremes[name]
        return f"{low_k:+.4f},{high_k:+.4f}"

    @command("MNMXRST")
    def reset_extremes(self) -> None:
        """Forget the lowest and the highest readings."""
        self._extremes.clear()

    @command("RDGST?", _INPUT)
    def get_reading_status(self, name: str) -> str:
        """Return 0 for a valid reading; bit 4 is temperature under range (nothing connected)."""
        return "016" if name == _DISCONNECTED else "000"

    # The loop.

    @command("SETP", _OUTPUT, _LIMIT)
    def set_setpoint(self, output: int, setpoint_k: float) -> None:
        """Set a setpoint in K."""
        if output in _OFF_OUTPUTS:
            self.values["SETP", output] = f"{setpoint_k:+.4f}"
            return
        self.sense()
        self.thermal.set_target(setpoint_k)

    @command("SETP?", optional(_OUTPUT, 1))
    def get_setpoint(self, output: int) -> str:
        """Return a setpoint in K; on a ramp it moves."""
        if output in _OFF_OUTPUTS:
            return self.values.get(("SETP", output), "+0.0000")
        self.sense()
        return f"{self.thermal.loop.setpoint_k:+.4f}"

    @command("HTR?", _HEATER)
    def get_heater(self, output: int) -> str:
        """Return the heater output in per cent."""
        self.sense()
        return f"{0.0 if output in _OFF_OUTPUTS else self.thermal.output_percent:+06.2f}"

    @command("HTRST?", _HEATER)
    def get_heater_status(self, output: int) -> int:
        """Return 0: no error."""
        del output
        return 0

    @command("AOUT?", integer(3, 4))
    def get_analogue_output(self, output: int) -> str:
        """Return an analogue output in per cent; none is used."""
        del output
        return "+000.0"

    @command("RANGE", _OUTPUT, integer(0, 3))
    def set_range(self, output: int, index: int) -> None:
        """Set the heater range: off, low, medium, high."""
        if output in _OFF_OUTPUTS:
            raise ScpiError(-221, f"output {output} has no heater")
        self.sense()
        self.thermal.loop.range_index = index

    @command("RANGE?", _OUTPUT)
    def get_range(self, output: int) -> int:
        """Return the heater range."""
        return 0 if output in _OFF_OUTPUTS else self.thermal.loop.range_index

    @command("OUTMODE", _OUTPUT, integer(0, 5), integer(0, 8), _FLAG)
    def set_output_mode(self, output: int, mode: int, sensor: int, power_up: int) -> None:
        """Set an output's mode (0 off, 1 closed loop, 3 open loop), input and power-up state."""
        if output not in _OFF_OUTPUTS:
            if sensor != 1 or mode not in (0, 1, 3):
                raise ScpiError(-221, "output 1 is wired to input A and knows modes 0, 1 and 3")
            self.sense()
            self.thermal.loop.mode = mode
        self.values["OUTMODE", output] = f"{mode},{sensor},{power_up}"

    @command("OUTMODE?", _OUTPUT)
    def get_output_mode(self, output: int) -> str:
        """Return mode, input and power-up state of an output."""
        default = "0,0,0" if output in _OFF_OUTPUTS else f"{self.thermal.loop.mode},1,1"
        return self.values.get(("OUTMODE", output), default)

    @command("PID", _HEATER, number(low=0, high=1000), number(low=0, high=1000), number(low=0, high=200))
    def set_pid(self, output: int, gain: float, reset: float, rate: float) -> None:
        """Set the loop's P, I and D."""
        if output in _OFF_OUTPUTS:
            raise ScpiError(-221, f"output {output} has no loop")
        self.sense()
        loop = self.thermal.loop
        loop.gain, loop.reset, loop.rate = gain, reset, rate

    @command("PID?", _HEATER)
    def get_pid(self, output: int) -> str:
        """Return the loop's P, I and D."""
        loop = self.thermal.loop
        values = (0.0, 0.0, 0.0) if output in _OFF_OUTPUTS else (loop.gain, loop.reset, loop.rate)
        return ",".join(f"{value:+.4f}" for value in values)

    @command("MOUT", _OUTPUT, number(low=-100, high=100))
    def set_manual_output(self, output: int, percent: float) -> None:
        """Set the manual output in per cent."""
        if output in _OFF_OUTPUTS:
            self.values["MOUT", output] = f"{percent:+.4f}"
            return
        self.sense()
        self.thermal.loop.manual_percent = percent

    @command("MOUT?", _OUTPUT)
    def get_manual_output(self, output: int) -> str:
        """Return the manual output in per cent."""
        if output in _OFF_OUTPUTS:
            return self.values.get(("MOUT", output), "+0.0000")
        return f"{self.thermal.loop.manual_percent:+.4f}"

    @command("RAMP", _HEATER, _FLAG, number(low=0, high=100))
    def set_ramp(self, output: int, enabled: int, rate_k_per_min: float) -> None:
        """Set whether the setpoint ramps, and its rate in K/min."""
        self.values["RAMP", output] = f"{enabled},{rate_k_per_min:+.4f}"
        if output not in _OFF_OUTPUTS:
            self.sense()
            self.thermal.ramp_k_per_s = enabled * rate_k_per_min / 60
            self.thermal.set_target(self.thermal.target_k)

    @command("RAMP?", _HEATER)
    def get_ramp(self, output: int) -> str:
        """Return whether the setpoint ramps, and its rate in K/min."""
        return self.values.get(("RAMP", output), "0,+0.0000")

    @command("RAMPST?", _HEATER)
    def get_ramp_status(self, output: int) -> int:
        """Return 1 while the setpoint ramps; in turbo asking sees the ramp done."""
        if output in _OFF_OUTPUTS:
            return 0
        self.sense()
        if self.clock.turbo and self.thermal.ramping:
            self.clock.finish(self.thermal.settle(lambda: not self.thermal.ramping, 1e5))
        return int(self.thermal.ramping)
