"""One axis of an ESP301: what it holds, and the errors it and its controller report."""

from __future__ import annotations

from qdhil_sim.devices.motion import Move

TRAVEL_MM = (0.0, 25.0)
_HOME_VELOCITY, _JERK = 2.0, 40.0
ERRORS = {
    0: "NO ERROR DETECTED",
    6: "COMMAND DOES NOT EXIST",
    7: "PARAMETER OUT OF RANGE",
    9: "AXIS NUMBER OUT OF RANGE",
    37: "AXIS NUMBER MISSING",
    38: "COMMAND PARAMETER MISSING",
}
AXIS_ERRORS = {1: "PARAMETER OUT OF RANGE", 8: "MOTOR/STAGE NOT CONNECTED", 10: "MAXIMUM VELOCITY EXCEEDED",
               11: "MAXIMUM ACCELERATION EXCEEDED", 13: "MOTOR NOT ENABLED"}  # fmt: skip
KEPT = {
    "QM": 3.0, "QI": 1.2, "QV": 24.0, "QT": 0.0, "QG": 1.0, "QS": 1.0, "SU": 1e-4, "FR": 1e-3, "FE": 1.0, "AE": 100.0,
    "KP": 50.0, "KI": 20.0, "KD": 30.0, "KS": 100.0, "AF": 0.0, "VF": 0.0, "BA": 0.0, "CL": 0.0, "DB": 0.0, "TJ": 1.0,
    "OM": 3.0, "OL": 1.0, "VB": 0.0, "UF": 0.0, "ZA": 291.0, "ZB": 0.0, "ZE": 3.0, "ZF": 2.0, "ZH": 23.0, "ZS": 4.0,
    "SI": 1.0, "SS": 1.0, "BG": 0.0, "BL": 0.0, "PB": 0.0, "PC": 0.0, "PE": 0.0, "PI": 0.0, "UP": 0.0,
}  # fmt: skip
"""Settings of the drive and the servo, which the axis keeps: motor, current, gains, limits."""


class EspError(Exception):
    """An entry for the error buffer."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Axis:
    """State of one axis, in mm."""

    def __init__(self, number: int, position_mm: float) -> None:
        self.number = number
        self.on = True
        self.origin_mm = 0.0
        self.move = Move.resting(position_mm)
        self.values = {"VA": 4.0, "AC": 16.0, "AG": 16.0, "VU": 10.0, "AU": 80.0, "OH": _HOME_VELOCITY,
                       "JK": _JERK, "JH": 4.0, "JL": 1.0, "SL": TRAVEL_MM[0], "SR": TRAVEL_MM[1]}  # fmt: skip
        self.unit = 2
        self.kept = dict(KEPT)

    def error(self, code: int) -> EspError:
        """Return an error of this axis."""
        return EspError(100 * self.number + code)
