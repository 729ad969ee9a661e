"""One plot of an analysis: data, the model that was fitted, and the ranges of it that were counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]


@dataclass(frozen=True)
class Panel:
    """What a figure shows of one curve, in the units that its labels name.

    Attributes
    ----------
    title, x_label, y_label
        Words of the plot; the labels carry the units, and `x`, `model`, `spans` and `zoom` are in that of `x_label`.
    x, y
        The data; of ``steps`` and ``points``, `x` is the centre of each bin.
    style
        ``steps`` for counts in bins, ``points`` for measured values, ``line`` for a curve.
    errors
        One standard deviation of each `y`, or ``None`` where it isn't known.
    model
        Abscissa and ordinate of the fitted curve, or ``None``.
    spans
        Ranges to shade, as (from, to, name), such as ``central``, ``side peaks``, ``tail`` or ``excluded``.
    log_x, log_y
        Whether an axis is logarithmic.
    zoom
        The part of `x` that is worth an inset or a second view, or ``None``.
    note
        One line under the plot: the value and what it was normalised to.
    """

    title: str
    x_label: str
    y_label: str
    x: Numbers
    y: Numbers
    style: Literal["steps", "points", "line"] = "steps"
    errors: Numbers | None = None
    model: tuple[Numbers, Numbers] | None = None
    spans: tuple[tuple[float, float, str], ...] = ()
    log_x: bool = False
    log_y: bool = False
    zoom: tuple[float, float] | None = None
    note: str = ""
