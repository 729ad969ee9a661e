"""Reading recordings: every record layout, every defect, and the real files."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from qdhil.errors import FormatError
from qdhil.tags import SYNC, DelayHistogram, open_recording
from qdhil.tags.recording import MARKER_BASE

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def made():
    """Return the module beside this file that writes recordings (tests aren't a package to import from)."""
    path = Path(__file__).with_name("recordings_made.py")
    spec = importlib.util.spec_from_file_location("recordings_made", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HYDRA_T2 = [(0x00010204, 33_552_000, 1)] + [(k, 1 << 25, 2) for k in (0x01010204, 0x00010205, 0x00010206, 0x00010207)]
HYDRA_T3 = [(0x00010304, 1024, 1)] + [(k, 1024, 2) for k in (0x01010304, 0x00010305, 0x00010306, 0x00010307)]


def _events(span, n=4_000, seed=3):
    rng = np.random.default_rng(seed)
    counter = np.sort(rng.integers(0, span, n))
    return counter, rng.integers(0, 4, n), rng.integers(0, 700, n)


def _write(path, data):
    path.write_bytes(data)
    return path


def _same(recording, times, channel):
    assert set(recording.channels) == set(np.unique(channel).tolist())
    for number, found in recording.channels.items():
        assert found.tolist() == np.sort(times[channel == number]).tolist()


@pytest.mark.parametrize(("kind", "wrap", "version"), HYDRA_T2)
def test_hydraharp_like_t2(tmp_path, made, kind, wrap, version):
    counter, channel, _ = _events(50 * wrap)
    records = made.hydra_records(counter.tolist(), channel.tolist(), wrap=wrap, version=version)
    head = made.header(kind, records.size, t3=False, unit_s=5e-12)
    recording = open_recording(_write(tmp_path / "any.name", head + records.tobytes()))
    _same(recording, 5 * counter, channel)
    assert recording.period_ps is None
    assert recording.duration_s == pytest.approx(counter.max() * 5e-12)


@pytest.mark.parametrize(("kind", "wrap", "version"), HYDRA_T3)
def test_hydraharp_like_t3(tmp_path, made, kind, wrap, version):
    counter, channel, since = _events(5_000 * wrap)
    records = made.hydra_records(counter.tolist(), channel.tolist(), since.tolist(), wrap=wrap, version=version)
    head = made.header(kind, records.size, t3=True, unit_s=12_495.52e-12)
    recording = open_recording(_write(tmp_path / "x", head + records.tobytes()))
    _same(recording, np.rint(counter * 12_495.52).astype(np.int64) + 16 * since, channel)
    assert recording.period_ps == pytest.approx(12_495.52)
    assert sum(v.size for v in recording.since_sync_ps.values()) == counter.size


@pytest.mark.parametrize(("kind", "wrap", "t3"), [(0x00010203, 210_698_240, False), (0x00010303, 65_536, True)])
def test_picoharp(tmp_path, made, kind, wrap, t3):
    counter, channel, since = _events(20 * wrap)
    records = made.pico_records(counter.tolist(), channel.tolist(), since.tolist() if t3 else None, wrap=wrap)
    head = made.header(kind, records.size, t3=t3, unit_s=12_500e-12 if t3 else 4e-12)
    recording = open_recording(_write(tmp_path / "x", head + records.tobytes()))
    _same(recording, counter * 12_500 + 16 * since if t3 else counter * 4, channel)


def test_sync_and_markers_are_no_detectors(tmp_path, made):
    words = [0 << 25 | 10, 1 << 31 | 20, 1 << 31 | 3 << 25 | 30, 1 << 25 | 40]
    records = np.array(words, "<u4")
    head = made.header(0x01010204, 4, t3=False, unit_s=1e-12)
    recording = open_recording(_write(tmp_path / "x", head + records.tobytes()))
    assert {k: v.tolist() for k, v in recording.channels.items()} == {
        0: [10],
        SYNC: [20],
        MARKER_BASE + 3: [30],
        1: [40],
    }


def _ptu(made, **extra):
    counter, channel, since = _events(500 * 1024)
    records = made.hydra_records(counter.tolist(), channel.tolist(), since.tolist(), wrap=1024, version=2)
    head = made.header(0x01010304, records.size, t3=True, unit_s=12.5e-9, **extra)
    return head, records


@pytest.mark.parametrize(
    ("defect", "match"),
    [
        ("truncated", "truncated: the header announces"),
        ("header", "truncated in its header"),
        ("type", "record type 0x00012345 is none"),
        ("mode", "measurement mode T2 contradicts"),
        ("overflow", "overflow records are missing"),
        ("resolution", "lacks a usable MeasDesc_GlobalResolution"),
        ("period", "later than a sync period"),
        ("special", "special record"),
        ("empty", "no photon"),
    ],
)
def test_defective_ptu_is_refused_in_one_line(tmp_path, made, defect, match):
    extra = {
        "type": {"TTResultFormat_TTTRRecType": 0x12345},
        "mode": {"Measurement_Mode": 2},
        "resolution": {"MeasDesc_GlobalResolution": None},
        "period": {"MeasDesc_Resolution": 4e-9},
        "empty": {"TTResult_NumberOfRecords": 0},
    }.get(defect, {})
    head, records = _ptu(made, **extra)
    if defect == "overflow":
        overflow = (records >> 25) == 0x7F
        records = records[~(overflow & (np.cumsum(overflow) > 100) & (np.cumsum(overflow) < 140))]
        head = made.header(0x01010304, records.size, t3=True, unit_s=12.5e-9)
    if defect == "special":
        records[100] = 1 << 31 | 40 << 25
    body = b"" if defect == "empty" else records.tobytes()
    data = (head + body)[: {"truncated": -400, "header": 300}.get(defect)]
    with pytest.raises(FormatError, match=match) as refused:
        open_recording(_write(tmp_path / "x", data))
    assert "\n" not in str(refused.value)


def test_curable_defects_are_warned_of(tmp_path, made):
    head, records = _ptu(made, TTResult_NumberOfRecords=0, TTResult_StopAfter=5_000)
    warnings = open_recording(_write(tmp_path / "x", head + records.tobytes() + b"ab")).warnings
    assert any("announces no records" in w for w in warnings)
    assert any("2 bytes follow" in w for w in warnings)
    assert any("stopped after 5.000 s" in w for w in warnings)


def test_qutag_out_of_order_is_sorted_with_a_warning(tmp_path, made):
    rng = np.random.default_rng(4)
    times = np.sort(rng.integers(0, 10**10, 1000))
    channel = rng.integers(1, 3, 1000)
    shuffled = np.arange(1000)
    shuffled[500:504] = shuffled[500:504][::-1]
    recording = open_recording(_write(tmp_path / "x", made.qutag(times[shuffled], channel[shuffled])))
    _same(recording, times - times.min(), channel)
    assert "out of order" in recording.warnings[0]


def test_qutag_cut_within_a_record_is_refused(tmp_path, made):
    data = made.qutag(np.arange(0, 10**9, 10**6), np.ones(1000, np.int64))
    with pytest.raises(FormatError, match="truncated"):
        open_recording(_write(tmp_path / "x", data[:-3]))


def _text(axis, counts, line="{}\t{}\n"):
    return "".join(line.format(a, c) for a, c in zip(axis, counts, strict=True))


AXIS = [-128 + 64 * i for i in range(6)]
COUNTS = [4, 7, 11, 0, 3, 2]


@pytest.mark.parametrize(
    "data",
    [
        _text(AXIS, COUNTS).encode(),
        b"\xef\xbb\xbf" + _text(AXIS, COUNTS).encode(),
        _text(AXIS, COUNTS).encode("utf-16"),
        ("# delay (ps), counts\n" + _text(AXIS, COUNTS, "{},{}\n")).encode(),
        ("tau;counts\r\n" + _text(AXIS, COUNTS, "{},00;{}\r\n")).encode(),
        _text(AXIS, COUNTS, "{:.6e} {:.6e}\n").encode(),
        ("Time (ns)\tcounts\n" + _text([a / 1000 for a in AXIS], COUNTS)).encode(),
        (" ".join(map(str, AXIS)) + "\n" + " ".join(map(str, COUNTS)) + "\n").encode(),
    ],
    ids=["tabs", "bom", "utf-16", "commas", "decimal-comma", "exponents", "ns-heading", "two-rows"],
)
def test_histogram_text_in_all_its_dresses(tmp_path, data):
    histogram = open_recording(_write(tmp_path / "h.dat", data))
    assert isinstance(histogram, DelayHistogram)
    assert (histogram.first_ps, histogram.bin_ps) == pytest.approx((-128, 64))
    assert histogram.counts.tolist() == COUNTS


@pytest.mark.parametrize(
    ("axis", "counts", "match"),
    [
        (AXIS, [4, 7, -1, 0, 3, 2], "negative"),
        (AXIS, [4, 7.5, 1, 0, 3, 2], "fractional"),
        (AXIS, ["nan", 7, 1, 0, 3, 2], "not finite"),
        ([0, 64, 32, 128, 192, 256], COUNTS, "does not rise at bin 2"),
        ([0, 64, 64, 128, 192, 256], COUNTS, "does not rise at bin 2"),
        ([0, 64, 128, 256, 320, 384], COUNTS, "evenly"),
        (range(10), [50, 100, 150, 200, 250, 50, 100, 150, 200, 500], "multiple of 50"),
        (range(4), [65_535, 12, 65_535, 7], "clipped at 65535"),
        (range(4), [1e17, 12, 3, 7], "beyond"),
        (range(4), [0, 0, 0, 0], "empty"),
        (AXIS, [4, 7, "x", 0, 3, 2], "line 3 is not numbers"),
    ],
)
def test_defective_histogram_text_is_refused(tmp_path, axis, counts, match):
    with pytest.raises(FormatError, match=match):
        open_recording(_write(tmp_path / "h.txt", _text(axis, counts).encode()))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 64,
        b"\x89PNG\r\n",
        b"hello\nworld\n",
        b"PicoHarp 300\0\0\0\0" + bytes(400),
        b"1 2 3\n" * 5,
    ],
)
def test_anything_else_is_refused(tmp_path, data):
    with pytest.raises(FormatError):
        open_recording(_write(tmp_path / "x", data))


def test_missing_file_and_directory_are_refused(tmp_path):
    with pytest.raises(FormatError, match="No such file"):
        open_recording(tmp_path / "absent")
    with pytest.raises(FormatError, match="not a file"):
        open_recording(tmp_path)


def test_damaged_bytes_never_raise_anything_else(tmp_path, made):
    head, records = _ptu(made)
    rng = np.random.default_rng(6)
    text = _text(range(0, 6400, 64), rng.poisson(50, 100)).encode()
    times = np.sort(rng.integers(0, 10**10, 500))
    originals = [head + records[:2000].tobytes(), text, made.qutag(times, rng.integers(1, 3, 500))]
    originals.append(made.header(0x01010304, 2000, t3=True, unit_s=12.5e-9) + records[:2000].tobytes())
    outcomes = {"read": 0, "refused": 0}
    messages: list[str] = []
    for i in range(400):
        data = bytearray(originals[i % len(originals)])
        for at in rng.integers(0, min(len(data), 1200), rng.integers(1, 6)):
            data[at] = rng.integers(0, 256)
        data = data[: rng.integers(1, len(data))] if i % 5 == 0 else data
        try:
            open_recording(_write(tmp_path / "x", bytes(data)))
            outcomes["read"] += 1
        except FormatError as error:
            outcomes["refused"] += 1
            messages.append(str(error))
    assert min(outcomes.values()) > 20
    assert not [message for message in messages if "\n" in message]


real = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded data not present at {DATA}")


@real
def test_real_hydraharp_t3():
    recording = open_recording(DATA / "eta" / "200213_HH400_T3_80MHz_HBT.timeres")
    assert recording.format == "picoquant-ptu/hydraharp2-t3"
    assert {k: v.size for k, v in recording.channels.items()} == {0: 160_953, 1: 235_373}
    assert recording.duration_s == pytest.approx(5.000, abs=1e-3)
    assert recording.period_ps == pytest.approx(12_495.5, abs=0.1)
    assert recording.warnings == ()


@real
def test_real_hydraharp_t3_agrees_with_the_published_lifetime_histogram():
    recording = open_recording(DATA / "eta" / "200213_HH400_T3_80MHz_HBT.timeres")
    with np.load(DATA / "eta" / "200213_HH400_T3_80MHz_lifetime.npz") as published:
        sums = {int(published[name].sum()) for name in published if published[name].size == 780}
    mine = np.bincount(recording.since_sync_ps[0] // 16, minlength=780)[:780]
    assert int(mine.sum()) - 1 in sums


@real
def test_real_qutag():
    recording = open_recording(DATA / "eta" / "200204_qutag_320MHz_HBT_sync_filtered.qutag")
    assert {k: v.size for k, v in recording.channels.items()} == {1: 43_736, 2: 62_437, 5: 105_600}
    assert recording.duration_s == pytest.approx(0.2867, abs=1e-4)


@real
def test_real_histogram_text():
    histogram = open_recording(DATA / "fitmydata" / "demo_g2.txt")
    assert (histogram.first_ps, histogram.bin_ps) == pytest.approx((-800_000, 64))
    assert histogram.counts.size == 25_000
    assert histogram.counts.sum() == pytest.approx(14.4e6, rel=0.01)
