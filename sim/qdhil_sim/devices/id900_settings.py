"""Settings that the blocks of an ID900 keep and report, one line each."""

from __future__ import annotations

import threading
from typing import Any

from qdhil_sim.clock import Clock
from qdhil_sim.devices.stored_setting import StoredSetting
from qdhil_sim.protocol.instrument import Instrument
from qdhil_sim.protocol.parameters import boolean_or_integer, choice, integer, number, text

_TIME_BASE = number("TB", low=-9e18, high=9e18)
_SWITCH = boolean_or_integer(0, 1)


def _time(value: Any) -> str:
    """Return a time as the instrument writes it, in its time base of 1 ps."""
    return f"{round(float(value))}TB"


def _volts(value: Any) -> str:
    return f"{value:g}V"


def _on_off(value: Any) -> str:
    return "ON" if value else "OFF"


class Id900Settings(Instrument):
    """The part of the instrument that only keeps settings; each block has its own."""

    def __init__(self, identity: str, clock: Clock, lock: threading.RLock) -> None:
        super().__init__(identity, clock, lock)
        self.values: dict[tuple[Any, ...], str] = {}

    enabled = StoredSetting("INPUt<1-16>:ENABle", "ON", _SWITCH, form=_on_off)
    coupling = StoredSetting("INPUt<1-16>:COUPling", "DC", choice("DC", "AC"), form=str)
    edge = StoredSetting("INPUt<1-16>:EDGE", "RISING", choice("RISING", "FALLING", "RISI", "FALL"), form=str)
    threshold = StoredSetting("INPUt<1-16>:THREshold", "1V", number("V", low=-2.0, high=2.0), form=_volts)
    mode = StoredSetting("INPUt<1-16>:MODE", "HIRES", choice("HIRES", "LOWRES"), form=str)
    select = StoredSetting(
        "INPUt<1-16>:SELEct", "UNSHAPED", choice("UNSHAPED", "SHAPED", "LOOP", "UNSH", "SHAP"), form=str
    )
    resync = StoredSetting("INPUt<1-16>:RESYnc[:POLIcy]", "AUTO", choice("AUTO", "MANUAL", "MANU"), form=str)
    delay = StoredSetting("INPUt<1-16>:DELAy", "0TB", _TIME_BASE, form=_time)
    integration = StoredSetting("INPUt<1-16>:COUNter:INTEgration", "1000", integer(1, 65535), form=str)
    count_mode = StoredSetting("INPUt<1-16>:COUNter:MODE", "CYCLE", choice("CYCLE", "ACCUM", "CYCL", "ACCU"), form=str)
    shift = StoredSetting("DELAy<1-16>:VALUe", "0TB", _TIME_BASE, form=_time)
    shift_link = StoredSetting("DELAy<1-16>[:INPOrt]:LINK", "NONE", text, form=str)
    raw_link = StoredSetting("RAW<1-16>:REF:LINK", "NONE", text, form=str)
    duration = StoredSetting("RECord:DURation", "1000000000000TB", _TIME_BASE, form=_time)
    trigger = StoredSetting("RECord:TRIGger:SOURce", "MANUAL", text, form=str)
    sync = StoredSetting("DEVIce:SYNC", "INTERNAL", choice("INTERNAL", "EXTERNAL", "AUTO"), form=str)
    least = StoredSetting("HISTogram<1-16>:MIN", "0TB", _TIME_BASE, form=_time)
    width = StoredSetting("HISTogram<1-16>:BWIDth", "100TB", number("TB", low=1, high=1e12), form=_time)
    bins = StoredSetting("HISTogram<1-16>:BCOUnt", "16384", integer(1, 16384), form=str)
    gate = StoredSetting("HISTogram<1-16>[:INPOrt]:ENABle:LINK", "NONE", text, form=str)
