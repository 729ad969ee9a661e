"""The power meter of the rig, a Thorlabs PM100D with a silicon photodiode S121C: it sees the laser.

The photodiode makes a current; the meter divides it by the responsivity at the wavelength that it was
told, so a wrong ``SENSe:CORRection:WAVelength`` gives a wrong power. Device: Thorlabs PM100D operation
manual, chapter 6. Above the range a reading is 9.9E37.
"""

from __future__ import annotations

import math
import random
import threading
from typing import Any, ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.power_meter_status import PowerMeterStatus
from qdhil_sim.devices.setting import Setting, plain
from qdhil_sim.environment import NOMINAL_LASER_NM, Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import INFINITY, boolean, choice, integer, number
from qdhil_sim.protocol.scpi import command

SAMPLE_S = 3e-4
"""Time of one sample; ``SENSe:AVERage`` samples make a reading."""
SAMPLE_NOISE = 1e-3
"""Relative standard deviation of one sample."""
DARK_A = 5e-12
LOWEST_NM, HIGHEST_NM = 400.0, 1100.0
_PEAK_NM, _PEAK_A_PER_W = 970.0, 0.05
_RANGES_W = (500e-9, 5e-6, 50e-6, 500e-6, 5e-3, 50e-3, 500e-3)
_OVER_RANGE = 1.05
_BANDWIDTH_HZ = {False: 100e3, True: 15.0}
_TRANSIMPEDANCE_OHM = 1e4
_SENSOR_TEMPERATURE_C, _SENSOR_RESISTANCE_OHM = 22.4, 10.9e3


def responsivity_a_per_w(wavelength_nm: float) -> float:
    """Return the responsivity of the sensor: quantum-limited below its peak, falling steeply above."""
    if wavelength_nm <= _PEAK_NM:
        return _PEAK_A_PER_W * wavelength_nm / _PEAK_NM
    return _PEAK_A_PER_W * math.exp(-(((wavelength_nm - _PEAK_NM) / 90) ** 2))


def _range_above(power_w: float) -> float:
    return next((range_w for range_w in _RANGES_W if power_w <= range_w), _RANGES_W[-1])


def _current_range(meter: Any, _: tuple[Any, ...]) -> float:
    return float(meter.range_w * responsivity_a_per_w(meter.wavelength_nm))


class PowerMeter(PowerMeterStatus):
    """The power meter of one rig."""

    model: ClassVar[str] = "thorlabs-pm100d"
    port: ClassVar[int] = 5025
    no_error = '+0,"No error"'

    average = Setting("[SENSe:]AVERage[:COUNt]", parameter=integer(1, 10000, default=1))
    wavelength_nm = Setting(
        "[SENSe:]CORRection:WAVelength",
        parameter=number(
            "NM", low=LOWEST_NM, high=HIGHEST_NM, default=NOMINAL_LASER_NM, others={"M": lambda m: m * 1e9}
        ),
    )
    loss_db = Setting(
        "[SENSe:]CORRection[:LOSS[:INPut[:MAGNitude]]]", parameter=number("DB", low=-60, high=60, default=0.0)
    )
    beam_mm = Setting(
        "[SENSe:]CORRection:BEAMdiameter",
        parameter=number("MM", low=0.1, high=9.5, default=9.5, others={"M": lambda metres: metres * 1e3}),
    )
    responsivity = Setting(
        "[SENSe:]CORRection:POWer[:PDIOde][:RESPonse]",
        parameter=number("A", low=1e-3, high=1.0, default=_PEAK_A_PER_W),
        read=lambda meter, _: responsivity_a_per_w(meter.wavelength_nm),
        write=lambda *_: None,
    )
    wanted_range_w = Setting(
        "[SENSe:]POWer[:DC]:RANGe[:UPPer]",
        parameter=number("W", low=_RANGES_W[0], high=_RANGES_W[-1], default=_RANGES_W[-1]),
        read=lambda meter, _: meter.range_w,
        write=lambda meter, _, value: meter.fix_range(value),
    )
    auto_range = Setting(
        "[SENSe:]POWer[:DC]:RANGe:AUTO", "[SENSe:]CURRent[:DC]:RANGe:AUTO", "[SENSe:]VOLTage[:DC]:RANGe:AUTO",
        parameter=boolean, reset=True,
    )  # fmt: skip
    current_range_a = Setting(
        "[SENSe:]CURRent[:DC]:RANGe[:UPPer]",
        parameter=number("A", low=1e-9, high=0.05, default=0.05),
        read=_current_range,
        write=lambda meter, _, value: meter.fix_range(value / responsivity_a_per_w(meter.wavelength_nm)),
    )
    reference_w = Setting("[SENSe:]POWer[:DC]:REFerence", parameter=number("W", low=0, high=0.5, default=0.0))
    relative = Setting("[SENSe:]POWer[:DC]:REFerence:STATe", parameter=boolean, reset=False)
    unit = Setting("[SENSe:]POWer[:DC]:UNIT", parameter=choice("W", "DBM", default="W"))
    frequency_mode = Setting("[SENSe:]FREQuency:MODE", parameter=choice("CW", "PEAK", default="CW"))
    low_pass = Setting("INPut[:PDIOde]:FILTer[:LPASs][:STATe]", parameter=boolean, reset=False)
    adapter = Setting("INPut:ADAPter[:TYPE]", parameter=choice("PHOTodiode", "THERmal", "PYRo", default="PHOT"))
    voltage_range_v = Setting(
        "[SENSe:]VOLTage[:DC]:RANGe[:UPPer]", parameter=number("V", low=0.03, high=3, default=3.0)
    )
    current_reference_a = Setting("[SENSe:]CURRent[:DC]:REFerence", parameter=number("A", low=0, high=1, default=0.0))
    current_relative = Setting("[SENSe:]CURRent[:DC]:REFerence:STATe", parameter=boolean, reset=False)
    voltage_reference_v = Setting("[SENSe:]VOLTage[:DC]:REFerence", parameter=number("V", low=0, high=3, default=0.0))
    voltage_relative = Setting("[SENSe:]VOLTage[:DC]:REFerence:STATe", parameter=boolean, reset=False)
    energy_range_j = Setting("[SENSe:]ENERgy:RANGe[:UPPer]", parameter=number("J", low=1e-6, high=10, default=1.0))
    energy_reference_j = Setting("[SENSe:]ENERgy:REFerence", parameter=number("J", low=0, high=10, default=0.0))
    energy_relative = Setting("[SENSe:]ENERgy:REFerence:STATe", parameter=boolean, reset=False)
    pyro_response = Setting(
        "[SENSe:]CORRection:ENERgy[:PYRO][:RESPonse]", parameter=number("V", low=1e-3, high=1e6, default=1.0)
    )
    thermopile_response = Setting(
        "[SENSe:]CORRection:POWer:THERmopile[:RESPonse]", parameter=number("V", low=1e-3, high=1e6, default=1e-3)
    )
    peak_threshold_percent = Setting(
        "[SENSe:]PEAKdetector:THReshold", parameter=number("PCT", low=1, high=99, default=20.0)
    )
    accelerator = Setting("INPut:THERmopile:ACCelerator[:STATe]", parameter=boolean, reset=True)
    accelerator_s = Setting("INPut:THERmopile:ACCelerator:TAU", parameter=number("S", low=0.1, high=99, default=5.0))
    brightness = Setting("DISPlay:BRIGhtness", parameter=number(low=0, high=1, default=1.0))
    contrast = Setting("DISPlay:CONTrast", parameter=number(low=0, high=1, default=0.5))
    beeper = Setting("SYSTem:BEEPer:STATe", parameter=boolean, reset=True)
    line_frequency_hz = Setting("SYSTem:LFRequency", parameter=integer(50, 60, default=50))

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"Thorlabs,PM100D,{serial},2.6.0", environment, clock, lock)
        self._sensor = f"S121C,{serial},12-Jan-2026,1,1,33"
        self._random = random.Random(serial)
        self._quantity = "POW"
        self._reading: float | None = None
        self._fixed_range_w = _RANGES_W[-1]
        self._zero_a = 0.0

    # What the sensor sees.

    @property
    def range_w(self) -> float:
        """Upper end of the range in W."""
        return _range_above(self._power_w() * 1.02) if self.auto_range else self._fixed_range_w

    def fix_range(self, power_w: float) -> None:
        """Choose the smallest range that holds a power, for good."""
        self._fixed_range_w, self.auto_range = _range_above(power_w), False

    def _photocurrent_a(self) -> float:
        environment = self.environment
        light_w = environment.laser_mw * 1e-3 if environment.laser_on else 0.0
        return light_w * responsivity_a_per_w(environment.laser_nm) + DARK_A

    def _power_w(self) -> float:
        corrected_a = self._photocurrent_a() - self._zero_a
        power_w: float = corrected_a / responsivity_a_per_w(self.wavelength_nm) * 10 ** (self.loss_db / 10)
        return power_w

    def questionable_condition(self) -> int:
        """Return bit 3 while the power is above the range."""
        return 0x08 if self._power_w() > _OVER_RANGE * self.range_w else 0

    def _value(self, quantity: str) -> float:
        noise = self._random.gauss(1.0, SAMPLE_NOISE / math.sqrt(self.average))
        power_w = self._power_w() * noise
        if quantity in {"POW", "PDEN"}:
            return self._shown_power(power_w, quantity)
        current_a = self._photocurrent_a() * noise - (self.current_reference_a if self.current_relative else 0)
        known = {
            "CURR": current_a,
            "VOLT": current_a * _TRANSIMPEDANCE_OHM,
            "TEMP": _SENSOR_TEMPERATURE_C,
            "RES": _SENSOR_RESISTANCE_OHM,
            "FREQ": self.environment.rep_rate_hz
            if self.environment.rep_rate_hz < _BANDWIDTH_HZ[self.low_pass]
            else 0.0,
        }
        if quantity not in known:
            raise ScpiError(-221, "a photodiode measures no energy")
        return known[quantity]

    def _shown_power(self, power_w: float, quantity: str) -> float:
        if power_w > _OVER_RANGE * self.range_w:
            return INFINITY
        if self.relative:
            power_w -= float(self.reference_w)
        if quantity == "PDEN":
            return power_w / (math.pi / 4 * (float(self.beam_mm) / 10) ** 2)
        if self.unit == "DBM":
            return 10 * math.log10(power_w / 1e-3) if power_w > 0 else -INFINITY
        return power_w

    # Measuring.

    def measure_now(self, quantity: str | None = None) -> float:
        """Measure a quantity, which stays chosen, over as many samples as are averaged."""
        self._quantity = quantity or self._quantity
        self._reading = self._value(self._quantity)
        self.busy_until_s = self.clock.now_s + SAMPLE_S * self.average
        self.note_measured()
        return self._reading

    @command("INITiate[:IMMediate]")
    def initiate(self) -> None:
        """Measure."""
        self.measure_now()

    @command("ABORt")
    def abort(self) -> None:
        """End a measurement."""
        self.busy_until_s = 0.0

    @command("READ?")
    def read(self) -> str:
        """Measure and return the value."""
        return plain(self.measure_now())

    @command("FETCh?")
    def fetch(self) -> str:
        """Return the last value, or the first when none was measured yet."""
        return plain(self.measure_now() if self._reading is None else self._reading)

    @command("CONFigure?")
    def get_configuration(self) -> str:
        """Return what is measured."""
        return self._quantity

    @command("SYSTem:SENSor:IDN?")
    def get_sensor(self) -> str:
        """Return the sensor: name, serial, calibration, type, subtype, flags (1 power, 32 wavelength)."""
        return self._sensor

    @command("CALibration:STRing?")
    def get_calibration(self) -> str:
        """Return the meter's calibration message."""
        return '"Calibrated 12-Jan-2026"'

    @command("[SENSe:]CORRection:COLLect:ZERO[:INITiate]")
    def zero(self) -> None:
        """Take the present current as zero, which is right only in the dark."""
        self._zero_a = self._photocurrent_a()
        self.busy_until_s = self.clock.now_s + 1.0

    @command("[SENSe:]CORRection:COLLect:ZERO:ABORt")
    def abort_zero(self) -> None:
        """End zeroing."""

    @command("[SENSe:]CORRection:COLLect:ZERO:STATe?")
    def get_zero_state(self) -> int:
        """Return 0: zeroing is over."""
        return 0

    @command("[SENSe:]CORRection:COLLect:ZERO:MAGNitude?")
    def get_zero(self) -> str:
        """Return the zero in A."""
        return plain(self._zero_a)

    @command("[SENSe:]FREQuency:RANGe[:UPPer]?")
    def get_bandwidth(self) -> str:
        """Return the bandwidth in Hz."""
        return plain(_BANDWIDTH_HZ[self.low_pass])

    @command("[SENSe:]FREQuency:RANGe:LOWer?")
    def get_lowest_frequency(self) -> str:
        """Return the lowest frequency that is counted in Hz."""
        return plain(4.0)
