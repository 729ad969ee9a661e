from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdhil_sim.protocol.framing.framing import (
    JsonFraming,
    LineFraming,
    LoginFraming,
    MessageTooLong,
    PromptFraming,
)


def fed(framing: LineFraming | JsonFraming, data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [message for begin, end in itertools.pairwise(places) for message in framing.messages(data[begin:end])]


@given(
    st.lists(st.from_regex(rb"[ -~]*[!-~]", fullmatch=True), max_size=6),
    st.sampled_from([b"\r", b"\n", b"\r\n"]),
    st.lists(st.integers(0, 500), max_size=8),
)
def test_lines_do_not_depend_on_the_packets(lines: list[bytes], end: bytes, cuts: list[int]) -> None:
    assert fed(LineFraming(), b"".join(line + end for line in lines), cuts) == lines


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=3), max_size=5),
    st.lists(st.integers(0, 500), max_size=8),
)
def test_json_objects_do_not_depend_on_the_packets(objects: list[dict[str, str]], cuts: list[int]) -> None:
    data = "".join(json.dumps(each) for each in objects).encode()
    assert [json.loads(message) for message in fed(JsonFraming(), data, cuts)] == objects


def test_single_bytes_are_commands_amid_a_line() -> None:
    framing = LineFraming(single_bytes=b"\x05")
    assert framing.messages(b"POS\x05?\n\x05") == [b"\x05", b"POS?", b"\x05"]


@pytest.mark.parametrize("framing", [LineFraming(), JsonFraming()])
def test_a_message_without_end_is_given_up(framing: LineFraming | JsonFraming) -> None:
    with pytest.raises(MessageTooLong):
        framing.messages(b'{"' + b"x" * (1 << 20))
    assert framing.messages(b"{}\n") == [b"{}"]


def test_a_prompt_follows_every_answer() -> None:
    framing = PromptFraming(b"hello")
    assert framing.greeting() == b"hello\n> "
    assert b"".join(framing.frame([b"1"])) == b"1\n> "


def test_login_may_be_left_out() -> None:
    framing = LoginFraming()
    assert framing.handshake(b"*IDN?") is None
    assert framing.handshake(b'open "anonymous"') == b"AUTHENTICATE CRAM-MD5.\r\n"
    assert framing.messages(b"\r\n") == [b""]
    assert framing.handshake(b"") == b"READY\r\n"
    assert framing.handshake(b"*IDN?") is None
