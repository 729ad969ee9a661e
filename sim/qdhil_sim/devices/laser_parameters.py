"""The parameter tree of the DLC pro: names, types, limits, and what they do to the laser's state."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qdhil_sim.clock import Clock
from qdhil_sim.devices.motion import Move

UNKNOWN_PARAMETER, WRONG_TYPE, NOT_WRITABLE, NOT_READABLE, OUT_OF_RANGE = -3, -11, -4, -5, -12
RANGE_NM = (900.0, 980.0)
LONGEST_CURRENT_MA = 160.0
THRESHOLD_MA, SLOPE_MW_PER_MA = 40.0, 0.25
_TUNING_NM_PER_S, _TUNING_NM_PER_S2 = 10.0, 50.0

Value = bool | int | float | str


class DecopError(Exception):
    """A request that is refused."""

    def __init__(self, code: int, name: str = "") -> None:
        super().__init__(code, name)
        self.code = code
        self.name = name


@dataclass
class LaserState:
    """What the laser does; the diode gives ``slope x (I - threshold)`` above threshold."""

    serial: str
    wavelength: Move
    power_mw: float
    clock: Clock
    current_ma: float = 0.0
    temperature_c: float = 25.0
    enabled: bool = True
    button: bool = True
    user_level: int = 3
    label: str = ""
    system_label: str = "qdhil"
    scan_end_nm: float = 940.0
    scan_begin_nm: float = 920.0
    scan_nm_per_s: float = 1.0
    piezo_v: float = 70.0
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.current_ma = THRESHOLD_MA + self.power_mw / SLOPE_MW_PER_MA

    @property
    def wavelength_nm(self) -> float:
        """Wavelength now."""
        return self.wavelength.position(self.clock.now_s)

    @property
    def emission(self) -> bool:
        """Whether light comes out: the button on the front and the diode's current."""
        return self.button and self.enabled

    @property
    def output_mw(self) -> float:
        """Power that comes out."""
        return max(0.0, SLOPE_MW_PER_MA * (self.current_ma - THRESHOLD_MA)) if self.emission else 0.0

    @property
    def tuned(self) -> bool:
        """Whether the motor rests; in turbo, asking makes it so."""
        return self.clock.finish(self.wavelength.end_s)

    def tune(self, target_nm: float, nm_per_s: float = _TUNING_NM_PER_S) -> None:
        """Start to tune."""
        self.wavelength = Move(self.clock.now_s, self.wavelength_nm, target_nm, nm_per_s, _TUNING_NM_PER_S2)

    def settled_nm(self) -> float:
        """Return the wavelength; in turbo, asking waits for the motor."""
        if self.clock.turbo:
            self.clock.finish(self.wavelength.end_s)
        return self.wavelength_nm


@dataclass(frozen=True)
class Parameter:
    """One parameter: how it is read, and written if it can be."""

    kind: type
    value: Callable[[], Value]
    write: Callable[[Any], None] | None = None
    limits: tuple[float, float] = (-1e300, 1e300)
    wanted: Callable[[], Value] | None = None

    @property
    def set_value(self) -> Callable[[], Value]:
        """What returns the value set last, which may differ from the value now."""
        return self.wanted or self.value


def encode(kind: type, value: Value) -> str:
    """Return a value as DeCoP writes it."""
    if kind is bool:
        return "#t" if value else "#f"
    if kind is str:
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if kind is float:
        text = f"{float(value):.9g}"
        return text if any(mark in text for mark in ".en") else f"{text}.0"
    return str(int(value))


def decode(kind: type, text: str) -> Value:
    """Return the value that DeCoP text stands for.

    Raises
    ------
    ValueError
        If it is of another type.
    """
    if kind is bool:
        if text.lower() not in {"#t", "#f"}:
            raise ValueError(text)
        return text.lower() == "#t"
    if kind is str:
        if len(text) < 2 or text[0] != '"' or text[-1] != '"':
            raise ValueError(text)
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    # a quote before a number is taken, as many scripts write it
    if kind is int:
        return int(text.lstrip("'"))
    value = float(text.lstrip("'"))
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def laser_parameters(state: LaserState) -> dict[str, Parameter]:
    """Return the tree of a DLC pro with one CTL laser."""
    return {**_system(state), **_head(state), **_boards(state)}


def _stored(state: LaserState, name: str, initial: Value, low: float = -1e300, high: float = 1e300) -> Parameter:
    """Return a parameter that keeps what it is set to."""
    state.values[name] = initial
    return Parameter(
        type(initial), lambda: state.values[name], lambda value: state.values.__setitem__(name, value), (low, high)
    )


def _field(state: LaserState, name: str, low: float = -1e300, high: float = 1e300) -> Parameter:
    """Return a parameter that is a field of the state."""
    return Parameter(
        type(getattr(state, name)),
        lambda: getattr(state, name),
        lambda value: setattr(state, name, value),
        (low, high),
    )


def _constant(value: Value) -> Parameter:
    return Parameter(type(value), lambda: value)


def _uptime(state: LaserState) -> str:
    return str(datetime.timedelta(seconds=int(state.clock.now_s)))


def _system(state: LaserState) -> dict[str, Parameter]:
    origin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return {
        "system-type": _constant("DLC pro"),
        "system-model": _constant("DLC pro"),
        "serial-number": _constant(state.serial),
        "fw-ver": _constant("v3.2.0"),
        "ssw-ver": _constant("3.2.0"),
        "ssw-svn-revision": _constant("0"),
        "decof-ver": _constant("decof-1-0-0"),
        "decof-svn-revision": _constant("0"),
        "echo": _stored(state, "echo", initial=False),
        "ul": Parameter(int, lambda: state.user_level),
        "uptime": Parameter(int, lambda: int(state.clock.now_s)),
        "uptime-txt": Parameter(str, lambda: _uptime(state)),
        "time": Parameter(
            str, lambda: (origin + datetime.timedelta(seconds=state.clock.now_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        ),
        "system-label": _field(state, "system_label"),
        "emission": Parameter(bool, lambda: state.emission),
        "emission-button-enabled": _field(state, "button"),
        "interlock-open": _constant(value=False),
        "frontkey-locked": _constant(value=False),
        "system-health": _constant(0),
        "system-health-txt": _constant("OK"),
    }


def _head(state: LaserState) -> dict[str, Parameter]:
    nm = RANGE_NM
    return {
        "laser1:type": _constant("CTL"),
        "laser1:product-name": _constant("CTL 950"),
        "laser1:label": _field(state, "label"),
        "laser1:emission": Parameter(bool, lambda: state.emission),
        "laser1:enabled": _field(state, "enabled"),
        "laser1:enabled-valid": _constant(value=True),
        "laser1:health": _constant(0),
        "laser1:health-txt": _constant("OK"),
        "laser1:busy": Parameter(bool, lambda: not state.tuned),
        "laser1:ctl:wavelength-act": Parameter(float, state.settled_nm),
        "laser1:ctl:wavelength-set": Parameter(float, lambda: state.wavelength.target, state.tune, nm),
        "laser1:ctl:wavelength-min": _constant(nm[0]),
        "laser1:ctl:wavelength-max": _constant(nm[1]),
        "laser1:ctl:state": Parameter(int, lambda: 0 if state.tuned else 1),
        "laser1:ctl:state-txt": Parameter(str, lambda: "idle" if state.tuned else "moving"),
        "laser1:ctl:tuning-current-min": _constant(60.0),
        "laser1:ctl:tuning-power-min": _constant(5.0),
        "laser1:ctl:head-temperature": Parameter(float, lambda: state.temperature_c),
        "laser1:ctl:scan:wavelength-begin": _field(state, "scan_begin_nm", *nm),
        "laser1:ctl:scan:wavelength-end": _field(state, "scan_end_nm", *nm),
        "laser1:ctl:scan:speed": _field(state, "scan_nm_per_s", 0.001, 10.0),
        "laser1:ctl:power:power-act": Parameter(float, lambda: state.output_mw),
        "laser1:dl:type": _constant("CTL"),
        "laser1:dl:version": _constant("1"),
        "laser1:dl:model": _constant("CTL 950"),
        "laser1:dl:serial-number": _constant(f"LH-{state.serial}"),
        "laser1:dl:ontime": Parameter(int, lambda: int(state.clock.now_s)),
    }


def _boards(state: LaserState) -> dict[str, Parameter]:
    emitted_ma = Parameter(float, lambda: state.current_ma if state.emission else 0.0)
    return {
        "laser1:dl:cc:current-set": _field(state, "current_ma", 0.0, LONGEST_CURRENT_MA),
        "laser1:dl:cc:current-act": emitted_ma,
        "laser1:dl:cc:current-clip": _stored(state, "current-clip", LONGEST_CURRENT_MA, 0.0, LONGEST_CURRENT_MA),
        "laser1:dl:cc:enabled": _field(state, "enabled"),
        "laser1:dl:cc:emission": Parameter(bool, lambda: state.emission),
        "laser1:dl:cc:voltage-act": Parameter(float, lambda: 1.9 if state.emission else 0.0),
        "laser1:dl:cc:status": _constant(0),
        "laser1:dl:cc:status-txt": _constant("OK"),
        "laser1:dl:tc:temp-set": _field(state, "temperature_c", 15.0, 35.0),
        "laser1:dl:tc:temp-act": Parameter(float, lambda: state.temperature_c),
        "laser1:dl:tc:enabled": _stored(state, "tc-enabled", initial=True),
        "laser1:dl:tc:ready": _constant(value=True),
        "laser1:dl:pc:voltage-set": _field(state, "piezo_v", 0.0, 140.0),
        "laser1:dl:pc:voltage-act": Parameter(float, lambda: state.piezo_v),
        "laser1:dl:pc:enabled": _stored(state, "pc-enabled", initial=True),
        "laser1:scan:enabled": _stored(state, "scan-enabled", initial=False),
        "laser1:scan:frequency": _stored(state, "scan-frequency", 10.0, 0.02, 400.0),
        "laser1:scan:amplitude": _stored(state, "scan-amplitude", 0.0, 0.0, 140.0),
        "laser1:scan:offset": _stored(state, "scan-offset", 70.0, 0.0, 140.0),
        "laser1:scan:output-channel": _stored(state, "scan-channel", 50, 0, 100),
    }
