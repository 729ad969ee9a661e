"""Which models can be simulated: where the device of each is written, and at which addresses it is found.

Device modules are imported when a rack asks for them, so that ``qdhil-sim --help`` stays quick.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qdhil.errors import ConfigurationError

TransportName = Literal["stream", "hislip", "vxi11", "zmq"]


@dataclass(frozen=True)
class Model:
    """One simulated model."""

    device: str
    """``module:Class`` below :mod:`qdhil_sim.devices`."""
    port: int
    """TCP port of the real instrument's own interface."""
    role: str
    """What the packaged racks call it."""
    host: int
    """Last number of its loopback address in the packaged racks."""
    resource: str
    """Resource string in the packaged racks, with ``{host}`` for its address."""
    expect_idn: str | None = None
    reply_end: str | None = None
    """Terminator of answers, for a resource that is a stream."""
    write_end: str = "\n"
    """Terminator of commands there."""
    hislip: bool = True
    """Whether it is served over HiSLIP too, and over VXI-11 where a resource names that."""
    asks_identity: bool = True
    """Whether a line ``*IDN?`` to its port is answered with a line."""
    zmq: bool = False
    """Whether it is spoken to over ZeroMQ."""

    def load(self) -> type[Any]:
        """Import and return the device class."""
        module, _, name = self.device.partition(":")
        loaded: type[Any] = getattr(importlib.import_module(f"qdhil_sim.devices.{module}"), name)
        return loaded


_HISLIP = "TCPIP0::{host}::hislip0::INSTR"
_SOCKET = "TCPIP0::{host}::%d::SOCKET"

CORE = ("psc-2", "qdhil-tagger", "lakeshore-336", "dicon-gp600")
"""Models of the four roles that every rig has."""

# fmt: off
MODELS = {
    "psc-2": Model("controller:Controller", 5025, "controller", 30, _HISLIP, "QDHIL,PSC-2,*"),
    "qdhil-tagger": Model("tagger:Tagger", 5025, "tagger", 20, _HISLIP, "QDHIL,TAGGER-8,*"),
    "lakeshore-336": Model(
        "cryostat:Cryostat", 7777, "cryostat", 11, _SOCKET % 7777, "LSCI,MODEL336,*", "\r\n"
    ),
    "dicon-gp600": Model(
        "switch:Switch", 10001, "switch", 18, _SOCKET % 10001, "DiCon Fiberoptics Inc,GP600,*", "\n"
    ),
    "keithley-2450": Model("source_meter:SourceMeter", 5025, "bias", 12, _HISLIP, "KEITHLEY INSTRUMENTS,MODEL 2450,*"),
    "srs-sg384": Model(
        "signal_generator:SignalGenerator", 5025, "clock", 13, _HISLIP, "Stanford Research Systems,SG384,*"
    ),
    "newport-esp301": Model(
        "translation_stage:TranslationStage", 5000, "stage", 14, _SOCKET % 5000,
        reply_end="\r\n", write_end="\r", hislip=False, asks_identity=False,
    ),
    "keysight-81160a": Model(
        "pulse_generator:PulseGenerator", 5025, "pulser", 15, _HISLIP, "Agilent Technologies,81160A,*"
    ),
    "toptica-dlc-pro": Model(
        "laser:Laser", 1998, "laser", 16, _SOCKET % 1998, reply_end="\n> ", hislip=False, asks_identity=False
    ),
    "thorlabs-pm100d": Model("power_meter:PowerMeter", 5025, "power_meter", 17, _HISLIP, "Thorlabs,PM100D,*"),
    "single-quantum-websq": Model(
        "detector_driver:DetectorDriver", 12000, "detectors", 19, _SOCKET % 12000,
        reply_end="\x17", hislip=False, asks_identity=False,
    ),
    "rs-hmp4040": Model("supply:Supply", 5025, "supply", 21, _HISLIP, "ROHDE&SCHWARZ,HMP4040,*"),
    "yokogawa-aq6370d": Model(
        "spectrum_analyser:SpectrumAnalyser", 10001, "spectrum_analyser", 22, _SOCKET % 10001, "YOKOGAWA,AQ6370D,*",
        "\r\n", hislip=False,
    ),
    "pi-c863": Model(
        "fibre_positioner:FibrePositioner", 50000, "positioner", 23, _SOCKET % 50000, "*Physik Instrumente*C-863*",
        "\n", hislip=False,
    ),
    "s15-tdc1": Model(
        "tdc1:Tdc1", 5000, "tdc1", 24, _SOCKET % 5000, "TDC1*", "\r\n", hislip=False
    ),
    "idq-id900": Model(
        "id900:Id900", 5555, "id900", 25, "tcp://{host}:5555", hislip=False, asks_identity=False, zmq=True
    ),
}
FURTHER_MODELS = {
    "keithley-2400": Model(
        "source_meter_2400:SourceMeter2400", 5025, "bias_2400", 31, _HISLIP, "KEITHLEY INSTRUMENTS INC.,MODEL 2400,*"
    ),
    "keysight-n7776c": Model(
        "tunable_laser:TunableLaser", 5025, "probe", 32, _HISLIP, "Keysight Technologies,N7776C,*"
    ),
    "srs-dg645": Model(
        "delay_generator:DelayGenerator", 5025, "delays", 33, _HISLIP, "Stanford Research Systems,DG645,*"
    ),
    "oxford-mercury-itc": Model(
        "mercury_itc:MercuryItc", 7020, "second_cryostat", 34, _SOCKET % 7020, "IDN:OXFORD INSTRUMENTS:MERCURY ITC:*",
        "\n", hislip=False,
    ),
    "montana-cryostation": Model(
        "cryostation:Cryostation", 7773, "cryostation", 35, _SOCKET % 7773,
        reply_end="", write_end="", hislip=False, asks_identity=False,
    ),
    "attocube-anc300": Model(
        "step_positioner:StepPositioner", 7230, "step_positioner", 36, _SOCKET % 7230,
        reply_end="\r\n", write_end="\r\n", hislip=False, asks_identity=False,
    ),
    "qdevil-qdac2": Model("voltage_gates:VoltageGates", 5025, "gates", 37, _HISLIP, "QDevil, QDAC-II,*"),
    "yokogawa-gs200": Model("voltage_source:VoltageSource", 7655, "source", 38, _HISLIP, "YOKOGAWA,GS210,*"),
}
"""Models that a rack file may name and that the packaged racks, which have another for the same role, do not."""
# fmt: on


def find_model(model: str, label: str) -> Model:
    """Return the entry of a model; ``label`` says in messages who asks.

    Raises
    ------
    ConfigurationError
        If there is no such model; the message names those there are.
    """
    known = MODELS | FURTHER_MODELS
    if model not in known:
        raise ConfigurationError(
            f"{label}: no simulated model {model!r}; there are: {', '.join([*sorted(MODELS), *sorted(FURTHER_MODELS)])}"
        )
    return known[model]


def packaged_others() -> Sequence[str]:
    """Return the models of the packaged racks beyond the four that every rig has."""
    return [model for model in MODELS if model not in CORE]
