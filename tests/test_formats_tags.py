"""Tag files of other makers, and qdhil's own segments: what was written comes back, defects are refused or said."""

from __future__ import annotations

from pathlib import Path

import formats_made as made
import numpy as np
import pytest
import recordings_made

from qdhil.errors import ConfigurationError, FormatError
from qdhil.tags import in_order, open_recording, open_tags, write_segment
from qdhil.tags.segments import SegmentFile
from qdhil.tags.stream import TagFile, Tags
from qdhil.tags.swabian import FALLING_BASE

DATA = Path(__file__).parents[2] / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded data not present at {DATA}")


def _write(path, data):
    path.write_bytes(data)
    return path


def _tags(n=5_000, seed=2, span=10**11):
    rng = np.random.default_rng(seed)
    return np.sort(rng.integers(0, span, n)), rng.integers(1, 4, n)


def test_swabian_records(tmp_path):
    times, channels = _tags()
    edges = np.where(channels == 3, -2, channels)
    recording = open_recording(_write(tmp_path / "x", made.swabian(times + 10**15, edges)))
    assert recording.format == "swabian-records"
    for number, wanted in ((1, 1), (2, 2), (FALLING_BASE + 2, 3)):
        assert recording.channels[number].tolist() == (times - times[0])[channels == wanted].tolist()
    assert recording.duration_s == pytest.approx((times[-1] - times[0]) * 1e-12)


def test_swabian_events_that_were_missed_leave_no_rate(tmp_path):
    times, channels = _tags()
    kinds, missed = np.zeros(times.size, int), np.zeros(times.size, int)
    kinds[1_000], kinds[1_001], missed[1_001], kinds[1_002] = 2, 4, 77, 3
    recording = open_recording(_write(tmp_path / "x", made.swabian(times, channels, kinds, missed)))
    assert recording.duration_s is None
    assert "missed 77 events in 1 overflows" in recording.warnings[0]
    assert sum(t.size for t in recording.channels.values()) == times.size - 3


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("type", 1, "lost its time base"),
        ("type", 9, "record 1000"),
        ("channel", 900, "record 1000"),
        ("t", -5, "record 1000"),
    ],
)
def test_defective_swabian_records_are_refused(tmp_path, field, value, match):
    records = np.frombuffer(bytearray(made.swabian(*_tags())), made.SWABIAN)
    records[field][1_000] = value
    with pytest.raises(FormatError, match=match):
        open_recording(_write(tmp_path / "x", records.tobytes()))


def _spc(**options):
    rng = np.random.default_rng(4)
    macro = np.sort(rng.integers(0, 4_000_000, 3_000))
    return macro, rng.integers(0, 4096, 3_000), rng.integers(0, 3, 3_000), options


def test_spc(tmp_path):
    macro, adc, routing, _ = _spc()
    path = _write(tmp_path / "x.spc", made.spc(macro, adc, routing))
    recording = open_recording(path)
    for number in range(3):
        assert recording.channels[number].tolist() == (12_500 * macro[routing == number]).tolist()
    assert recording.since_sync_ps == {}
    assert "no .set file" in recording.warnings[0]
    (tmp_path / "x.set").write_bytes(b"\x82\x02 *SETUP\n #SP [SP_TAC_R,F,5e-08]\n #SP [SP_TAC_G,I,4]\n")
    with_setup = open_recording(path)
    assert with_setup.warnings == ()
    step_ps = 5e-8 * 1e12 / 4 / 4096
    assert with_setup.since_sync_ps[1].tolist() == np.rint((4095 - adc[routing == 1]) * step_ps).tolist()


def test_spc_with_gaps_has_no_rate_and_of_other_cards_is_refused(tmp_path):
    macro, adc, routing, _ = _spc()
    path = _write(tmp_path / "x.spc", made.spc(macro, adc, routing, gap_at=800))
    recording = open_recording(path)
    assert recording.duration_s is None
    assert any("photons were lost before 1 records" in warning for warning in recording.warnings)
    (tmp_path / "x.set").write_bytes(made.spc_setup(0x29))
    with pytest.raises(FormatError, match="module 0x29"):
        open_recording(path)


def test_spc_without_an_overflow_record_is_refused(tmp_path):
    words = np.frombuffer(made.spc(*_spc()[:3]), "<u4").copy()
    at = np.flatnonzero(words[600:] >> 30 == 1)[0] + 600
    words[at] &= ~np.uint32(1 << 30)
    with pytest.raises(FormatError, match="macro time falls"):
        open_recording(_write(tmp_path / "x.spc", words.tobytes()))


def test_spc_behind_a_router(tmp_path):
    """The header of a card with a router counts its routing bits."""
    macro, adc, routing, _ = _spc()
    data = made.spc(macro, adc, routing)
    word = int.from_bytes(data[:4], "little") | 3 << 27
    recording = open_recording(_write(tmp_path / "x.spc", word.to_bytes(4, "little") + data[4:]))
    for number in range(3):
        assert recording.channels[number].tolist() == (12_500 * macro[routing == number]).tolist()


@pytest.mark.parametrize(
    ("encode", "bins", "module"),
    [(made.spc600_short, 256, 0x21), (made.spc600_long, 4096, 0x22)],
    ids=["32 bits", "48 bits"],
)
def test_spc600(tmp_path, encode, bins, module):
    rng = np.random.default_rng(6)
    dense, rare = np.sort(rng.integers(0, 4_000_000, 3_000)), np.sort(rng.integers(10**7, 4 * 10**8, 300))
    macro = np.concatenate((dense, rare))
    adc, routing = rng.integers(0, bins, macro.size), rng.integers(0, 5, macro.size)
    path = _write(tmp_path / "x.spc", encode(macro, adc, routing))
    for setup in (None, made.spc_setup(module)):
        if setup:
            (tmp_path / "x.set").write_bytes(setup)
        recording = open_recording(path)
        assert recording.resolution_ps == 50_000
        for number in range(5):
            assert recording.channels[number].tolist() == (50_000 * macro[routing == number]).tolist()
    step_ps = 5e-8 * 1e12 / 4 / bins
    assert recording.since_sync_ps[1].tolist() == np.rint((bins - 1 - adc[routing == 1]) * step_ps).tolist()


@pytest.mark.parametrize(("six", "module"), [(False, 0x8B), (True, 0x8E)], ids=["x04", "x06"])
def test_spc_qc(tmp_path, six, module):
    """Times since the pulse aren't reversed, and the clock is in femtoseconds."""
    rng = np.random.default_rng(6)
    macro = np.sort(rng.integers(0, 4_000_000, 3_000))
    since, entry = rng.integers(0, 4096, 3_000), rng.integers(0, 6 if six else 4, 3_000)
    entry[[70, 1_500]] = 2
    data = made.spcqc(macro, since, entry, six=six, markers={50, 60}, gaps={70, 1_500})
    path = _write(tmp_path / "x.spc", data)
    (tmp_path / "x.set").write_bytes(made.spc_setup(module, tac_range_s=1.6384e-8, tac_gain=1))
    recording = open_recording(path)
    photon = ~np.isin(np.arange(3_000), [50, 60])
    times = np.rint(macro * 2_048.131).astype(np.int64)
    for number in range(6 if six else 4):
        mine = photon & (entry == number)
        assert recording.channels[number].tolist() == times[mine].tolist()
        assert recording.since_sync_ps[number].tolist() == (4 * since[mine]).tolist()
    assert recording.channels[1_003].tolist() == times[[50, 60]].tolist()
    assert recording.duration_s is None
    assert "photons were lost before 2 records" in recording.warnings[-1]
    (tmp_path / "x.set").unlink()
    assert {n: t.tolist() for n, t in open_recording(path).channels.items()} == {
        n: t.tolist() for n, t in recording.channels.items()
    }


def test_spc_of_two_possible_cards_wants_its_setup(tmp_path):
    """Where every photon follows an overflow record, records of 12 and of 17 bits can't be told apart."""
    rng = np.random.default_rng(6)
    macro = np.cumsum(rng.integers(2 << 17, 9 << 17, 200))
    path = _write(tmp_path / "x.spc", made.spc600_short(macro, rng.integers(0, 256, 200), rng.integers(0, 3, 200)))
    with pytest.raises(FormatError, match=r"SPC-1xx or SPC-600 in 32 bits: put the \.set file"):
        open_recording(path)
    (tmp_path / "x.set").write_bytes(made.spc_setup(0x21))
    assert np.sort(np.concatenate(list(open_recording(path).channels.values()))).tolist() == (50_000 * macro).tolist()


def test_spc_whose_setup_names_another_card_is_refused(tmp_path):
    rng = np.random.default_rng(6)
    macro = np.sort(rng.integers(0, 4_000_000, 3_000))
    path = _write(tmp_path / "x.spc", made.spc600_long(macro, rng.integers(0, 4096, 3_000), [0] * 3_000))
    (tmp_path / "x.set").write_bytes(made.spc_setup(0x28))
    with pytest.raises(FormatError, match="not those of module 0x28"):
        open_recording(path)


@real
def test_real_spc_agrees_with_its_decoded_text():
    recording = open_recording(DATA / "phconvert" / "test_noise.spc")
    decoded = np.loadtxt(DATA / "phconvert" / "test_noise.asc", dtype=np.int64)
    assert recording.resolution_ps == 9_500
    assert (recording.channels[0] == 9_500 * decoded[:, 0]).all()
    assert (recording.since_sync_ps[0] == np.rint(decoded[:, 1] * 5.0033574e-08 * 1e12 / 5 / 4096)).all()


def test_qutag_far_out_of_order_is_sorted(tmp_path):
    times, channels = _tags(200_000)
    order = np.arange(200_000)
    order[1_000:40_000] = order[1_000:40_000][::-1]
    path = _write(tmp_path / "x", recordings_made.qutag(times[order], channels[order]))
    recording = open_recording(path)
    for number in (1, 2, 3):
        assert recording.channels[number].tolist() == (times - times[0])[channels == number].tolist()
    assert "out of order" in recording.warnings[0]
    merged = np.concatenate([block.times_ps for block in in_order(open_tags(path), hold=50_000)])
    assert (merged == times - times[0]).all()


def test_tags_farther_from_their_place_than_is_held_back_are_refused(tmp_path):
    times, channels = _tags(200_000)
    path = _write(tmp_path / "x", recordings_made.qutag(np.roll(times, 100_000), channels))
    with pytest.raises(FormatError, match="out of order"):
        list(in_order(open_tags(path), hold=10_000))


class _Made(TagFile):
    """Tags from memory."""

    def __init__(self, times, channels, since=None, **facts):
        super().__init__(Path("made"), "made", most_tags=len(times), has_since=since is not None, **facts)
        self._columns = times, channels.astype(np.int16), np.empty(0, np.int64) if since is None else since

    def blocks(self):
        times, channels, since = self._columns
        for at in range(0, times.size, 1_000):
            part = slice(at, at + 1_000)
            yield Tags(times[part], channels[part], since[part])


@pytest.fixture
def arrow():
    return pytest.importorskip("pyarrow", reason="segments take the extra `segments`")


def test_segments_come_back_whole(tmp_path, arrow):
    times, channels = _tags(3_000_000, span=10**13)
    rng = np.random.default_rng(1)
    since = rng.integers(0, 12_500, times.size)
    source = _Made(times, channels, since, period_ps=12_500.25, resolution_ps=4.0)
    source.warnings.append("a warning\twith ünïcode")
    path = tmp_path / "s.parquet"
    assert write_segment(source, path, {"rig": "qd07", "run": "2026-1", "firmware": "1.4.2"}) == times.size
    recording = open_recording(path)
    for number in (1, 2, 3):
        assert (recording.channels[number] == times[channels == number]).all()
        assert (recording.since_sync_ps[number] == since[channels == number]).all()
    assert (recording.period_ps, recording.resolution_ps) == (12_500.25, 4.0)
    assert recording.duration_s == times[-1] * 1e-12
    assert recording.warnings == ("a warning\twith ünïcode",)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.parquet"]


def test_segments_are_as_other_readers_of_parquet_expect_them(tmp_path, arrow):
    import pyarrow.parquet

    times, channels = _tags(2_500_000, span=10**13)
    path = tmp_path / "s.parquet"
    write_segment(_Made(times, channels), path, {"rig": "qd07"})
    file = pyarrow.parquet.ParquetFile(path)
    facts = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    assert {"unit": "ps", "schema_version": "1", "rig": "qd07", "tags": "2500000"}.items() <= facts.items()
    groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sum(groups) == times.size
    assert all(1 << 20 <= group <= 1 << 21 for group in groups)
    column = file.metadata.row_group(0).column(0)
    assert "DELTA_BINARY_PACKED" in column.encodings
    assert column.compression == "UNCOMPRESSED"
    assert "RLE_DICTIONARY" in file.metadata.row_group(0).column(1).encodings
    table = file.read()
    assert (table["t_ps"].to_numpy() == times).all()
    assert path.stat().st_size / times.size < 4


def test_a_damaged_source_leaves_no_segment(tmp_path, arrow):
    class Damaged(_Made):
        def blocks(self):
            yield from super().blocks()
            raise FormatError("damaged at its end")

    with pytest.raises(FormatError, match="damaged at its end"):
        write_segment(Damaged(*_tags()), tmp_path / "s.parquet")
    assert list(tmp_path.iterdir()) == []


def test_every_flipped_byte_of_a_segment_is_found(tmp_path, arrow):
    """A page's checksum holds every bit of its tags; 60 flipped bytes spread over the pages."""
    path = tmp_path / "s.parquet"
    write_segment(_Made(*_tags()), path)
    data = path.read_bytes()
    whole = open_recording(path)
    for at in np.linspace(100, 0.8 * len(data), 60).astype(int):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        try:
            recording = open_recording(_write(tmp_path / "d.parquet", bytes(damaged)))
        except FormatError:
            continue
        for number, times in whole.channels.items():
            assert (recording.channels[number] == times).all()


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        ({"unit": "ns", "schema_version": "1"}, "no segment"),
        ({"unit": "ps", "schema_version": "2"}, "no segment"),
        ({"unit": "ps", "schema_version": "1", "tags": "4"}, "should hold 4"),
        ({"unit": "ps", "schema_version": "1", "tags": "3", "period_ps": "-1"}, "period_ps"),
        ({"unit": "ps", "schema_version": "1", "tags": "3", "warnings": "["}, "unreadable warnings"),
        ({"unit": "ps", "schema_version": "1", "tags": "3"}, "not sorted"),
    ],
)
def test_other_parquet_is_refused(tmp_path, arrow, facts, match):
    import pyarrow.parquet

    schema = arrow.schema([("t_ps", arrow.int64()), ("channel", arrow.int16())], metadata=facts)
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(arrow.table([[1, 3, 2], [0, 1, 0]], schema=schema), path)
    with pytest.raises(FormatError, match=match):
        open_recording(path)


def test_unknown_labels_are_refused(tmp_path, arrow):
    with pytest.raises(ConfigurationError, match="no label 'operator'"):
        write_segment(_Made(*_tags()), tmp_path / "s.parquet", {"operator": "x"})


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'qdhil\[segments\]'"):
        SegmentFile(tmp_path / "x.parquet")


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py", reason="Photon-HDF5 takes the extra `hdf5`")


def _photon_hdf5(h5py, path, *, unit_s, nanotimes=True, name="Photon-HDF5", duration_s=2.0, **extra):
    rng = np.random.default_rng(7)
    stamps = np.sort(rng.integers(0, int(1.9 / unit_s), 100_000))
    with h5py.File(path, "w") as file:
        file.attrs["format_name"] = np.bytes_(name)
        data = file.create_group("photon_data")
        data["timestamps"] = stamps
        data["timestamps_specs/timestamps_unit"] = unit_s
        data["detectors"] = rng.integers(0, 2, stamps.size).astype("u1")
        if nanotimes:
            data["nanotimes"] = rng.integers(0, 700, stamps.size).astype("u2")
            data["nanotimes_specs/tcspc_unit"] = 16e-12
        file["setup/laser_repetition_rates"] = [80e6]
        file["acquisition_duration"] = duration_s
        for key, value in extra.items():
            del data[key]
            data[key] = value
    return stamps


@pytest.mark.parametrize(("unit_s", "resolution_ps"), [(12.5e-9, 16), (50e-9, 50_000)], ids=["pulses", "clock"])
def test_photon_hdf5(tmp_path, h5py, unit_s, resolution_ps):
    path = tmp_path / "x.h5"
    stamps = _photon_hdf5(h5py, path, unit_s=unit_s)
    recording = open_recording(path)
    with h5py.File(path) as file:
        detectors, nano = file["photon_data/detectors"][:], file["photon_data/nanotimes"][:].astype(np.int64)
    times = stamps * round(unit_s * 1e12) + (16 * nano if resolution_ps == 16 else 0)
    for number in (0, 1):
        mine = detectors == number
        assert recording.channels[number].tolist() == np.sort(times[mine]).tolist()
        assert np.sort(recording.since_sync_ps[number]).tolist() == np.sort(16 * nano[mine]).tolist()
    assert recording.period_ps == pytest.approx(12_500)
    assert recording.resolution_ps == pytest.approx(resolution_ps)
    assert recording.duration_s == 2.0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"name": "Other"}, "doesn't call itself Photon-HDF5"),
        ({"detectors": [1, 2, 3]}, "detectors are fewer"),
        ({"timestamps": [1.5, 2.5]}, "no whole numbers"),
        ({"timestamps": [-1, 2]}, "before the start"),
    ],
)
def test_defective_photon_hdf5_is_refused(tmp_path, h5py, options, match):
    path = tmp_path / "x.h5"
    _photon_hdf5(h5py, path, unit_s=12.5e-9, **options)
    with pytest.raises(FormatError, match=match):
        open_recording(path)


def test_photon_hdf5_longer_than_its_acquisition_has_no_rate(tmp_path, h5py):
    path = tmp_path / "x.h5"
    _photon_hdf5(h5py, path, unit_s=12.5e-9, duration_s=1.0)
    recording = open_recording(path)
    assert recording.duration_s is None
    assert "the acquisition took 1.000 s" in recording.warnings[-1]
