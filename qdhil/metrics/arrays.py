"""What the kernels accept as time tags, checked once at the door."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LIMIT_PS = 1 << 62
"""Differences of two times within this limit can't overflow int64 by more than a kernel's comparisons bear."""


def integer_times(times: npt.ArrayLike, name: str) -> npt.NDArray[np.int64]:
    """Return ``times`` as a contiguous int64 array, without a copy where it is one; their order isn't checked.

    Parameters
    ----------
    times
        One-dimensional, any integer type, in ps.
    name
        How to call the array in an error.

    Raises
    ------
    ValueError
        If the array isn't one-dimensional, isn't of integers, or begins or ends beyond 2^62 ps.
    """
    array = np.asarray(times)
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a one-dimensional array of integer ps, not {array.ndim}-D {array.dtype}")
    if array.dtype == np.uint64 and int(array.max()) > _LIMIT_PS:
        raise ValueError(f"{name} reaches beyond 2^62 ps")
    whole: npt.NDArray[np.int64] = np.ascontiguousarray(array, dtype=np.int64)
    if min(int(whole[0]), int(whole[-1])) < -_LIMIT_PS or max(int(whole[0]), int(whole[-1])) > _LIMIT_PS:
        raise ValueError(f"{name} reaches beyond 2^62 ps")
    return whole


def sorted_times(times: npt.ArrayLike, name: str) -> npt.NDArray[np.int64]:
    """Return ``times`` as a contiguous, sorted int64 array, without a copy where it is one.

    Parameters
    ----------
    times
        One-dimensional, any integer type, in ps.
    name
        How to call the array in an error.

    Raises
    ------
    ValueError
        As :func:`integer_times`, and if the array isn't sorted.
    """
    from qdhil.metrics._pairs import rises

    whole = integer_times(times, name)
    if not rises(whole):
        raise ValueError(f"{name} is not sorted by time")
    return whole
