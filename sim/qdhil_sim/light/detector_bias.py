"""Typical detectors, and how their efficiency, dark counts and jitter depend on their bias."""

from __future__ import annotations

import math

from pydantic import Field

from qdhil.model_files import Strict
from qdhil_sim.light.detector import BiasResponse, Detector

NANOWIRE = Detector(efficiency=0.85, jitter_ps=18.0, dark_rate_hz=100.0, dead_time_ps=20_000, bias=BiasResponse())
"""A superconducting nanowire at 2.5 K, which is blind until its current has returned; typical figures."""
AVALANCHE = Detector(
    efficiency=0.35,
    jitter_ps=150.0,
    dark_rate_hz=250.0,
    dead_time_ps=45_000,
    afterpulse_probability=0.01,
    afterpulse_decay_ps=60_000.0,
)
"""An actively quenched silicon avalanche diode near 920 nm; typical figures, not those of a product."""
PASSIVE_AVALANCHE = AVALANCHE.model_copy(update={"dead_time_ps": 1_000_000, "dead_time_kind": "paralysable"})
"""The same, passively quenched."""
_MOST_DARK_HZ = 1e9
_MOST_AFTERPULSES = 0.9


def at_current(detector: Detector, bias_ua: float) -> Detector:
    """Return a nanowire at another bias current than the one it is described at.

    The efficiency is a logistic step with a plateau, the dark rate rises exponentially, the slope of the
    signal and so 1/jitter with the current; at the switching current the wire stays normal and is blind.
    """
    response = detector.bias or BiasResponse()
    if not 0 < bias_ua < response.switching_ua:
        return detector.model_copy(update={"efficiency": 0.0, "dark_rate_hz": 0.0})

    def step(current_ua: float) -> float:
        return 1 / (1 + math.exp(-(current_ua - response.half_efficiency_ua) / response.efficiency_width_ua))

    dark = 10 ** ((bias_ua - response.nominal_ua) / response.dark_decade_ua)
    return detector.model_copy(
        update={
            "efficiency": min(detector.efficiency * step(bias_ua) / step(response.nominal_ua), 1.0),
            "dark_rate_hz": min(detector.dark_rate_hz * dark, _MOST_DARK_HZ),
            "jitter_ps": detector.jitter_ps * response.nominal_ua / bias_ua,
        }
    )


class ExcessBias(Strict):
    """How an avalanche diode in Geiger mode answers to its excess bias: efficiency saturates, noise grows."""

    nominal_v: float = Field(default=5.0, gt=0)
    """Excess bias at which the detector is as described."""
    efficiency_fold_v: float = Field(default=3.0, gt=0)
    """Excess bias that gives 1 - 1/e of the largest efficiency."""
    dark_decade_v: float = Field(default=6.0, gt=0)
    """Rise of the excess bias that makes ten times the dark counts."""


def at_excess_bias(detector: Detector, excess_v: float, response: ExcessBias | None = None) -> Detector:
    """Return an avalanche diode at another excess bias; at 0 V and below it is blind.

    Afterpulses go with the charge of an avalanche, and that with the excess bias.
    """
    response = response or ExcessBias()
    if excess_v <= 0:
        return detector.model_copy(update={"efficiency": 0.0, "dark_rate_hz": 0.0})

    def filled(volts: float) -> float:
        return -math.expm1(-volts / response.efficiency_fold_v)

    dark = 10 ** ((excess_v - response.nominal_v) / response.dark_decade_v)
    afterpulses = detector.afterpulse_probability * excess_v / response.nominal_v
    return detector.model_copy(
        update={
            "efficiency": min(detector.efficiency * filled(excess_v) / filled(response.nominal_v), 1.0),
            "dark_rate_hz": min(detector.dark_rate_hz * dark, _MOST_DARK_HZ),
            "afterpulse_probability": min(afterpulses, _MOST_AFTERPULSES),
        }
    )
