"""Histograms of delays or of times since the laser pulse: the sufficient statistic of everything that is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Histogram:
    """Counts in equal bins; histograms of blocks add with ``+``, exactly.

    Parameters
    ----------
    counts
        Counts per bin, whole and not negative, shape (bins,).
    first_ps
        Centre of the first bin, in ps.
    bin_ps
        Width of a bin, in ps.
    """

    counts: tuple[int, ...]
    first_ps: float
    bin_ps: float

    def __post_init__(self) -> None:
        if not self.counts or min(self.counts) < 0:
            raise ValueError("a histogram needs bins, and its counts must not be negative")
        if not (np.isfinite(self.first_ps) and 0 < self.bin_ps < np.inf):
            raise ValueError(f"bin_ps must be positive, not {self.bin_ps}, and first_ps finite, not {self.first_ps}")

    @classmethod
    def of(cls, counts: npt.ArrayLike, *, first_ps: float, bin_ps: float) -> Self:
        """Return the histogram of an array of counts; refuse (ValueError) any that aren't whole numbers."""
        array = np.asarray(counts)
        if array.ndim != 1 or not bool(np.all(np.isfinite(array) & (array == np.rint(array)))):
            raise ValueError("counts must be a one-dimensional array of whole numbers; rates can't be used")
        return cls(tuple(int(count) for count in array), float(first_ps), float(bin_ps))

    @property
    def array(self) -> npt.NDArray[np.int64]:
        """Counts per bin, shape (bins,)."""
        return np.array(self.counts, np.int64)

    @property
    def times_ps(self) -> npt.NDArray[np.float64]:
        """Centres of the bins in ps, shape (bins,)."""
        return self.first_ps + self.bin_ps * np.arange(len(self.counts), dtype=np.float64)

    def __add__(self, other: Histogram) -> Histogram:
        """Return the counts of both; refuse (ValueError) histograms on different axes."""
        mine, theirs = (
            (self.first_ps, self.bin_ps, len(self.counts)),
            (other.first_ps, other.bin_ps, len(other.counts)),
        )
        if mine != theirs:
            raise ValueError(f"histograms differ in their axes (first_ps, bin_ps, bins): {mine} and {theirs}")
        return Histogram(
            tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)), self.first_ps, self.bin_ps
        )

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON; :meth:`from_record` restores it."""
        return {"counts": list(self.counts), "first_ps": self.first_ps, "bin_ps": self.bin_ps}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Restore what :meth:`record` returned; refuse (ValueError) missing or unknown keys."""
        names = {field.name for field in fields(cls)}
        if set(record) != names:
            raise ValueError(f"a record of a Histogram has the keys {sorted(names)}, not {sorted(record)}")
        return cls(tuple(int(count) for count in record["counts"]), record["first_ps"], record["bin_ps"])
