"""PicoQuant files read, qdhil beside its peers: to arrays of times, and on to g2(0).

A HydraHarp file of 20 Mtags, two detectors at 2 Mcps each, in T2 mode and in T3 mode behind an 80 MHz laser. To
arrays means the time and the channel of each tag (and in T3 mode the time since its laser pulse), as each
reader has them; peers are ``tttrlib`` and ``ptufile``. To g2(0) means all coincidences within ±200 ns in bins
of 100 ps; the peers' tags go to ``pytimetag``, the fastest exact correlator beside this one.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from recordings_made import header

from qdhil.metrics import cross_correlate
from qdhil.tags.formats import open_tags

TAGS = int(float(os.environ.get("QDHIL_BENCH_MTAGS", "40")) * 5e5)
RATE_HZ, PERIOD_PS, BIN_PS = 2e6, 12_500, 16
WINDOW_PS, STEP_PS = 200_000, 100
KINDS = {"t2": 0x01010204, "t3": 0x01010304}


def hydraharp(mode: str) -> bytes:
    """Return the records of the file."""
    rng = np.random.default_rng(4)
    t_ps = np.cumsum(rng.exponential(1e12 / (2 * RATE_HZ), TAGS)).astype(np.int64)
    channel = rng.integers(0, 2, TAGS).astype(np.uint32)
    if mode == "t3":
        counter, since, bits = t_ps // PERIOD_PS, t_ps % PERIOD_PS // BIN_PS, 10
    else:
        counter, since, bits = t_ps, np.zeros(TAGS, np.int64), 25
    above = counter >> bits
    crossed = np.diff(above, prepend=0)
    words = channel << 25 | (counter & ((1 << bits) - 1)).astype(np.uint32) | (since << bits).astype(np.uint32)
    overflows = np.flatnonzero(crossed)
    marks = np.uint32(127 << 25) | crossed[overflows].astype(np.uint32)
    return np.insert(words, overflows, marks).astype("<u4").tobytes()


@cache
def recording(folder: Path, mode: str) -> Path:
    body = hydraharp(mode)
    unit_s = PERIOD_PS * 1e-12 if mode == "t3" else 1e-12
    path = folder / f"bench-{mode}.ptu"
    path.write_bytes(
        header(KINDS[mode], len(body) // 4, t3=mode == "t3", unit_s=unit_s, resolution_s=BIN_PS * 1e-12) + body
    )
    return path


@pytest.fixture(params=KINDS)
def file(request, tmp_path_factory) -> Path:
    return recording(tmp_path_factory.getbasetemp(), request.param)


def tttrlib_arrays(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tttrlib = pytest.importorskip("tttrlib")
    tags = tttrlib.TTTR(str(path), "PTU")
    return tags.macro_times, tags.micro_times, tags.routing_channel


def ptufile_arrays(path: Path) -> np.ndarray:
    ptufile = pytest.importorskip("ptufile")
    with ptufile.PtuFile(path) as file:
        records: np.ndarray = file.decode_records()
    return records


def correlated(times: np.ndarray, channels: np.ndarray) -> np.ndarray:
    histogram = pytest.importorskip("pytimetag.analysers.HistogramAnalyser")
    first, second = (times[channels == number] for number in (0, 1))
    counts: np.ndarray = histogram.analysisOneListJIT(
        first, second, -float(WINDOW_PS), float(WINDOW_PS), 2 * WINDOW_PS // STEP_PS, 1
    )
    return counts


def tttrlib_g2(path: Path) -> np.ndarray:
    counter, since, channels = tttrlib_arrays(path)
    times = counter.astype(np.int64)
    return correlated(times * PERIOD_PS + since.astype(np.int64) * BIN_PS if "t3" in path.name else times, channels)


def ptufile_g2(path: Path) -> np.ndarray:
    records = ptufile_arrays(path)
    photons = records[records["channel"] >= 0]
    times = photons["time"].astype(np.int64)
    if "t3" in path.name:
        times = times * PERIOD_PS + photons["dtime"].astype(np.int64) * BIN_PS
    return correlated(times, photons["channel"])


def qdhil_g2(path: Path) -> np.ndarray:
    channels = open_tags(path).read().channels
    return cross_correlate(channels[0], channels[1], window_ps=WINDOW_PS, bin_ps=STEP_PS, threads=2)


def test_to_arrays(side_by_side, file):
    assert sum(times.size for times in open_tags(file).read().channels.values()) == TAGS
    side_by_side(
        TAGS,
        qdhil=lambda: open_tags(file).read(),
        qdhil_in_blocks=lambda: sum(block.times_ps.size for block in open_tags(file).blocks()),
        tttrlib=lambda: tttrlib_arrays(file),
        ptufile=lambda: ptufile_arrays(file),
    )


def test_to_g2(side_by_side, file):
    mine = qdhil_g2(file)
    # pytimetag puts a delay of exactly +window into its last bin, where the bins here are half-open
    assert np.array_equal(mine[:-1], tttrlib_g2(file)[:-1])
    assert np.array_equal(mine[:-1], ptufile_g2(file)[:-1])
    side_by_side(
        TAGS,
        rounds=3,
        qdhil=lambda: qdhil_g2(file),
        tttrlib_pytimetag=lambda: tttrlib_g2(file),
        ptufile_pytimetag=lambda: ptufile_g2(file),
    )
