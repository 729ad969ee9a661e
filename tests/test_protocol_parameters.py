from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil_sim.clock import Clock
from qdhil_sim.devices.scpi_instrument import ScpiInstrument
from qdhil_sim.devices.setting import Family, Setting
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.message import split_outside_data
from qdhil_sim.protocol.parameters import INFINITY, Parameter, boolean, channel_list, choice, integer, number, text
from qdhil_sim.protocol.scpi import command

quick = settings(max_examples=200, derandomize=True, deadline=None)
PREFIXES = {"": 0, "K": 3, "MA": 6, "G": 9, "U": -6, "N": -9, "P": -12, "F": -15}


class Generator(ScpiInstrument):
    """An instrument with a setting of each kind."""

    level = Setting("SOURce<1-2>:LEVel[:AMPLitude]", parameter=number("V", low=-5, high=5, default=1.0))
    step = Setting("STEP", parameter=number(low=0, high=5, default=0.5))
    power = Setting(
        "POWer", parameter=number("W", low=0, high=1, default=0.1, others={"DBM": lambda dbm: 1e-3 * 10 ** (dbm / 10)}),
        step=lambda self: self.step,
    )  # fmt: skip
    count = Setting("[SENSe<1>:]COUNt", parameter=integer(1, 10, default=2))
    on = Setting("OUTPut<1>[:STATe]", parameter=boolean, reset=False)
    shape = Setting("SHAPe", parameter=choice("SINusoid", "SQUare", "CURRent[:DC]", default="SIN"))
    delay = Family("DELay:{}", {"VOLTage[:DC]": number("S", low=0, high=9, default=1.0), "CURRent": number("S")})
    load = Setting("LOAD", parameter=number("OHM", low=1, high=INFINITY, default=50.0))
    applied = 0

    def __init__(self) -> None:
        super().__init__("QDHIL,GEN,1,1", Environment(), Clock("turbo"), threading.RLock())

    def apply(self) -> None:
        self.applied += 1

    def questionable_condition(self) -> int:
        return 4 if self.on else 0

    @command("ROUTe:CLOSe", channel_list(1, 16))
    def close_channels(self, channels: list[int]) -> None:
        self.closed = channels

    @command("NAME", text)
    def set_name(self, name: str) -> None:
        self.name = name


@pytest.fixture
def generator() -> Generator:
    return Generator()


def ask(instrument: ScpiInstrument, message: str) -> str:
    return b"".join(instrument.respond(message.encode())).decode().removesuffix("\n")


def error(instrument: ScpiInstrument) -> int:
    return int(ask(instrument, "SYST:ERR?").split(",")[0])


def refused(parameter: Parameter, data: bytes) -> int:
    with pytest.raises(ScpiError) as caught:
        parameter.convert(data)
    return caught.value.code


@quick
@given(
    value=st.floats(1e-3, 1e3),
    prefix=st.sampled_from(sorted(PREFIXES)),
    blanks=st.sampled_from(["", " ", "  \t"]),
    upper=st.booleans(),
)
def test_numbers_in_any_unit_notation_and_case(value: float, prefix: str, blanks: str, upper: bool) -> None:
    written = f"{value!r}{blanks}{prefix}v"
    got = number("V").convert((written.upper() if upper else written.lower()).encode())
    assert got == pytest.approx(value * 10.0 ** PREFIXES[prefix], rel=1e-12)


@quick
@given(value=st.floats(allow_nan=False, allow_infinity=False, width=64))
def test_numbers_survive_being_written(value: float) -> None:
    assert number(low=-math.inf, high=math.inf).convert(f"{value!r}".encode()) == value


@quick
@given(value=st.integers(0, 1 << 40))
def test_numbers_in_every_base(value: int) -> None:
    for written in (f"#H{value:x}", f"#q{value:o}", f"#B{value:b}", f"{value}"):
        assert integer(0, 1 << 40).convert(written.encode()) == value


@quick
@given(name=st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=20), quote=st.sampled_from("\"'"))
def test_strings_hold_any_text(name: str, quote: str) -> None:
    generator = Generator()
    ask(generator, f"NAME {quote}{name.replace(quote, 2 * quote)}{quote}")
    assert (generator.name, error(generator)) == (name, 0)


@quick
@given(channels=st.lists(st.integers(1, 16), min_size=1, max_size=6))
def test_channel_lists(channels: list[int]) -> None:
    generator = Generator()
    ask(generator, f"ROUT:CLOS (@{','.join(map(str, channels))});*OPC")
    assert generator.closed == channels
    assert channel_list(1, 16).convert(f"(@ 2 : 4 , {channels[0]})".encode()) == [2, 3, 4, channels[0]]
    assert channel_list(1, 16).convert(b"(@4:2)") == [4, 3, 2]


@quick
@given(message=st.binary(max_size=40))
def test_no_message_breaks_an_instrument(message: bytes) -> None:
    generator = Generator()
    generator.respond(message)
    assert ask(generator, "*IDN?") == "QDHIL,GEN,1,1"


@pytest.mark.parametrize(
    ("parameter", "data", "code"),
    [
        (number("V"), b"1 A", -131),
        (number(), b"1 V", -138),
        (number("V"), b"1.2.3", -121),
        (number("V"), b"#H12G", -121),
        (number("V"), b"word", -104),
        (number("V"), b"1e99999", -123),
        (number("V", low=0, high=1), b"INF", -222),
        (number("V", low=0, high=1), b"NINF", -222),
        (integer(1, 4), b"4.6", -222),
        (choice("VOLTage"), b"VOLTA", -224),
        (boolean, b"MAYBE", -104),
        (channel_list(1, 4), b"(@1,5)", -222),
        (channel_list(1, 4), b"(@1,)", -171),
        (channel_list(1, 4), b"(@" + b"1" * 40 + b"x)", -171),
    ],
)
def test_wrong_data(parameter: Parameter, data: bytes, code: int) -> None:
    assert refused(parameter, data) == code


def test_booleans_and_choices() -> None:
    assert [boolean.convert(word) for word in (b"ON", b"off", b"1", b"0", b"2.7", b"0.2")] == [1, 0, 1, 0, 1, 0]
    names = choice("VOLTage", "CURRent[:DC]")
    words = (b"volt", b"VOLTAGE", b"'CURR:DC'", b'"current"', b"CURRent:DC")
    assert [names.convert(word) for word in words] == ["VOLT", "VOLT", "CURR", "CURR", "CURR"]


def test_expression_left_open_is_refused(generator: Generator) -> None:
    ask(generator, "ROUT:CLOS (@1,2")
    assert error(generator) == -171
    assert split_outside_data(b"A (@1,2;3),(4,(5)) , ')'", b",") == [b"A (@1,2;3)", b"(4,(5))", b"')'"]


def test_extremes_in_commands_and_queries(generator: Generator) -> None:
    assert ask(generator, "SOUR1:LEV?;LEV? MAX;LEV? min;LEV? DEFault") == ";".join(
        ["1.000000E+00", "5.000000E+00", "-5.000000E+00", "1.000000E+00"]
    )
    ask(generator, "SOUR2:LEV MAX")
    assert ask(generator, "SOUR2:LEV:AMPL?;:SOUR1:LEV?") == "5.000000E+00;1.000000E+00"
    assert ask(generator, "SOUR2:LEV DEF;LEV?") == "1.000000E+00"
    assert ask(generator, "COUN MAX;COUN?;COUN? MIN") == "10;1"
    ask(generator, "COUN? HALF")
    assert error(generator) == -224


def test_steps(generator: Generator) -> None:
    assert ask(generator, "STEP 0.2;POW UP;POW?;POW DOWN;POW?") == "3.000000E-01;1.000000E-01"
    ask(generator, "STEP 5;POW UP")
    assert error(generator) == -222
    assert ask(generator, "POW 10 dBm;POW?") == "1.000000E-02"
    ask(generator, "SOUR1:LEV UP")
    assert error(generator) == -104


@pytest.mark.parametrize("header", ["SOUR:LEV?", "SOUR1:LEV?", "source1:level:amplitude?", "SENS1:COUN?", "OUTP1?"])
def test_suffixes_within_limits(generator: Generator, header: str) -> None:
    assert ask(generator, header)


@pytest.mark.parametrize("header", ["SOUR3:LEV?", "SOUR0:LEV?", "SENS2:COUN?", "OUTP12:STAT ON"])
def test_suffixes_out_of_range(generator: Generator, header: str) -> None:
    assert ask(generator, header) == ""
    assert error(generator) == -114
    assert generator.undefined_headers == 0


def test_infinity_is_a_number(generator: Generator) -> None:
    assert ask(generator, "LOAD INF;LOAD?;LOAD INFinity;LOAD?") == "9.900000E+37;9.900000E+37"
    assert ask(generator, "LOAD 1 MOHM;LOAD?") == "1.000000E+06"


def test_families_and_reset(generator: Generator) -> None:
    assert ask(generator, "DEL:VOLT:DC 2;:DEL:VOLT?;:DEL:VOLT 30ms;:DEL:VOLTAGE:DC?") == "2.000000E+00;3.000000E-02"
    assert generator.delay["VOLT"] == 0.03
    before = generator.applied
    assert ask(generator, "OUTP ON;SHAP SQUARE;*RST;OUTP?;SHAP?;DEL:VOLT?") == "0;SIN;1.000000E+00"
    assert generator.applied == before + 3


def test_status_registers_latch_transitions(generator: Generator) -> None:
    ask(generator, "STAT:QUES:ENAB 4;*SRE 8;:OUTP ON")
    assert ask(generator, "STAT:QUES:COND?;*STB?") == f"4;{0x08 | 0x40}"
    assert ask(generator, "STAT:QUES?;:STAT:QUES:EVEN?;*STB?") == "4;0;0"
    ask(generator, "STAT:QUES:PTR 0;NTR 4;:OUTP OFF")
    assert ask(generator, "STAT:QUES?") == "4"
    ask(generator, "STAT:PRES")
    assert ask(generator, "STAT:QUES:ENAB?;PTR?;NTR?") == "0;32767;0"


def test_save_and_recall(generator: Generator) -> None:
    assert ask(generator, "SOUR1:LEV 3;*SAV 2;*RST;*RCL 2;:SOUR1:LEV?") == "3.000000E+00"
    ask(generator, "*RCL 5")
    assert error(generator) == -224
    assert ask(generator, "*OPT?;*PSC?;SYST:VERS?;ERR:CODE?") == "0;1;1999.0;0"


def test_all_errors_at_once(generator: Generator) -> None:
    ask(generator, "NONE;SOUR3:LEV 1")
    assert ask(generator, "SYST:ERR:ALL?") == '-113,"Undefined header;NONE",-114,"Header suffix out of range;3"'
    assert ask(generator, "SYST:ERR:ALL?") == '0,"No error"'
