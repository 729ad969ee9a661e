"""Files of many formats written by the tests themselves, byte by byte and without the readers' tables."""

from __future__ import annotations

import struct

import numpy as np

ZEROS = b"\0" * 4096


def padded(text, size, fill=b"\0"):
    """Return text filled up to a size, as the programs do with zeros or spaces."""
    return text.encode().ljust(size, fill)


def ints(*values):
    """Return int32 fields."""
    return struct.pack(f"<{len(values)}i", *values)


def _script():
    """Display curves, parameters, repeat group, script name."""
    return ZEROS[: 8 * 8 + 3 * 12 + 4 * 4 + 20]


def picoharp_header(mode, *, records=0, curves=0, resolution_ns=0.004, version="2.0", fill=b"\0", **tttr):
    """Return the header of a .pt2, .pt3 (with the part on tags) or .phd (without)."""
    head = padded("PicoHarp 300", 16) + padded(version, 6, fill) + padded("PicoHarp Software", 18)
    head += padded("2.3.0.0", 12) + padded("10/03/2014 17:01", 18, fill) + b"\r\n" + padded("made by a test", 256)
    head += ints(curves, 32, 4, 1, 0, mode, 0, 0, 0, 60_000, 65_535, 0, 0, 1, 0, 100, 0, 100) + _script()
    head += padded("PicoHarp 300", 16) + padded("2.0", 8) + ints(1, 1, 0, 0, 0, 0)
    head += struct.pack("<f", resolution_ns) + ints(0, 0) + ZEROS[: 4 * 24]
    if mode < 2:
        return head
    rates = ints(tttr.get("sync_hz", 80_000_000), 1000)
    return head + ints(0, 0, 0) + rates + ints(tttr.get("stop_ms", 0), 0, records, 1) + ints(7)


def hydraharp_header(mode, *, records=0, curves=0, resolution_ps=1.0, version="2.0", fill=b"\0", inputs=4, **tttr):
    """Return the header of a .ht2, .ht3 (with the part on tags) or .hhd (without)."""
    head = padded("HydraHarp", 16) + padded(version, 6, fill) + padded("HydraHarp Software", 18)
    head += padded("2.0.0.0", 12) + padded("28/11/12 10:44:34", 18, fill) + b"\r\n" + padded("made by a test", 256)
    head += ints(curves, 32, 0, mode, 0, 0) + struct.pack("<d", resolution_ps)
    head += ints(0, 60_000, -1, 0, 0, 1, 0, 100, 0, 100) + _script()
    head += padded("HydraHarp 400", 16) + padded("930021", 8) + ints(1, 4) + ZEROS[:80]
    head += struct.pack("<dq", 1.0, 15) + ints(inputs, 0, 0, 0, 1, 0, 0, 0) + ZEROS[: 16 * inputs]
    if mode < 2:
        return head
    head += ints(*range(1000, 1000 + inputs))
    return head + ints(tttr.get("sync_hz", 80_000_000), tttr.get("stop_ms", 0), 0, 0) + struct.pack("<q", records)


def timeharp_header(mode, *, curves=0, bins=4096, records=0, version="5.0", resolution_ns=0.0366, **tttr):
    """Return the header of a .t3r (with the part on tags) or .thd (without)."""
    newest = version == "6.0"
    head = padded("TimeHarp 200", 16) + padded(version, 6)
    head += padded("TimeHarp Software", 18) + padded("6.0.0.0", 12) if newest else padded("2.4", 6)
    head += padded("08/09/03 12:51:43", 18) + b"\r\n" + padded("made by a test", 256)
    head += ints(bins, curves, 32, 1, 1, 0, mode, 0, 0, 0, 60_000, 65_535, 0, 0, 1, 0, 100, 0, 100) + _script()
    head += padded("TimeHarp 200", 16) + padded("2.5", 8) if newest else b""
    head += ints(1, 0, 0, 0, 0) + struct.pack("<f", resolution_ns)
    if mode < 2:
        return head
    head += ints(100, 0, 0, 0, 0, 0, 0, tttr.get("sync_hz", 5_000_000), 1000, tttr.get("stop_ms", 0), 0, records)
    return head + ints(0) if float(version) >= 5 else head


def t3r_records(clock, since, wrap=1 << 16):
    """Encode TimeHarp 200 records with their overflows."""
    words, above = [], 0
    for value, bin_ in zip(clock, since, strict=True):
        while value // wrap > above:
            words.append(0x800 << 16)
            above += 1
        words.append(1 << 30 | bin_ << 16 | value % wrap)
    return np.array(words, "<u4")


def phd(counts, *, resolution_ns=0.128, sync_hz=10_000_000):
    """Return a .phd file of several curves (rows of ``counts``)."""
    head = picoharp_header(0, curves=len(counts))
    at = len(head) + 172 * len(counts)
    curves = b""
    for number, row in enumerate(counts):
        curve = ints(number, 0) + padded("PicoHarp 300", 16) + padded("2.0", 8) + ZEROS[:24] + ints(0, 0, 0, 0, 0)
        curve += ZEROS[:12] + ints(0) + struct.pack("<f", resolution_ns) + ints(row.size, 60_000, 10_000, 0)
        curve += ints(sync_hz, 1000, 0) + struct.pack("<q", int(row.sum())) + ints(0, at + 4 * number * row.size)
        curves += curve + ZEROS[:32]
    return head + curves + b"".join(row.astype("<u4").tobytes() for row in counts)


def hhd(counts, *, resolution_ps=4.0, sync_hz=10_000_000, version="1.0"):
    """Return a .hhd file of several curves (rows of ``counts``)."""
    head = hydraharp_header(0, curves=len(counts), version=version)
    at = len(head) + 264 * len(counts)
    curves = b""
    for number, row in enumerate(counts):
        curve = ints(number, 0) + padded("HydraHarp 400", 16) + padded("2.0", 8) + ints(1, 4) + ZEROS[:80]
        curve += struct.pack("<dq", 1.0, 15) + ints(*[0] * 8) + ints(*[0] * 8) + struct.pack("<d", resolution_ps)
        curve += ints(0, 60_000, 10_000, 0) + ZEROS[:12] + ints(sync_hz, 1000, 0)
        curve += struct.pack("<q", int(row.sum())) + ints(row.size, at + 4 * number * row.size)
        curves += curve
    return head + curves + b"".join(row.astype("<u4").tobytes() for row in counts)


def thd(counts, *, resolution_ns=0.0366, sync_hz=5_000_000, version="5.0"):
    """Return a .thd file of several curves (rows of ``counts``)."""
    data = timeharp_header(0, curves=len(counts), bins=counts[0].size, version=version)
    for number, row in enumerate(counts):
        data += ints(number, 0, 1, 0, 0, 0, 0, 0, 0, 0) + ZEROS[:12] + ints(0, 0, 60_000, 2_500, 0, sync_hz, 1, 1)
        data += ints(int(row.sum())) + struct.pack("<f", resolution_ns) + ints(0, 0) + row.astype("<u4").tobytes()
    return data


def phu(counts, *, resolution_s=16e-12, sync_hz=80_000_000, **extra):
    """Return a .phu file of several curves (rows of ``counts``)."""

    def tag(name, value, index=-1):
        if isinstance(value, float):
            return struct.pack("<32siId", name.encode(), index, 0x20000008, value)
        return struct.pack("<32siIq", name.encode(), index, 0x10000008, value)

    def head(at):
        out = b"PQHISTO\0" + b"1.0.00\0\0" + tag("HistoResult_NumberOfCurves", len(counts))
        for i, row in enumerate(counts):
            facts = {
                "DataOffset": at + 4 * i * row.size,
                "HistogramBins": row.size,
                "MDescResolution": resolution_s,
            }
            facts |= {"SyncRate": sync_hz, "IntegralCount": int(row.sum()), "MDescStopAfter": 1000, **extra}
            out += b"".join(tag(f"HistResDscr_{name}", value, i) for name, value in facts.items())
        return out + struct.pack("<32siIq", b"Header_End", -1, 0xFFFF0008, 0)

    return head(len(head(0))) + b"".join(row.astype("<u4").tobytes() for row in counts)


def spc(macro, adc, routing, *, clock=125, gap_at=None):
    """Return an .spc file: photons at whole macro times, overflows counted in records of their own."""
    words, above = [0x80000000 | clock], 0
    for i, (time, bin_, route) in enumerate(zip(macro, adc, routing, strict=True)):
        crossed = time // 4096 - above
        above += crossed
        word = int(bin_) << 16 | int(route) << 12 | int(time % 4096)
        if crossed == 1:
            word |= 1 << 30
        elif crossed:
            words.append(0xC0000000 | int(crossed))
        words.append(word | (1 << 29 if i == gap_at else 0))
    return np.array(words, "<u4").tobytes()


SWABIAN = np.dtype([("type", "u1"), ("zero", "u1"), ("missed", "<u2"), ("channel", "<i4"), ("t", "<i8")])


def swabian(times, channels, kinds=None, missed=None):
    """Return 16-byte records."""
    records = np.zeros(len(times), SWABIAN)
    records["t"], records["channel"] = times, channels
    records["type"] = 0 if kinds is None else kinds
    records["missed"] = 0 if missed is None else missed
    return records.tobytes()


def series(counts, *, step_ns=0.256):
    """Return a TSV of snapshots (rows of ``counts``), delays in ns in column 0."""
    lines = ("\t".join([f"{i * step_ns:.6g}", *map(str, column)]) for i, column in enumerate(np.asarray(counts).T))
    return ("\n".join(lines) + "\n").encode()


def harp_export(counts, *, ns_per_bin=0.004):
    """Return a text export of several curves (rows of ``counts``)."""
    numbers = range(len(counts))
    head = "#HydraHarp 400  Histogram Data\t\t\t07/09/2021 04:48:03 PM\n#channels per curve\n"
    head += f"{counts[0].size}\n#display curve no.\n" + "".join(f"{i}\t" for i in numbers)
    head += "\n#memory block no.\n" + "".join(f"{4 * i}\t" for i in numbers)
    head += "\n#ns/bin\n" + "".join(f"{ns_per_bin:.4f}\t" for _ in numbers) + "\n#counts\n"
    return (head + "".join("".join(f"{c}\t" for c in row) + "\n" for row in np.asarray(counts).T)).encode()


def _overflows(macro, wrap):
    """Yield each macro time with the overflows before it."""
    above = 0
    for value in macro:
        crossed, above = int(value) // wrap - above, int(value) // wrap
        yield crossed, int(value) % wrap


def spc600_short(macro, adc, routing, *, clock=500, routing_bits=3):
    """Return an .spc file of an SPC-600 in 32-bit records (ADC of 8 bits, macro time of 17)."""
    words = [0x80000000 | routing_bits << 27 | clock]
    for (crossed, low), bin_, route in zip(_overflows(macro, 1 << 17), adc, routing, strict=True):
        if crossed > 1:
            words.append(0xC0000000 | crossed)
        words.append((crossed == 1) << 30 | int(route) << 25 | low << 8 | int(bin_))
    return np.array(words, "<u4").tobytes()


def spc600_long(macro, adc, routing, *, clock=500, routing_bits=3):
    """Return an .spc file of an SPC-600 in 48-bit records (ADC of 12 bits, macro time of 24)."""
    words = [0x1000 | routing_bits << 8, clock, 0]
    for (crossed, low), bin_, route in zip(_overflows(macro, 1 << 24), adc, routing, strict=True):
        words += [0x3000, 0, 0] * max(crossed - 1, 0)
        words += [(crossed > 0) << 13 | int(bin_), int(route) << 8 | low >> 16, low & 0xFFFF]
    return np.array(words, "<u2").tobytes()


def spcqc(macro, since, entry, *, six=False, clock_fs=2_048_131, routing=0, routing_bits=0, markers=(), gaps=()):
    """Return an .spc file of an SPC-QC card; records ``markers`` are markers, records ``gaps`` follow gaps."""
    words = [0x80000000 | routing_bits << 27 | 1 << 26 | 1 << 24 | six << 23 | clock_fs]
    for i, ((crossed, low), bin_, port) in enumerate(zip(_overflows(macro, 4096), since, entry, strict=True)):
        words += [0x80000000] * crossed
        if i in markers:
            words.append((10 if six else 4) << 28 | 3 << 12 | low)
        else:
            words.append((i in gaps) * (12 << 28) | int(port) << 28 | int(bin_) << 16 | routing << 12 | low)
    return np.array(words, "<u4").tobytes()


def spc_setup(module, *, tac_range_s=5e-8, tac_gain=4, revision="12 bits ADC"):
    """Return a .set file of a module code."""
    head = (module << 4 | 13).to_bytes(2, "little") + bytes(40)
    text = f"*IDENTIFICATION\n  ID        : _SPC Setup Script File_\n  Revision  : {revision}\n"
    text += "  Date      : 2016-09-05\n*END\n\n*SETUP\n"
    text += (
        f"  SYS_PARA_BEGIN:\n  #SP [SP_TAC_R,F,{tac_range_s}]\n  #SP [SP_TAC_G,I,{tac_gain}]\n  SYS_PARA_END:\n*END\n"
    )
    return head + text.encode()
