"""The settings of a QDAC-II: 24 channels, each with a DC source, four waveform generators and a current sensor."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

from qdhil_sim.devices.channel_settings import ChannelSettings
from qdhil_sim.devices.scpi_instrument import ScpiInstrument
from qdhil_sim.devices.setting import Setting
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import (
    INFINITY,
    Parameter,
    block,
    boolean,
    choice,
    integer,
    number,
    optional,
    text,
)

CHANNELS = 24
LARGEST_V = {"LOW": 2.0, "HIGH": 10.0}
"""Magnitude of the largest voltage of the output ranges."""
LARGEST_A = {"LOW": 200e-9, "HIGH": 10e-3}
"""Magnitude of the largest current of the sensor's ranges."""
WAVEFORMS = ("SQUare", "SINE", "TRIangle", "AWG")
INTERNAL_TRIGGERS, EXTERNAL_INPUTS, EXTERNAL_OUTPUTS = 14, 4, 5
MOST_POINTS = 4096
_OFF = replace(boolean, default=False)
_MARKER = integer(0, INTERNAL_TRIGGERS, default=0)
_DELAY = number("S", low=0, high=3600, default=0.0)
_COUNT = number(low=-1, high=INFINITY, default=1.0)
_SLEW = number(low=0.01, high=INFINITY, default=2e7)
VOLTAGE = number("V", low=-10, high=10, default=0.0)


def _trigger(default: str) -> Parameter:
    known = choice("HOLD", "IMMediate", "BUS", "MANual", default=default)

    def convert(data: bytes) -> Any:
        word = data.strip().upper().decode("latin-1")
        for name, most in (("INTERNAL", INTERNAL_TRIGGERS), ("EXTERNAL", EXTERNAL_INPUTS)):
            letters, digits = word.rstrip("0123456789"), word.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
            if letters in (name, name[:3]):
                if not digits or not 1 <= int(digits[:4]) <= most:
                    raise ScpiError(-224, word)
                return f"{name[:3]}{int(digits)}"
        return known.convert(data)

    return Parameter(convert, default=default)


TRIGGER = _trigger("IMM")


def _rows_of(generator: str) -> dict[str, Parameter]:
    """Return the rows that every generator has."""
    return {
        f"{generator}:TRIGger:SOURce": TRIGGER,
        f"{generator}:DELay": _DELAY,
        f"{generator}:INITiate:CONTinuous": _OFF,
        f"{generator}:MARKer:STARt": _MARKER,
        f"{generator}:MARKer:END": _MARKER,
    }


def _waveform_rows(generator: str) -> dict[str, Parameter]:
    """Return the rows of a waveform generator."""
    return _rows_of(generator) | {
        f"{generator}:MARKer:PSTart": _MARKER,
        f"{generator}:MARKer:PEND": _MARKER,
        f"{generator}:SPAN": number("V", low=0, high=20, default=0.2),
        f"{generator}:OFFSet": VOLTAGE,
        f"{generator}:COUNt": _COUNT,
        f"{generator}:SLEW": _SLEW,
        f"{generator}:POLarity": choice("NORMal", "INVerted", default="NORM"),
        f"{generator}:TYPe": choice("SYMMetric", "POSitive", "NEGative", default="SYMM"),
        f"{generator}:DCYCle": number(low=0, high=100, default=50.0),
        f"{generator}:PERiod": number("S", low=1e-6, high=1e5, default=1e-3),
    }


_SOURCE = {
    "RANGe": choice("LOW", "HIGH", default="HIGH"),
    "FILTer": choice("DC", "MEDium", "HIGH", default="HIGH"),
    "VOLTage:TRIGgered": VOLTAGE,
    "VOLTage:SLEW": _SLEW,
    "VOLTage:MODE": choice("FIXed", "LIST", "SWEep", default="FIX"),
    **_rows_of("DC"),
    "DC:MARKer:SSTart": _MARKER,
    "DC:MARKer:SEND": _MARKER,
    "SWEep:POINts": integer(1, 10**8, default=10),
    "SWEep:DWELl": number("S", low=1e-6, high=3600, default=1e-3),
    "SWEep:STARt": VOLTAGE,
    "SWEep:STOP": VOLTAGE,
    "SWEep:GENeration": choice("STEPped", "ANALog", default="STEP"),
    "SWEep:DIRection": choice("UP", "DOWN", default="UP"),
    "SWEep:COUNt": _COUNT,
    "LIST:DWELl": number("S", low=1e-6, high=3600, default=1e-3),
    "LIST:TMODe": choice("AUTO", "STEPped", default="AUTO"),
    "LIST:DIRection": choice("UP", "DOWN", default="UP"),
    "LIST:COUNt": _COUNT,
    **{header: row for waveform in WAVEFORMS for header, row in _waveform_rows(waveform).items()},
    "AWG:DEFine": replace(text, default=""),
    "AWG:SCALe": number(low=-1e3, high=1e3, default=1.0),
}
_SENSE = {
    "RANGe": choice("LOW", "HIGH", default="HIGH"),
    "APERture": number("S", low=3e-6, high=1, default=0.02),
    "COUNt": _COUNT,
    "DELay": _DELAY,
    "TRIGger:SOURce": TRIGGER,
    "INITiate:CONTinuous": _OFF,
}


def _values(data: bytes) -> Any:
    if data.strip()[:1] != b"#":
        return VOLTAGE.convert(data)
    payload = block.convert(data)
    if len(payload) % 4:
        raise ScpiError(-161)
    return [VOLTAGE.convert(str(value).encode()) for value in struct.unpack(f"<{len(payload) // 4}f", payload)]


def flat(values: tuple[Any, ...]) -> list[float]:
    """Return the values of a list of numbers, or of the block that stands for it."""
    found: list[float] = []
    for value in values:
        found += value if isinstance(value, list) else [] if value is None else [value]
    return found


VALUES = (Parameter(_values), *(optional(VOLTAGE, None),) * (MOST_POINTS - 1))
"""Voltages, as numbers or as a block of single precision."""


class GateSettings(ScpiInstrument):
    """The part of a QDAC-II that is only set and asked."""

    source = ChannelSettings(f"SOURce<1-{CHANNELS}>", _SOURCE, CHANNELS)
    sensor = ChannelSettings(f"SENSe<1-{CHANNELS}>", _SENSE, CHANNELS)
    trigger_output = Setting(f"OUTPut:TRIGger<1-{EXTERNAL_OUTPUTS}>:SOURce", parameter=_trigger("HOLD"))
    trigger_width_s = Setting(
        f"OUTPut:TRIGger<1-{EXTERNAL_OUTPUTS}>:WIDTh", parameter=number("S", low=1e-6, high=1, default=1e-6)
    )
    trigger_polarity = Setting(
        f"OUTPut:TRIGger<1-{EXTERNAL_OUTPUTS}>:POLarity", parameter=choice("NORMal", "INVerted", default="NORM")
    )
    trigger_delay_s = Setting(f"OUTPut:TRIGger<1-{EXTERNAL_OUTPUTS}>:DELay", parameter=_DELAY)
