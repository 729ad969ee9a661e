"""The picture of the operating characteristics: verdicts, and what they cost, against the true change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdhil.gate.definitions import DEFINITIONS

_COLOURS = {"passed": "#1b7837", "blocked": "#b2182b", "inconclusive": "#878787"}
_NAMES = {"passed": "PASS", "blocked": "BLOCK", "inconclusive": "INCONCLUSIVE"}


def draw(record: Mapping[str, Any], file: Path) -> None:
    """Draw the scans of a record into an SVG file, without dates, so that equal data give equal files."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    metrics = list(record["margins"])
    figure = Figure(figsize=(4.4 * len(metrics), 5.6), layout="constrained")
    FigureCanvasSVG(figure)
    panels = figure.subplots(2, len(metrics), squeeze=False, sharex="col", height_ratios=(2, 1))
    for column, metric in enumerate(metrics):
        chance, cost = panels[:, column]
        cells = [cell for cell in record["scan"] if cell["metric"] == metric]
        ratios = [cell["ratio"] for cell in cells]
        for name, colour in _COLOURS.items():
            shares = [cell[name] / cell["campaigns"] for cell in cells]
            chance.plot(ratios, shares, "o-", color=colour, label=_NAMES[name], markersize=3)
        cost.plot(ratios, [cell["mean_share"] for cell in cells], "o-", color="#2166ac", label="mean", markersize=3)
        cost.plot(ratios, [cell["p90_share"] for cell in cells], ":", color="#2166ac", label="90 %")
        cost.axhline(1.0, color="black", linewidth=0.6)
        for panel in (chance, cost):
            panel.axvline(record["margins"][metric], color="black", linewidth=0.6, linestyle="--")
            panel.axvline(record["tolerated"][metric], color="black", linewidth=0.6, linestyle=":")
            panel.legend(fontsize=8)
        chance.set_title(DEFINITIONS[metric].title)
        chance.set_ylabel("share of campaigns")
        cost.set_ylabel("quads / fixed size")
        cost.set_xlabel("true ratio candidate/baseline (dashed: margin, dotted: tolerated)", fontsize=8)
        cost.set_ylim(bottom=0)
    with matplotlib.rc_context({"svg.hashsalt": "qdhil"}):
        figure.savefig(file, metadata={"Date": None})
