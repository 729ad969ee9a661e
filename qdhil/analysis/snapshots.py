"""Consecutive histograms of one acquisition: those with bursts are left out of what is analysed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qdhil.errors import FormatError
from qdhil.tags.histogram_checks import burst_snapshots
from qdhil.tags.recording import DelayHistogram

_MOST_BURSTS = 0.5


def without_bursts(histogram: DelayHistogram) -> tuple[DelayHistogram, list[str]]:
    """Return the sum of the snapshots without bursts, and what to say of those left out.

    Whether a snapshot holds bursts is decided by how many counts it and its fullest bin hold, wherever that is.

    Raises
    ------
    FormatError
        If more than half of the snapshots hold bursts.
    """
    snapshots = histogram.snapshots
    if snapshots is None:
        return histogram, []
    burst = burst_snapshots(snapshots)
    number = int(np.count_nonzero(burst))
    if not number:
        return histogram, []
    if number > _MOST_BURSTS * burst.size:
        raise FormatError(f"{number} of {burst.size} snapshots hold bursts: nothing is known of the source")
    share = float(snapshots[burst].sum() / snapshots.sum())
    kept = snapshots[~burst]
    note = f"bursts: {number} of {burst.size} snapshots are left out, with {share:.1%} of the counts"
    return replace(histogram, counts=kept.sum(axis=0), snapshots=kept), [note]
