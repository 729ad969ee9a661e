"""What the bench around a source does to its light: the state that the instruments of one rig share.

Instruments write here what they do to the world and read here what they would sense. With every value
nominal the light is that of the rig's profile.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NOMINAL_TEMPERATURE_K = 4.0
NOMINAL_BIAS_V = 0.45
NOMINAL_LASER_NM = 930.0
NOMINAL_LASER_MW = 10.0
NOMINAL_DETECTOR_BIAS_UA = 18.0
NOMINAL_REP_RATE_HZ = 80e6


@dataclass
class Environment:
    """The bench of one rig; every access holds the rig's lock."""

    temperature_k: float = NOMINAL_TEMPERATURE_K
    """Temperature of the sample."""
    bias_v: float = NOMINAL_BIAS_V
    """Voltage across the diode that holds the dot; it tunes the line (Stark effect) and the charge."""
    bias_on: bool = True
    rep_rate_hz: float = NOMINAL_REP_RATE_HZ
    """Clock that the laser is locked to."""
    laser_nm: float = NOMINAL_LASER_NM
    laser_mw: float = NOMINAL_LASER_MW
    laser_on: bool = True
    pulse_gate_on: bool = True
    """Whether the pulse generator opens the modulator."""
    hom_delay_error_ps: float = 0.0
    """Mismatch of the interferometer's long arm, as the delay stage leaves it."""
    collection: float = 1.0
    """Coupling into the fibre relative to the profile's, as the positioner leaves it."""
    detector_bias_ua: dict[int, float] = field(
        default_factory=lambda: dict.fromkeys((1, 2, 3, 4), NOMINAL_DETECTOR_BIAS_UA)
    )
    """Bias current of each superconducting detector."""
    controller_powered: bool = True
    """Whether the supply feeds the controller."""
