"""The clock of the rig, a Stanford Research SG384: the frequency that the laser is locked to.

Four-letter commands, with or without a blank before their argument, answers ending in CR LF, errors by
number in ``LERR?``. Device: SRS SG380 series manual, chapter 4. Its type N output at the clock's
frequency sets the repetition rate; while that output is off the laser runs free at its nominal rate.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import ClassVar

from qdhil_sim.clock import Clock
from qdhil_sim.devices.setting import Setting
from qdhil_sim.devices.stanford import StanfordInstrument
from qdhil_sim.environment import NOMINAL_REP_RATE_HZ, Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import Parameter, integer, number
from qdhil_sim.protocol.scpi import command

_LOAD_OHM = 50.0


def _rms_to_dbm(voltage_v: float) -> float:
    if voltage_v <= 0:
        raise ScpiError(-222, "an amplitude is above 0")
    return 10 * math.log10(voltage_v**2 / _LOAD_OHM / 1e-3)


def _peak_to_peak_to_dbm(voltage_v: float) -> float:
    return _rms_to_dbm(voltage_v / math.sqrt(8))


def _amplitude(low: float, high: float, default: float = 0.0) -> Parameter:
    others = {"RMS": _rms_to_dbm, "VRMS": _rms_to_dbm, "VPP": _peak_to_peak_to_dbm}
    return number("DBM", low=low, high=high, default=default, others=others)


def _setting(name: str, parameter: Parameter, places: int = 6) -> Setting:
    return Setting(name, parameter=parameter, form=lambda value: f"{value:.{places}f}")


def _index(name: str, high: int, default: int = 0) -> Setting:
    return Setting(name, parameter=integer(0, high, default=default))


class SignalGenerator(StanfordInstrument):
    """The signal generator of one rig."""

    model: ClassVar[str] = "srs-sg384"
    port: ClassVar[int] = 5025
    error_numbers: ClassVar[Mapping[int, int]] = {
        -101: 126, -102: 126, -104: 118, -108: 115, -109: 116, -113: 111, -121: 118,
        -131: 127, -138: 127, -213: 11, -221: 12, -222: 10, -224: 10,
    }  # fmt: skip

    frequency_hz = _setting("FREQ", number("HZ", low=0, high=4.05e9, default=10e6))
    phase_deg = _setting("PHAS", number("DEG", low=-360, high=360, default=0.0), 1)
    rf_dbm = _setting("AMPR", _amplitude(-110, 16.5), 2)
    bnc_dbm = _setting("AMPL", _amplitude(-47, 13), 2)
    doubler_dbm = _setting("AMPH", _amplitude(-10, 13), 2)
    clock_v = _setting("AMPC", number("V", low=0.4, high=1.0, default=0.4), 2)
    rf_on = _index("ENBR", 1, 1)
    bnc_on = _index("ENBL", 1, 1)
    doubler_on = _index("ENBH", 1)
    clock_on = _index("ENBC", 1)
    noise_mode = _index("NOIS", 1)
    bnc_offset_v = _setting("OFSL", number("V", low=-1.5, high=1.5, default=0.0), 2)
    clock_offset_v = _setting("OFSC", number("V", low=-2, high=2, default=0.0), 2)
    rear_offset_v = _setting("OFSD", number("V", low=-10, high=10, default=0.0), 2)
    modulation_on = _index("MODL", 1)
    modulation = _index("TYPE", 7, 1)
    modulation_function = _index("MFNC", 5)
    sweep_function = _index("SFNC", 5)
    pulse_function = _index("PFNC", 5, 3)
    iq_function = _index("QFNC", 5, 5)
    coupling = _index("COUP", 1)
    modulation_rate_hz = _setting("RATE", number("HZ", low=1e-6, high=500e3, default=1e3))
    deviation_hz = _setting("FDEV", number("HZ", low=0.1, high=64e6, default=1e3))
    noise_deviation_hz = _setting("FNDV", number("HZ", low=0.1, high=64e6, default=1e3))
    phase_deviation_deg = _setting("PDEV", number("DEG", low=0, high=360, default=10.0), 2)
    phase_noise_deg = _setting("PNDV", number("DEG", low=0, high=360, default=10.0), 2)
    depth_percent = _setting("ADEP", number("%", low=0, high=100, default=100.0), 1)
    noise_depth_percent = _setting("ANDP", number("%", low=0, high=100, default=10.0), 1)
    sweep_rate_hz = _setting("SRAT", number("HZ", low=1e-6, high=120, default=100.0))
    sweep_deviation_hz = _setting("SDEV", number("HZ", low=0.1, high=2e9, default=1e6))
    pulse_period_s = _setting("PPER", number("S", low=1e-6, high=10, default=1e-3), 9)
    pulse_width_s = _setting("PWID", number("S", low=100e-9, high=9.9999999, default=1e-6), 9)
    pulse_duty_percent = _setting("PDTY", number("%", low=0, high=100, default=0.1), 2)
    random_bits = Setting("PRBS", parameter=integer(5, 32, default=9))
    bit_period_s = _setting("RPER", number("S", low=100e-9, high=10, default=1e-3), 9)
    instrument_enable = _index("INSE", 255)
    display = _index("DISP", 12)

    def __init__(self, serial: str, environment: Environment, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(f"Stanford Research Systems,SG384,s/n{serial},ver1.25.00", environment, clock, lock)
        self.frequency_hz = environment.rep_rate_hz

    def apply(self) -> None:
        """Lock the laser to the type N output."""
        self.environment.rep_rate_hz = self.frequency_hz if self.rf_on else NOMINAL_REP_RATE_HZ

    @command("RPHS")
    def zero_phase(self) -> None:
        """Call the present phase zero."""
        self.phase_deg = 0.0

    @command("INSR?")
    def get_instrument_status(self) -> int:
        """Return 0: synthesiser locked, reference warm."""
        return 0

    @command("OPTN?", integer(1, 4))
    def has_option(self, option: int) -> int:
        """Return 0: no option (1 clock outputs, 2 doubler, 3 I/Q, 4 oven)."""
        del option
        return 0

    @command("TIMB?")
    def get_timebase(self) -> int:
        """Return 1: the oven-controlled crystal."""
        return 1

    @command("TEMP?")
    def get_temperature(self) -> str:
        """Return the temperature of the synthesiser in degrees Celsius."""
        return "41.3"

    @command("LOCK?")
    @command("UNLK?")
    def request_lock(self) -> int:
        """Return 1: nobody else holds the instrument."""
        return 1

    @command("REMT")
    @command("LCAL")
    def set_remote(self) -> None:
        """Go to remote or local; the front panel is nobody's."""
