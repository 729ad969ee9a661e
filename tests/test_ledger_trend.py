"""Control charts, and ``qdhil trend``: numbers over time, which never decide."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command import Command, command
from ledger_made import bare, clone, entry

from qdhil.record.ledger import Ledger
from qdhil.record.ledger_trend import trends
from qdhil.record.schemas import FirmwareRecord
from qdhil.statistics.control_chart import control_chart


@pytest.fixture
def qdhil(monkeypatch, capsys) -> Command:
    return command(monkeypatch, capsys)


def test_a_still_series_is_seldom_marked_and_a_shift_always():
    """A fifth of still series is marked somewhere, for some time, because 20 points say little of the level."""
    rng = np.random.default_rng(1)
    still = [control_chart(rng.normal(5, 0.1, 60)) for _ in range(200)]
    marked = np.mean([[bool(mark) for mark in chart.marks[20:]] for chart in still if chart is not None])
    assert marked < 0.06
    for sign in (-1, 1):
        series = rng.normal(5, 0.1, 60)
        series[40:] += sign * 0.3
        chart = control_chart(series)
        assert chart is not None
        assert not any(chart.marks[:20])
        assert all("ewma" in mark and "cusum" in mark for mark in chart.marks[50:])


def test_charts_by_hand():
    values = [1.0, 2.0] * 10 + [1.5, 9.0]
    chart = control_chart(values)
    assert chart is not None
    assert (chart.level, chart.spread) == (1.5, pytest.approx(np.sqrt(np.pi) / 2))
    z = (9.0 - 1.5) / chart.spread
    assert chart.cusum_up[-1] == pytest.approx(max(0.0, chart.cusum_up[-2] + z - 0.5))
    assert chart.ewma[-1] == pytest.approx(0.8 * chart.ewma[-2] + 0.2 * 9.0)
    assert chart.marks[-2:] == ("", "cusum") or "cusum" in chart.marks[-1]
    assert control_chart([1.0] * 20) is None
    assert control_chart([1.0] * 30) is None, "without spread there is nothing to mark by"
    for bad in ([1.0, float("nan")], [float("inf")]):
        with pytest.raises(ValueError, match="finite"):
            control_chart(bad)
    with pytest.raises(ValueError, match="reference"):
        control_chart([1.0], reference=1)


def test_a_series_ends_where_the_quantity_changes():
    other = FirmwareRecord(version="1.6.0", sha256="e" * 64)
    entries = [entry(0), entry(1), entry(2, baseline=other), entry(3), entry(0, "sim-a2"), entry(4, hardware="rev-c")]
    split = [(one.rig, one.firmware, len(one.points)) for one in trends(entries, "g2.pulsed.area")]
    assert split == [
        ("sim-a1", "1.4.0", 2),
        ("sim-a1", "1.6.0", 1),
        ("sim-a1", "1.4.0", 1),
        ("sim-a1", "1.4.0", 1),
        ("sim-a2", "1.4.0", 1),
    ]
    assert trends(entries, "hom.v_unc") == []
    assert [one.firmware for one in trends(entries[:2], "g2.pulsed.area", arm="candidate")] == ["1.5.0"]


def test_trend_shows_marks_and_says_what_it_is_for(qdhil, tmp_path):
    folder = clone(bare(tmp_path / "remote.git"), tmp_path / "host")
    with Ledger(folder) as ledger:
        for number in range(30):
            ledger.put(entry(number, value=0.02 + (0.004 if number >= 25 else 1e-4 * (number % 3))))
        ledger.put(entry(1, "sim-a2"))
        ledger.sync()
    ended = qdhil("trend", "g2.pulsed.area", "--repository", folder)
    assert (ended.code, ended.err) == (0, "")
    assert "rig health only: stored numbers never decide a verdict" in ended.out
    assert sum("cusum" in line for line in ended.out.splitlines()) == 5
    assert "too few for marks" in ended.out
    picture = tmp_path / "trend.png"
    said = qdhil("trend", "g2.pulsed.area", "--rig", "sim-a1", "--repository", folder, "--plot", picture, "--json")
    (series,) = json.loads(said.out)["series"]
    assert (series["rig"], len(series["points"]), series["points"][-1]["mark"]) == ("sim-a1", 30, "ewma cusum")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_trend_of_nothing_is_64_and_names_what_there_is(qdhil, tmp_path):
    folder = clone(bare(tmp_path / "remote.git"), tmp_path / "host")
    assert "baseline sync" in qdhil("trend", "g2.pulsed.area", "--repository", folder).err
    with Ledger(folder) as ledger:
        ledger.put(entry(1))
        ledger.sync()
    for arguments in (("g2",), ("g2.pulsed.area", "--rig", "sim-a9")):
        ended = qdhil("trend", *arguments, "--repository", folder)
        assert ended.code == 64
        assert "the ledger has g2.pulsed.area" in ended.err
