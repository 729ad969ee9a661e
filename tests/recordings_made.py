"""Recordings written by the tests themselves, byte by byte, so that what is in them is known."""

from __future__ import annotations

import struct

import numpy as np

PERIOD_PS = 12_500


def header(kind, count, *, t3, unit_s, resolution_s=16e-12, **extra):
    """Return a PTU header; ``extra`` replaces or adds tags, ``None`` leaves one out."""
    tags = {
        "File_Comment": "made by a test",
        "Measurement_Mode": 3 if t3 else 2,
        "TTResultFormat_TTTRRecType": kind,
        "TTResultFormat_BitsPerRecord": 32,
        "MeasDesc_Resolution": resolution_s,
        "MeasDesc_GlobalResolution": unit_s,
        "TTResult_NumberOfRecords": count,
        **extra,
    }
    out = bytearray(b"PQTTTR\0\x001.0.00\0\0")
    for name, value in tags.items():
        if value is None:
            continue
        if isinstance(value, str):
            text = value.encode() + b"\0" * (8 - len(value) % 8)
            out += struct.pack("<32siIq", name.encode(), -1, 0x4001FFFF, len(text)) + text
        elif isinstance(value, float):
            out += struct.pack("<32siId", name.encode(), -1, 0x20000008, value)
        else:
            out += struct.pack("<32siIq", name.encode(), -1, 0x10000008, value)
    out += struct.pack("<32siIq", b"Header_End", -1, 0xFFFF0008, 0)
    return bytes(out)


def hydra_records(counter, channel, since=None, *, wrap, version):
    """Encode HydraHarp-like records (also TimeHarp 260, MultiHarp) with their overflows."""
    bits = 10 if since is not None else 25
    words, above = [], 0
    for i, value in enumerate(counter):
        crossed = value // wrap - above
        if crossed:
            above += crossed
            if version == 1:
                words += [0x80000000 | 63 << 25] * crossed
            else:
                words.append(0x80000000 | 63 << 25 | crossed)
        word = channel[i] << 25 | (value - above * wrap)
        if since is not None:
            word |= since[i] << bits
        words.append(word)
    return np.array(words, "<u4")


def pico_records(counter, channel, since=None, *, wrap):
    """Encode PicoHarp 300 records with their overflows."""
    words, above = [], 0
    for i, value in enumerate(counter):
        crossed = value // wrap - above
        above += crossed
        words += [15 << 28] * crossed
        word = channel[i] << 28 | (value - above * wrap)
        if since is not None:
            word |= since[i] << 16
        words.append(word)
    return np.array(words, "<u4")


def antibunched(pulses=3_000_000, *, p=0.02, g2=0.0, lifetime_ps=150.0, seed=1):
    """Return pulse numbers and emission delays (ps) of two detectors; same-pulse pairs thinned to ``g2``."""
    rng = np.random.default_rng(seed)
    a, b = (np.flatnonzero(rng.random(pulses) < p) for _ in range(2))
    both = np.intersect1d(a, b)
    dropped = both[rng.random(both.size) >= g2]
    b = np.setdiff1d(b, dropped)
    return [(n, 1_000 + rng.exponential(lifetime_ps, n.size)) for n in (a, b)]


def antibunched_tags(delay_ps=23_000, period_ps=PERIOD_PS, **options):
    """Return sorted times of two detectors whose antibunched peak lies at ``delay_ps``."""
    (n_a, d_a), (n_b, d_b) = antibunched(**options)
    t_a = np.rint(n_a * period_ps + d_a).astype(np.int64)
    t_b = np.rint(n_b * period_ps + d_b).astype(np.int64) + delay_ps
    return np.sort(t_a), np.sort(t_b)


def merged(t_a, t_b, channels):
    """Return times and channels in the order of time."""
    times = np.concatenate((t_a, t_b))
    channel = np.repeat(channels, (t_a.size, t_b.size))
    order = np.argsort(times, kind="stable")
    return times[order], channel[order]


def qutag(times, channels, start_ps=342_342_429_999_871_629):
    """Return a quTAG file."""
    records = np.zeros(times.size, [("t", "<u8"), ("c", "<u2")])
    records["t"], records["c"] = times + start_ps, channels
    return b"\x87\xb3\x91\xfa\x8aP \0" + bytes(32) + records.tobytes()
