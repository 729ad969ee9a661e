"""Files in the exact shape of public recordings beside those at hand: bursts, bare spectra, rows, sweeps and scans."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from qdhil.analysis import Choices, analyse
from qdhil.cli.analyze import analyze
from qdhil.cli.info import info
from qdhil.errors import FormatError
from qdhil.tags import open_recording

app = typer.Typer()
app.command()(analyze)
informed = typer.Typer()
informed.command()(info)


def _named(report):
    return {estimate.definition: estimate for estimate in report.estimates}


def _written(path, text):
    path.write_text(text)
    return path


def _series(path, expected, *, bin_ns, snapshots=130, bursts=0, seed=0):
    """Write a TSV series; bursts are combs of thousands and single bins of 27, in snapshots drawn at random."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(expected, (snapshots, expected.size))
    for number, snapshot in enumerate(rng.permutation(snapshots)[:bursts]):
        places = np.arange(rng.integers(0, 40), expected.size, rng.integers(20, 60))
        if number % 2:
            places = rng.integers(0, expected.size, 1)
        counts[snapshot, places] += rng.choice([27, 3_120, 12_364, 21_720], places.size)
    delays = np.arange(expected.size) * bin_ns
    rows = (f"{x:g}\t" + "\t".join(map(str, row)) for x, row in zip(delays, counts.T.tolist(), strict=True))
    return _written(path, "\n".join(rows) + "\n")


def _telecom(bin_ns, g2):
    """Return pairs a bin and snapshot of a pulsed dot: 12.5 ns, 1.2 ns, g2 = 0 at 61.09 ns, and a floor."""
    delays = (np.arange(round(500 / bin_ns)) + 0.5) * bin_ns
    expected = np.full(delays.size, 0.003)
    for lag in range(-10, 60):
        expected += (g2 if lag == 0 else 1.0) * 0.12 * np.exp(-np.abs(delays - 61.09 - 12.5 * lag) / 1.2)
    return expected * bin_ns / 0.256


def _continuous(bin_ns, g2):
    delays = (np.arange(round(500 / bin_ns)) + 0.5) * bin_ns
    return 0.3 * bin_ns / 0.256 * (1 - (1 - g2) * np.exp(-np.abs(delays - 61.09) / 1.5))


@pytest.mark.parametrize("bin_ns", [0.128, 0.256])
@pytest.mark.parametrize("bursts", [0, 40])
def test_a_series_with_bursts_gives_what_it_gives_without(tmp_path, bin_ns, bursts):
    """The estimate holds the truth at 99.99 %, and no count of a burst is in it."""
    path = _series(tmp_path / "auto pulsed.txt", _telecom(bin_ns, 0.2), bin_ns=bin_ns, bursts=bursts)
    report = analyse(open_recording(path), Choices(confidence=0.9999))
    first = report.estimates[0]
    assert first.definition == "g2.pulsed.comb_fit"
    assert first.low < 0.2 < first.high
    assert any(f"bursts: {bursts} of 130 snapshots are left out" in note for note in report.notes) == bool(bursts)
    assert _named(report)["snapshots.dispersion"].counts["snapshots"] == 130 - bursts


@pytest.mark.parametrize("bursts", [0, 40])
def test_continuous_excitation_in_the_same_shape(tmp_path, bursts):
    path = _series(tmp_path / "auto cw.txt", _continuous(0.256, 0.1), bin_ns=0.256, bursts=bursts)
    first = analyse(open_recording(path), Choices(confidence=0.9999)).estimates[0]
    assert first.definition == "g2.cw.dip"
    assert first.low < 0.1 < first.high
    assert first.delay_ps == pytest.approx(61_090, abs=400)


def test_a_series_of_bursts_is_refused(tmp_path):
    path = _series(tmp_path / "x", _telecom(0.256, 0.2), bin_ns=0.256, bursts=120)
    with pytest.raises(FormatError, match="snapshots hold bursts"):
        analyse(open_recording(path))


def _bare_spectrum(path, lines, *, digits=3):
    """Write wavelengths in steps of 0.1 nm and the mean of three exposures, without heading."""
    axis = 1_308 + 0.1 * np.arange(300)
    signal = 600 + sum(height / (1 + ((axis - centre) / (width / 2)) ** 2) for centre, height, width in lines)
    signal = np.random.default_rng(0).poisson(3 * signal) / 3
    return _written(path, "".join(f"{x:.3f}\t{y:.{digits}f}\n" for x, y in zip(axis, signal, strict=True)))


def test_a_bare_spectrum_gives_its_strongest_line(tmp_path):
    path = _bare_spectrum(tmp_path / "1324", [(1_324.4, 3_000, 0.5), (1_328.5, 2_000, 0.5)])
    result = CliRunner().invoke(app, [str(path), "--json"])
    report = json.loads(result.stdout)
    centre, fwhm = report["estimates"]
    assert (centre["definition"], fwhm["definition"]) == ("line.centre", "line.fwhm")
    assert centre["value"] == pytest.approx(1_324.4, abs=0.02)
    assert fwhm["value"] == pytest.approx(0.5, rel=0.1)
    assert any("strongest" in warning for warning in report["warnings"])
    assert "spectrum of 300 points from 1308 to 1337.9 nm" in CliRunner().invoke(informed, [str(path)]).stdout


def test_a_bare_spectrum_of_whole_counts_needs_the_flag(tmp_path):
    path = _bare_spectrum(tmp_path / "1324", [(1_324.4, 3_000, 0.5)], digits=0)
    refused = CliRunner().invoke(app, [str(path)])
    assert (refused.exit_code, refused.stdout) == (64, "")
    assert "--kind spectrum" in refused.stderr
    taken = CliRunner().invoke(app, [str(path), "--kind", "spectrum", "--json"])
    assert json.loads(taken.stdout)["estimates"][0]["value"] == pytest.approx(1_324.4, abs=0.02)


def _two_rows(path, *, overlap, blinking=0.0, memory_ps=100e3, pairs=80_000):
    """Write interference behind one period's delay as two rows: 12.2 ns, 25 000 bins of 64 ps about no delay."""
    axis = -8e5 + 64.0 * np.arange(25_000)
    expected = np.ones(axis.size)
    for lag in range(-70, 71):
        height = (1 - overlap) / 2 if lag == 0 else 0.75 if abs(lag) == 1 else 1.0
        height *= 1 + blinking * np.exp(-abs(lag) * 12_200 / memory_ps)
        expected += height * pairs * 64 / 360 * np.exp(-np.abs(axis - lag * 12_200) / 180)
    np.savetxt(path, [axis, np.random.default_rng(1).poisson(expected)], fmt="%.18e")
    return path


@pytest.mark.parametrize("overlap", [0.5, 0.9, 0.97])
def test_interference_in_two_rows(tmp_path, overlap):
    found = _named(analyse(open_recording(_two_rows(tmp_path / "demo_HOM.txt", overlap=overlap))))
    assert found["hom.v_unc"].value == pytest.approx(overlap, abs=0.01)
    assert found["hom.v_adj"].value == pytest.approx(overlap, abs=0.01)
    assert "hom.v_envelope" not in found
    assert "g2.pulsed.area" not in found


@pytest.mark.parametrize(("blinking", "memory_ps"), [(0.5, 100e3), (1.5, 100e3), (0.3, 30e3)])
def test_interference_of_a_blinking_source(tmp_path, blinking, memory_ps):
    """The visibility against the envelope holds the truth at 99.99 %, that against the far peaks is too low."""
    path = _two_rows(tmp_path / "x", overlap=0.9, blinking=blinking, memory_ps=memory_ps)
    report = analyse(open_recording(path), Choices(confidence=0.9999))
    first = report.estimates[0]
    assert first.definition == "hom.v_envelope"
    assert first.low < 0.9 < first.high
    assert _named(report)["hom.v_unc"].high < 0.88
    assert any("blinking" in note for note in report.notes)


AXIS = np.arange(100)
RNG = np.random.default_rng(3)
DIP = RNG.poisson(9_000 * (1 - 0.2 * np.exp(-(((AXIS - 50) / 4) ** 2)))).astype(float)


def _qudi(path, heading, columns):
    rows = "".join("\t".join(f"{v:.15e}" for v in row) + "\n" for row in zip(*columns, strict=True))
    return _written(
        path, f"#Saved Data from the class x on 06.03.2023 at 17h32m05s.\n#\n#Data:\n#=====\n#{heading}\n{rows}"
    )


@pytest.mark.parametrize(
    ("heading", "columns", "match"),
    [
        ("x position (m)\ty position (m)\tz position (m)\tcount rate (Hz)\t", [AXIS, AXIS, AXIS, DIP], "no delay"),
        ("Pixel x\tcounts\t", [AXIS * 64, DIP], "no delay"),
        ("Controlled variable(Hz)\tSignal\tError\t", [2.8e9 + 1e6 * AXIS, DIP / 9_000, DIP / 9_000], "no delay"),
        ("Controlled variable(s)\tSignal\t", [AXIS * 1e-8, DIP], "no delay"),
        ("Time (s)\tSignal (counts)\t", [AXIS * 1e-9, DIP], "no count of pairs"),
        ("Signal (counts)", [DIP, DIP], "no count of pairs"),
        ("Signal", [DIP] * 20, "no count of pairs"),
        ("", [DIP] * 20, "doesn't name"),
        ("Time (s)\tcount rate\t", [AXIS * 0.1, DIP], "too wide for photon pairs"),
        ("frequency (Hz)\tcount rate (Hz)\t", [2.8e9 + 1e6 * AXIS, DIP], "no optical spectrum"),
    ],
    ids=["confocal", "pixels", "odmr", "rabi", "trace", "traces", "pulses", "matrix", "counter", "sweep"],
)
def test_other_files_of_qudi_are_refused(tmp_path, heading, columns, match):
    with pytest.raises(FormatError, match=match):
        analyse(open_recording(_qudi(tmp_path / "x.dat", heading, columns)))


@pytest.mark.parametrize(
    ("start", "match"),
    [
        ('# mw_frequency\tcounts\n# "frequency (Hz)"\t"counts"\n# 100\n', "first is no delay"),
        ("", "quicker than any detector|no axis of delays"),
    ],
    ids=["qcodes", "bare"],
)
def test_a_microwave_sweep_is_no_dip_in_time(tmp_path, start, match):
    rows = "".join(f"{2_800 + 1.5 * i:.12g}\t{int(n)}\n" for i, n in enumerate(DIP))
    with pytest.raises(FormatError, match=match):
        analyse(open_recording(_written(tmp_path / "frq.dat", start + rows)))


def _nv(g2, *, level, bunching=0.4):
    tau = np.abs((np.arange(4_000) - 2_000) * 500.0 - 1_000)
    return level * (1 - (1 - g2 + bunching) * np.exp(-tau / 12_000) + bunching * np.exp(-tau / 115_000))


@pytest.mark.parametrize(("g2", "level"), [(0.1, 20), (0.6, 150), (0.75, 150)])
def test_several_colour_centres(tmp_path, g2, level):
    """The interval holds the truth at 99.99 %, and a value above one half is said to prove no single emitter."""
    counts = np.random.default_rng(4).poisson(_nv(g2, level=level))
    axis = (np.arange(4_000) - 2_000) * 500.0
    path = _qudi(tmp_path / "x.dat", "Time (ps)\tg2(t)\tg2(t) norm\t", [axis, counts, counts / level])
    report = analyse(open_recording(path), Choices(confidence=0.9999))
    first = report.estimates[0]
    assert first.definition == "g2.cw.dip3"
    assert first.low < g2 < first.high
    assert any("not proven" in note for note in report.notes) == (first.high >= 0.5)


def test_a_hump_is_no_dip(tmp_path):
    counts = np.random.default_rng(5).poisson(_nv(0.98, level=150))
    axis = (np.arange(4_000) - 2_000) * 500.0
    path = _qudi(tmp_path / "x.dat", "Time (ps)\tg2(t)\tg2(t) norm\t", [axis, counts, counts / 150])
    with pytest.raises(FormatError, match="as continuous light"):
        analyse(open_recording(path))
