"""Histograms as text of several columns: snapshots, named columns, exports of counting cards."""

from __future__ import annotations

from pathlib import Path

import formats_made as made
import numpy as np
import pytest

from qdhil.errors import FormatError
from qdhil.tags import DelayHistogram, Histograms, Spectrum, open_recording

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
        ("wavelength\tsignal\tcorrected", "no optical spectrum"),
        ("voltage\tcounts\tnorm", "the first is no delay"),
        ("Time (ps)\tcounts", "doesn't name the 3 columns"),
    ],
)
def test_columns_that_are_no_histogram_are_refused(tmp_path, names, match):
    with pytest.raises(FormatError, match=match):
        open_recording(_write(tmp_path / "x", _named(names, (AXIS, COUNTS, COUNTS))))


def test_a_spectrum_at_no_wavelength_of_light_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no optical spectrum"):
        open_recording(_write(tmp_path / "x", _named("wavelength\tsignal", (AXIS, COUNTS))))


def test_a_spectrum_is_read_as_one(tmp_path):
    spectrum = open_recording(_write(tmp_path / "x", _named("wavelength\tsignal", (900e-9 + AXIS * 1e-15, COUNTS))))
    assert isinstance(spectrum, Spectrum)
    assert (spectrum.unit, spectrum.axis[0]) == ("nm", pytest.approx(899.975))


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


@pytest.mark.parametrize("first", [0, 1])
def test_a_column_that_numbers_the_lines_is_no_delay(tmp_path, first):
    """A detector's pixels look like a histogram of 1 ps bins; only a heading makes delays of them."""
    lines = "".join(f"{i}\t{c}\n" for i, c in enumerate(COUNTS, first))
    with pytest.raises(FormatError, match="bins or pixels"):
        open_recording(_write(tmp_path / "x", lines))
    histogram = open_recording(_write(tmp_path / "x", f"delay (ns)\tcounts\n{lines}"))
    assert (histogram.first_ps, histogram.bin_ps) == (1_000 * first, 1_000)


def test_a_spectrum_without_heading_is_no_histogram(tmp_path):
    """Wavelengths in steps of 0.05 nm, with whole counts."""
    lines = "".join(f"{1558.5 + 0.05 * i:.3f}\t{c}\n" for i, c in enumerate(COUNTS))
    path = _write(tmp_path / "x", lines)
    with pytest.raises(FormatError, match="if wavelengths in nm, say --kind spectrum"):
        open_recording(path)
    spectrum = open_recording(path, spectrum=True)
    assert (spectrum.unit, spectrum.axis[0], spectrum.signal[3]) == ("nm", 1558.5, COUNTS[3])
    assert "taken to be wavelengths" in spectrum.warnings[0]


def test_a_spectrum_without_heading_is_told_by_its_fractions(tmp_path):
    """Wavelengths in steps of 0.1 nm, with means of three exposures."""
    lines = "".join(f"{1308 + 0.1 * i:.3f}\t{1500 + c / 3:.3f}\n" for i, c in enumerate(COUNTS))
    spectrum = open_recording(_write(tmp_path / "x", lines))
    assert isinstance(spectrum, Spectrum)
    assert (spectrum.unit, spectrum.axis[-1]) == ("nm", pytest.approx(1317.9))


@pytest.mark.parametrize(
    "line",
    [
        lambda i, c: f"{-5 + 0.1 * i:.3f}\t{c / 150:.4f}",
        lambda i, c: f"{400 + 0.1 * i:.3f}\t{c / 150:.4f}",
        lambda i, c: f"{400 + 64 * i}\t{c + 0.5}",
    ],
    ids=["g2 in ns", "g2 in ns from 400", "rates in ps"],
)
def test_normalised_pairs_are_neither_spectrum_nor_histogram(tmp_path, line):
    with pytest.raises(FormatError, match=r"fractional|--kind spectrum"):
        open_recording(_write(tmp_path / "x", "".join(line(i, c) + "\n" for i, c in enumerate(COUNTS))))


def test_a_forced_spectrum_of_something_else_is_refused(tmp_path):
    pixels = "".join(f"{i}\t{c}\n" for i, c in enumerate(COUNTS))
    with pytest.raises(FormatError, match="no range in nm"):
        open_recording(_write(tmp_path / "x", pixels), spectrum=True)


def test_bursts_in_a_series_are_told(tmp_path):
    """Some snapshots hold thousands of pairs in a few bins, as electrical pick-up makes them."""
    counts = _snapshots()
    counts[[3, 17], 95] = 3_000
    histogram = open_recording(_write(tmp_path / "x", made.series(counts)))
    assert histogram.counts.tolist() == counts.sum(axis=0).tolist()
    assert histogram.warnings[-1].startswith("2 of 40 snapshots, first number 4, hold bursts: ")
    assert not any("bursts" in warning for warning in open_recording(_series(tmp_path)).warnings)


def _series(tmp_path):
    return _write(tmp_path / "y", made.series(_snapshots()))


def test_other_quantities_than_delays_are_refused(tmp_path):
    """Qudi writes sweeps in the same dress as correlations."""
    data = _named("Controlled variable(s)\tSignal", (AXIS * 1e-12, COUNTS))
    with pytest.raises(FormatError, match="the first is no delay"):
        open_recording(_write(tmp_path / "x", data))


def test_of_several_columns_the_one_named_counts_is_taken(tmp_path):
    data = _named("Time difference [ps]\tCounts\tg2", (AXIS, COUNTS, COUNTS / 151.3))
    histogram = open_recording(_write(tmp_path / "x", data))
    assert histogram.counts.tolist() == COUNTS.tolist()
    assert histogram.warnings == ("columns g2 were ignored",)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"SITT" + bytes(400), r"\.ttbin file.*FileReader"),
        (b"\xd0\xcf\x11\xe0" + bytes(400), "an Office document"),
        (made.spc_setup(0x28), r"\.set or \.sdt file"),
        (b"\x93NUMPY" + bytes(400), "a NumPy array"),
    ],
)
def test_files_of_no_readable_format_are_refused_with_advice(tmp_path, data, match):
    with pytest.raises(FormatError, match=match):
        open_recording(_write(tmp_path / "x", data))


@real
def test_a_real_spectrum_of_pixels_is_refused():
    with pytest.raises(FormatError, match="bins or pixels"):
        open_recording(DATA / "fitmydata" / "demo_reflectivity.txt")


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
    assert isinstance(open_recording(next((DATA / "qudi-hira").glob("*spectrum.dat"))), Spectrum)


@real
def test_real_export_repeats_with_the_laser():
    """Column 3 folded at the laser's 12.202 ns: its maximum stands where the first decay's does."""
    curve = open_recording(DATA / "fitmydata" / "demo_lifetime.dat").curves[3]
    assert curve.counts.size == 65_536
    assert curve.bin_ps == pytest.approx(4)
    folded = np.bincount((np.arange(65_536) * 4 % 12_202).astype(int) // 4, weights=curve.counts)
    assert abs(int(folded.argmax()) - int(curve.counts[:3_000].argmax())) < 40
