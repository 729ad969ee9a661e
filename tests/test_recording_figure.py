"""Figures of a recording: formats, decimation that loses no peak, and bytes that do not change."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdhil.analysis.panel import Panel
from qdhil.errors import ConfigurationError
from qdhil.report.drawable import drawable, means
from qdhil.report.recording_figure import write_figure

pytest.importorskip("matplotlib")

DELAY = np.arange(-2000, 2001) * 0.1
PAIRS = np.random.default_rng(1).poisson(30 * np.exp(-np.abs((DELAY + 6.25) % 12.5 - 6.25)) + 0.5)
CORRELATION = Panel(
    "Correlation",
    "Delay (ns)",
    "Coincidences per bin of 100 ps",
    DELAY,
    PAIRS,
    model=(DELAY, 30 * np.exp(-np.abs((DELAY + 6.25) % 12.5 - 6.25)) + 0.5),
    spans=((-1.5, 1.5, "central"), (11.0, 14.0, "side peaks"), (14.0, 23.0, "excluded")),
    zoom=(-20.0, 20.0),
    note="g2(0) = 0.01",
)
LATE = np.geomspace(1, 1e9, 50)
POINTS = Panel("Envelope", "Delay (ns)", "g2", LATE, 1 + 1 / LATE, "points", np.full(50, 0.1), log_x=True)
DECAY = Panel("Decay", "Time (ns)", "Clicks", DELAY[:500], PAIRS[:500], log_y=True)
TRACE = Panel("Rate", "Time (s)", "Rate (1/s)", np.arange(50_000.0), np.full(50_000, 2.5e6), "line")


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_every_format_comes_out_twice_the_same(tmp_path, kind, magic):
    panels = [CORRELATION, POINTS, DECAY]
    one, two = (write_figure(panels, tmp_path / f"{name}.{kind}", "Dot 7").read_bytes() for name in "ab")
    assert one.startswith(magic)
    assert one == two
    assert b"Date" not in one


@pytest.mark.parametrize(("panels", "width_mm"), [([POINTS], 86), ([CORRELATION], 178), ([DECAY, TRACE], 178)])
def test_widths_are_those_of_a_journals_columns(tmp_path, panels, width_mm):
    picture = write_figure(panels, tmp_path / "a.png").read_bytes()
    assert struct.unpack(">I", picture[16:20])[0] == pytest.approx(width_mm / 25.4 * 300, abs=1)


def test_curves_without_signal_are_drawn(tmp_path):
    dark = Panel("Dark", "Time (ns)", "Clicks", DELAY, np.zeros(DELAY.size), log_y=True, zoom=(0.0, 1.0))
    level = Panel("Level", "Time (s)", "Rate", np.arange(3.0), np.array([-1.0, np.nan, -1.0]), "points")
    one = Panel("One", "Time (s)", "Rate", np.array([1.0]), np.array([0.0]))
    assert write_figure([dark, level, one], tmp_path / "a.png").stat().st_size > 0


@settings(max_examples=60, deadline=None)
@given(
    points=st.integers(1, 5000),
    columns=st.integers(4, 200),
    seed=st.integers(0, 2**32 - 1),
    log_x=st.booleans(),
)
def test_no_peak_and_no_dip_is_lost(points, columns, seed, log_x):
    rng = np.random.default_rng(seed)
    x, y = np.cumsum(rng.exponential(1.0, points) + 1e-6), rng.standard_cauchy(points)
    kept_x, kept_y = drawable(x, y, columns=columns, log_x=log_x)
    assert kept_x.size <= max(4 * columns, 2 * columns + 2)
    assert (kept_y.min(), kept_y.max()) == (y.min(), y.max())
    assert (kept_x[0], kept_x[-1]) == (x[0], x[-1])
    assert np.all(np.diff(kept_x) > 0)
    assert np.array_equal(kept_y, y[np.searchsorted(x, kept_x)])


def test_a_single_bin_among_millions_stays():
    y = np.zeros(3_000_000)
    y[1_234_567] = 1.0
    x, shown = drawable(np.arange(y.size), y, columns=1000)
    assert x[np.argmax(shown)] == 1_234_567
    centres, level = means(np.arange(y.size), np.arange(y.size), columns=1000)
    assert level == pytest.approx(centres)


@pytest.mark.parametrize(
    ("panels", "name", "match"),
    [
        ([], "a.png", "no panel"),
        ([POINTS], "a.gif", "png, pdf, svg"),
        ([Panel("P", "x", "y", DELAY, PAIRS[1:])], "a.png", "'P' needs data"),
        ([Panel("P", "x", "y", DELAY, PAIRS, errors=DELAY[1:])], "a.png", "errors"),
        ([Panel("P", "x", "y", DELAY[:0], PAIRS[:0])], "a.png", "needs data"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, panels, name, match):
    with pytest.raises(ConfigurationError, match=match):
        write_figure(panels, tmp_path / name)
    assert not list(tmp_path.iterdir())
