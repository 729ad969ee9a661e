"""What a recorded file holds, whatever wrote it: time tags by channel, delay histograms, or a spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

SYNC = -1
"""Channel number of the laser sync, where a format keeps it apart from its inputs."""

MARKER_BASE = 1000
"""External marker n is channel ``MARKER_BASE + n``; no detector has such a number."""


@dataclass(frozen=True)
class Recording:
    """Time tags of one acquisition.

    Parameters
    ----------
    format
        Name of the file format, such as ``"picoquant-ptu/hydraharp2-t3"``.
    channels
        Sorted int64 times in ps, by channel number as the tagger counts; sync is :data:`SYNC`.
    duration_s
        Time measured, in s; ``None`` where records and header contradict each other, so that no rate follows.
    period_ps
        Time between two laser pulses as the file tells it, or ``None``.
    resolution_ps
        The steps in which times are counted; correlations within a step mean nothing.
    since_sync_ps
        Time since the laser pulse of each tag, by channel, for formats that keep it (T3 modes), in the
        order of ``channels``.
    warnings
        What a reader should know before trusting the data, one line each.
    """

    format: str
    channels: Mapping[int, npt.NDArray[np.int64]]
    duration_s: float | None
    period_ps: float | None = None
    resolution_ps: float = 1.0
    since_sync_ps: Mapping[int, npt.NDArray[np.int64]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class DelayHistogram:
    """Counts of pairs by delay, in bins of equal width.

    Parameters
    ----------
    format
        Name of the file format.
    first_ps
        Delay of the first bin, in ps: its centre where the format tells, else what the file's axis says.
    bin_ps
        Width of a bin in ps.
    counts
        Pairs per bin, int64, shape (bins,).
    warnings
        What a reader should know before trusting the data, one line each.
    period_ps
        Time between two laser pulses where the file tells it: the delays are then those after a pulse.
    dwell_s
        Time measured in s, or ``None``.
    snapshots
        The histograms of consecutive times whose sum ``counts`` is, int64, shape (snapshots, bins), or ``None``.
    """

    format: str
    first_ps: float
    bin_ps: float
    counts: npt.NDArray[np.int64]
    warnings: tuple[str, ...] = ()
    period_ps: float | None = None
    dwell_s: float | None = None
    snapshots: npt.NDArray[np.int64] | None = None

    @property
    def delays_ps(self) -> npt.NDArray[np.float64]:
        """Delay of each bin in ps, shape (bins,)."""
        return self.first_ps + self.bin_ps * np.arange(self.counts.size, dtype=np.float64)


@dataclass(frozen=True)
class Histograms:
    """Several histograms of one file: the curves of a counting card.

    Parameters
    ----------
    format
        Name of the file format.
    curves
        The histograms with at least one count, by their number in the file.
    warnings
        What a reader should know before trusting the data, one line each.
    """

    format: str
    curves: Mapping[int, DelayHistogram]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spectrum:
    """Signal by wavelength, energy or frequency.

    Parameters
    ----------
    format
        Name of the file format.
    axis
        Rising, shape (points,), in ``unit``: nm, meV or GHz.
    signal
        What the detector gave, less its background where the file has that as well, shape (points,).
    unit
        Unit of the axis.
    warnings
        What a reader should know before trusting the data.
    """

    format: str
    axis: npt.NDArray[np.float64]
    signal: npt.NDArray[np.float64]
    unit: str
    warnings: tuple[str, ...] = ()
