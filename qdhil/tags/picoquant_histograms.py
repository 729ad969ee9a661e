"""Histograms of PicoQuant's counting cards: .phu, and .phd, .hhd and .thd from before the unified files.

A curve counts photons by the delay after the sync input, which is a laser pulse, or the photon of another
detector in an antibunching experiment. Delays are the centres of the bins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from qdhil.errors import FormatError
from qdhil.tags.fixed_header import HYDRAHARP, PICOHARP, read_fields, read_fixed_header
from qdhil.tags.histogram_checks import check_clipping
from qdhil.tags.picoquant import read_header
from qdhil.tags.recording import DelayHistogram, Histograms

_MOST_CURVES = 4096
_MOST_BINS = 1 << 22
_BROADEST_PS = 1e12
_PICOHARP_CURVE = (
    "CurveIndex TimeOfRecording HardwareIdent:16s HardwareVersion:8s HardwareSerial SyncDivider CFDZeroCross0 "
    "CFDLevel0 CFDZeroCross1 CFDLevel1 Offset RoutingChannel ExtDevices MeasMode SubMode P1:f P2:f P3:f RangeNo "
    "Resolution:f Channels AcquisitionTime StopAfter StopReason InpRate0 InpRate1 HistCountRate IntegralCount:q "
    "Reserved DataOffset RouterModelCode RouterEnabled RtCh_InputType RtCh_InputLevel RtCh_InputEdge "
    "RtCh_CFDPresent RtCh_CFDLevel RtCh_CFDZeroCross"
)
_HYDRAHARP_CURVE = (
    "CurveIndex TimeOfRecording HardwareIdent:16s HardwareVersion:8s HardwareSerial NoOfModules "
    + " ".join(f"Module[{i}].Model Module[{i}].Version" for i in range(10))
    + " BaseResolution:d InputsEnabled:q InpChanPresent RefClockSource ExtDevices MarkerSettings SyncDivider "
    "SyncCFDLevel SyncCFDZero SyncOffset InpModuleIdx InpCFDLevel InpCFDZeroCross InpOffset InpChannel MeasMode "
    "SubMode Binning Resolution:d Offset AcquisitionTime StopAfter StopReason P1:f P2:f P3:f SyncRate InputRate "
    "HistCountRate IntegralCount:q HistogramBins DataOffset"
)
_TIMEHARP_CURVE = (
    "CurveIndex TimeOfRecording BoardSerial CFDZeroCross CFDDiscrMin SyncLevel CurveOffset RoutingChannel SubMode "
    "MeasMode P1:f P2:f P3:f RangeNo Offset AcquisitionTime StopAfter StopReason SyncRate CFDCountRate "
    "TDCCountRate IntegralCount Resolution:f Reserved1 Reserved2"
)


@dataclass(frozen=True)
class _Curve:
    """Where the counts of one curve lie, and what its header says of them."""

    number: int
    at: int
    bins: int
    first_ps: float
    bin_ps: float
    sync_hz: float
    stopped_s: float
    integral: int


def read_fixed_histograms(path: Path) -> Histograms:
    """Read a .phd, .hhd or .thd file, whatever its name.

    Raises
    ------
    FormatError
        If the file is truncated, its header contradicts itself, or it holds no count.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header = read_fixed_header(file)
        count = header["NumberOfCurves"]
        if not 0 <= count <= _MOST_CURVES:
            raise FormatError(f"a header of {count} curves")
        if header["Ident"] in (PICOHARP, HYDRAHARP):
            picoharp = header["Ident"] == PICOHARP
            fields = [read_fields(file, _PICOHARP_CURVE if picoharp else _HYDRAHARP_CURVE) for _ in range(count)]
            curves = [_harp_curve(i, curve, picoharp) for i, curve in enumerate(fields)]
            form = "picoquant-phd" if picoharp else "picoquant-hhd"
        else:
            curves = [_timeharp_curve(i, file, header["NumberOfChannels"]) for i in range(count)]
            form = "picoquant-thd"
        return _read(file, size, form, curves)


def _harp_curve(number: int, curve: Mapping[str, Any], picoharp: bool) -> _Curve:
    return _Curve(
        number=number,
        at=curve["DataOffset"],
        bins=curve["Channels" if picoharp else "HistogramBins"],
        first_ps=curve["Offset"] * 1e3,
        bin_ps=float(f"{curve['Resolution']:.7g}") * (1e3 if picoharp else 1.0),
        sync_hz=curve["InpRate0" if picoharp else "SyncRate"],
        stopped_s=curve["StopAfter"] * 1e-3,
        integral=curve["IntegralCount"],
    )


def _timeharp_curve(number: int, file: BinaryIO, bins: int) -> _Curve:
    """Read a curve's header, and step over its counts, which follow it."""
    curve = read_fields(file, _TIMEHARP_CURVE)
    at = file.tell()
    if not 0 < bins <= _MOST_BINS:
        raise FormatError(f"curves of {bins} bins")
    file.seek(at + 4 * bins)
    first_ps, bin_ps = curve["Offset"] * 1e3, float(f"{curve['Resolution']:.7g}") * 1e3
    stopped_s = curve["StopAfter"] * 1e-3
    return _Curve(number, at, bins, first_ps, bin_ps, curve["SyncRate"], stopped_s, curve["IntegralCount"])


def read_phu(path: Path) -> Histograms:
    """Read a .phu file.

    Raises
    ------
    FormatError
        If the file is truncated, its header contradicts itself, or it holds no count.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header, _ = read_header(file, size)
        count = header.get("HistoResult_NumberOfCurves")
        if not isinstance(count, int) or not 0 <= count <= _MOST_CURVES:
            raise FormatError(f"a header of {count} curves")
        if header.get("HistoResult_BitsPerBin", 32) != 32:
            raise FormatError(f"bins of {header['HistoResult_BitsPerBin']} bits, not 32")
        found = _read(file, size, "picoquant-phu", [_unified_curve(i, header) for i in range(count)])
    offset = any(header.get(f"HistResDscr_MDescOffset[{i}]") for i in found.curves)
    note = ("the offset of the header was not applied: delays are from the beginning of the histogram",)
    return replace(found, warnings=found.warnings + note) if offset else found


def _unified_curve(number: int, header: Mapping[str, Any]) -> _Curve:
    def field(name: str, default: float | None = None) -> Any:
        value = header.get(f"HistResDscr_{name}[{number}]", default)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise FormatError(f"header lacks a usable HistResDscr_{name}[{number}]")
        return value

    return _Curve(
        number=number,
        at=int(field("DataOffset")),
        bins=int(field("HistogramBins")),
        first_ps=0.0,
        bin_ps=field("MDescResolution") * 1e12,
        sync_hz=field("SyncRate", 0),
        stopped_s=field("MDescStopAfter", 0) * 1e-3,
        integral=int(field("IntegralCount", 0)),
    )


def _read(file: BinaryIO, size: int, form: str, curves: list[_Curve]) -> Histograms:
    filled: dict[int, DelayHistogram] = {}
    warnings: list[str] = []
    if 4 * sum(max(curve.bins, 0) for curve in curves) > size:
        raise FormatError(f"truncated: {len(curves)} curves need more than the {size} bytes of the file")
    for curve in curves:
        if not (0 < curve.bins <= _MOST_BINS and 0 < curve.bin_ps < _BROADEST_PS):
            raise FormatError(f"curve {curve.number} has {curve.bins} bins of {curve.bin_ps:g} ps")
        if not 0 < curve.at <= size - 4 * curve.bins:
            raise FormatError(
                f"truncated: curve {curve.number} would end at {curve.at + 4 * curve.bins} of {size} bytes"
            )
        file.seek(curve.at)
        counts = np.frombuffer(file.read(4 * curve.bins), "<u4").astype(np.int64)
        if not counts.any():
            continue
        said = _refusal(counts)
        if said:
            warnings.append(f"curve {curve.number} is left out: {said}")
            continue
        total = int(counts.sum())
        if curve.integral > 0 and total != curve.integral:
            warnings.append(f"curve {curve.number} holds {total} counts, but its header says {curve.integral}")
        filled[curve.number] = DelayHistogram(
            form,
            curve.first_ps + curve.bin_ps / 2,
            curve.bin_ps,
            counts,
            period_ps=1e12 / curve.sync_hz if curve.sync_hz > 0 else None,
            dwell_s=curve.stopped_s if curve.stopped_s > 0 else None,
        )
    if not filled:
        raise FormatError(warnings[0] if warnings else f"none of {len(curves)} curves holds a count")
    return Histograms(form, filled, tuple(warnings))


def _refusal(counts: npt.NDArray[np.int64]) -> str | None:
    try:
        check_clipping(counts)
    except FormatError as error:
        return str(error)
    return None
