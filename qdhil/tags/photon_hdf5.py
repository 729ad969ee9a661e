"""Photon-HDF5 files of one measurement spot: time stamps, detectors, and the time since the laser pulse.

Source: Photon-HDF5 Reference Documentation 0.5, ``/photon_data`` and ``/setup``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from qdhil.errors import FormatError
from qdhil.tags.extras import optional
from qdhil.tags.stream import BLOCK_TAGS, LATEST_PS, TagFile, Tags

MAGIC = b"\x89HDF\r\n\x1a\n"
_MOST_CHANNEL = 999
_SAME = 1e-3


class PhotonHdf5File(TagFile):
    """A Photon-HDF5 file; h5py reads it block by block.

    Time stamps that count laser pulses (their unit is the laser's period) get the time since the pulse added.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FormatError
        If the file isn't Photon-HDF5, holds several spots, or lacks a mandatory field.
    ConfigurationError
        If h5py isn't installed.
    """

    def __init__(self, path: Path) -> None:
        h5py = optional("h5py", "hdf5", "a Photon-HDF5 file")
        try:
            with h5py.File(path, "r") as file:
                facts = _facts(file)
        except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise FormatError(f"a damaged HDF5 file, or not Photon-HDF5: {_line(error)}") from error
        unit_ps, self._bin_ps, period_ps, count, duration_s = facts
        self._unit_ps = unit_ps
        self._counts_pulses = bool(self._bin_ps and period_ps and abs(unit_ps - period_ps) < _SAME * period_ps)
        super().__init__(
            path,
            "photon-hdf5",
            most_tags=count,
            header={"timestamps_unit": unit_ps * 1e-12, "acquisition_duration": duration_s},
            period_ps=period_ps,
            has_since=self._bin_ps > 0,
            resolution_ps=self._bin_ps if self._counts_pulses else unit_ps,
        )
        self._duration_s = duration_s

    def blocks(self) -> Iterator[Tags]:
        """Yield the tags in blocks."""
        h5py = optional("h5py", "hdf5", "a Photon-HDF5 file")
        try:
            with h5py.File(self.path, "r") as file:
                data = file["photon_data"]
                for start in range(0, self.most_tags, BLOCK_TAGS):
                    yield self._block(data, slice(start, min(start + BLOCK_TAGS, self.most_tags)))
        except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError) as error:
            raise FormatError(f"damaged Photon-HDF5 data: {_line(error)}") from error

    def _block(self, data: Any, part: slice) -> Tags:
        stamps = np.asarray(data["timestamps"][part])
        if not np.issubdtype(stamps.dtype, np.integer):
            raise FormatError("time stamps are no whole numbers")
        if stamps.size and (int(stamps.min()) < 0 or float(stamps.max()) * self._unit_ps > LATEST_PS):
            raise FormatError("time stamps before the start, or beyond 2^62 ps: damaged file")
        times = np.rint(stamps * self._unit_ps).astype(np.int64)
        if abs(self._unit_ps - round(self._unit_ps)) < 1e-9 * self._unit_ps:
            times = stamps.astype(np.int64) * round(self._unit_ps)
        channels = np.zeros(stamps.size, np.int64)
        if "detectors" in data:
            channels = np.asarray(data["detectors"][part]).astype(np.int64)
        if channels.size != stamps.size or (
            channels.size and not 0 <= channels.min() <= channels.max() <= _MOST_CHANNEL
        ):
            raise FormatError("detectors are fewer than time stamps, or of impossible numbers")
        since = np.empty(0, np.int64)
        if self.has_since:
            since = np.rint(np.asarray(data["nanotimes"][part]) * self._bin_ps).astype(np.int64)
            if since.size != stamps.size:
                raise FormatError("nanotimes are fewer than time stamps")
            times = times + since if self._counts_pulses else times
        return Tags(times, channels.astype(np.int16), since)

    def duration_s(self, last_ps: int) -> float | None:
        """Return the acquisition duration of the file in s, or the span of its tags."""
        span_s = last_ps * 1e-12
        if self._duration_s is None:
            return span_s
        if span_s > 1.03 * self._duration_s:
            self.warnings.append(
                f"time stamps span {span_s:.3f} s, but the acquisition took {self._duration_s:.3f} s: no rate follows"
            )
            return None
        return self._duration_s


def _facts(file: Any) -> tuple[float, float, float | None, int, float | None]:
    """Return the unit of the time stamps, the bin of the nanotimes, the laser's period, the tags, the duration."""
    name = file.attrs.get("format_name", b"")
    if (name.decode() if isinstance(name, bytes) else str(name)) != "Photon-HDF5":
        raise FormatError("an HDF5 file that doesn't call itself Photon-HDF5")
    if "photon_data" not in file:
        spots = sum(key.startswith("photon_data") for key in file)
        raise FormatError(f"{spots} measurement spots: only files of one are read")
    data = file["photon_data"]
    unit_ps = _number(data["timestamps_specs"]["timestamps_unit"]) * 1e12
    bin_ps = 0.0
    if "nanotimes" in data:
        bin_ps = _number(data["nanotimes_specs"]["tcspc_unit"]) * 1e12
    rate_hz = None
    if "measurement_specs" in data and "laser_repetition_rate" in data["measurement_specs"]:
        rate_hz = _number(data["measurement_specs"]["laser_repetition_rate"])
    elif "setup" in file and "laser_repetition_rates" in file["setup"]:
        rates = np.atleast_1d(file["setup"]["laser_repetition_rates"][()]).astype(float)
        rate_hz = float(rates[0]) if rates.size and rates[0] > 0 else None
    duration_s = _number(file["acquisition_duration"]) if "acquisition_duration" in file else None
    return unit_ps, bin_ps, 1e12 / rate_hz if rate_hz else None, int(data["timestamps"].shape[0]), duration_s


def _number(dataset: Any) -> float:
    value = float(dataset[()])
    if not (math.isfinite(value) and value > 0):
        raise FormatError(f"{dataset.name} is {value}")
    return value


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
