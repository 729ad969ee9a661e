"""Polarisation analysis of one photon: a quarter-wave plate, a half-wave plate, and a polarising splitter.

Jones vectors over H and V, with R = (H - iV)/√2. A plate at angle α multiplies the component along its
slow axis, at α + 90° from H, by exp(iδ).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from pydantic import Field

from qdhil.model_files import Strict

Vector = npt.NDArray[np.complex128]


class WavePlates(Strict):
    """Angles of the plates; the photon meets the quarter-wave plate first, and H is transmitted."""

    quarter_deg: float
    half_deg: float
    quarter_error_deg: float = Field(default=0.0, ge=-45, le=45)
    """Error of the quarter-wave plate's retardance."""
    half_error_deg: float = Field(default=0.0, ge=-45, le=45)

    def analysed(self) -> Vector:
        """Return the state that is transmitted with certainty, a unit vector of shape (2,)."""
        first = _plate(self.quarter_deg, 90 + self.quarter_error_deg)
        second = _plate(self.half_deg, 180 + self.half_error_deg)
        state: Vector = (second @ first).conj().T[:, 0]
        return state


def _plate(angle_deg: float, retardance_deg: float) -> Vector:
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    turn = np.array([[cos, -sin], [sin, cos]])
    delay = np.diag([1.0, np.exp(1j * math.radians(retardance_deg))])
    plate: Vector = turn @ delay @ turn.T
    return plate


ANALYSERS: dict[str, WavePlates] = {
    "H": WavePlates(quarter_deg=0, half_deg=0),
    "V": WavePlates(quarter_deg=0, half_deg=45),
    "D": WavePlates(quarter_deg=45, half_deg=22.5),
    "A": WavePlates(quarter_deg=45, half_deg=67.5),
    "R": WavePlates(quarter_deg=0, half_deg=22.5),
    "L": WavePlates(quarter_deg=0, half_deg=67.5),
}
"""Angles that analyse the six polarisations of tomography."""

SIXTEEN_SETTINGS = (
    *("HH", "HV", "VV", "VH", "RH", "RV", "DV", "DH"),
    *("DR", "DD", "RD", "HD", "VD", "VL", "HL", "RL"),
)
"""Polarisations of both photons, in the order of James et al., Phys. Rev. A 64, 052312 (2001)."""
