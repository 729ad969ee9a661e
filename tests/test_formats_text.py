"""Histograms as text of several columns: snapshots, named columns, exports of counting cards."""

from __future__ import annotations

from pathlib import Path

import formats_made as made
import numpy as np
import pytest

from qdhil.errors import FormatError
from qdhil.tags import DelayHistogram, Histograms, open_recording

DATA = Path(__file__).parents[2] / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded data not present at {DATA}")


def _write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def _snapshots(n=40, bins=200, seed=3):
    return np.random.default_rng(seed).poisson(0.4, (n, bins))


def test_series_of_snapshots(tmp_path):
    counts = _snapshots()
    histogram = open_recording(_write(tmp_path / "x", made.series(counts)))
    assert isinstance(histogram, DelayHistogram)
    assert histogram.snapshots.tolist() == counts.tolist()
    assert histogram.counts.tolist() == counts.sum(axis=0).tolist()
    assert (histogram.first_ps, histogram.bin_ps) == pytest.approx((128, 256))
    assert any("taken to be in ns" in warning for warning in histogram.warnings)


def test_series_in_ps_stays_in_ps(tmp_path):
    histogram = open_recording(_write(tmp_path / "x", made.series(_snapshots(), step_ns=64)))
    assert histogram.bin_ps == pytest.approx(64)
    assert not any("in ns" in warning for warning in histogram.warnings)


@pytest.mark.parametrize(("value", "match"), [("-1", "negative"), ("0.5", "fractional"), ("nan", "not finite")])
def test_defective_snapshots_are_refused(tmp_path, value, match):
    lines = made.series(_snapshots()).decode().splitlines()
    fields = lines[7].split("\t")
    fields[9] = value
    lines[7] = "\t".join(fields)
    with pytest.raises(FormatError, match=match):
        open_recording(_write(tmp_path / "x", "\n".join(lines)))


def test_snapshots_of_unequal_length_are_refused(tmp_path):
    with pytest.raises(FormatError, match="40 to 41 columns"):
        open_recording(_write(tmp_path / "x", made.series(_snapshots()).rstrip()[:-2]))


def _named(names, columns, comment="#"):
    rows = "".join("\t".join(f"{v:.15e}" for v in row) + "\n" for row in zip(*columns, strict=True))
    return f"{comment}Saved Data\n#\n{comment}{names}\t\n{rows}"


AXIS = np.arange(-50, 50) * 500.0
COUNTS = np.random.default_rng(0).poisson(150, 100)


@pytest.mark.parametrize(
    ("names", "ignored"),
    [("Time (ps)\tg2(t)\tg2(t) norm", "g2(t) norm"), ("delay (ps)\tcounts\tcounts err", "counts err")],
)
def test_named_columns(tmp_path, names, ignored):
    data = _named(names, (AXIS, COUNTS, COUNTS / 151.3))
    histogram = open_recording(_write(tmp_path / "x", data))
    assert histogram.counts.tolist() == COUNTS.tolist()
    assert (histogram.first_ps, histogram.bin_ps) == (-25_000, 500)
    assert histogram.warnings == (f"columns {ignored} were ignored",)
    assert histogram.snapshots is None


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ("Time (ps)\tchannel 1\tchannel 2", "can't be told"),
        ("Time (ps)\tnorm\tg2 norm", "can't be told"),
        ("wavelength\tsignal\tcorrected", "spectrum"),
        ("voltage\tcounts\tnorm", "the first is no delay"),
        ("Time (ps)\tcounts", "doesn't name the 3 columns"),
    ],
)
def test_columns_that_are_no_histogram_are_refused(tmp_path, names, match):
    with pytest.raises(FormatError, match=match):
        open_recording(_write(tmp_path / "x", _named(names, (AXIS, COUNTS, COUNTS))))


def test_a_spectrum_of_two_columns_is_refused(tmp_path):
    with pytest.raises(FormatError, match="a spectrum"):
        open_recording(_write(tmp_path / "x", _named("wavelength\tsignal", (AXIS, COUNTS))))


def test_harp_export(tmp_path):
    rows = [COUNTS, 0 * COUNTS, np.arange(100) % 7]
    for bom in (b"", b"\xef\xbb\xbf"):
        found = open_recording(_write(tmp_path / "x", bom + made.harp_export(rows)))
        assert isinstance(found, Histograms)
        assert {number: curve.counts.tolist() for number, curve in found.curves.items()} == {
            0: rows[0].tolist(),
            2: rows[2].tolist(),
        }
        assert (found.curves[0].bin_ps, found.curves[0].first_ps) == pytest.approx((4, 2))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b"#channels per curve\n100", b"#channels per curve\n101", "truncated"),
        (b"#ns/bin", b"#bin width", "without its bin widths"),
        (b"0.0040", b"-0.004", "bins of -0.004 ns"),
        (b"#counts\n", b"#counts\nx\n", "something else than numbers"),
    ],
)
def test_defective_harp_export_is_refused(tmp_path, old, new, match):
    with pytest.raises(FormatError, match=match):
        open_recording(_write(tmp_path / "x", made.harp_export([COUNTS, COUNTS]).replace(old, new)))


def test_clipped_curves_of_an_export_are_left_out(tmp_path):
    found = open_recording(_write(tmp_path / "x", made.harp_export([COUNTS, np.minimum(10 * COUNTS + 1, 1_500)])))
    assert list(found.curves) == [0]
    assert "curve 1 is left out" in found.warnings[0]


@real
@pytest.mark.parametrize(
    ("name", "snapshots", "total"),
    [
        ("2p5uW_4000cps_day1", 432, 21_887),
        ("2p5uW_4000cps_day2_part1", 315, 15_140),
        ("8uW_5100cps", 292, 21_611),
    ],
)
def test_real_series(name, snapshots, total):
    histogram = open_recording(DATA / "sps-quality" / f"{name}.txt")
    assert histogram.snapshots.shape == (snapshots, 1954)
    assert histogram.counts.sum() == total
    assert histogram.bin_ps == pytest.approx(256)


@real
def test_real_qudi_text():
    path = next((DATA / "qudi-hira").glob("*autocorrelation.dat"))
    histogram = open_recording(path)
    assert (histogram.first_ps, histogram.bin_ps, histogram.counts.size) == (-1_000_000, 500, 4_000)
    # the normalised column of the file is the counts over their mean far from the dip
    assert histogram.counts[0] == 149
    with pytest.raises(FormatError, match="spectrum"):
        open_recording(next((DATA / "qudi-hira").glob("*spectrum.dat")))


@real
def test_real_export_repeats_with_the_laser():
    """Column 3 folded at the laser's 12.202 ns: its maximum stands where the first decay's does."""
    curve = open_recording(DATA / "fitmydata" / "demo_lifetime.dat").curves[3]
    assert curve.counts.size == 65_536
    assert curve.bin_ps == pytest.approx(4)
    folded = np.bincount((np.arange(65_536) * 4 % 12_202).astype(int) // 4, weights=curve.counts)
    assert abs(int(folded.argmax()) - int(curve.counts[:3_000].argmax())) < 40
