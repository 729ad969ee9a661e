"""Figures of a recording's analysis, drawn as a journal prints them: one or two columns wide, a panel a row.

Colours are those of Okabe and Ito, which stay apart for colour-blind readers and in grey.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdhil.errors import ConfigurationError
from qdhil.report.drawable import Floats, drawable, means

if TYPE_CHECKING:
    from qdhil.analysis.panel import Panel

FORMATS = ("png", "pdf", "svg")
_MM = 1 / 25.4
_SINGLE_MM, _DOUBLE_MM = 86.0, 178.0
_ROW_MM = 56.0
_DPI = 300
_MANY_BINS = 2000
"""More are not seen apart within a single column."""
_LABEL_LETTERS = 26
_LETTERS_PER_MM = 0.8
_DENSE = 3.0
"""Bins a millimetre beyond which their outlines would run together, and are drawn thinner and lighter."""
_DATA, _LIGHT, _FILL, _MODEL = "#0072B2", "#56B4E9", "#CFE3F0", "#D55E00"
_SPANS = ("#E69F00", "#009E73", "#CC79A7", "#F0E442")
"""The first is that of the central peak."""
_UNUSED = "#999999"
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.0,
    "axes.labelsize": 7.5,
    "axes.titlesize": 8.0,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "mathtext.default": "regular",
    "pdf.fonttype": 42,
    "svg.hashsalt": "qdhil",
    "path.simplify": False,
    "axes.unicode_minus": True,
}


def write_figure(panels: Sequence[Panel], path: Path | str, title: str = "") -> Path:
    """Write one figure of all panels and return its path; the same panels give the same bytes.

    Parameters
    ----------
    panels
        One row each. A panel with a ``zoom`` has the magnified part beside it.
    path
        Where to; the ending says the format: png (300 dots an inch), pdf or svg.
    title
        What was recorded; in small print on top, none if empty.

    Raises
    ------
    ConfigurationError
        If there is no panel, a panel's arrays differ in length, the format is another, or matplotlib is not installed.
    """
    target = Path(path)
    kind = target.suffix.lstrip(".").lower()
    if kind not in FORMATS:
        raise ConfigurationError(f"a figure is written as {', '.join(FORMATS)}, not as {target.name!r}")
    if not panels:
        raise ConfigurationError("there is nothing to draw: no panel")
    for panel in panels:
        _check(panel)
    try:
        from matplotlib import rc_context
    except ImportError as error:
        raise ConfigurationError("a figure needs matplotlib: pip install 'qdhil[report]'") from error
    with rc_context(_STYLE):
        figure = _draw(panels, title)
        # a date or a version would make equal figures differ
        unsaid = {
            "png": ["Software"],
            "pdf": ["CreationDate", "Creator", "Producer"],
            "svg": ["Date", "Creator"],
        }
        figure.savefig(target, format=kind, dpi=_DPI, metadata=dict.fromkeys(unsaid[kind]))
    return target


def _check(panel: Panel) -> None:
    lengths = {np.size(panel.x), np.size(panel.y)} | ({np.size(panel.errors)} if panel.errors is not None else set())
    if len(lengths) != 1 or 0 in lengths:
        raise ConfigurationError(f"the panel {panel.title!r} needs data, and as many ordinates and errors as abscissae")


def _draw(panels: Sequence[Panel], title: str) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    wide = any(panel.zoom is not None or np.size(panel.x) > _MANY_BINS for panel in panels)
    width_mm = _DOUBLE_MM if wide else _SINGLE_MM
    height_mm = _ROW_MM * len(panels) + (5 if title else 0)
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.04, hspace=0.04, wspace=0.02)
    figure = Figure(figsize=(width_mm * _MM, height_mm * _MM), layout=layout)
    if title:
        figure.suptitle(title, fontsize=8.5, fontweight="bold", x=0.01, ha="left")
    rows = figure.subfigures(len(panels), 1, squeeze=False)[:, 0]
    for number, (row, panel) in enumerate(zip(rows, panels, strict=True)):
        letter = f"({chr(ord('a') + number)})" if len(panels) > 1 else ""
        _draw_row(row, panel, letter, width_mm)
    return figure


def _draw_row(row: Any, panel: Panel, letter: str, width_mm: float) -> None:
    """Draw a panel and, where it has one, its zoom beside it."""
    whole = (float(np.min(panel.x)), float(np.max(panel.x)))
    share = 1.0 if panel.zoom is None else 0.62
    if panel.zoom is None:
        (axes,) = row.subplots(1, 1, squeeze=False)[0]
    else:
        axes, magnified = row.subplots(1, 2, width_ratios=(share, 1 - share))
        _draw_view(magnified, panel, panel.zoom, width_mm * (1 - share))
        _mark_zoom(axes, magnified, panel.zoom)
    _draw_view(axes, panel, whole, width_mm * share)
    # in lines of about equal length, where one would be longer than the axis
    rows = math.ceil(len(panel.y_label) / _LABEL_LETTERS)
    axes.set_ylabel("\n".join(textwrap.wrap(panel.y_label, math.ceil(len(panel.y_label) / rows) + 4)) if rows else "")
    heading = f"{letter} {panel.title}".strip()
    handles = _legend_of(panel)
    axes.set_title(heading, loc="left", pad=15 if handles else 4)
    if handles:
        axes.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0, 1.02), ncols=len(handles), frameon=False,
            borderpad=0, borderaxespad=0, handlelength=1.4, handletextpad=0.5, columnspacing=1.2,
        )  # fmt: skip
    if panel.note:
        lines = textwrap.wrap(panel.note, int(width_mm * _LETTERS_PER_MM))
        row.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=6.3, color="#333333")


def _draw_view(axes: Any, panel: Panel, view: tuple[float, float], width_mm: float) -> None:
    """Draw what of a panel lies within ``view``, with its axes."""
    columns = round(width_mm * _MM * _DPI * 0.8)
    x, y, errors = _within(panel.x, panel.y, view, panel.errors)
    fitted = None if panel.model is None else _within(*panel.model, view, None)[:2]
    _limit(axes, panel, view, (y, y if fitted is None else fitted[1]))
    axes.set_xlabel(panel.x_label)
    _shade(axes, panel, view)
    if x.size == 0:
        return
    dense = x.size > _DENSE * width_mm
    shown = drawable(x, y, columns=columns, log_x=panel.log_x)
    whole = shown[0].size == x.size
    if panel.style == "steps":
        light = dense and fitted is not None
        axes.fill_between(*shown, step="mid", color=_FILL, lw=0, zorder=2)
        axes.plot(
            *shown,
            drawstyle="steps-mid",
            color=_LIGHT if light else _DATA,
            lw=0.4 if light else 0.6,
            zorder=3,
        )
    elif panel.style == "line" or not whole:
        axes.plot(*shown, color=_DATA if whole else _LIGHT, lw=0.9 if whole else 0.4, zorder=3)
    if whole and (panel.style == "points" or errors is not None):
        marks = {"fmt": "o", "ms": 2.4, "mew": 0} if panel.style == "points" else {"fmt": "none"}
        axes.errorbar(x, y, errors, color=_DATA, ecolor=_DATA, elinewidth=0.6, zorder=3, **marks)
    if not whole and panel.style != "steps":
        axes.plot(*means(x, y, columns=columns // 4, log_x=panel.log_x), color=_DATA, lw=0.9, zorder=3)
    if fitted is not None and fitted[0].size:
        curve = drawable(*fitted, columns=columns, log_x=panel.log_x)
        axes.plot(*curve, color=_MODEL, lw=0.7 if dense else 1.0, zorder=4)


def _within(x: Any, y: Any, view: tuple[float, float], errors: Any) -> tuple[Floats, Floats, Floats | None]:
    abscissa, ordinate = np.asarray(x, np.float64), np.asarray(y, np.float64)
    inside = (abscissa >= view[0]) & (abscissa <= view[1]) & np.isfinite(ordinate)
    kept = None if errors is None else np.asarray(errors, np.float64)[inside]
    return abscissa[inside], ordinate[inside], kept


def _limit(axes: Any, panel: Panel, view: tuple[float, float], drawn: tuple[Floats, Floats]) -> None:
    """Set ranges, scales and ticks: counts from zero, anything else close around what is drawn."""
    from matplotlib.ticker import AutoMinorLocator, FuncFormatter, MaxNLocator, NullFormatter

    heights = np.concatenate(drawn)
    positive = drawn[0][drawn[0] > 0]
    low, top = (float(heights.min()), float(heights.max())) if heights.size else (0.0, 1.0)
    spread = (view[1] - view[0]) or 1.0
    margin = 0.0 if panel.log_x or (panel.style != "points" and view[1] > view[0]) else 0.03 * spread
    axes.set_xlim(view[0] - margin, view[1] + margin)
    if panel.log_y and positive.size:
        axes.set_ylim(float(positive.min()) / 1.6, top * 2)
        axes.set_yscale("log", nonpositive="clip")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        from_zero = low >= 0 and (panel.style == "steps" or low < 0.6 * top)
        room = 0.08 * ((top if from_zero else top - low) or abs(top) or 1.0)
        axes.set_ylim(0.0 if from_zero else low - room, top + room)
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_locator(AutoMinorLocator())
    if panel.log_x:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(_plain))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5 if view == panel.zoom else 9, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_minor_locator(AutoMinorLocator())
    axes.set_autoscale_on(False)


def _plain(value: float, _place: int = 0) -> str:
    """Return a tick's number with thin spaces between thousands, and with a power of ten beyond a million."""
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    if power >= 6 or power < -4:
        factor = f"{value / 10**power:.4g}".replace("-", "\N{MINUS SIGN}")
        return rf"${factor}\times10^{{{power}}}$"
    whole = f"{value:,.10g}" if abs(value) >= 1e4 else f"{value:.6g}"
    return whole.replace(",", "\N{THIN SPACE}").replace("-", "\N{MINUS SIGN}")


def _span_colours(panel: Panel) -> dict[str, str]:
    names = list(dict.fromkeys(name for _, _, name in panel.spans))
    lively = sorted((name for name in names if "exclu" not in name), key=lambda name: "centr" not in name)
    colours = {name: _SPANS[place % len(_SPANS)] for place, name in enumerate(lively)}
    return {name: colours.get(name, _UNUSED) for name in names}


def _shade(axes: Any, panel: Panel, view: tuple[float, float]) -> None:
    """Shade the ranges that lie in view and are wide enough to be seen."""
    for name, colour in _span_colours(panel).items():
        ranges = [(max(a, view[0]), min(b, view[1])) for a, b, of in panel.spans if of == name]
        bars = [(a, b - a) for a, b in ranges if b > a]
        if bars:
            axes.broken_barh(
                bars,
                (0, 1),
                transform=axes.get_xaxis_transform(),
                facecolor=colour,
                alpha=0.3,
                lw=0,
                zorder=1,
            )


def _legend_of(panel: Panel) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(facecolor=colour, alpha=0.3, lw=0, label=name) for name, colour in _span_colours(panel).items()
    ]
    if panel.model is not None:
        handles.insert(0, Line2D([], [], color=_MODEL, lw=1.0, label="fit"))
    return handles


def _mark_zoom(axes: Any, magnified: Any, zoom: tuple[float, float]) -> None:
    """Mark on the whole which part of it is magnified."""
    axes.plot(
        zoom, (0.985, 0.985), transform=axes.get_xaxis_transform(), color="black", lw=1.6, solid_capstyle="butt",
        zorder=5,
    )  # fmt: skip
    magnified.set_title("magnified (black bar)", loc="left", pad=4, fontsize=6.5)
