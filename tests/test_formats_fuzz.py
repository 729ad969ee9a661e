"""Damaged files of every format: the library's own error in one line or a sane recording, and no memory kept.

Mutants are seeded: bytes are flipped, runs are zeroed, doubled or dropped, numbers of the header are set to
extremes, and files are cut. A mutant may still be readable; then what is read must be a possible recording, and a
cut file whose header announces its length must be refused.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
from pathlib import Path

import formats_made as made
import numpy as np
import pytest
import recordings_made

from qdhil.errors import FormatError
from qdhil.tags import DelayHistogram, Histograms, open_recording, open_tags
from qdhil.tags.stream import LATEST_PS

DATA = Path(__file__).parents[2] / "shared" / "data"
MUTANTS = 160
EXTREMES = [0, 1, -1, 1 << 31, (1 << 31) - 1, 1 << 62, (1 << 63) - 1, 0x7FF0000000000000, 0x7FF8000000000000]


def _events(n=1_500, span=3_000 * 1024):
    rng = np.random.default_rng(9)
    return (
        np.sort(rng.integers(0, span, n)).tolist(),
        rng.integers(0, 3, n).tolist(),
        rng.integers(0, 700, n).tolist(),
    )


def _tttr():
    """Return header and records of every generation."""
    counter, channel, since = _events()
    hydra3 = recordings_made.hydra_records(counter, channel, since, wrap=1024, version=2)
    pico3 = recordings_made.pico_records(counter, channel, since, wrap=65_536)
    wide = (np.array(counter) * 4_000).tolist()
    hydra2 = recordings_made.hydra_records(wide, channel, wrap=1 << 25, version=2)
    old2 = recordings_made.hydra_records(wide, channel, wrap=33_552_000, version=1)
    pico2 = recordings_made.pico_records(wide, channel, wrap=210_698_240)
    t3r = made.t3r_records(counter, since)
    return {
        "ptu-t3": recordings_made.header(0x00010307, hydra3.size, t3=True, unit_s=12.5e-9) + hydra3.tobytes(),
        "ptu-t2": recordings_made.header(0x00010206, hydra2.size, t3=False, unit_s=1e-12) + hydra2.tobytes(),
        "pt2": made.picoharp_header(2, records=pico2.size) + pico2.tobytes(),
        "pt3": made.picoharp_header(3, records=pico3.size, resolution_ns=0.016) + pico3.tobytes(),
        "ht2": made.hydraharp_header(2, records=old2.size, version="1.0", resolution_ps=0.5) + old2.tobytes(),
        "ht3": made.hydraharp_header(3, records=hydra3.size, resolution_ps=16.0) + hydra3.tobytes(),
        "t3r": made.timeharp_header(2, records=t3r.size) + t3r.tobytes(),
    }


def _others():
    rng = np.random.default_rng(8)
    times, channels = np.sort(rng.integers(0, 10**11, 800)), rng.integers(1, 4, 800)
    rows = [rng.poisson(30, 256) for _ in range(3)]
    axis = np.arange(256) * 64 - 8192
    macro = np.sort(rng.integers(0, 2_000_000, 800))
    return {
        "phd": made.phd(rows),
        "hhd": made.hhd(rows),
        "thd": made.thd(rows),
        "phu": made.phu(rows),
        "qutag": recordings_made.qutag(times, channels),
        "swabian": made.swabian(times, channels),
        "spc": made.spc(macro, rng.integers(0, 4096, 800), channels),
        "spc600-short": made.spc600_short(macro, rng.integers(0, 256, 800), channels),
        "spc600-long": made.spc600_long(50 * macro, rng.integers(0, 4096, 800), channels),
        "spcqc-x04": made.spcqc(macro, rng.integers(0, 4096, 800), channels),
        "spcqc-x06": made.spcqc(macro, rng.integers(0, 4096, 800), channels, six=True, gaps={9}),
        "series": made.series(rng.poisson(0.5, (12, 200))),
        "export": made.harp_export(rows),
        "text": "".join(f"{a}\t{c}\n" for a, c in zip(axis, rows[0], strict=True)).encode(),
        "named": (
            "#Time (ps)\tg2(t)\tnorm\n" + "".join(f"{a}\t{c}\t{c / 30}\n" for a, c in zip(axis, rows[1], strict=True))
        ).encode(),
    }


CORPUS = _tttr() | _others()
ANNOUNCED = {*_tttr(), "phd", "hhd", "thd", "phu", "export"}


def _mutant(data, rng):
    """Return damaged bytes; most damage is near the beginning, where the headers are."""
    out = bytearray(data)
    reach = int(rng.choice([64, 512, len(out)]))
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, min(reach, len(out))))
        match int(rng.integers(0, 6)):
            case 0:
                out[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                out[at] = int(rng.integers(0, 256))
            case 2:
                at -= at % 4
                value = int(rng.choice(EXTREMES[:5])) & 0xFFFFFFFF
                out[at : at + 4] = value.to_bytes(4, "little")
            case 3:
                value = EXTREMES[int(rng.integers(0, len(EXTREMES)))] & 0xFFFFFFFFFFFFFFFF
                out[at : at + 8] = value.to_bytes(8, "little")
            case 4:
                length = int(rng.integers(1, 40))
                out[at : at + length] = out[at : at + length] * int(rng.integers(0, 3))
            case _:
                out[at : at + 16] = bytes(len(out[at : at + 16]))
        out = out or bytearray(b"\0")
    return bytes(out)


def _is_possible(recording):
    """Check what any reader promises of what it returns."""
    if isinstance(recording, DelayHistogram | Histograms):
        curves = [recording] if isinstance(recording, DelayHistogram) else recording.curves.values()
        for curve in curves:
            assert curve.counts.dtype == np.int64
            assert curve.counts.min() >= 0
            assert curve.counts.sum() > 0
            assert 0 < curve.bin_ps < np.inf
            assert np.isfinite(curve.first_ps)
            assert curve.period_ps is None or 0 < curve.period_ps < np.inf
        return
    assert recording.channels
    for number, times in recording.channels.items():
        assert times.size
        assert times[0] >= 0
        assert times[-1] <= LATEST_PS
        assert (np.diff(times) >= 0).all()
        assert -1 <= number < 2047
        if recording.since_sync_ps:
            assert recording.since_sync_ps[number].size == times.size
            assert recording.since_sync_ps[number].min() >= 0
    assert recording.duration_s is None or 0 <= recording.duration_s < np.inf
    assert recording.period_ps is None or 0 < recording.period_ps < np.inf
    assert 0 < recording.resolution_ps < np.inf


def _read(path, data):
    """Return the recording or ``None`` where it was refused, in one line."""
    path.write_bytes(data)
    try:
        recording, refusal = open_recording(path), None
    except FormatError as error:
        refusal = str(error)
    if refusal is not None:
        assert "\n" not in refusal
        assert refusal.startswith(str(path))
        return None
    _is_possible(recording)
    return recording


@pytest.mark.parametrize("name", CORPUS)
def test_mutants_are_refused_or_read_sanely(tmp_path, name):
    rng = np.random.default_rng([ord(c) for c in name])
    path = tmp_path / "x"
    assert _read(path, CORPUS[name]) is not None
    outcomes = [_read(path, _mutant(CORPUS[name], rng)) is None for _ in range(MUTANTS)]
    assert sum(outcomes) > MUTANTS // 20


@pytest.mark.parametrize("name", CORPUS)
def test_cut_files_are_refused_or_a_beginning(tmp_path, name):
    """A cut file with an announced length is refused; of others, the tags read are the first ones."""
    rng = np.random.default_rng(3)
    data, path = CORPUS[name], tmp_path / "x"
    whole = _read(path, data)
    for cut in rng.integers(1, len(data) - 1, 40):
        part = _read(path, data[:cut])
        if name in ANNOUNCED:
            # the line feed at the end of a text is no part of its numbers
            assert part is None or cut > len(data) - 3
        elif part is not None and not isinstance(whole, DelayHistogram):
            assert part.format == whole.format
            for number, times in part.channels.items():
                assert (whole.channels[number][: times.size] == times).all()


def _counted(recording):
    """Return all that was counted, by channel or curve."""
    if isinstance(recording, Histograms):
        return {number: curve.counts.tolist() for number, curve in recording.curves.items()}
    if isinstance(recording, DelayHistogram):
        return {0: recording.counts.tolist()}
    return {number: times.tolist() for number, times in recording.channels.items()}


BINARY = sorted(set(CORPUS) - {"series", "export", "text", "named"})
TIMED = [name for name in BINARY if name not in ("phd", "hhd", "thd", "phu")]


@pytest.mark.parametrize("name", BINARY)
def test_bytes_after_the_end_are_told_or_refused(tmp_path, name):
    """What the file announces is read as it was; nothing is appended to it in silence."""
    path = tmp_path / "x"
    whole = _counted(_read(path, CORPUS[name]))
    for extra in (b"\0", b"\0" * 64, b"\xff" * 64):
        found = _read(path, CORPUS[name] + extra)
        if found is None or _counted(found) == whole:
            continue
        assert name not in ANNOUNCED
        assert found.warnings, f"{name} took {extra[:1]!r} for records"


@pytest.mark.parametrize("name", TIMED)
def test_shuffled_records_are_refused_or_sorted(tmp_path, name):
    """Records in another order than the tagger wrote them: the same tags with a warning, or a refusal."""
    size = {"qutag": 10, "swabian": 16, "spc600-long": 6}.get(name, 4)
    data, path = CORPUS[name], tmp_path / "x"
    head = len(data) % size + len(data) // 2 // size * size
    rng = np.random.default_rng(11)
    rows = np.frombuffer(data[head:], np.uint8).reshape(-1, size)
    found = _read(path, data[:head] + rng.permutation(rows).tobytes())
    if found is not None:
        assert name in ("qutag", "swabian")
        assert "out of order" in found.warnings[-1]
        assert _counted(found) == _counted(_read(path, data))


@pytest.mark.parametrize("name", TIMED)
def test_zeroed_records_are_refused(tmp_path, name):
    """A hole of zeros in the records, of a sector or more: none passes for photons at 0 ps."""
    data, path = CORPUS[name], tmp_path / "x"
    for share in (3, 4, 5):
        at = len(data) * share // 7 // 480 * 480 + len(data) % 480
        assert _read(path, data[:at] + bytes(960) + data[at + 960 :]) is None


@pytest.mark.parametrize("name", ["export", "text", "named", "series"])
def test_text_with_a_mark_and_padding_is_the_same(tmp_path, name):
    """A byte order mark, other line ends and spaces at line ends change nothing."""
    path = tmp_path / "x"
    whole = _counted(_read(path, CORPUS[name]))
    for data in (
        b"\xef\xbb\xbf" + CORPUS[name],
        CORPUS[name].replace(b"\n", b"\r\n"),
        CORPUS[name].replace(b"\n", b"  \n") + b"\n\n",
        CORPUS[name].decode().encode("utf-16"),
    ):
        found = _read(path, data)
        assert found is not None
        assert _counted(found) == whole


@pytest.mark.parametrize("name", ["phd", "hhd", "thd", "phu"])
def test_counts_that_contradict_the_header_are_told(tmp_path, name):
    """One count more than the header's integral: the curve is read with a warning."""
    data = bytearray(CORPUS[name])
    data[-4:] = (int.from_bytes(data[-4:], "little") + 1).to_bytes(4, "little")
    found = _read(tmp_path / "x", bytes(data))
    assert found is None or any("its header says" in warning for warning in found.warnings)


@pytest.mark.parametrize("name", sorted(_tttr()))
def test_cut_files_read_on_demand_are_a_beginning(tmp_path, name):
    data, path = CORPUS[name], tmp_path / "x"
    whole = _read(path, data)
    path.write_bytes(data[: len(data) * 2 // 3])
    part = open_recording(path, partial=True)
    assert "truncated" in part.warnings[0]
    for number, times in part.channels.items():
        assert (whole.channels[number][: times.size] == times).all()


def test_random_bytes_are_refused(tmp_path):
    """No reader takes noise for a recording: formats without a magic number need 64 records that make sense."""
    rng = np.random.default_rng(1)
    for size in (1, 7, 16, 40, 60, 100, 1_000, 20_000):
        for _ in range(20):
            assert _read(tmp_path / "x", rng.integers(0, 256, size, np.uint8).tobytes()) is None


@pytest.mark.parametrize(
    "magic",
    [
        b"PQTTTR\0\0",
        b"PQHISTO\0",
        b"PicoHarp 300\0\0\0\0",
        b"HydraHarp\0\0\0\0\0\0\0",
        b"TimeHarp 200\0\0\0\0",
        b"PAR1",
        b"\x89HDF\r\n\x1a\n",
    ],
)
def test_noise_behind_a_magic_number_is_refused(tmp_path, magic):
    from qdhil.errors import ConfigurationError

    rng = np.random.default_rng(2)
    for size in (0, 10, 100, 2_000):
        path = tmp_path / "x"
        path.write_bytes(magic + rng.integers(0, 256, size, np.uint8).tobytes())
        with pytest.raises(ConfigurationError):
            open_recording(path)


def _resident_kb():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def test_refused_files_leave_no_memory(tmp_path):
    """The same 700 mutants a third time must not leave more memory in use than the second time."""
    path = tmp_path / "x"

    def run():
        rng = np.random.default_rng(77)
        for data in CORPUS.values():
            for _ in range(40):
                _read(path, _mutant(data, rng))
        return _resident_kb()

    run()
    second = run()
    assert run() - second < 4_000


STREAM = """
import resource, sys
from pathlib import Path
from qdhil.tags import open_tags
small, large = (open_tags(Path(name)) for name in sys.argv[1:])
for block in small.blocks():
    pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tags = sum(block.times_ps.size for block in large.blocks())
print(tags, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_streaming_needs_no_memory_for_the_file(tmp_path):
    """A file of 40 MB, read block by block in a fresh process, takes less than 3 MB more than one of 1 MB."""
    for name, count in (("small", 140_000), ("large", 6_000_000)):
        pulses = np.arange(0, count * 700, 700)
        words = (pulses % 1024).astype("<u4") | (np.arange(pulses.size, dtype="<u4") & 1) << 25
        words = np.insert(words, np.flatnonzero(np.diff(pulses // 1024, prepend=0)), np.uint32(0xFE000001))
        head = recordings_made.header(0x01010304, words.size, t3=True, unit_s=12.5e-9)
        (tmp_path / name).write_bytes(head + words.tobytes())
    command = [sys.executable, "-c", STREAM, str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    tags, grown_kb = map(int, done.stdout.split())
    assert tags == 6_000_000
    assert grown_kb < 3_000


real = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded data not present at {DATA}")
REAL = [
    "full-sms/trace3.pt3",
    "libpicoquant/sample_data/timeharp/v60.thd",
    "phconvert/test_noise.spc",
    "libpicoquant/sample_data/timeharp/v50.t3r",
]


@real
@pytest.mark.parametrize("name", REAL)
def test_mutants_of_real_files(tmp_path, name):
    rng = np.random.default_rng(6)
    data = (DATA / name).read_bytes()
    for _ in range(60):
        _read(tmp_path / "x.bin", _mutant(data, rng))


def _container(tmp_path, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        from qdhil.tags import write_segment

        source = tmp_path / "source"
        source.write_bytes(CORPUS["ptu-t3"])
        write_segment(open_tags(source), tmp_path / "whole")
        return (tmp_path / "whole").read_bytes()
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "whole", "w") as file:
        file.attrs["format_name"] = np.bytes_("Photon-HDF5")
        file["photon_data/timestamps"] = np.arange(0, 10**6, 500)
        file["photon_data/timestamps_specs/timestamps_unit"] = 12.5e-9
        file["photon_data/detectors"] = np.arange(2_000, dtype="u1") % 2
    return (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("kind", ["parquet", "hdf5"])
def test_mutants_of_containers(tmp_path, kind):
    rng = np.random.default_rng(5)
    data = _container(tmp_path, kind)
    assert _read(tmp_path / "x", data) is not None
    refused = 0
    for i in range(300):
        damaged = _mutant(data, rng) if i % 3 else _mutant(data[::-1], rng)[::-1]
        refused += _read(tmp_path / "x", damaged) is None
    assert refused > 30
