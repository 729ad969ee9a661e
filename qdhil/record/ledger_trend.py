"""Stored numbers of one metric over time, for a rig's health; nothing here ever decides a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from qdhil.record.ledger_entry import LedgerEntry
from qdhil.statistics.control_chart import ControlChart, control_chart

Arm = str
NOTICE = "rig health only: stored numbers never decide a verdict"


@dataclass(frozen=True)
class Point:
    """One run's value."""

    when: datetime
    run: str
    value: float
    low: float
    high: float
    mark: str


@dataclass(frozen=True)
class Series:
    """Values of one rig that may be compared: same firmware, window, normalisation and hardware.

    Parameters
    ----------
    rig, firmware, arm
        Whose values they are.
    points
        In the order of time.
    chart
        ``None`` where there are too few.
    """

    rig: str
    firmware: str
    arm: Arm
    points: tuple[Point, ...]
    chart: ControlChart | None

    def record(self) -> dict[str, Any]:
        """Return plain data, ready for JSON."""
        chart = self.chart
        return {
            "rig": self.rig,
            "firmware": self.firmware,
            "arm": self.arm,
            "level": None if chart is None else chart.level,
            "spread": None if chart is None else chart.spread,
            "points": [
                {"when": it.when.isoformat(), "run": it.run, "value": it.value, "low": it.low, "high": it.high,
                 "mark": it.mark}
                for it in self.points
            ],
        }  # fmt: skip


def trends(
    entries: Iterable[LedgerEntry], metric: str, *, arm: Arm = "baseline", rig: str | None = None
) -> list[Series]:
    """Return the series of a metric, by rig and then in the order of time.

    A series ends where firmware, window, normalisation or hardware changes: what follows is another quantity.
    """
    found = []
    for entry in entries:
        if rig is not None and entry.rig != rig:
            continue
        for stored in entry.metrics:
            if stored.definition == metric:
                firmware = entry.baseline if arm == "baseline" else entry.candidate
                number = stored.baseline if arm == "baseline" else stored.candidate
                same = (entry.rig, firmware.sha256, stored.window_ps, stored.normalisation, entry.hardware)
                found.append((same, firmware.version, entry, number))
    found.sort(key=lambda it: (it[0][0], it[2].finished))
    series = []
    for same, group in groupby(found, key=lambda it: it[0]):
        members = list(group)
        chart = control_chart([number.value for *_, number in members])
        marks = chart.marks if chart is not None else ("",) * len(members)
        points = tuple(
            Point(entry.finished, entry.run, number.value, number.low, number.high, mark)
            for (_, _, entry, number), mark in zip(members, marks, strict=True)
        )
        series.append(Series(str(same[0]), members[0][1], arm, points, chart))
    return series


def metrics_of(entries: Iterable[LedgerEntry]) -> list[str]:
    """Return the metrics that the records have."""
    return sorted({stored.definition for entry in entries for stored in entry.metrics})
