"""The picture of stored numbers over time, one row a rig."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qdhil.errors import ConfigurationError
from qdhil.record.ledger_trend import NOTICE

if TYPE_CHECKING:
    from qdhil.record.ledger_trend import Series

_BLUE, _RED, _GREY = "#1f5fa8", "#c4432b", "#999999"


def trend_picture(metric: str, series: Sequence[Series]) -> bytes:
    """Return a PNG of every series: values with intervals, moving average, its limits, and the marked points.

    Raises
    ------
    ConfigurationError
        Without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError("a plot needs matplotlib: pip install 'qdhil[report]'") from error
    import io

    rigs = list(dict.fromkeys(one.rig for one in series))
    figure = Figure(figsize=(8.0, 0.6 + 2.4 * len(rigs)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, rig in zip(figure.subplots(len(rigs), 1, sharex=True, squeeze=False)[:, 0], rigs, strict=True):
        for one in series:
            if one.rig == rig:
                _draw(axes, one)
        axes.set_ylabel(rig)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.suptitle(f"{metric} over time ({NOTICE})", fontsize=10)
    figure.autofmt_xdate()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    return stream.getvalue()


def _draw(axes: Any, one: Series) -> None:
    times = [point.when for point in one.points]
    values = [point.value for point in one.points]
    reach = [
        [max(0.0, point.value - point.low) for point in one.points],
        [max(0.0, point.high - point.value) for point in one.points],
    ]
    axes.errorbar(times, values, yerr=reach, fmt=".", color=_BLUE, elinewidth=0.6, label=one.firmware)
    axes.annotate(one.firmware, (times[0], values[0]), fontsize=7, xytext=(2, 6), textcoords="offset points")
    marked = [point for point in one.points if point.mark]
    axes.plot([it.when for it in marked], [it.value for it in marked], "o", color=_RED, fillstyle="none")
    if one.chart is not None:
        axes.plot(times, one.chart.ewma, color=_BLUE, linewidth=0.8)
        for sign in (-1, 1):
            axes.plot(times, one.chart.level + sign * one.chart.ewma_reach, color=_GREY, linewidth=0.6, linestyle="--")
