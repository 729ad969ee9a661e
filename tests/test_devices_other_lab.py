"""Instruments that a rack file may name in place of the packaged ones, each over its own socket."""

from __future__ import annotations

import contextlib
import itertools
import random
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from framed_made import Line, make, served
from test_devices_robustness import ODD, headers

from qdhil_sim.catalogue import FURTHER_MODELS, MODELS
from qdhil_sim.devices.cryostation import Cryostation
from qdhil_sim.devices.delay_generator import DelayGenerator
from qdhil_sim.devices.diode import Diode
from qdhil_sim.devices.mercury_itc import MercuryItc
from qdhil_sim.devices.source_meter_2400 import SourceMeter2400
from qdhil_sim.devices.step_positioner import MODE_RADIUS_UM, PASSWORD, SERIAL_PORT, STEP_UM_PER_V, StepPositioner
from qdhil_sim.devices.tunable_laser import TunableLaser
from qdhil_sim.devices.voltage_gates import VoltageGates
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.connection import Connections
from qdhil_sim.protocol.server import Endpoint, Server
from qdhil_sim.protocol.stream import StreamTransport

HOST = "127.77.4."
LASER_MW = Environment().laser_mw


@contextlib.contextmanager
def scpi(kind: type[Any], host: int) -> Iterator[tuple[Any, Line, Environment]]:
    """Serve a SCPI instrument, with a line to it."""
    device, environment = make(kind)
    address = f"{HOST}{host}"
    with Server() as server:
        server.bind(Endpoint(address, kind.port, StreamTransport(device), device, Connections(), kind.__name__))
        server.listen()
        with Line(address, kind.port) as line:
            yield device, line, environment


@contextlib.contextmanager
def framed(kind: type[Any], host: int) -> Iterator[tuple[Any, Line, Environment]]:
    """Serve an instrument with a framing of its own, with a line to it."""
    device, environment = make(kind)
    with served(device, f"{HOST}{host}"), Line(f"{HOST}{host}", kind.port) as line:
        yield device, line, environment


def numbers(answer: bytes) -> list[float]:
    return [float(word) for word in answer.split(b",")]


@pytest.mark.parametrize("name", FURTHER_MODELS)
def test_the_catalogue_names_the_device(name: str) -> None:
    model = FURTHER_MODELS[name]
    device = model.load()
    assert (device.model, device.port) == (name, model.port)
    assert model.host not in {each.host for each in MODELS.values()}


@pytest.mark.parametrize("kind", [SourceMeter2400, VoltageGates, TunableLaser, DelayGenerator])
def test_no_message_breaks_the_instrument(kind: type[Any]) -> None:
    known = headers(kind)
    instrument, _ = make(kind)
    for header, argument in itertools.product(known, [*ODD, b"1,1", b"1,2,1e-6", b"1,(@1,2)", b"INT3", b"#14\0\0\0\0"]):
        instrument.respond(header + b" " + argument)
    assert instrument.undefined_headers == 0
    instrument.respond(b"*CLS;BOGUS:HEADER 1")
    assert instrument.next_error().startswith("-113")
    assert instrument.undefined_headers == 1


@pytest.mark.parametrize("kind", [MercuryItc, StepPositioner, Cryostation])
def test_no_line_breaks_a_framed_instrument(kind: type[Any]) -> None:
    words = ["READ", "SET", "DEV", "MB1.T1", "TEMP", "LOOP", "TSET", "setm", "stepu", "getv", "stp", "c", "1", "-1",
             "1e400", "nan", "STSP", "GST", "²", "\xff", "setpu", "ON", "MB0.H1", "HTR", "RES", "0"]  # fmt: skip
    instrument, _ = make(kind)
    rng = random.Random(20260101)
    for _ in range(3000):
        text = rng.choice([":", " ", ""]).join(rng.choices(words, k=rng.randint(1, 6)))
        instrument.respond(text.encode("latin-1"))
    assert instrument.undefined_headers > 0


def test_2400_reads_what_is_chosen_and_refuses_with_the_output_off() -> None:
    with scpi(SourceMeter2400, 1) as (meter, line, environment):
        line.write(b":FORM:ELEM VOLT,CURR;:SENS:CURR:PROT 1e-4\n")
        assert line.ask(b":SENS:FUNC?\n") == b'"CURR:DC"'
        assert numbers(line.ask(b":SOUR:VOLT 1.45;:READ?\n")) == pytest.approx(
            [1.45, Diode().current_a(1.45, LASER_MW)], rel=1e-3
        )
        voltage_v, current_a = numbers(line.ask(b":SENS:FUNC 'VOLT';:SOUR:VOLT 5;:READ?\n"))
        assert current_a == pytest.approx(1e-4)
        assert environment.bias_v == pytest.approx(voltage_v, abs=1e-4)
        assert line.ask(b":SENS:CURR:PROT:TRIP?\n") == b"1"
        assert line.ask(b":OUTP OFF;:READ?;:SYST:ERR?\n") == b'803,"Not permitted with OUTPUT off"'
        assert not environment.bias_on
        assert meter.undefined_headers == 0


def test_2400_sweeps_into_its_buffer() -> None:
    with scpi(SourceMeter2400, 2) as (_, line, environment):
        line.write(b":SENS:FUNC:ALL;:FORM:ELEM CURR,VOLT;:SOUR:VOLT:MODE SWE;:SOUR:SWE:POIN 5\n")
        line.write(b":SOUR:VOLT:STAR 0;STOP 0.4;:TRIG:COUN 5;:TRAC:POIN 5;:TRAC:FEED:CONT NEXT\n")
        for _ in range(2):
            line.write(b"*CLS;*SRE 1;:STAT:MEAS:ENAB 512;:TRAC:CLE;FEED:CONT NEXT;:INIT\n")
            assert line.ask(b"*OPC?\n") == b"1"
            assert int(line.ask(b"*STB?\n")) & 0x41 == 0x41
        assert numbers(line.ask(b":TRAC:DATA?\n"))[::2] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=1e-4)
        assert numbers(line.ask(b":CALC3:FORM MAX;:CALC3:DATA?\n"))[0] == pytest.approx(0.4, abs=1e-4)
        assert environment.bias_v == 0.4
        assert line.ask(b":TRIG:COUN 2500;:ARM:COUN 2;:INIT;:SYST:ERR?\n").startswith(b"-222")


def test_gates_go_where_they_are_sent() -> None:
    with scpi(VoltageGates, 3) as (gates, line, environment):
        assert line.ask(b"sour1:volt?\n") == b"4.500000E-01"
        line.write(b"sour1:volt 0.4;:sour:volt 0.25,(@2,5:6)\n")
        assert numbers(line.ask(b"sour:volt? (@1:6)\n")) == [0.4, 0.25, 0, 0, 0.25, 0.25]
        assert environment.bias_v == 0.4
        assert line.ask(b"sour2:rang low;:sour2:volt 3;:syst:err?\n").startswith(b"-222")
        assert numbers(line.ask(b"sens1:rang low;:read? (@1,2)\n")) == pytest.approx(
            [Diode().current_a(0.4, LASER_MW), 0.25 / 10e9], abs=1e-11
        )
        assert line.ask(b"sour25:volt 1;:syst:err?\n").startswith(b"-114")
        assert gates.undefined_headers == 0


def test_gate_generators_wait_for_their_trigger() -> None:
    with scpi(VoltageGates, 4) as (_, line, environment):
        values = struct.pack("<3f", 0.1, 0.2, 0.3)
        line.write(b"sour1:list:volt #212" + values + b"\n")
        assert numbers(line.ask(b"sour1:list:volt?\n")) == pytest.approx([0.1, 0.2, 0.3])
        line.write(b"sour1:volt:mode list;:sour1:dc:trig:sour int3;:sour1:dc:init;:tint 2\n")
        assert line.ask(b"*opc?\n") == b"1"
        assert environment.bias_v == 0.45
        assert line.ask(b"tint 3;*opc?\n") == b"1"
        assert environment.bias_v == pytest.approx(0.3)
        line.write(b"sour1:sine:offs 0.05;coun inf;init\n")
        assert line.ask(b"sour1:sine:ncl?\n") == b"-1"
        assert environment.bias_v == pytest.approx(0.35)
        assert line.ask(b"sour1:sine:abor;:sour1:volt:mode swe;mode?\n") == b"SWE"
        assert environment.bias_v == pytest.approx(0.3)


def test_probe_laser_powers_and_sweeps() -> None:
    with scpi(TunableLaser, 5) as (laser, line, environment):
        assert line.ask(b"SOUR0:POW 2mW;:SOUR0:POW?\n") == b"+3.01029996E+00"
        assert line.ask(b"SOUR:POW:UNIT 1;:SOUR:POW?\n") == b"+2.00000000E-03"
        assert line.ask(b"SOUR0:POW 30 dBm;:SYST:ERR?\n").startswith(b"-222")
        line.write(b"SOUR0:WAV:SWE:STAR 1550nm;STOP 1550.5nm;STEP 0.1nm;SPE 0.5nm/s;MODE CONT\n")
        assert line.ask(b"SOUR0:WAV:SWE 1;:SYST:ERR?\n").startswith(b"-221")
        line.write(b"SOUR0:POW:STAT 1;:TRIG0:OUTP STF;:SOUR0:WAV:SWE:LLOG 1;:SOUR0:WAV:SWE STAR\n")
        begin_s = laser.clock.now_s
        assert line.ask(b"*OPC?\n") == b"1"
        assert laser.clock.now_s - begin_s == pytest.approx(1.0, abs=0.01)
        assert line.ask(b"SOUR0:READ:POIN? LLOG\n") == b"+6"
        laser_data = laser.respond(b"SOUR0:READ:DATA? LLOG")
        logged = struct.unpack("<6d", bytes(laser_data[1]))
        assert logged == pytest.approx([1550e-9 + 1e-10 * step for step in range(6)], abs=1e-12)
        assert line.ask(b"SOUR0:WAV:SWE?;:SOUR0:WAV?\n") == b"+0;+1.55050000E-06"
        assert environment == Environment()


def test_delays_follow_their_reference() -> None:
    with scpi(DelayGenerator, 6) as (delays, line, environment):
        line.write(b"DLAY 2,0,1e-7\r\nDLAY3,2,12.5e-9\r\n")
        assert line.ask(b"DLAY?3\n", b"\r\n") == b"2,+0.000000012500"
        assert delays.edge_s(3) == pytest.approx(112.5e-9)
        assert line.ask(b"DLAY 2,3,0;LERR?\n", b"\r\n") == b"12"
        assert line.ask(b"DLAY 4,0,-1;LERR?\n", b"\r\n") == b"10"
        assert line.ask(b"LINK 3,0;DLAY? 3\n", b"\r\n") == b"0,+0.000000112500"
        assert line.ask(b"LAMP 1,3.5;LAMP? 1\n", b"\r\n") == b"+3.50"
        assert environment.pulse_gate_on
        assert line.ask(b"TSRC 5;TSRC?\n", b"\r\n") == b"5"
        assert not environment.pulse_gate_on
        assert int(line.ask(b"*TRG;INSR?\n", b"\r\n")) & 1
        assert line.ask(b"TSRC 0;*TRG;LERR?\n", b"\r\n") == b"12"


def test_mercury_answers_settings_too() -> None:
    with framed(MercuryItc, 7) as (mercury, line, environment):
        assert line.ask(b"*IDN?\n") == b"IDN:OXFORD INSTRUMENTS:MERCURY ITC:SN1:2.6.04.000"
        assert line.ask(b"READ:DEV:MB1.T1:TEMP:SIG:TEMP\n") == b"STAT:DEV:MB1.T1:TEMP:SIG:TEMP:4.0000K"
        setpoint = b"DEV:MB1.T1:TEMP:LOOP:TSET"
        assert line.ask(b"SET:" + setpoint + b":4.5\n") == b"STAT:SET:" + setpoint + b":4.5:VALID"
        answer = line.ask(b"READ:DEV:DB6.T1:TEMP:SIG:TEMP\n")
        assert float(answer.rpartition(b":")[2].rstrip(b"K")) == pytest.approx(4.5, abs=0.01)
        assert line.ask(b"SET:" + setpoint + b":9999\n").endswith(b":INVALID")
        assert line.ask(b"SET:DEV:MB1.T1:TEMP:SIG:TEMP:4\n").endswith(b":DENIED")
        assert mercury.undefined_headers == 0
        assert line.ask(b"READ:DEV:DB9.T1:TEMP:SIG:TEMP\n").endswith(b":NOT_FOUND")
        assert mercury.undefined_headers == 1
        assert b":P:5.0000" in line.ask(b"READ:DEV:MB1.T1:TEMP:LOOP\n")
        assert environment == Environment()


def test_cryostation_frames_by_length() -> None:
    with framed(Cryostation, 8) as (cryostation, line, environment):
        line.write(b"03G")
        assert line.quiet()
        assert line.ask(b"ST", b"4.000") == b"05"
        assert line.ask(b"07STSP5.504GTSP", b"5.50").startswith(b"36OK")
        assert line.read_until(b"5.50") == b"04"
        assert float(cryostation.answer("GPT")) == pytest.approx(5.5, abs=0.01)
        line.write(b"03SWU")
        assert line.read_until(b"OK") == b"02"
        assert line.ask(b"04GS2T", b"295.000") == b"07"
        assert cryostation.undefined_headers == 0
        assert line.ask(b"03XYZ", b"XYZ").endswith(b"ERROR: Unknown command ")
        assert cryostation.undefined_headers == 1
        assert environment == Environment()


def test_positioner_console_wants_its_password() -> None:
    with framed(StepPositioner, 9) as (positioner, line, environment):
        line.read_until(b"Authorization code: ")
        assert line.ask(b"wrong\r\n", b"Authorization code: ") == b"*****\r\nAuthorization failed\r\n"
        assert line.ask(PASSWORD + b"\r\n", b"success\r\n") == b"******\r\nAuthorization "
        assert line.ask(b"getv 1\r\n", b"OK\r\n") == b"> getv 1\r\nvoltage = 30.000000 V\r\n"
        assert line.ask(b"echo off\r\n", b"OK\r\n") == b"> echo off\r\n"
        assert line.ask(b"stepu 1 10\r\n", b"ERROR\r\n") == b"Axis in wrong mode\r\n"
        line.ask(b"setm 1 stp\r\n", b"OK\r\n")
        line.ask(b"stepu 1 25\r\n", b"OK\r\n")
        line.ask(b"stepw 1\r\n", b"OK\r\n")
        moved_um = 25 * 30 * STEP_UM_PER_V
        assert environment.collection == pytest.approx(2.718281828 ** -((moved_um / MODE_RADIUS_UM) ** 2), rel=1e-6)
        line.ask(b"stepd 1 25\r\n", b"OK\r\n")
        assert environment.collection == pytest.approx(1.0)
        assert line.ask(b"getm 5\r\n", b"ERROR\r\n") == b"Axis not available\r\n"
        assert line.ask(b"dance 1\r\n", b"ERROR\r\n") == b"Unknown command\r\n"
        assert positioner.undefined_headers == 1


def test_positioner_serial_port_needs_no_password() -> None:
    device, _ = make(StepPositioner)
    with served(device, f"{HOST}10"), Line(f"{HOST}10", SERIAL_PORT) as line:
        assert line.ask(b"setf 2 250\r\n", b"OK\r\n") == b""
        assert line.ask(b"getf 2\r\n", b"OK\r\n") == b"frequency = 250 Hz\r\n"
        assert line.ask(b"ver\r\n", b"OK\r\n").count(b"\r\n") == 2
