"""Curves of any length reduced to what a page can show, without losing a peak or a dip."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def drawable(x: npt.ArrayLike, y: npt.ArrayLike, *, columns: int, log_x: bool = False) -> tuple[Floats, Floats]:
    """Return the lowest and the highest point of each column of the page, in the order in which they come.

    Parameters
    ----------
    x
        Rising abscissae, shape (points,).
    y
        Ordinates, shape (points,).
    columns
        How many columns the page has; up to four points a column are drawn as they are.
    log_x
        Whether the columns are evenly spaced in the logarithm of ``x``.

    Returns
    -------
    x, y
        Both of shape (points,) or of at most 2·``columns`` points; the first and last point are among them.
    """
    abscissa, ordinate = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if abscissa.size <= 4 * columns:
        return abscissa, ordinate
    starts = _starts(abscissa, columns, log_x)
    column = np.repeat(np.arange(starts.size), np.diff(np.append(starts, abscissa.size)))
    # sorted by column and then by height, the extremes of each column are its first and last
    order = np.lexsort((ordinate, column))
    last = np.append(starts[1:], abscissa.size) - 1
    kept = np.unique(np.concatenate((order[starts], order[last])))
    return abscissa[kept], ordinate[kept]


def means(x: npt.ArrayLike, y: npt.ArrayLike, *, columns: int, log_x: bool = False) -> tuple[Floats, Floats]:
    """Return the mean point of each column of the page; arguments as those of :func:`drawable`."""
    abscissa, ordinate = np.asarray(x, np.float64), np.asarray(y, np.float64)
    starts = _starts(abscissa, columns, log_x)
    sizes = np.diff(np.append(starts, abscissa.size))
    return np.add.reduceat(abscissa, starts) / sizes, np.add.reduceat(ordinate, starts) / sizes


def _starts(x: Floats, columns: int, log_x: bool) -> npt.NDArray[np.intp]:
    """Return where each column begins; the first and the last point have one of their own."""
    place = np.log(x) if log_x else x
    edges = np.searchsorted(place, np.linspace(place[0], place[-1], columns - 1)[1:-1])
    starts: npt.NDArray[np.intp] = np.unique(np.concatenate(([0, 1], edges, [x.size - 1])))
    return starts
