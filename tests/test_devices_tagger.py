from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from qdhil.errors import TagFault
from qdhil.rack.config import load_rack
from qdhil.tags.wire import TagBlock, decode_block, unpack
from qdhil_sim.clock import Clock
from qdhil_sim.devices import acquisition
from qdhil_sim.devices.tagger import Tagger
from qdhil_sim.protocol.instrument import Instrument
from qdhil_sim.world import RigWorld

Tags = npt.NDArray[np.int64]


class Beacon:
    """Light that gives one tag every microsecond on channel 2."""

    def __init__(self) -> None:
        self._now_ps = 0

    def take(self, duration_ps: int) -> Tags:
        begin, self._now_ps = self._now_ps, self._now_ps + duration_ps
        times = np.arange(-(-begin // 10**6), -(-self._now_ps // 10**6), dtype=np.int64) * 10**6
        return (times << 5) | 2


def make_tagger(kind: str = "turbo") -> Tagger:
    clock = Clock("turbo" if kind == "turbo" else "realtime")
    return Tagger("T1", lambda number: Beacon(), clock, threading.RLock())


@pytest.fixture
def tagger() -> Tagger:
    return make_tagger()


def ask(instrument: Instrument, message: str) -> str:
    return b"".join(instrument.respond(message.encode())).decode().removesuffix("\n")


def next_block(tagger: Tagger, count: int) -> TagBlock:
    head, payload, end = tagger.respond(f"TAGS:DATA? {count}".encode())
    assert bytes(head) == f"#{len(str(len(payload)))}{len(payload)}".encode()
    assert end == b"\n"
    return decode_block(payload)


def fetch_all(tagger: Tagger, count: int = 1 << 19) -> list[TagBlock]:
    blocks = []
    while True:
        blocks.append(next_block(tagger, count))
        if blocks[-1].packed.size == 0 and ask(tagger, "ACQ:STAT?") == "DONE":
            return blocks


def joined(blocks: Sequence[TagBlock]) -> Tags:
    return np.concatenate([block.packed for block in blocks])


def test_blocks_hold_the_acquisition_once_and_in_order(tagger: Tagger) -> None:
    ask(tagger, "ACQ:DUR 100 ms;STAR")
    blocks = fetch_all(tagger, 7001)
    assert [block.sequence for block in blocks] == list(range(len(blocks)))
    assert max(block.packed.size for block in blocks) == 7001
    np.testing.assert_array_equal(joined(blocks), (np.arange(100_000) * 10**6 << 5) | 2)
    assert {block.acquisition for block in blocks} == {1}
    assert ask(tagger, "TAGS:DROP?;:ACQ:ID?") == "0;1"


def test_state_id_and_progress(tagger: Tagger) -> None:
    assert ask(tagger, "ACQ:STAT?;ID?;PROG?;DUR?") == "IDLE;0;0.000000;1"
    ask(tagger, "ACQ:DUR 0.5;STAR")
    assert 0 < float(ask(tagger, "ACQ:PROG?")) < 0.1
    next_block(tagger, 1000)
    assert float(ask(tagger, "ACQ:PROG?")) == pytest.approx(0.02, abs=0.01)
    assert ask(tagger, "ACQ:STAT?;PROG?") == "DONE;0.500000"
    ask(tagger, "ACQ:STAR")
    assert ask(tagger, "ACQ:ID?") == "2"
    assert next_block(tagger, 10).sequence == 0


def test_a_poll_before_fetching_loses_nothing(tagger: Tagger) -> None:
    ask(tagger, "ACQ:DUR 0.1;STAR")
    assert ask(tagger, "ACQ:STAT?") == "DONE"
    assert joined(fetch_all(tagger)).size == 100_000


def test_acquiring_moves_device_time_by_the_time_acquired(tagger: Tagger) -> None:
    ask(tagger, "ACQ:DUR 2;STAR")
    begin_s = tagger.clock.now_s
    fetch_all(tagger)
    assert tagger.clock.now_s - begin_s == pytest.approx(2.0, abs=0.02)


def test_running_acquisition_is_not_started_again(tagger: Tagger) -> None:
    ask(tagger, "ACQ:DUR 5;STAR;STAR")
    assert ask(tagger, "SYST:ERR?").startswith("-213,")
    ask(tagger, "ACQ:STOP")
    stopped = joined(fetch_all(tagger))
    assert stopped.size < 100_000
    ask(tagger, "ACQ:STAR")
    assert ask(tagger, "SYST:ERR:COUN?;:ACQ:ID?") == "0;2"


@pytest.mark.parametrize(
    ("message", "code"),
    [("TAGS:DATA? 10", -230), ("ACQ:DUR 0", -222), ("ACQ:DUR 1 m", -131), ("TAGS:DATA?", -109)],
)
def test_refusals(tagger: Tagger, message: str, code: int) -> None:
    assert ask(tagger, message) == ""
    assert ask(tagger, "SYST:ERR?").startswith(f"{code},")


def test_crc_fault_hits_one_block(tagger: Tagger) -> None:
    tagger.inject("crc", None)
    ask(tagger, "ACQ:DUR 0.01;STAR")
    with pytest.raises(TagFault, match="payload CRC"):
        next_block(tagger, 100)
    assert next_block(tagger, 100).sequence == 1


def test_sequence_fault_leaves_a_gap(tagger: Tagger) -> None:
    ask(tagger, "ACQ:DUR 0.01;STAR")
    next_block(tagger, 100)
    tagger.inject("sequence", 3)
    assert [next_block(tagger, 100).sequence for _ in range(2)] == [4, 5]


def test_drop_fault_is_reported(tagger: Tagger) -> None:
    tagger.inject("drop", 30)
    ask(tagger, "ACQ:DUR 0.01;STAR")
    blocks = fetch_all(tagger, 1000)
    assert joined(blocks).size == 10_000 - 30
    assert {block.dropped for block in blocks} == {30}
    assert ask(tagger, "TAGS:DROP?") == "30"


def test_in_real_time_a_full_fifo_drops_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdhil_sim.devices.tagger.FIFO_TAGS", 5000)
    tagger = make_tagger("realtime")
    ask(tagger, "ACQ:DUR 0.02;STAR")
    while ask(tagger, "ACQ:STAT?") == "RUN":
        pass
    tagger.feed()
    blocks = fetch_all(tagger)
    assert joined(blocks).size == 5000
    assert blocks[-1].dropped == 15_000
    np.testing.assert_array_equal(unpack(joined(blocks))[0], np.arange(5000) * 10**6)


def test_in_real_time_tags_come_as_time_passes() -> None:
    tagger = make_tagger("realtime")
    ask(tagger, "ACQ:DUR 0.05;STAR")
    first = next_block(tagger, 1 << 19).packed.size
    assert first < 50_000
    assert first + joined(fetch_all(tagger)).size == 50_000


def test_progress_of_an_acquisition_in_pieces_of_any_length() -> None:
    whole = acquisition.Acquisition(1, Beacon(), 3.0, 0.0501, None)
    whole.draw_until(1e9)
    assert whole.fetch(10**9).size == 50_100
    assert whole.drawn_s == pytest.approx(0.0501)


@pytest.fixture
def world() -> RigWorld:
    with resources.as_file(resources.files("qdhil.rack") / "default_rack.toml") as file:
        return RigWorld("sim-a1", load_rack(file).rigs["sim-a1"], Path("rack.toml"))


@pytest.fixture
def counts(world: RigWorld) -> Callable[[], list[int]]:
    """Return counts per channel (sync, a, b) of 50 ms on a rig."""

    def acquire() -> list[int]:
        ask(world.tagger, "ACQ:DUR 0.05;STAR")
        channel = unpack(joined(fetch_all(world.tagger)))[1]
        return [int((channel == number).sum()) for number in (1, 2, 3)]

    return acquire


def test_light_follows_switch_lock_and_boot(world: RigWorld, counts: Callable[[], list[int]]) -> None:
    """Dark: 5 counts expected; more than 60 never. Lit: 1e5, below 5e4 never (odds below 1e-30)."""
    sync = 80_000_000 // 8192 // 20
    dark = counts()
    assert abs(dark[0] - sync) < 3
    assert max(dark[1:]) < 60
    ask(world.switch, "X1 CH 1 1;X1 CH 1?")
    assert min(counts()[1:]) > 50_000
    ask(world.switch, "X1 CH 1 4;X1 CH 1?")
    assert max(counts()[1:]) < 60
    ask(world.switch, "X1 CH 1 2;X1 CH 1?")
    assert min(counts()[1:]) > 20_000
    ask(world.controller, "SYST:REB")
    assert max(counts()[1:]) < 60
    ask(world.controller, "SOUR:LOCK?")
    assert min(counts()[1:]) > 20_000
    assert min(float(ask(world.tagger, f"INP{channel}:COUN?")) for channel in (2, 3)) > 4e5


def test_same_rig_gives_the_same_tags_again(world: RigWorld) -> None:
    with resources.as_file(resources.files("qdhil.rack") / "default_rack.toml") as file:
        twin = RigWorld("sim-a1", load_rack(file).rigs["sim-a1"], Path("rack.toml"))
    tags = []
    for rig in (world, twin):
        ask(rig.switch, "X1 CH 1 1;X1 CH 1?")
        ask(rig.tagger, "ACQ:DUR 0.02;STAR")
        tags.append(joined(fetch_all(rig.tagger)))
    np.testing.assert_array_equal(tags[0], tags[1])


def test_two_acquisitions_differ(world: RigWorld) -> None:
    ask(world.switch, "X1 CH 1 1;X1 CH 1?")
    ask(world.tagger, "ACQ:DUR 0.01;STAR")
    first = joined(fetch_all(world.tagger))
    ask(world.tagger, "ACQ:STAR")
    second = joined(fetch_all(world.tagger))
    assert np.intersect1d(first, second).size < first.size // 10
