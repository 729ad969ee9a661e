"""Whatever is done to an audit log after its head was noted is found."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from audit_made import write_log
from hypothesis import given, settings
from hypothesis import strategies as st
from signing_made import ALICE, BOB

from qdhil.audit import AuditLog, Head, current_actor, verify_log
from qdhil.audit.entry import Entry, decode, digest, encode, signed_bytes

MUTATIONS = 4000
Lines = list[bytes]


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> tuple[bytes, Head]:
    file = tmp_path_factory.mktemp("log") / "audit.jsonl"
    write_log(file, entries=9)
    return file.read_bytes(), verify_log(file).head


def flip(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def of_lines(change: Callable[[Lines, random.Random], object]) -> Callable[[bytes, random.Random], bytes]:
    def mutate(data: bytes, draw: random.Random) -> bytes:
        lines = data.splitlines(keepends=True)
        change(lines, draw)
        return b"".join(lines)

    return mutate


def swap(lines: Lines, draw: random.Random) -> None:
    one, other = draw.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]


def edit(lines: Lines, draw: random.Random) -> None:
    """Change a field, in the one spelling that an entry has."""
    at = draw.randrange(len(lines))
    entry, torn = decode(lines[at].rstrip(b"\n"))
    change = draw.choice(
        [
            {"outcome": entry.outcome + "x"},
            {"subject": "another"},
            {"action": "rig.other"},
            {"number": entry.number + draw.choice([-1, 1, 5])},
            {"time": "2020-01-01T00:00:00.000000Z"},
            {"host": "elsewhere"},
            {"process": entry.process + 1},
            {"previous": digest(b"other")},
            {"details": {**entry.details, "more": 1}},
            {"actor": entry.actor.model_copy(update={"identity": "user:eve@x", "account": "user:eve@x"})},
        ]
    )
    lines[at] = torn + encode(Entry.model_construct(**{**dict(entry), **change})) + b"\n"


MUTATIONS_BY_NAME: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "changed bit": flip,
    "changed field": of_lines(edit),
    "removed": of_lines(lambda lines, draw: lines.pop(draw.randrange(len(lines)))),
    "duplicated": of_lines(lambda lines, draw: lines.insert(draw.randrange(len(lines)), draw.choice(lines))),
    "appended again": of_lines(lambda lines, draw: lines.append(draw.choice(lines))),
    "reordered": of_lines(swap),
    "inserted": of_lines(lambda lines, draw: lines.insert(draw.randrange(len(lines) + 1), draw.randbytes(40) + b"\n")),
    "empty line": of_lines(lambda lines, draw: lines.insert(draw.randrange(len(lines) + 1), b"\n")),
    "cut off": lambda data, draw: data[: draw.randrange(len(data))],
    "cut off in front": lambda data, draw: data[draw.randrange(1, len(data)) :],
    "cut out": lambda data, draw: (
        data[: (at := draw.randrange(len(data) - 1))] + data[draw.randrange(at + 1, len(data)) :]
    ),
    "byte inserted": lambda data, draw: data[: (at := draw.randrange(len(data)))] + draw.randbytes(1) + data[at:],
}


def test_thousands_of_mutations_are_found(tmp_path, log):
    """Every kind of change, drawn at random with a fixed seed, against the head that was noted."""
    data, head = log
    file, draw, missed = tmp_path / "audit.jsonl", random.Random(20261123), []
    for number in range(MUTATIONS):
        name = list(MUTATIONS_BY_NAME)[number % len(MUTATIONS_BY_NAME)]
        changed = MUTATIONS_BY_NAME[name](data, draw)
        file.write_bytes(changed)
        if changed != data and verify_log(file, heads=[head]).whole:
            missed.append((name, number))
    assert missed == []


def test_without_a_head_only_the_end_is_open(tmp_path, log):
    """The chain alone finds every change before its last line; that is why heads are noted."""
    data, _ = log
    kept = b"".join(data.splitlines(keepends=True)[:-1])
    last = data.removeprefix(kept)
    file, draw = tmp_path / "audit.jsonl", random.Random(7)
    for name in ("changed bit", "changed field", "removed", "reordered", "duplicated", "cut off", "byte inserted"):
        for _ in range(150):
            changed = MUTATIONS_BY_NAME[name](kept, draw)
            file.write_bytes(changed + last)
            assert changed == kept or not verify_log(file).whole, name
    file.write_bytes(kept)
    assert verify_log(file).whole


def test_all_of_it_written_anew_is_found_by_a_head(tmp_path, log):
    data, head = log
    file = tmp_path / "audit.jsonl"
    other = write_log(file, entries=head.number)
    assert verify_log(file).whole
    assert not verify_log(file, heads=[head]).whole
    file.write_bytes(data)
    other.append("run", "later", "begun")
    assert verify_log(file, heads=[head]).whole  # a log that went on still holds what was noted
    assert not verify_log(file, heads=[head, Head(head.number, "0" * 64)]).whole


def test_a_chain_forged_in_the_name_of_a_key_is_found(tmp_path):
    """Whoever can write the file can chain anew, but not sign for somebody else."""
    alice, file = current_actor(ALICE), tmp_path / "audit.jsonl"
    entry = AuditLog(file).append("override.approve", "x", "begun", actor=alice)
    forged = entry.model_copy(update={"subject": "y"})
    by_bob = BOB.sign(signed_bytes(entry)).signature
    actor = entry.actor
    for changed in (
        forged,
        entry.model_copy(update={"actor": actor.model_copy(update={"signature": by_bob})}),
        entry.model_copy(update={"actor": actor.model_copy(update={"signature": None})}),
        entry.model_copy(update={"actor": actor.model_copy(update={"public": current_actor(BOB).public})}),
        entry.model_copy(update={"actor": actor.model_copy(update={"public": "no key"})}),
        entry.model_copy(update={"actor": actor.model_copy(update={"key_id": "0" * 64})}),
        entry.model_copy(update={"actor": actor.model_copy(update={"known_by": "account"})}),
        entry.model_copy(update={"actor": actor.model_copy(update={"identity": "user:root@x"})}),
    ):
        file.write_bytes(encode(changed) + b"\n")
        found = verify_log(file)
        assert not found.whole, changed
        assert found.head.number == 0
    file.write_bytes(encode(entry) + b"\n")
    assert verify_log(file).signed == 1


@settings(max_examples=300, deadline=None)
@given(
    texts=st.lists(st.text(max_size=30), min_size=1, max_size=4),
    detail=st.one_of(
        st.text(max_size=20), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False)
    ),
)
def test_anything_that_can_be_said_is_read_again(tmp_path_factory, texts, detail):
    file = Path(tmp_path_factory.mktemp("log")) / "a"
    written = [AuditLog(file).append("run", text, text, {text: detail}) for text in texts]
    read: list[Entry] = []
    assert verify_log(file, on_entry=read.append).whole
    assert read == written


def test_json_readers_see_the_same_as_we_do(log):
    """No key twice, no trailing data: what another program reads from a line is what was verified."""
    for line in log[0].splitlines():
        entry, torn = decode(line)
        assert json.loads(line.removeprefix(torn)) == entry.model_dump(mode="json")
    with pytest.raises(ValueError, match="spelling"):
        decode(b'{"number":2,' + encode(entry)[1:])
