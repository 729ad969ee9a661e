"""The picture of a run: evidence against time where the verdict holds its looks, else the blocks."""

from __future__ import annotations

import io
import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

from qdhil.errors import ConfigurationError
from qdhil.gate.blocks import Block
from qdhil.gate.definitions import DEFINITIONS
from qdhil.record.run_folder import BLOCKS_NAME, VERDICT_NAME, read_blocks, write_bytes

_COLOURS = {"baseline": "#1f5fa8", "candidate": "#c4432b", "no_harm": "#2b7a4b", "harm": "#c4432b"}
_LEGEND = {"no_harm": "harm of the margin ruled out", "harm": "harm proven"}
_FLOOR = -6.0
"""Evidence below this is drawn here."""


def write_plot(folder: Path, file: Path) -> None:
    """Draw a run's evidence into a PNG file.

    Raises
    ------
    ConfigurationError
        If matplotlib isn't installed, or the run holds nothing to draw.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError(
            "the plot takes matplotlib, which isn't installed: pip install 'qdhil[report]'"
        ) from error
    verdict = json.loads((folder / VERDICT_NAME).read_text())
    blocks = {rig: _counted(folder / rig) for rig in verdict["rigs"] if (folder / rig / BLOCKS_NAME).is_file()}
    panels = _evidence_panels(verdict, blocks) or _block_panels(blocks)
    if not panels:
        raise ConfigurationError(f"{folder}: nothing was measured, so there is nothing to draw")
    figure = Figure(figsize=(8.0, 1.0 + 1.7 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        _draw(axes, panel)
    grid[-1, 0].set_xlabel("time since the first block (s)")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    write_bytes(file, stream.getvalue())


def _evidence_panels(verdict: dict[str, Any], blocks: dict[str, list[Block]]) -> list[dict[str, Any]]:
    """Return, for each metric with looks, log10 e against the time at which the quad of the look was whole."""
    panels = []
    for entry in verdict["comparisons"]:
        looks = (entry.get("evidence") or {}).get("looks") or []
        if not looks:
            continue
        times = _quad_ends(blocks.get(entry["rig"], []), DEFINITIONS[entry["definition"]].configurations)
        x = [times[min(look["quads"], len(times)) - 1] if times else float(look["quads"]) for look in looks]
        panels.append(
            {
                "title": f"{DEFINITIONS[entry['definition']].title} on {entry['rig']}: {entry['verdict']}",
                "ylabel": "log10 e",
                "series": {
                    _LEGEND[key]: (x, [max(look[key], _FLOOR) for look in looks], _COLOURS[key]) for key in _LEGEND
                },
                "marks": {
                    "PASS": (-math.log10(entry["miss_rate"]), "left", _COLOURS["no_harm"]),
                    "BLOCK by this one alone": (-math.log10(entry["block_level"]), "right", _COLOURS["harm"]),
                },
                "line": "-",
            }
        )
    return panels


def _block_panels(blocks: dict[str, list[Block]]) -> list[dict[str, Any]]:
    """Return, for each rig and light path, the central peak against the mean of the others, by arm."""
    panels = []
    for rig, measured in blocks.items():
        start = min((_time(block) for block in measured), default=0.0)
        for configuration in dict.fromkeys(block.configuration for block in measured if block.quad is not None):
            series = {}
            for arm in ("baseline", "candidate"):
                chosen = [
                    b for b in measured if b.configuration == configuration and b.arm == arm and b.quad is not None
                ]
                series[arm] = ([_time(b) - start for b in chosen], [_central(b) for b in chosen], _COLOURS[arm])
            title = f"{configuration.replace('_', ' ')} on {rig}"
            panels.append({"title": title, "ylabel": "centre / others", "series": series, "marks": {}, "line": "none"})
    return panels


def _draw(axes: Any, panel: dict[str, Any]) -> None:
    for label, (x, y, colour) in panel["series"].items():
        axes.plot(x, y, linestyle=panel["line"], marker="o", markersize=3, color=colour, label=label)
    for label, (level, side, colour) in panel["marks"].items():
        axes.axhline(level, linewidth=0.8, linestyle="--", color=colour)
        place = {"left": 0.005, "right": 0.995}[side], level
        axes.annotate(label, place, xycoords=("axes fraction", "data"), fontsize=7, va="bottom", ha=side, color=colour)
    axes.set_title(panel["title"], loc="left", fontsize=9)
    axes.set_ylabel(panel["ylabel"], fontsize=8)
    axes.legend(frameon=False, fontsize=7, loc="best")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _counted(folder: Path) -> list[Block]:
    return [block for block in read_blocks(folder) if block.excluded is None]


def _quad_ends(blocks: list[Block], configurations: tuple[str, ...]) -> list[float]:
    """Return when each quad's last block of these light paths began, in s since the first block of all."""
    start = min((_time(block) for block in blocks), default=0.0)
    ends: dict[int, float] = {}
    for block in blocks:
        if block.quad is not None and block.configuration in configurations:
            ends[block.quad] = max(ends.get(block.quad, 0.0), _time(block) - start)
    return sorted(ends.values())


def _time(block: Block) -> float:
    return datetime.fromisoformat(block.started).timestamp()


def _central(block: Block) -> float:
    peaks = block.counts.peaks
    middle = len(peaks) // 2
    others = sum(peaks) - peaks[middle]
    return peaks[middle] * (len(peaks) - 1) / others if others else math.nan
