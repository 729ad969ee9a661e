from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.message import MessageSplitter, split_outside_data


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_every_line_ending_ends_a_message(ending: bytes) -> None:
    assert MessageSplitter().feed(b"*IDN?" + ending + b"KRDG? A" + ending) == [b"*IDN?", b"KRDG? A"]


def test_empty_lines_are_no_ops() -> None:
    assert MessageSplitter().feed(b"\n\r\n  \n*CLS\n\n") == [b"*CLS"]


def test_message_waits_for_its_end() -> None:
    splitter = MessageSplitter()
    assert splitter.feed(b"*ID") == []
    assert splitter.feed(b"N?") == []
    assert splitter.feed(b"\n") == [b"*IDN?"]


@settings(max_examples=200, derandomize=True, deadline=None)
@given(payload=st.binary(max_size=80), cuts=st.lists(st.integers(0, 120), max_size=6))
def test_blocks_of_any_bytes_survive_any_cutting(payload: bytes, cuts: list[int]) -> None:
    length = str(len(payload)).encode()
    first = b"UPL #" + str(len(length)).encode() + length + payload
    stream = first + b"\n*IDN?\r\n"
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    splitter = MessageSplitter()
    got = [m for begin, end in itertools.pairwise(edges) for m in splitter.feed(stream[begin:end])]
    assert got == [first, b"*IDN?"]


def test_hash_in_quotes_and_hex_numbers_are_no_blocks() -> None:
    assert MessageSplitter().feed(b"NAME '#19'\nVAL #H1F\n") == [b"NAME '#19'", b"VAL #H1F"]


def test_quote_left_open_does_not_swallow_the_next_message() -> None:
    assert MessageSplitter().feed(b"NAME 'dot\n*IDN?\n") == [b"NAME 'dot", b"*IDN?"]


def test_finish_returns_what_has_no_terminator() -> None:
    splitter = MessageSplitter()
    assert splitter.feed(b"A\nB") == [b"A"]
    assert splitter.finish() == [b"B"]
    assert splitter.finish() == []


def test_separators_in_data_do_not_split() -> None:
    message = b"NAME 'a;b';UPL #15;;\n;;, 3;*IDN?"
    assert split_outside_data(message, b";") == [b"NAME 'a;b'", b"UPL #15;;\n;;, 3", b"*IDN?"]
    assert split_outside_data(b" 'a,b' ,\"c\", #13,,,,4", b",") == [b"'a,b'", b'"c"', b"#13,,,", b"4"]


@pytest.mark.parametrize(("message", "code"), [(b"NAME 'a", -151), (b"UPL #15ab", -161)])
def test_broken_data_is_refused(message: bytes, code: int) -> None:
    with pytest.raises(ScpiError) as caught:
        split_outside_data(message, b";")
    assert caught.value.code == code
