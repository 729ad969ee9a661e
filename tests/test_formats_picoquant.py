"""PicoQuant's files of every generation: what was written comes back, and the published files decode as published."""

from __future__ import annotations

from pathlib import Path

import formats_made as made
import numpy as np
import pytest
import recordings_made

from qdhil.errors import FormatError
from qdhil.tags import SYNC, Histograms, collect, open_recording
from qdhil.tags.formats import open_tags
from qdhil.tags.recording import MARKER_BASE

DATA = Path(__file__).parents[2] / "shared" / "data"
SAMPLES = DATA / "libpicoquant" / "sample_data"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded data not present at {DATA}")
present = sorted(SAMPLES.rglob("*")) if SAMPLES.is_dir() else []


def _events(span, n=3_000, seed=3):
    rng = np.random.default_rng(seed)
    return np.sort(rng.integers(0, span, n)), rng.integers(0, 4, n), rng.integers(0, 700, n)


def _write(path, data):
    path.write_bytes(data)
    return path


def _same(recording, times, channel):
    assert set(recording.channels) == set(np.unique(channel).tolist())
    for number, found in recording.channels.items():
        assert found.tolist() == np.sort(times[channel == number]).tolist()


@pytest.mark.parametrize("fill", [b"\0", b" "], ids=["zeros", "spaces"])
@pytest.mark.parametrize(
    ("version", "wrap", "unit_ps"), [("1.0", 33_552_000, 0.5), ("2.0", 1 << 25, 1.0)], ids=["v1", "v2"]
)
def test_ht2(tmp_path, version, wrap, unit_ps, fill):
    counter, channel, _ = _events(50 * wrap)
    words = recordings_made.hydra_records(counter.tolist(), channel.tolist(), wrap=wrap, version=int(version[0]))
    head = made.hydraharp_header(2, records=words.size, version=version, resolution_ps=unit_ps, fill=fill)
    recording = open_recording(_write(tmp_path / "x", head + words.tobytes()))
    _same(recording, np.rint(counter * unit_ps).astype(np.int64), channel)
    assert recording.format == f"picoquant-ht/hydraharp{version[0]}-t2"
    assert recording.warnings == ()


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_ht3(tmp_path, version):
    counter, channel, since = _events(5_000 * 1024)
    args = (counter.tolist(), channel.tolist(), since.tolist())
    words = recordings_made.hydra_records(*args, wrap=1024, version=int(version[0]))
    head = made.hydraharp_header(3, records=words.size, version=version, resolution_ps=16.0)
    recording = open_recording(_write(tmp_path / "x", head + words.tobytes()))
    _same(recording, counter * 12_500 + 16 * since, channel)
    assert (recording.period_ps, recording.resolution_ps) == (12_500, 16)
    assert {k: v.size for k, v in recording.since_sync_ps.items()} == dict(enumerate(np.bincount(channel)))


@pytest.mark.parametrize(("mode", "wrap"), [(2, 210_698_240), (3, 65_536)], ids=["pt2", "pt3"])
def test_pt2_and_pt3_with_padded_version_and_imaging_header(tmp_path, mode, wrap):
    counter, channel, since = _events(20 * wrap)
    t3 = mode == 3
    words = recordings_made.pico_records(counter.tolist(), channel.tolist(), since.tolist() if t3 else None, wrap=wrap)
    head = made.picoharp_header(mode, records=words.size, resolution_ns=0.016, fill=b" ")
    recording = open_recording(_write(tmp_path / "x", head + words.tobytes()))
    _same(recording, counter * 12_500 + 16 * since if t3 else counter * 4, channel)


@pytest.mark.parametrize("version", ["2.0", "3.0", "5.0", "6.0"])
def test_t3r_counts_a_clock_and_not_the_laser(tmp_path, version):
    rng = np.random.default_rng(5)
    clock, since = np.sort(rng.integers(0, 500_000, 2_000)), rng.integers(0, 4096, 2_000)
    words = np.insert(made.t3r_records(clock.tolist(), since.tolist()), 0, 3 << 16)
    head = made.timeharp_header(2, records=words.size, version=version)
    recording = open_recording(_write(tmp_path / "x", head + words.tobytes()))
    assert recording.channels[0].tolist() == (100_000 * clock).tolist()
    assert recording.channels[MARKER_BASE + 3].tolist() == [0]
    assert recording.since_sync_ps[0].tolist() == np.rint(since * float(np.float32(0.0366)) * 1e3).tolist()
    assert (recording.period_ps, recording.resolution_ps) == (200_000, 100_000)


def test_blocks_leave_no_trace(tmp_path):
    """A file of several blocks reads as its counters say, overflows at block borders included."""
    counter, channel, since = _events(3_000_000, n=150_000, seed=8)
    words = recordings_made.hydra_records(counter.tolist(), channel.tolist(), since.tolist(), wrap=1024, version=2)
    head = recordings_made.header(0x00010307, words.size, t3=True, unit_s=12.5e-9)
    path = _write(tmp_path / "x", head + words.tobytes())
    _same(open_recording(path), counter * 12_500 + 16 * since, channel)
    blocks = [(b.times_ps.copy(), b.channels.copy(), b.since_ps.copy()) for b in open_tags(path).blocks()]
    assert len(blocks) > 2
    times, channels, since_ps = (np.concatenate(column) for column in zip(*blocks, strict=True))
    assert (times == counter * 12_500 + 16 * since).all()
    assert (channels == channel).all()
    assert (since_ps == 16 * since).all()


@pytest.mark.parametrize("seed", range(4))
def test_whole_and_blockwise_reading_agree(tmp_path, seed):
    """Several pieces, disorder within slack, markers and sync: both ways give the same recording."""
    rng = np.random.default_rng(seed)
    n = 600_000
    counter = np.sort(rng.integers(0, 3_000 << 25, n)) + rng.integers(0, 2_000 * (seed % 2) + 1, n)
    words = recordings_made.hydra_records(
        np.maximum.accumulate(counter).tolist(), rng.integers(0, 5, n).tolist(), wrap=1 << 25, version=2
    )
    special = rng.random(words.size) < 0.1
    plain = (words >> 31) == 0
    words[special & plain] = (
        1 << 31
        | rng.choice([0, 1, 9], words.size).astype("<u4")[special & plain] << 25
        | (words[special & plain] & 0x1FFFFFF)
    )
    if seed % 2:
        steps = np.diff((words & 0x1FFFFFF).astype(np.int64))
        at = np.flatnonzero(plain[1:] & plain[:-1] & (steps < 100_000))[::50]
        words[at], words[at + 1] = words[at + 1], words[at].copy()
    path = tmp_path / "x"
    path.write_bytes(recordings_made.header(0x00010205, words.size, t3=False, unit_s=1e-12) + words.tobytes())
    blockwise = collect(open_tags(path))
    whole = open_recording(path)
    assert whole.warnings == blockwise.warnings
    assert bool(whole.warnings) == bool(seed % 2)
    assert list(whole.channels) == list(blockwise.channels) == [-1, 0, 1, 2, 3, 4, 1001, 1009]
    for number, times in blockwise.channels.items():
        assert (whole.channels[number] == times).all()


def _ht2(**options):
    counter, channel, _ = _events(50 << 25)
    words = recordings_made.hydra_records(counter.tolist(), channel.tolist(), wrap=1 << 25, version=2)
    return made.hydraharp_header(2, **{"records": words.size, **options}), words


@pytest.mark.parametrize(
    ("options", "cut", "match"),
    [
        ({}, -8, "truncated: the header announces"),
        ({}, 300, "truncated in its header"),
        ({"version": "3.0"}, None, "version '3.0'; known are 1.0, 2.0"),
        ({"resolution_ps": 0.0}, None, "resolution of 0 ps"),
        ({"inputs": 65}, None, "65 input channels"),
    ],
)
def test_defective_ht2_is_refused(tmp_path, options, cut, match):
    head, words = _ht2(**options)
    with pytest.raises(FormatError, match=match):
        open_recording(_write(tmp_path / "x", (head + words.tobytes())[:cut]))


def test_a_file_of_overflows_alone_is_refused(tmp_path):
    words = np.full(500, 0xFE000001, "<u4")
    head = recordings_made.header(0x01010304, words.size, t3=True, unit_s=12.5e-9)
    file = open_tags(_write(tmp_path / "x", head + words.tobytes()))
    for read in (file.read, lambda: collect(file)):
        with pytest.raises(FormatError, match="no photon"):
            read()


def test_a_negative_number_of_records_is_refused(tmp_path):
    head = made.hydraharp_header(2, records=-5)
    with pytest.raises(FormatError, match="announces -5 records"):
        open_recording(_write(tmp_path / "x", head + bytes(400)))


def test_a_sync_rate_that_contradicts_the_period_is_told(tmp_path):
    """A divided sync: the header's rate is that of the laser, its period that of every fourth pulse."""
    counter, channel, since = _events(5_000 * 1024)
    words = recordings_made.hydra_records(counter.tolist(), channel.tolist(), since.tolist(), wrap=1024, version=2)
    for sync_hz, told in ((80_000_000, False), (320_000_000, True)):
        options = {"t3": True, "unit_s": 12.5e-9, "TTResult_SyncRate": sync_hz}
        head = recordings_made.header(0x01010304, words.size, **options)
        recording = open_recording(_write(tmp_path / "x", head + words.tobytes()))
        assert any("contradicts its sync period of 12500.0 ps" in w for w in recording.warnings) == told


@pytest.mark.parametrize("pico", [True, False], ids=["PicoHarp", "HydraHarp"])
def test_a_hole_of_zeros_is_refused(tmp_path, pico):
    """At low rates every photon follows an overflow record, and photons at 0 ps fit in behind one."""
    args = (np.arange(3_000) * 200_000 + 77).tolist(), [1, 2] * 1_500, [300] * 3_000
    if pico:
        kind, words = 0x00010303, recordings_made.pico_records(*args, wrap=65_536)
    else:
        kind, words = 0x01010304, recordings_made.hydra_records(*args, wrap=1024, version=2)
    overflows = np.flatnonzero(words >> 28 == 15)
    head = recordings_made.header(kind, words.size, t3=True, unit_s=12.5e-9)
    for first, length in ((100, 127), (1_000, 1_500)):
        holed = words.copy()
        holed[overflows[first] + 1 : overflows[first + length]] = 0
        for whole in (True, False):
            file = open_tags(_write(tmp_path / "x", head + holed.tobytes()))
            with pytest.raises(FormatError, match="hole"):
                file.read() if whole else list(file.blocks())


def test_lost_overflow_records_are_refused(tmp_path):
    head, words = _ht2()
    overflow = words >> 25 == 127
    kept = words[~(overflow & (np.cumsum(overflow) == 7))]
    head, _ = _ht2(records=kept.size)
    with pytest.raises(FormatError, match="overflow records are missing"):
        open_recording(_write(tmp_path / "x", head + kept.tobytes()))


def test_counters_beyond_their_wrap_are_of_another_record_type(tmp_path):
    """A HydraHarp file of version 2 that calls itself 1 would lose the phase of the laser."""
    head, words = _ht2(version="1.0")
    words[10] = (1 << 25) - 1
    with pytest.raises(FormatError, match=r"beyond the 33552000|without an overflow"):
        open_recording(_write(tmp_path / "x", head + words.tobytes()))


def test_truncated_tags_are_read_on_demand_only(tmp_path):
    head, words = _ht2()
    path = _write(tmp_path / "x", (head + words.tobytes())[:-401])
    whole = open_recording(_write(tmp_path / "y", head + words.tobytes()))
    with pytest.raises(FormatError, match="truncated"):
        open_recording(path)
    part = open_recording(path, partial=True)
    assert "truncated" in part.warnings[0]
    for number, times in part.channels.items():
        assert (times == whole.channels[number][: times.size]).all()
    assert 0 < sum(t.size for t in whole.channels.values()) - sum(t.size for t in part.channels.values()) <= 101


def _curves(bins=512):
    rng = np.random.default_rng(2)
    return [np.zeros(bins, np.int64), rng.poisson(40, bins), rng.poisson(3, bins)]


@pytest.mark.parametrize(
    ("write", "bin_ps"),
    [(made.phd, 128), (made.hhd, 4), (made.thd, 36.6), (made.phu, 16)],
    ids=["phd", "hhd", "thd", "phu"],
)
def test_histograms_come_back(tmp_path, write, bin_ps):
    rows = _curves()
    found = open_recording(_write(tmp_path / "x", write(rows)))
    assert isinstance(found, Histograms)
    assert list(found.curves) == [1, 2]
    for number, curve in found.curves.items():
        assert curve.counts.tolist() == rows[number].tolist()
        assert curve.bin_ps == pytest.approx(bin_ps, rel=1e-7)
        assert curve.first_ps == pytest.approx(bin_ps / 2)
        assert curve.dwell_s in (1.0, 2.5, 10.0)
    assert found.warnings == ()
    assert found.curves[1].period_ps == pytest.approx({128: 1e5, 4: 1e5, 36.6: 2e5, 16: 12_500}[bin_ps])


@pytest.mark.parametrize("write", [made.phd, made.hhd, made.thd, made.phu])
def test_defective_histograms_are_refused_or_warned_of(tmp_path, write):
    rows = _curves()
    with pytest.raises(FormatError, match="truncated"):
        open_recording(_write(tmp_path / "x", write(rows)[:-4]))
    with pytest.raises(FormatError, match="none of 3 curves"):
        open_recording(_write(tmp_path / "x", write([0 * row for row in rows])))
    rows[2][5:9] = 65_535
    found = open_recording(_write(tmp_path / "x", write(rows)))
    assert list(found.curves) == [1]
    assert "clipped at 65535" in found.warnings[0]


def test_counts_that_contradict_the_header_are_warned_of(tmp_path):
    rows = _curves()
    found = open_recording(_write(tmp_path / "x", made.phu(rows, IntegralCount=7)))
    assert "but its header says 7" in found.warnings[0]


def _decoded(path):
    return np.loadtxt(f"{path}.data", delimiter=",", dtype=np.int64, ndmin=2)


@real
@pytest.mark.parametrize("path", [p for p in present if p.suffix in (".ht2", ".ht3", ".pt2", ".pt3", ".t3r")], ids=str)
def test_published_tags_decode_as_published(path):
    """The published text gives channel and time; in T3 mode the pulse number and the time since it."""
    published = _decoded(path)
    file = open_tags(path, partial=True)
    block = next(file.blocks())
    photons = block.channels < MARKER_BASE
    times, channels = (column[photons][: len(published)] for column in (block.times_ps, block.channels))
    expected = np.where(published[:, 0] == file.header.get("InputChannelsPresent", -9), SYNC, published[:, 0])
    assert (channels == expected).all()
    if not file.has_since:
        assert np.abs(times - published[:, 1]).max() <= (1 if file.resolution_ps < 1 else 0)
        return
    since = block.since_ps[photons][: len(published)]
    if path.suffix == ".t3r":
        assert (times == 100_000 * published[:, 1]).all()
        assert (since == np.rint(published[:, 2] * file.header["Brd[0].Resolution"] * 1e3)).all()
    else:
        assert (since == published[:, 2]).all()
        assert (times == np.rint(published[:, 1] * file.period_ps).astype(np.int64) + since).all()


@real
@pytest.mark.parametrize("path", [p for p in present if p.suffix in (".hhd", ".phd", ".thd")], ids=str)
def test_published_histograms_decode_as_published(path):
    curves = open_recording(path).curves
    if Path(f"{path}.data").exists():
        published = _decoded(path)
        assert (curves[0].counts[: len(published)] == published[:, 3]).all()
        lefts = curves[0].first_ps + curves[0].bin_ps * (np.arange(len(published)) - 0.5)
        assert np.abs(lefts - published[:, 1]).max() <= 1
    if Path(f"{path}.resolution").exists():
        for number, width in np.loadtxt(f"{path}.resolution", delimiter=",", ndmin=2):
            if number in curves:
                assert curves[number].bin_ps == pytest.approx(width, abs=0.006)


@real
@pytest.mark.parametrize("path", [p for p in present if p.suffix in (".ht2", ".ht3", ".t3r")], ids=str)
def test_published_headers_are_read(path):
    header = open_tags(path, partial=True).header
    compared = 0
    for line in Path(f"{path}.header").read_text(errors="replace").splitlines():
        name, _, value = line.partition(" = ")
        if name not in header:
            continue
        mine = header[name]
        assert value.strip() == str(mine) or float(value) == pytest.approx(float(mine), abs=1e-6)
        compared += 1
    assert compared > 60


@real
def test_hydraharp_v1_counts_half_picoseconds():
    """Physics decides the unit: at 1 ps, overflows alone would leave 25 % more photons than the inputs count."""
    header = open_tags(SAMPLES / "hydraharp" / "v10.ht2", partial=True).header
    dwell_s = header["StopAfter"] * 1e-3
    overflows = dwell_s / (33_552_000 * 0.5e-12)
    photons = sum(header[f"InputRate[{i}]"] for i in range(4)) * dwell_s
    assert header["NumRecords"] == pytest.approx(overflows + photons, rel=0.01)


@real
@pytest.mark.parametrize(
    ("name", "first", "highest", "lowest", "mean"),
    [("trace1", 518, 560, 6, 89.85), ("trace3", 498, 539, 7, 309.73)],
)
def test_single_molecules_bleach_as_known(name, first, highest, lowest, mean):
    """The table gives bins of 100 ms of both channels together: 518 to 6, mean 89.9, and 539 to 7."""
    recording = open_recording(DATA / "full-sms" / f"{name}.pt3")
    bins = np.bincount(np.concatenate(list(recording.channels.values())) // 10**11)
    assert (bins[0], bins.max(), bins.min()) == (first, highest, lowest)
    assert bins.mean() == pytest.approx(mean, abs=0.01)
    assert recording.channels[1].size / recording.duration_s == pytest.approx(15, abs=0.3)
