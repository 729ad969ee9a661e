"""What holds for every instrument with a dialect of its own, whatever a client sends."""

from __future__ import annotations

import dataclasses
import math
import random
from typing import Any

import pytest
from framed_made import Line, make, served

from qdhil_sim.devices.detector_driver import DetectorDriver
from qdhil_sim.devices.fibre_positioner import FibrePositioner
from qdhil_sim.devices.id900 import Id900
from qdhil_sim.devices.laser import Laser
from qdhil_sim.devices.spectrum_analyser import SpectrumAnalyser
from qdhil_sim.devices.tdc1 import Tdc1
from qdhil_sim.devices.translation_stage import TranslationStage
from qdhil_sim.environment import Environment

HOST = "127.77.3.8"
DEVICES = [DetectorDriver, Id900, Laser, FibrePositioner, SpectrumAnalyser, Tdc1, TranslationStage]
HEADS = {
    DetectorDriver: ['{"command": "SetAllBiasCurrents", "value": [@, @, @, @]}', '{"command": @}', '{"request": @}',
                     '{"command": "SetMeasurementPeriod", "value": @}'],
    Id900: ["INPU@:COUN?", "INPU1:THRE @", "HIST1:BWID @;BCOU @", "REC:DUR @;PLAY", "HIST@:DATA?", "HIST1:REF:LINK @"],
    Laser: ["(param-set! 'laser1:ctl:wavelength-set @)", "(param-set! 'laser1:dl:cc:enabled @)", "(param-ref '@)",
            "(exec '@ @)", "(change-ul @ @)", "(param-set! 'laser1:dl:cc:current-set @)"],
    FibrePositioner: ["MOV 1 @", "MVR 1 @", "SPA 1 @ @", "SVO 1 @", "VEL 1 @", "POS? @", "@ 1"],
    SpectrumAnalyser: ["SENS:WAV:CENT @", "SENS:WAV:SPAN @;:INIT", "TRAC:Y? @,@,@", "TRAC:ATTR:TRB @", "SENS:BAND @"],
    Tdc1: ["TIME @", "NEG @", "PAIRS;COUNTS?", "REFCLK @", "@?"],
    TranslationStage: ["1PA@", "1PR@", "@TP", "1WS@", "1VA@", "1SL@", "1DH@", "1ZA@", "1SN@", "@"],
}  # fmt: skip
VALUES = ["", "0", "1", "-1", "7.5", "1e9", "1e999", "nan", "-inf", "99999999999999999999", "x", '"a"', "#t", "()",
          "TRA", "?", "[", "5NM", "\xff", "A3H"]  # fmt: skip


@pytest.mark.parametrize("kind", DEVICES)
def test_no_message_breaks_it_or_makes_the_bench_absurd(kind: type[Any]) -> None:
    device, bench = make(kind)
    generator = random.Random(20260101)
    for _ in range(300):
        text = generator.choice(HEADS[kind])
        while "@" in text:
            text = text.replace("@", generator.choice(VALUES), 1)
        device.respond(text.encode("latin-1"))
        device.respond(generator.randbytes(generator.randrange(20)))
    numbers = [value for value in dataclasses.asdict(bench).values() if isinstance(value, float)]
    assert all(map(math.isfinite, [*numbers, *bench.detector_bias_ua.values(), device.clock.now_s]))
    assert 0 <= bench.collection <= 1
    assert device.undefined_headers > 0


@pytest.mark.parametrize("kind", DEVICES)
def test_a_new_instrument_leaves_the_bench_as_it_is(kind: type[Any]) -> None:
    device, bench = make(kind)
    getattr(device, "act_on_environment", lambda: None)()
    assert bench == Environment()


@pytest.mark.parametrize("kind", [kind for kind in DEVICES if kind is not Id900])
def test_garbage_does_not_end_the_connection(kind: type[Any]) -> None:
    device, _ = make(kind)
    questions = {
        DetectorDriver: b'{"request": "NumberOfDetectors"}', Laser: b"\n(param-ref 'ul)\n",
        FibrePositioner: b"\nCSV?\n",
        SpectrumAnalyser: b"\n*OPC?\n", Tdc1: b"\nMODE?\n", TranslationStage: b"\r1MD?\r",
    }  # fmt: skip
    answers = {DetectorDriver: b"4}", Laser: b"3\n> ", FibrePositioner: b"2.0\n", SpectrumAnalyser: b"1\r\n",
               Tdc1: b"0\r\n", TranslationStage: b"1\r\n"}  # fmt: skip
    with served(device, HOST), Line(HOST, kind.port) as line:
        line.write(bytes(range(128, 256)) * 3)
        line.ask(questions[kind], answers[kind])
