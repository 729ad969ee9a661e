from __future__ import annotations

import threading

import pytest

from qdhil_sim.clock import Clock
from qdhil_sim.protocol.instrument import Block, Instrument
from qdhil_sim.protocol.parameters import block, boolean_or_integer, choice, integer, number, optional, text
from qdhil_sim.protocol.scpi import command


class Bench(Instrument):
    """A little instrument with one command of each kind."""

    def __init__(self) -> None:
        super().__init__("QDHIL,BENCH,1,1.0", Clock("turbo"), threading.RLock())
        self.wavelength_m = 0.0
        self.label = ""

    @command("SOURce<n>:WAVelength[:CW]", number("M", low=1e-7, high=2e-6))
    def set_wavelength(self, source: int, wavelength_m: float) -> None:
        self.wavelength_m = wavelength_m

    @command("SOURce<n>:WAVelength[:CW]?")
    def get_wavelength(self, source: int) -> str:
        return f"{source}:{self.wavelength_m:.4e}"

    @command("[SENSe:]POWer?", optional(choice("MIN", "MAX"), "NOW"))
    def get_power(self, which: str) -> str:
        return which

    @command("LABel", text)
    def set_label(self, label: str) -> None:
        self.label = label

    @command("LABel?")
    def get_label(self) -> str:
        return f'"{self.label}"'

    @command("ECHO?", block)
    def echo(self, data: bytes) -> Block:
        return Block(data)

    @command("OUTPut[:STATe]", boolean_or_integer(0, 1))
    def set_output(self, state: int) -> None:
        self.label = str(state)

    @command("COUNt", integer(1, 10), optional(integer(0, 5), 2))
    def set_count(self, count: int, second: int) -> None:
        self.label = f"{count}/{second}"


@pytest.fixture
def bench() -> Bench:
    return Bench()


def ask(instrument: Instrument, message: bytes) -> str:
    return b"".join(instrument.respond(message)).decode().removesuffix("\n")


@pytest.mark.parametrize("header", [b"SOUR:WAV?", b"source:wavelength?", b":Sour1:Wavelength:CW?", b"SOURCE1:WAV:CW?"])
def test_long_and_short_forms_in_any_case(bench: Bench, header: bytes) -> None:
    assert ask(bench, header) == "1:0.0000e+00"


@pytest.mark.parametrize("header", [b"SOURC:WAV?", b"SOUR:WAVE?", b"SOUR:WAV:CW:X?", b"SOUR:WAV2?", b"NONE?"])
def test_other_spellings_are_undefined_headers(bench: Bench, header: bytes) -> None:
    assert ask(bench, header) == ""
    assert ask(bench, b"SYST:ERR?") == f'-113,"Undefined header;{header.decode().rstrip("?")}"'
    assert ask(bench, b"SYST:HEAD:UND?") == "1"
    assert ask(bench, b"SYST:ERR:NEXT?") == '0,"No error"'


def test_suffixes_and_optional_nodes(bench: Bench) -> None:
    assert ask(bench, b"SOUR3:WAV?") == "3:0.0000e+00"
    assert ask(bench, b"POW?;:SENS:POW? MAX;POW? min") == "NOW;MAX;MIN"


def test_path_memory(bench: Bench) -> None:
    ask(bench, b"SOUR2:WAV 930nm;WAV?")
    assert ask(bench, b"SOUR2:WAV 930 NM;WAV?;*OPC?;WAV:CW?") == "2:9.3000e-07;1;2:9.3000e-07"
    assert ask(bench, b"SOUR2:WAV?;POW?") == "2:9.3000e-07"
    assert ask(bench, b"SYST:ERR?").startswith("-113")
    assert ask(bench, b"SOUR2:WAV?;:POW?") == "2:9.3000e-07;NOW"


@pytest.mark.parametrize(
    ("argument", "metres"),
    [(b"930nm", 930e-9), (b"0.93 UM", 0.93e-6), (b"9.3e-7", 930e-9), (b"MIN", 1e-7), (b".93um", 0.93e-6)],
)
def test_numbers_with_units(bench: Bench, argument: bytes, metres: float) -> None:
    ask(bench, b"SOUR:WAV " + argument)
    assert bench.wavelength_m == pytest.approx(metres, rel=1e-12)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"SOUR:WAV 930 kg", -131),
        (b"SOUR:WAV 5 km", -222),
        (b"SOUR:WAV blue", -104),
        (b"SOUR:WAV nan", -104),
        (b"SOUR:WAV", -109),
        (b"SOUR:WAV 1um,2um", -108),
        (b"POW? AVG", -224),
        (b"LABEL 'open", -151),
        (b"ECHO? #15ab", -161),
        (b"ECHO? 12", -104),
        (b"LAB \xff", -101),
        (b"?", -102),
        (b"POW!", -102),
        (b"COUNT 11", -222),
    ],
)
def test_errors_are_queued_and_never_answered(bench: Bench, message: bytes, code: int) -> None:
    ask(bench, b"*CLS")
    assert ask(bench, message) == ""
    assert ask(bench, b"SYST:ERR:COUN?") == "1"
    assert ask(bench, b"SYST:ERR?").startswith(f"{code},")
    assert ask(bench, b"*ESR?") == str(0x20 if code > -200 else 0x10)


def test_strings_blocks_booleans_and_defaults(bench: Bench) -> None:
    assert ask(bench, b"LAB 'a;b,c';LAB?") == '"a;b,c"'
    assert bench.respond(b"ECHO? #16a;\n'#1;*IDN?") == [b"#16", b"a;\n'#1", b";", b"QDHIL,BENCH,1,1.0", b"\n"]
    for word, state in [(b"ON", "1"), (b"off", "0"), (b"1", "1")]:
        ask(bench, b"OUTP " + word)
        assert bench.label == state
    ask(bench, b"COUNT #H0A")
    assert bench.label == "10/2"
    ask(bench, b"COUNT 3,5")
    assert bench.label == "3/5"


def test_query_without_space_before_its_argument(bench: Bench) -> None:
    assert ask(bench, b"POW?MAX") == "MAX"


def test_queue_overflow_ends_with_350(bench: Bench) -> None:
    for _ in range(40):
        ask(bench, b"NONE")
    codes = [ask(bench, b"SYST:ERR?").split(",")[0] for _ in range(17)]
    assert codes == ["-113"] * 15 + ["-350", "0"]
    assert bench.undefined_headers == 40


def test_status_registers(bench: Bench) -> None:
    assert ask(bench, b"*ESR?;*ESR?") == "128;0"
    ask(bench, b"*ESE 32;*SRE 36;NONE")
    assert int(ask(bench, b"*STB?")) == 0x04 | 0x20 | 0x40
    assert ask(bench, b"*ESE?;*SRE?;*ESR?;*STB?") == "32;36;32;68"
    ask(bench, b"*CLS;*OPC")
    assert ask(bench, b"*ESR?;*STB?;*TST?;*OPC?") == "1;0;0;1"


def test_turbo_commands_cost_a_millisecond(bench: Bench) -> None:
    before_s = bench.clock.now_s
    ask(bench, b"*IDN?;*IDN?;*CLS")
    assert bench.clock.now_s - before_s == pytest.approx(3e-3)
