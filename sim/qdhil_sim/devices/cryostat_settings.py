"""What a Lake Shore 336 keeps and reports beside its loop: curves, display, alarms, relays, interfaces, status.

None of it moves the cold finger. Device: Lake Shore Model 336 manual, section 6.6. Curve 21 is that of the
sensors here, a Cernox whose resistance the instrument's ``SRDG?`` reports.
"""

from __future__ import annotations

import math
from typing import Any

from qdhil_sim.devices.stored_setting import StoredSetting
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import Instrument
from qdhil_sim.protocol.parameters import choice, integer, number, optional, text
from qdhil_sim.protocol.scpi import command

SENSOR_CURVE, FIRST_USER_CURVE, LAST_CURVE = 21, 21, 59
CURVE_POINTS = 200
_SENSOR_POINTS = 60
_LOWEST_K, _HIGHEST_K = 1.2, 330.0
_INPUT = choice("A", "B", "C", "D")
_FLAG = integer(0, 1)
_ANY = number()
_CURVE = integer(1, LAST_CURVE)
_USER_CURVE = integer(FIRST_USER_CURVE, LAST_CURVE)
_POINT = integer(1, CURVE_POINTS)
_NETWORK = "0,0,192.168.0.12,255.255.255.0,192.168.0.1,0.0.0.0,0.0.0.0,LSCI-336,local,Model 336 Temperature Controller"


def sensor_ohm(temperature_k: float) -> float:
    """Return the resistance of a sensor, about that of a Cernox CX-1050."""
    return float(3.7e4 / temperature_k**1.5)


def _sensor_point(index: int) -> tuple[float, float]:
    """Return log ohm and K of a point of the sensors' curve, counted from 1; zeros beyond its end."""
    if index > _SENSOR_POINTS:
        return 0.0, 0.0
    temperature_k = _HIGHEST_K * (_LOWEST_K / _HIGHEST_K) ** ((index - 1) / (_SENSOR_POINTS - 1))
    return math.log10(sensor_ohm(temperature_k)), temperature_k


class CryostatSettings(Instrument):
    """Kept settings and status of the temperature controller."""

    values: dict[tuple[Any, ...], str]

    analogue = StoredSetting(
        "ANALOG", "1,1,+400.0000,+0.0000,0", integer(0, 8), integer(1, 3), _ANY, _ANY, _FLAG, selector=(integer(3, 4),)
    )
    display = StoredSetting("DISPLAY", "4,0,1", integer(0, 7), integer(0, 8), integer(1, 4))
    field = StoredSetting("DISPFLD", "1,1", integer(0, 8), integer(1, 7), selector=(integer(1, 8),))
    zone = StoredSetting(
        "ZONE", "+0.0000,+50.0000,+20.0000,+0.0000,+0.0000,0,1,+0.1000",
        _ANY, _ANY, _ANY, _ANY, _ANY, integer(0, 3), integer(0, 8), _ANY, selector=(integer(1, 2), integer(1, 10)),
    )  # fmt: skip
    excitation = StoredSetting("DIOCUR", "0", _FLAG, selector=(_INPUT,))
    address = StoredSetting("IEEE", "12", integer(1, 30))
    interface = StoredSetting("INTSEL", "1", integer(0, 2))
    web = StoredSetting("WEBLOG", '"admin","admin"', text, text)
    network = StoredSetting("NET", _NETWORK, _FLAG, _FLAG, *(text,) * 8)
    operation_enable = StoredSetting("OPSTE", "000", integer(0, 255))
    relay = StoredSetting(
        "RELAY", "0,A,0", integer(0, 2), optional(_INPUT, "A"), optional(integer(0, 2), 0), selector=(integer(1, 2),)
    )

    @command("NETID?")
    def get_network_state(self) -> str:
        """Return the state of the network: address by hand, addresses, name."""
        return "0,192.168.0.12,255.255.255.0,192.168.0.1,0.0.0.0,0.0.0.0,00:11:22:33:44:55,LSCI-336,local"

    @command("OPST?")
    @command("OPSTR?")
    def get_operation_status(self) -> str:
        """Return 000: no alarm, nothing calibrating."""
        return "000"

    @command("ALARMST?", _INPUT)
    def get_alarm_state(self, name: str) -> str:
        """Return that neither the high nor the low alarm is on."""
        del name
        return "0,0"

    @command("ALMRST")
    def reset_alarms(self) -> None:
        """Forget latched alarms."""

    @command("RELAYST?", integer(1, 2))
    def get_relay_state(self, relay: int) -> str:
        """Return whether a relay is on, which only its mode 1 makes it."""
        return "1" if self.relay[relay].startswith("1") else "0"

    @command("ATUNE", integer(1, 4), integer(0, 2))
    def start_tuning(self, output: int, mode: int) -> None:
        """Refuse to tune: a loop that holds its setpoint has nothing to learn from."""
        raise ScpiError(-221, f"output {output} can't be tuned in mode {mode} while it holds its setpoint")

    @command("TUNEST?")
    def get_tuning(self) -> str:
        """Return that nothing is being tuned."""
        return "0,1,0,00"

    @command("TEMP?")
    def get_reference_junction(self) -> str:
        """Return the temperature of the thermocouples' reference junction in K."""
        return "+297.3500"

    @command("DFLT", integer(99, 99))
    def restore_defaults(self, confirmation: int) -> None:
        """Return every setting to the factory's."""
        del confirmation
        self.values.clear()

    # Curves.

    @command("CRVHDR", _USER_CURVE, text, text, integer(1, 4), number(low=0, high=1500), integer(1, 2))
    def set_curve_header(self, curve: int, name: str, serial: str, form: int, limit_k: float, coefficient: int) -> None:
        """Name a curve and say its format, limit in K and sign of the coefficient."""
        self.values["CRVHDR", curve] = f"{name[:15]:<15},{serial[:10]:<10},{form},{limit_k:+.3f},{coefficient}"

    @command("CRVHDR?", _CURVE)
    def get_curve_header(self, curve: int) -> str:
        """Return name, serial, format, limit and coefficient of a curve."""
        known = {1: ("DT-470", "STANDARD C", 2, 475.0, 1), 6: ("PT-100", "STANDARD C", 3, 800.0, 2)}
        known[SENSOR_CURVE] = ("CX-1050", "X12345", 4, 325.0, 1)
        name, serial, form, limit_k, coefficient = known.get(curve, ("User Curve", "", 2, 375.0, 1))
        default = f"{name:<15},{serial:<10},{form},{limit_k:+.3f},{coefficient}"
        return self.values.get(("CRVHDR", curve), default)

    @command("CRVPT", _USER_CURVE, _POINT, _ANY, _ANY, optional(_ANY, None))
    def set_curve_point(self, curve: int, index: int, units: float, kelvin: float, curvature: float | None) -> None:
        """Set a point of a curve in sensor units and K."""
        del curvature
        self.values["CRVPT", curve, index] = f"{units:+.5f},{kelvin:+.4f}"

    @command("CRVPT?", _CURVE, _POINT)
    def get_curve_point(self, curve: int, index: int) -> str:
        """Return a point of a curve in sensor units and K; zeros where there is none."""
        units, kelvin = _sensor_point(index) if curve == SENSOR_CURVE else (0.0, 0.0)
        return self.values.get(("CRVPT", curve, index), f"{units:+.5f},{kelvin:+.4f}")

    @command("CRVDEL", _USER_CURVE)
    def delete_curve(self, curve: int) -> None:
        """Delete a user curve."""
        for key in [key for key in self.values if key[:2] in {("CRVPT", curve), ("CRVHDR", curve)}]:
            del self.values[key]

    @command("SCAL", integer(1, LAST_CURVE), _USER_CURVE, text, *(_ANY,) * 2, *(optional(_ANY, None),) * 4)
    def make_soft_calibration(self, standard: int, curve: int, serial: str, *points: float | None) -> None:
        """Keep the points of a soft calibration, pairs of K and sensor units, as a curve."""
        values = [value for value in points if value is not None]
        self.values["CRVHDR", curve] = f"{f'SCAL{standard}':<15},{serial[:10]:<10},2,+375.000,1"
        for index in range(len(values) // 2):
            kelvin, units = values[2 * index : 2 * index + 2]
            self.values["CRVPT", curve, index + 1] = f"{units:+.5f},{kelvin:+.4f}"
