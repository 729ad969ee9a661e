"""Coincidence histograms by arm and configuration, as data and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qdhil.metrics.coincidences import PeakCounts
from qdhil.metrics.correlate import cross_correlate
from qdhil.record.run_folder import write_bytes, write_json
from qdhil.tags.acquisition import Acquisition, Configuration

if TYPE_CHECKING:
    from qdhil.gate.blocks import Arm

BIN_PS = 100
WINDOW_PS = 60_000
"""The picture shows this much on both sides of the central peak."""
_STYLES: dict[str, dict[str, Any]] = {"baseline": {"fill": True, "alpha": 0.35}, "candidate": {"linewidth": 0.8}}
_COLOURS = {"baseline": "#1f5fa8", "candidate": "#c4432b"}


class Histograms:
    """Add up the coincidences of counted blocks; write data and pictures into the rig's folder.

    Blocks are held back until their quad is whole, so that what is shown is what was counted.
    """

    def __init__(self, folder: Path, title: str) -> None:
        self._folder = folder
        self._title = title
        self._pending: list[tuple[Configuration, Arm, npt.NDArray[np.int64]]] = []
        self._counts: dict[Configuration, dict[Arm, npt.NDArray[np.int64]]] = {}

    def stage(self, arm: Arm, configuration: Configuration, acquisition: Acquisition, counts: PeakCounts) -> None:
        """Histogram a block, t_b - t_a with the rig's delay taken out, and hold it back."""
        shifted = acquisition.t_b_ps - counts.delay_ps
        histogram = cross_correlate(acquisition.t_a_ps, shifted, window_ps=WINDOW_PS, bin_ps=BIN_PS)
        self._pending.append((configuration, arm, histogram))

    def keep(self) -> None:
        """Count the blocks held back."""
        for configuration, arm, histogram in self._pending:
            arms = self._counts.setdefault(configuration, {})
            arms[arm] = arms[arm] + histogram if arm in arms else histogram
        self._pending.clear()

    def drop(self) -> None:
        """Forget the blocks held back."""
        self._pending.clear()

    def write(self, configuration: Configuration) -> tuple[Path, Path | None]:
        """Write one configuration's data and picture; return their files (no picture without matplotlib)."""
        data = self._folder / f"{configuration}.json"
        picture = self._folder / f"{configuration}.png"
        if not data.exists():
            arms = self._counts[configuration]
            write_json(data, self._record(configuration, arms))
            image = _picture(self._title, configuration, arms)
            if image is not None:
                write_bytes(picture, image)
        return data, picture if picture.exists() else None

    @staticmethod
    def _record(configuration: Configuration, arms: dict[Arm, npt.NDArray[np.int64]]) -> dict[str, Any]:
        return {
            "schema_version": 1,
            "configuration": configuration,
            "tau": "t_b - t_a - delay_ps, in ps; bin i spans [first_ps + i bin_ps, first_ps + (i + 1) bin_ps)",
            "first_ps": -WINDOW_PS,
            "bin_ps": BIN_PS,
            "counts": {arm: counts.tolist() for arm, counts in arms.items()},
        }


def _picture(title: str, configuration: Configuration, arms: dict[Arm, npt.NDArray[np.int64]]) -> bytes | None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    import io

    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    edges_ns = np.arange(-WINDOW_PS, WINDOW_PS + BIN_PS, BIN_PS) / 1000
    for arm, counts in sorted(arms.items()):
        axes.stairs(counts, edges_ns, label=arm, color=_COLOURS[arm], **_STYLES[arm])
    axes.set_yscale("symlog", linthresh=10)
    axes.set_xlim(edges_ns[0], edges_ns[-1])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("τ = t_b - t_a - delay (ns)")
    axes.set_ylabel(f"coincidences / {BIN_PS} ps")
    axes.set_title(f"{title}, {configuration.replace('_', ' ')}", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    return stream.getvalue()
