"""Windows around the peaks of recorded delay histograms: where they lie, and what is counted in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.hbt import analyse_histogram
from qdhil.statistics.dispersion import SameArmPair

_GROUPS = 10
"""Blocks that a series of snapshots is cut into, to see how they scatter."""
_SAME_PHASE = 0.1
"""Peaks of both sets must lie within this part of a period."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """One file: delay histograms of consecutive times on one axis, shape (blocks, bins)."""

    name: str
    first_ps: float
    bin_ps: float
    blocks: Counts

    @property
    def delays_ps(self) -> npt.NDArray[np.float64]:
        """Delay of each bin, in ps."""
        return self.first_ps + self.bin_ps * np.arange(self.blocks.shape[1], dtype=np.float64)


@dataclass(frozen=True)
class Comb:
    """Where the peaks are: period, delay of the antibunched one, and the window's full width, all in ps."""

    period_ps: float
    delay_ps: float
    window_ps: int


@dataclass(frozen=True)
class ArmWindows:
    """Counts of one set of files.

    ``central`` and ``side`` over all files, ``bins`` those of centre and side peaks, ``pairs`` neighbouring blocks.
    """

    central: int
    side: int
    bins: tuple[int, int]
    pairs: tuple[SameArmPair, ...]

    @property
    def ratio(self) -> float:
        """Window ratio: mean central bin over mean side bin."""
        return self.central / self.bins[0] / (self.side / self.bins[1])


def pooled(files: Sequence[Series]) -> Series:
    """Return all files as one; ValueError if their delay axes differ."""
    first = files[0]
    for file in files[1:]:
        if (file.first_ps, file.bin_ps, file.blocks.shape[1]) != (
            first.first_ps,
            first.bin_ps,
            first.blocks.shape[1],
        ):
            raise ValueError(f"{first.name} and {file.name} have different delay axes")
    return Series(first.name, first.first_ps, first.bin_ps, np.concatenate([file.blocks for file in files]))


def locate(baseline: Sequence[Series], window_ps: int) -> Comb:
    """Return where the peaks lie; ValueError if there is no antibunched comb."""
    whole = pooled(baseline)
    found = analyse_histogram(
        whole.blocks.sum(axis=0), first_ps=whole.first_ps, bin_ps=whole.bin_ps, window_ps=window_ps
    )
    return Comb(found.comb.period_ps, float(found.peak.delay_ps), window_ps)


def check_phase(baseline: Sequence[Series], candidate: Sequence[Series], comb: Comb) -> None:
    """Refuse (ValueError) sets whose peaks don't lie alike."""

    def phase(files: Sequence[Series]) -> complex:
        whole = pooled(files)
        turns = np.exp(2j * np.pi * whole.delays_ps / comb.period_ps)
        return complex((whole.blocks.sum(axis=0) * turns).sum())

    turned = abs(np.angle(phase(candidate) * phase(baseline).conjugate())) / (2 * np.pi)
    if not turned <= _SAME_PHASE:
        raise ValueError(f"the peaks of the candidate lie {turned:.2f} periods from those of the baseline")


def count_windows(files: Sequence[Series], comb: Comb) -> ArmWindows:
    """Return what one set counts in its windows; ValueError if they are empty."""
    central = side = 0
    bins = np.zeros(2, dtype=np.int64)
    pairs: list[SameArmPair] = []
    for file in files:
        at_centre, at_side = _masks(file, comb)
        bins += np.array([at_centre.sum(), at_side.sum()])
        groups = np.array_split(file.blocks, min(_GROUPS, len(file.blocks)))
        by_group = [(int(g[:, at_centre].sum()), int(g[:, at_side].sum())) for g in groups]
        central += sum(c for c, _ in by_group)
        side += sum(s for _, s in by_group)
        for (c1, s1), (c2, s2) in zip(by_group[::2], by_group[1::2], strict=False):
            if s1 and s2:
                pairs.append(SameArmPair((c1, c2), (s1, s2), 1 / s1 + 1 / s2))
    if side == 0:
        raise ValueError(f"no coincidence around the side peaks of {files[0].name}: there is nothing to normalise with")
    return ArmWindows(central, side, (int(bins[0]), int(bins[1])), tuple(pairs))


def _masks(file: Series, comb: Comb) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which bins belong to the central window and which to whole windows of side peaks."""
    delays = file.delays_ps
    lags = np.rint((delays - comb.delay_ps) / comb.period_ps)
    centres = comb.delay_ps + lags * comb.period_ps
    half = comb.window_ps / 2
    inside = (np.abs(delays - centres) <= half) & (centres - half >= delays[0]) & (centres + half <= delays[-1])
    at_centre, at_side = inside & (lags == 0), inside & (lags != 0)
    if not at_centre.any() or not at_side.any():
        raise ValueError(f"{file.name} does not hold the antibunched peak and its neighbours")
    return at_centre, at_side
