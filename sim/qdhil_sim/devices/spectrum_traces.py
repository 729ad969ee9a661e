"""Traces, display and analysis of the AQ6370 series (remote control manual, chapter 7: TRACe, DISPlay, CALCulate)."""

from __future__ import annotations

import re
import struct

from qdhil_sim.devices.spectrum import Sweep, Trace
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import Block, Instrument
from qdhil_sim.protocol.parameters import integer, number, optional, text
from qdhil_sim.protocol.scpi import command

TRACES = tuple(f"TR{letter}" for letter in "ABCDEFG")
_ATTRIBUTES = ("WRITE", "FIX", "MAX", "MIN", "RAVG", "CALC")
_TRACE_NODE = re.compile(rb"(:?TRAC(?:E)?:ATTR(?:IBUTE)?):(TR[A-G])(\?)?\s*", re.IGNORECASE)
_FORMATS = ("ASCII", "REAL,32", "REAL,64")


def sci(value: float) -> str:
    """Return a number as the instrument writes it."""
    return f"{value:+.8E}"


def index_of(word: str, names: tuple[str, ...], first: int = 0) -> int:
    """Return which of ``names``, written as in a manual, is meant: by long or short form, or by number from ``first``.

    Raises
    ------
    ScpiError
        -224 if none is.
    """
    word = word.strip().upper()
    for index, name in enumerate(names):
        if word in (name.upper(), "".join(letter for letter in name if not letter.islower())):
            return index
    numbers = [str(first + index) for index in range(len(names))]
    if (number := word.lstrip("0") or "0") in numbers and word.isdigit():
        return numbers.index(number)
    raise ScpiError(-224, word)


class TraceCommands(Instrument):
    """The part of the instrument that shows and analyses what was swept."""

    traces: dict[str, Trace]
    sweep: Sweep
    active: str
    data_format: str
    follows_peak: bool
    display: dict[str, float]

    def normalise(self, text: bytes) -> bytes:
        """Let the trace named in ``TRACe:ATTRibute:TRA`` be a parameter."""
        match = _TRACE_NODE.match(text)
        if match is None:
            return text
        if match[3]:
            return match[1] + b"? " + match[2]
        return match[1] + b" " + match[2] + b"," + text[match.end() :]

    def trace_name(self, name: str) -> str:
        """Return the trace meant by ``TRA`` or ``A``.

        Raises
        ------
        ScpiError
            -224 if there is none.
        """
        full = name.upper() if name.upper().startswith("TR") else f"TR{name.upper()}"
        if full not in TRACES:
            raise ScpiError(-224, name)
        return full

    @command("TRACe:ACTive", text)
    def set_active(self, name: str) -> None:
        """Choose the active trace."""
        self.active = self.trace_name(name)

    @command("TRACe:ACTive?")
    def get_active(self) -> str:
        """Return the active trace."""
        return self.active

    @command("TRACe:ATTRibute", text, text)
    def set_attribute(self, name: str, mode: str) -> None:
        """Set the mode of a trace."""
        self.traces[self.trace_name(name)].mode = _ATTRIBUTES[index_of(mode, ("WRITe", *_ATTRIBUTES[1:]))]

    @command("TRACe:ATTRibute?", optional(text, ""))
    def get_attribute(self, name: str) -> int:
        """Return the mode of a trace, 0 to 5."""
        return _ATTRIBUTES.index(self.traces[self.trace_name(name or self.active)].mode)

    @command("TRACe[:DATA]:SNUMber?", text)
    def get_sample_number(self, name: str) -> int:
        """Return how many samples a trace holds."""
        return len(self.traces[self.trace_name(name)].levels_dbm)

    @command("TRACe[:DATA]:X?", text, optional(integer(1, 50001), 1), optional(integer(1, 50001), 50001))
    def get_wavelengths(self, name: str, first: int, last: int) -> str | Block:
        """Return a trace's wavelengths in m."""
        values = self.traces[self.trace_name(name)].wavelengths_nm[first - 1 : last]
        return self._data([value * 1e-9 for value in values])

    @command("TRACe[:DATA]:Y?", text, optional(integer(1, 50001), 1), optional(integer(1, 50001), 50001))
    def get_levels(self, name: str, first: int, last: int) -> str | Block:
        """Return a trace's levels in dBm."""
        return self._data(self.traces[self.trace_name(name)].levels_dbm[first - 1 : last])

    def _data(self, values: list[float]) -> str | Block:
        if self.data_format == "ASCII":
            return ",".join(map(sci, values))
        kind = "f" if self.data_format == "REAL,32" else "d"
        return Block(struct.pack(f"<{len(values)}{kind}", *values))

    @command("TRACe:COPY", text, text)
    def copy_trace(self, source: str, target: str) -> None:
        """Copy a trace."""
        held = self.traces[self.trace_name(source)]
        self.traces[self.trace_name(target)] = Trace("FIX", list(held.wavelengths_nm), list(held.levels_dbm))

    @command("TRACe:DELete", text)
    def delete_trace(self, name: str) -> None:
        """Empty a trace."""
        trace = self.traces[self.trace_name(name)]
        trace.wavelengths_nm, trace.levels_dbm = [], []

    @command("TRACe:DELete:ALL")
    def delete_traces(self) -> None:
        """Empty every trace."""
        for name in TRACES:
            self.delete_trace(name)

    @command("FORMat[:DATA]", text, optional(text, ""))
    def set_format(self, kind: str, width: str) -> None:
        """Choose ASCII, REAL,32 or REAL,64."""
        wanted = f"{kind},{width or 64}".upper() if kind.upper() == "REAL" else kind.upper()
        if wanted not in _FORMATS:
            raise ScpiError(-224, wanted)
        self.data_format = wanted

    @command("FORMat[:DATA]?")
    def get_format(self) -> str:
        """Return the data format."""
        return self.data_format

    @command("DISPlay[:WINDow]:TRACe:Y1[:SCALe]:RLEVel", number("DBM", low=-90.0, high=30.0))
    def set_reference(self, level_dbm: float) -> None:
        """Set the reference level."""
        self.display["reference_dbm"] = level_dbm

    @command("DISPlay[:WINDow]:TRACe:Y1[:SCALe]:RLEVel?")
    def get_reference(self) -> str:
        """Return the reference level."""
        return sci(self.display["reference_dbm"])

    @command("DISPlay[:WINDow]:TRACe:Y1[:SCALe]:RPOSition", integer(0, 12))
    def set_position(self, division: int) -> None:
        """Set the division of the reference level."""
        self.display["position"] = division

    @command("DISPlay[:WINDow]:TRACe:Y1[:SCALe]:RPOSition?")
    def get_position(self) -> int:
        """Return the division of the reference level."""
        return int(self.display["position"])

    @command("DISPlay[:WINDow]:TRACe:Y1[:SCALe]:PDIVision", number("DB", low=0.1, high=10.0))
    def set_scale(self, scale_db: float) -> None:
        """Set the level scale."""
        self.display["scale_db"] = scale_db

    @command("DISPlay[:WINDow]:TRACe:Y1[:SCALe]:PDIVision?")
    def get_scale(self) -> str:
        """Return the level scale."""
        return sci(self.display["scale_db"])

    @command("CALCulate:MARKer:MAXimum")
    def mark_peak(self) -> None:
        """Put the marker on the active trace's peak."""
        self._need_data()

    @command("CALCulate:MARKer:X?", optional(integer(0, 4), 0))
    def get_marker_wavelength(self, _marker: int) -> str:
        """Return the marker's wavelength in m."""
        return sci(self._need_data().peak()[0] * 1e-9)

    @command("CALCulate:MARKer:Y?", optional(integer(0, 4), 0))
    def get_marker_level(self, _marker: int) -> str:
        """Return the marker's level in dBm."""
        return sci(self._need_data().peak()[1])

    @command("CALCulate:MARKer:MAXimum:SCENter")
    def center_peak(self) -> None:
        """Make the peak the center wavelength."""
        self.sweep.center_nm = self._need_data().peak()[0]

    @command("CALCulate:MARKer:MAXimum:SCENter:AUTO", text)
    def set_follows_peak(self, state: str) -> None:
        """Let the center follow the peak after every sweep."""
        self.follows_peak = bool(index_of(state, ("OFF", "ON")))

    @command("CALCulate:MARKer:MAXimum:SCENter:AUTO?")
    def get_follows_peak(self) -> int:
        """Return 1 if the center follows the peak."""
        return int(self.follows_peak)

    @command("CALCulate:MARKer:MAXimum:SRLevel")
    def reference_peak(self) -> None:
        """Make the peak the reference level."""
        self.display["reference_dbm"] = self._need_data().peak()[1]

    @command("CALCulate:CATegory", text)
    def set_category(self, name: str) -> None:
        """Choose the analysis; the width at a threshold, SWTHresh or 0, is the one there is."""
        if name.upper() not in {"0", "SWTH", "SWTHRESH"}:
            raise ScpiError(-224, name)

    @command("CALCulate:CATegory?")
    def get_category(self) -> int:
        """Return 0, the width at a threshold."""
        return 0

    @command("CALCulate[:IMMediate]")
    def analyse(self) -> None:
        """Analyse the active trace."""
        self._need_data()

    @command("CALCulate:DATA?")
    def get_result(self) -> str:
        """Return center and width in m of the active trace's line at 3 dB."""
        trace = self._need_data()
        return f"{sci(trace.peak()[0] * 1e-9)},{sci(trace.width_nm() * 1e-9)},1"

    def _need_data(self) -> Trace:
        trace = self.traces[self.active]
        if not trace.levels_dbm:
            raise ScpiError(-230, f"{self.active} is empty")
        return trace
