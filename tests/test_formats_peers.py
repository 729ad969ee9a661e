"""The same files read by other people's readers: every PicoQuant record type and every Becker & Hickl layout.

The peers aren't needed to work on qdhil; where one isn't installed, its comparisons are skipped.
"""

from __future__ import annotations

import formats_made as made
import numpy as np
import pytest
import recordings_made

from qdhil.tags import MARKER_BASE, SYNC, open_recording

N = 6_000
KINDS = {
    "picoharp-t2": (0x00010203, 28, 210_698_240, 0),
    "picoharp-t3": (0x00010303, 16, 65_536, 0),
    "hydraharp1-t2": (0x00010204, 25, 33_552_000, 1),
    "hydraharp1-t3": (0x00010304, 10, 1024, 1),
    "hydraharp2-t2": (0x01010204, 25, 1 << 25, 2),
    "hydraharp2-t3": (0x01010304, 10, 1024, 2),
    "timeharp260n-t2": (0x00010205, 25, 1 << 25, 2),
    "timeharp260n-t3": (0x00010305, 10, 1024, 2),
    "timeharp260p-t2": (0x00010206, 25, 1 << 25, 2),
    "timeharp260p-t3": (0x00010306, 10, 1024, 2),
    "generic-t2": (0x00010207, 25, 1 << 25, 2),
    "generic-t3": (0x00010307, 10, 1024, 2),
}
UNIT_PS, PERIOD_PS, BIN_PS = 4, 12_500, 16


def _overflow(version, count):
    if version == 0:
        return [0xF0000000] * count
    return [0xFE000000 | (count if version == 2 else 0)] * (1 if version == 2 else count)


def _word(name, version, what, channel, since, counter):
    """Return one record: a photon, a marker (its bits), or a sync event."""
    t3 = name.endswith("t3")
    if version == 0:
        if what == "photon":
            return channel << 28 | since << 16 | counter
        return 15 << 28 | (channel << 16 | counter if t3 else counter & ~15 | channel)
    code = channel if what == "photon" else 1 << 6 | (channel if what == "marker" else 0)
    return code << 25 | (since << 10 if t3 and what == "photon" else 0) | counter


def _file(name, most_overflows=900):
    """Return a .ptu file of a record type, with photons, markers, sync events, and overflows of one and many."""
    kind, _, wrap, version = KINDS[name]
    t3 = name.endswith("t3")
    rng = np.random.default_rng(kind)
    whats = rng.choice(["photon", "marker", "sync"], N, p=[0.9, 0.08, 0.02] if version and not t3 else [0.9, 0.1, 0])
    early, late = rng.integers(0, 40 * wrap, N // 2), rng.integers(0, 80 * wrap, N // 2) + most_overflows * wrap
    words, above = [], 0
    for what, value in zip(whats.tolist(), np.sort(np.concatenate([early, late])).tolist(), strict=True):
        crossed, above = value // wrap - above, value // wrap
        words += _overflow(version, crossed) if crossed else []
        channel = int(rng.integers(1, 16) if what == "marker" else rng.integers(not version and t3, 4))
        words.append(_word(name, version, what, channel, int(rng.integers(1, 700)) if t3 else 0, value % wrap))
    unit_s = (PERIOD_PS if t3 else UNIT_PS) * 1e-12
    options = {"t3": t3, "unit_s": unit_s, "resolution_s": BIN_PS * 1e-12, "Measurement_SubMode": 1}
    return recordings_made.header(kind, len(words), **options) + np.array(words, "<u4").tobytes()


def _ours(path):
    """Return times in ps and channels, by time and channel."""
    recording = open_recording(path)
    times = np.concatenate(list(recording.channels.values()))
    channels = np.repeat(list(recording.channels), [t.size for t in recording.channels.values()])
    return _sorted(times, channels)


def _sorted(times, channels):
    order = np.lexsort((channels, times))
    return times[order].tolist(), channels[order].tolist()


@pytest.mark.parametrize("name", KINDS)
def test_ptu_as_ptufile_reads_it(tmp_path, name):
    """Times and channels of photons, sync events and markers.

    No record here stands for 128 overflows or more: ptufile 2026.2.6 multiplies those of T2 in 32 bits.
    """
    ptufile = pytest.importorskip("ptufile")
    path = tmp_path / "x.ptu"
    path.write_bytes(_file(name, most_overflows=100))
    t3, pico = name.endswith("t3"), name.startswith("pico")
    with ptufile.PtuFile(path) as file:
        records = file.decode_records()
    found = records[(records["channel"] >= 0) | (records["marker"] > 0)]
    marker = found["channel"] < 0
    times = found["time"].astype(np.int64)
    if pico and not t3:
        # the lowest bits of a marker's time hold the marker
        times = np.where(marker, times & ~15, times)
    times *= PERIOD_PS if t3 else UNIT_PS
    if t3:
        times += np.where(marker, 0, found["dtime"].astype(np.int64) * BIN_PS)
    # ptufile counts the inputs of a PicoHarp's T3 records from 0, their bits from 1; sync events are its channel 0
    inputs = found["channel"].astype(int) + (pico and t3)
    ours, channels = _ours(path)
    channels = np.where(np.array(channels) == SYNC, 0, channels)
    assert _sorted(times, np.where(marker, MARKER_BASE + found["marker"].astype(int), inputs)) == _sorted(
        np.array(ours), channels
    )


@pytest.mark.parametrize("name", KINDS)
def test_ptu_as_tttrlib_reads_it(tmp_path, name):
    """Times and channels of photons, after as many as 900 overflows at once."""
    tttrlib = pytest.importorskip("tttrlib")
    path = tmp_path / "x.ptu"
    path.write_bytes(_file(name))
    t3 = name.endswith("t3")
    found = tttrlib.TTTR(str(path), "PTU")
    inputs = np.asarray(found.routing_channels).astype(int)
    # it takes the markers of a PicoHarp's T3 records for photons of channel 15, and photons at 0 ps for markers
    photon = (np.asarray(found.event_types) == 0) & (inputs < 15)
    times = np.asarray(found.macro_times).astype(np.int64) * (PERIOD_PS if t3 else UNIT_PS)
    if t3:
        times += np.asarray(found.micro_times).astype(np.int64) * BIN_PS
    ours, channels = (np.array(column) for column in _ours(path))
    mine = (channels >= 0) & (channels < MARKER_BASE)
    assert _sorted(times[photon], inputs[photon]) == _sorted(ours[mine], channels[mine])


def _photons(bins, highest, seed=3):
    rng = np.random.default_rng(seed)
    macro = np.sort(rng.integers(0, highest, 4_000))
    return macro, rng.integers(0, bins, macro.size), rng.integers(0, 4, macro.size)


SPC = {
    "1xx": (made.spc, 4096, 4_000_000, 0x28),
    "600 in 48 bits": (made.spc600_long, 4096, 60 << 24, 0x22),
    "QC-x04": (made.spcqc, 4096, 4_000_000, 0x8C),
}


@pytest.mark.parametrize("name", SPC)
def test_spc_as_phconvert_reads_it(tmp_path, name):
    """Macro times, inputs, and times since the pulse; phconvert 0.10.2 fails on every file of a QC-x06."""
    bhreader = pytest.importorskip("phconvert.bhreader")
    encode, bins, highest, module = SPC[name]
    path = tmp_path / "x.spc"
    path.write_bytes(encode(*_photons(bins, highest)))
    (tmp_path / "x.set").write_bytes(made.spc_setup(module))
    found = bhreader.load_spc(path)["photon_data"]
    recording = open_recording(path)
    detectors, unit_ps = found["detectors"], float(found["timestamps_unit"]) * 1e12
    assert sorted(recording.channels) == np.unique(detectors).tolist()
    for number, times in recording.channels.items():
        mine = detectors == number
        # a clock in femtoseconds isn't exact in phconvert's seconds
        assert np.abs(times - found["timestamps"][mine].astype(np.int64) * unit_ps).max() <= 0.501
        step_ps = 5e-8 * 1e12 / 4 / bins
        wanted = np.rint(found["nanotimes"][mine].astype(np.int64) * step_ps)
        assert recording.since_sync_ps[number].tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("encode", "bins", "container"),
    [(made.spc, 4096, "SPC-130"), (made.spc600_short, 256, "SPC-600_256")],
    ids=["1xx", "600 in 32 bits"],
)
def test_spc_as_tttrlib_reads_it(tmp_path, encode, bins, container):
    tttrlib = pytest.importorskip("tttrlib")
    path = tmp_path / "x.spc"
    # tttrlib 0.26.2 takes overflows of 17 bits for such of 12: none here
    path.write_bytes(encode(*_photons(bins, 1 << 17)))
    (tmp_path / "x.set").write_bytes(made.spc_setup(0x21 if bins == 256 else 0x28, tac_gain=1))
    found = tttrlib.TTTR(str(path), container)
    recording = open_recording(path)
    inputs = np.asarray(found.routing_channels)
    for number, times in recording.channels.items():
        macro = np.asarray(found.macro_times).astype(np.int64)[inputs == number]
        assert times.tolist() == (macro * round(recording.resolution_ps)).tolist()
        since = np.asarray(found.micro_times).astype(np.int64)[inputs == number]
        assert recording.since_sync_ps[number].tolist() == np.rint(since * 5e4 / bins).tolist()
