"""Where a delay counts: even bins, or the windows around the peaks of a pulsed source; exact to the ps.

A bin is found by one multiplication instead of a division. That it is the right one for every delay is
proven for even bins and checked at both bounds of every window for peaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]

LONGEST_PS = 1 << 31
"""Spans below it are counted in 32-bit differences, and divided by multiplication."""
_NEVER_PS = 1 << 62
_NO_CELLS = np.empty((0, 3), np.int64)


def reciprocal(span: int, divisor: int) -> tuple[int, int]:
    """Return (factor, shift) so that (v·factor) >> shift is v // divisor for every 0 <= v < span, in 64 bits.

    Granlund and Montgomery, "Division by invariant integers using multiplication", PLDI 1994: with
    factor = ceil(2^shift / divisor) the error v·(factor·divisor - 2^shift) stays below 2^shift, because
    span·divisor <= 2^shift.

    Raises
    ------
    ValueError
        If ``divisor`` isn't positive or ``span`` isn't in (0, 2^31).
    """
    if divisor <= 0 or not 0 < span < LONGEST_PS:
        raise ValueError(f"no exact 64-bit reciprocal of {divisor} for values below {span}")
    shift = (span * divisor - 1).bit_length()
    return -(-(1 << shift) // divisor), shift


@dataclass(frozen=True)
class EvenBins:
    """Bins of ``width_ps`` that begin at ``first_ps`` and cover ``span_ps``, a whole number of them."""

    first_ps: int
    span_ps: int
    width_ps: int

    @property
    def size(self) -> int:
        """Number of bins."""
        return self.span_ps // self.width_ps

    @property
    def slots(self) -> int:
        """Number of counters that the kernels need."""
        return self.size

    def kept(self, counts: Times) -> Times:
        """Return the counts of the bins from those of the counters."""
        return counts

    def mirrored(self) -> EvenBins:
        """Return the bins of t1 - t2, in reverse order: half-open at the other end, so shifted by 1 ps."""
        return EvenBins(1 - self.first_ps - self.span_ps, self.span_ps, self.width_ps)

    def rule(self) -> tuple[Any, ...]:
        """Return the fields of the kernels' Bins."""
        factor, shift = reciprocal(self.span_ps, self.width_ps) if self.span_ps < LONGEST_PS else (0, 0)
        zero = np.uint64(0)
        fields = np.uint64(factor), np.uint64(shift), zero, zero
        return self.first_ps, self.span_ps, self.width_ps, *fields, _NO_CELLS


@dataclass(frozen=True)
class Windows:
    """Windows [lower, upper) that don't overlap, about ``period_ps`` apart.

    Parameters
    ----------
    lower, upper
        First delay of each window and the first one after it, in ps, rising; shapes (windows,).
    period_ps
        Distance of the windows in ps, to find them quickly; ``lower`` and ``upper`` alone say what counts.
    """

    lower: Times
    upper: Times
    period_ps: float

    @property
    def first_ps(self) -> int:
        """The lowest delay that counts."""
        return int(self.lower[0])

    @property
    def span_ps(self) -> int:
        """Delays below first + span may count."""
        return int(self.upper[-1]) - int(self.lower[0])

    @property
    def size(self) -> int:
        """Number of windows."""
        return int(self.lower.size)

    @property
    def slots(self) -> int:
        """Number of counters that the kernels need: for every window and the gap after it."""
        return 2 * self.size

    def kept(self, counts: Times) -> Times:
        """Return the counts of the windows from those of the counters."""
        return np.ascontiguousarray(counts[1::2])

    def mirrored(self) -> Windows:
        """Return the windows of t1 - t2, in reverse order: half-open at the other end, so shifted by 1 ps."""
        return Windows(1 - self.upper[::-1], 1 - self.lower[::-1], self.period_ps)

    def rule(self) -> tuple[Any, ...]:
        """Return the fields of the kernels' Bins: a comb where one is exact, else cells."""
        comb = self._comb() if self.span_ps < LONGEST_PS else None
        if comb is not None:
            return self.first_ps, self.span_ps, 0, *comb, _NO_CELLS
        shift, cells = self._cells()
        zero = np.uint64(0)
        return self.first_ps, self.span_ps, 0, zero, np.uint64(shift), zero, zero, cells

    def _comb(self) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64] | None:
        """Return (factor, shift, phase, opening), or None where a window's bound would be missed.

        In units of 2^-shift periods a delay v lies at v·factor + phase: its whole periods are the window,
        and its fraction tells whether it lies inside. Both rise with v, so right bounds are enough.
        """
        lower, upper = self.lower - self.first_ps, self.upper - self.first_ps
        grid = np.arange(self.size) * self.period_ps
        begins, ends = lower - grid, upper - grid
        start = (begins.max() + begins.min() - 1) / 2
        shift = 61 - (int(self.span_ps / self.period_ps) + 2).bit_length()
        if not (-1 <= start <= 0 and 2 <= self.period_ps < 2.0**shift):
            return None
        scale = 2.0**shift / self.period_ps
        opening = ((ends.max() + ends.min() - 1) / 2 - start) * scale
        factor, by, phase, wide = (np.uint64(round(part)) for part in (scale, shift, -start * scale, max(opening, 0.0)))

        def right(delays: Times, window: npt.NDArray[np.uint64], inside: bool) -> bool:
            at = delays.astype(np.uint64) * factor + phase
            fraction = at & ((np.uint64(1) << by) - np.uint64(1))
            return bool(np.all(at >> by == window) and np.all((fraction < wide) == inside))

        window = np.arange(self.size, dtype=np.uint64)
        gap = np.flatnonzero(upper[:-1] < lower[1:])
        exact = (
            wide > 0
            and right(lower, window, True)
            and right(upper - 1, window, True)
            and right(upper[gap], window[gap], False)
            and right(lower[gap + 1] - 1, window[gap], False)
        )
        return (factor, by, phase, wide) if exact else None

    def _cells(self) -> tuple[int, Times]:
        """Return the width of a cell as a power of two, and the bounds below and in each; at most two are in one."""
        bounds = np.stack([self.upper[:-1], self.lower[1:]], axis=1).ravel() - self.first_ps
        closest = int((bounds[2:] - bounds[:-2]).min()) if bounds.size > 2 else self.span_ps
        shift = closest.bit_length() - 1
        begins = np.arange((self.span_ps - 1 >> shift) + 1, dtype=np.int64) << shift
        below = np.searchsorted(bounds, begins)
        padded = np.append(bounds, [_NEVER_PS, _NEVER_PS])
        return shift, np.stack([below, padded[below], padded[below + 1]], axis=1)
