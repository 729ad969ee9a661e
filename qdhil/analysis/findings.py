"""What an analysis found: estimates, what a reader should know of them, and the plots that show them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qdhil.analysis.panel import Panel
    from qdhil.metrics.estimate import Estimate


@dataclass(frozen=True)
class Report:
    """What a recording tells.

    Parameters
    ----------
    estimates
        The most telling one first.
    notes
        What a reader should know before trusting them, and why others are missing; one line each.
    panels
        Plots of what the estimates were taken from.
    """

    estimates: tuple[Estimate, ...]
    notes: tuple[str, ...] = ()
    panels: tuple[Panel, ...] = ()


@dataclass
class Findings:
    """A report while it is being put together."""

    estimates: list[Estimate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Append what another part of the analysis found."""
        self.estimates += other.estimates
        self.notes += other.notes
        self.panels += other.panels

    def of_curve(self, number: int) -> Findings:
        """Return the same, said of one curve among several."""
        return Findings(
            [replace(e, counts={"curve": number, **e.counts}) for e in self.estimates],
            [f"curve {number}: {note}" for note in self.notes],
            [replace(panel, title=f"curve {number}: {panel.title}") for panel in self.panels],
        )

    def report(self) -> Report:
        """Return the finished report; a fitted histogram is shown by its panel, not listed bin by bin."""
        return Report(
            tuple(replace(estimate, histogram=None) for estimate in self.estimates),
            tuple(dict.fromkeys(self.notes)),
            tuple(self.panels),
        )
