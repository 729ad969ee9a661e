"""``qdhil analyze``: right values where they are known, and one clear line with exit code 64 elsewhere."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from qdhil.cli.analyze import analyze

DATA = Path(__file__).parents[2] / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded data not present at {DATA}")

app = typer.Typer()
app.command()(analyze)


@pytest.fixture(scope="module")
def made():
    """Return the module beside this file that writes recordings (tests aren't a package to import from)."""
    path = Path(__file__).with_name("recordings_made.py")
    spec = importlib.util.spec_from_file_location("recordings_made", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _report(*arguments):
    result = _run(*arguments, "--json")
    report = json.loads(result.stdout)
    assert set(report) == {"file", "format", "estimates", "refused", "warnings"}
    assert result.exit_code == (0 if report["refused"] is None else 64)
    assert (report["refused"] is None) == bool(report["estimates"])
    return report


def _g2(*arguments):
    report = _report(*arguments)
    assert report["refused"] is None, report["refused"]
    return next(e for e in report["estimates"] if e["definition"] == "g2.pulsed.area")


@real
def test_values_say_their_unit():
    report = _report(DATA / "eta" / "200213_HH400_T3_80MHz_HBT.timeres")
    units = {estimate["definition"]: estimate["unit"] for estimate in report["estimates"]}
    assert units["lifetime.tail"] == units["detector.dead_time"] == "ps"
    assert units["rate.detected"] == "1/s"
    assert units["g2.pulsed.area"] == ""
    line = _report(DATA / "qudi-hira" / "20230306-2324-19_spectrum.dat")["estimates"][0]
    assert line["unit"] == "nm"


@real
def test_hydraharp_t3_agrees_with_the_table():
    g2 = _g2(DATA / "eta" / "200213_HH400_T3_80MHz_HBT.timeres")
    assert g2["value"] == pytest.approx(0.0028, abs=1e-4)
    assert g2["low"] < 0.0028 < g2["high"] < 0.02
    assert g2["counts"]["central"] == 1
    assert g2["counts"]["side"] / g2["counts"]["side_peaks"] == pytest.approx(358.4, rel=0.01)
    assert g2["delay_ps"] == pytest.approx(23_940, abs=50)
    assert g2["normalisation"] == "far-peaks"


@real
def test_hydraharp_t3_lifetimes_agree_with_the_table():
    report = _report(DATA / "eta" / "200213_HH400_T3_80MHz_HBT.timeres")
    lifetimes = {e["counts"]["channel"]: e for e in report["estimates"] if e["definition"] == "lifetime.tail"}
    for channel, known_ps in {0: 131.4, 1: 131.8}.items():
        assert lifetimes[channel]["value"] == pytest.approx(known_ps, abs=0.8)
        assert lifetimes[channel]["low"] < known_ps < lifetimes[channel]["high"]


@real
def test_qutag_agrees_with_the_table():
    g2 = _g2(DATA / "eta" / "200204_qutag_320MHz_HBT_sync_filtered.qutag")
    assert (g2["value"], g2["low"], g2["counts"]["central"]) == (0.0, 0.0, 0)
    assert g2["counts"]["side"] / g2["counts"]["side_peaks"] == pytest.approx(130.3, rel=0.01)
    assert g2["delay_ps"] == pytest.approx(22_950, abs=50)


@real
@pytest.mark.parametrize(
    ("window", "raw", "corrected"),
    [(1000, None, 0.00604), (2000, 0.00690, 0.00642), (3000, None, 0.0084), (12_201, 0.0155, None)],
)
def test_histogram_text_agrees_with_the_table_at_every_window(window, raw, corrected):
    g2 = _g2(DATA / "fitmydata" / "demo_g2.txt", "--window-ps", window)
    assert g2["window_ps"] == window
    assert g2["delay_ps"] == pytest.approx(-56, abs=50)
    if raw is not None:
        assert g2["raw"] == pytest.approx(raw, rel=0.005)
    if corrected is not None:
        assert g2["corrected"] == pytest.approx(corrected, rel=0.005)


@real
@pytest.mark.parametrize("path", sorted(p for p in DATA.rglob("*") if p.is_file()) if DATA.is_dir() else [])
def test_every_file_is_a_value_or_one_line(path):
    result = _run(path)
    assert result.exit_code in (0, 64), result.exception
    if result.exit_code == 64:
        assert result.stdout == ""
        assert len(result.stderr.strip().splitlines()) == 1
        assert str(path) in result.stderr
    else:
        names = ("g2.pulsed.area", "g2.pulsed.comb_fit", "g2.cw", "lifetime.tail", "rate.detected", "line.centre")
        assert any(name in result.stdout for name in names)


@pytest.mark.parametrize(
    ("delay_ps", "g2", "seed"), [(23_000, 0.0, 1), (-70_250, 0.05, 2), (0, 0.3, 3), (160_000, 0.1, 4)]
)
def test_made_t2_recordings_give_what_was_put_in(tmp_path, made, delay_ps, g2, seed):
    """The 99.99 % interval must hold the truth: odds of a false alarm 10^-4 each."""
    t_a, t_b = made.antibunched_tags(delay_ps=delay_ps, g2=g2, seed=seed)
    times, channel = made.merged(t_a, t_b, [1, 2])
    path = tmp_path / "x"
    path.write_bytes(made.qutag(times - times.min(), channel))
    estimate = _g2(path, "--confidence", 0.9999)
    assert estimate["delay_ps"] == pytest.approx(delay_ps, abs=20)
    assert estimate["low"] <= g2 <= estimate["high"]
    assert estimate["high"] < g2 + 0.25


def test_made_t3_recording_with_markers_and_third_channel(tmp_path, made):
    (n_a, d_a), (n_b, d_b) = made.antibunched(pulses=2_000_000, p=0.02, seed=9)
    counter, channel = made.merged(n_a, n_b + 2, [0, 1])
    since = np.rint(np.concatenate((d_a, d_b)) / 16)[np.argsort(np.concatenate((n_a, n_b + 2)), kind="stable")]
    channel[::50] = 2
    records = made.hydra_records(counter.tolist(), channel.tolist(), since.astype(int).tolist(), wrap=1024, version=2)
    head = made.header(0x00010307, records.size, t3=True, unit_s=12.5e-9)
    path = tmp_path / "x.ptu"
    path.write_bytes(head + records.tobytes())
    assert _g2(path, "--channels", "0,1")["delay_ps"] == pytest.approx(25_000, abs=20)


def _histogram(shape, *, mean=400, period=12_500.0, bin_ps=64, span=400_000, seed=0, floor=0.0):
    """Return axis and Poisson counts of two-sided exponential peaks; ``shape`` maps lag to relative area."""
    rng = np.random.default_rng(seed)
    axis = np.arange(-span, span, bin_ps)
    expected = np.full(axis.size, floor)
    for lag in range(-int(span / period) - 1, int(span / period) + 2):
        area = shape.get(lag, 1.0)
        expected += area * mean * bin_ps / 400 * np.exp(-np.abs(axis - lag * period - 3_000) / 200)
    return axis, rng.poisson(expected)


def _save(path, axis, counts):
    path.write_text("".join(f"{a}\t{c}\n" for a, c in zip(axis, counts, strict=True)))
    return path


def test_made_histogram_with_floor_reports_raw_and_corrected(tmp_path):
    path = _save(tmp_path / "h.txt", *_histogram({2: 0.02}, mean=20_000, floor=8.0))
    g2 = _g2(path)
    assert g2["delay_ps"] == pytest.approx(28_000, abs=20)
    assert g2["raw"] > 0.024
    # error of the corrected value: sqrt(550 pairs)/20000 = 0.0012; the bound is 4 of them
    assert g2["corrected"] == pytest.approx(0.02, abs=0.005)


@pytest.mark.parametrize(
    ("shape", "options", "match"),
    [
        ({}, {}, "no antibunched peak"),
        ({2: 0.05, 7: 0.05}, {}, "2 peaks are low"),
        ({2: 0.0}, {"mean": 4}, "no antibunched peak|no pulse comb"),
        ({-29: 0.0}, {}, "side peaks on one side"),
        ({2: 0.0}, {"mean": 0.02, "floor": 40.0}, "no pulse comb"),
        ({2: 0.0}, {"span": 40_000}, "too few|no pulse comb"),
    ],
    ids=["flat", "two-equal", "few-pairs", "at-the-edge", "no-pulses", "short"],
)
def test_what_cannot_be_judged_is_refused(tmp_path, shape, options, match):
    path = _save(tmp_path / "h.txt", *_histogram(shape, **options))
    refused = _report(path)["refused"]
    assert refused is not None
    assert any(word in refused for word in match.split("|"))
    assert "\n" not in refused


def test_poissonian_light_is_refused_at_the_declared_rate(tmp_path):
    """No antibunching, 200 histograms: the rule calls one low with odds of at most 10^-3 each.

    Two or more calls have odds below 2 %·10 % = 0.002.
    """
    called = 0
    from qdhil.metrics.hbt import analyse_histogram

    for seed in range(200):
        axis, counts = _histogram({}, mean=150, seed=seed, bin_ps=100)
        try:
            analyse_histogram(counts, first_ps=float(axis[0]), bin_ps=100.0)
            called += 1
        except ValueError:
            pass
    assert called <= 1


def test_clipped_or_smoothed_counts_are_refused(tmp_path):
    axis, counts = _histogram({2: 0.02}, mean=20_000)
    assert "clipped" in _report(_save(tmp_path / "h.txt", axis, np.minimum(counts, 1_234)))["refused"]
    rates = np.rint(counts / 10).astype(int)
    assert "scatter less" in _report(_save(tmp_path / "h.txt", axis, rates))["refused"]
    assert _report(_save(tmp_path / "h.txt", axis, counts))["refused"] is None


def test_coarse_bins_take_a_wider_default_window(tmp_path):
    _, counts = _histogram({2: 0.02}, mean=5_000)
    coarse = counts[: counts.size // 16 * 16].reshape(-1, 16).sum(axis=1)
    assert _g2(_save(tmp_path / "h.txt", 1024 * np.arange(coarse.size) - 400_000, coarse))["window_ps"] == 5_000


def test_axis_in_other_units_is_refused(tmp_path):
    axis, counts = _histogram({2: 0.02})
    assert "axis" in _report(_save(tmp_path / "h.txt", axis / 1000, counts))["refused"]


def test_blinking_is_warned_of(tmp_path):
    shape = {2: 0.02} | {2 + m: 1 + 0.8 * np.exp(-abs(m) / 6) for m in range(-34, 31) if m}
    report = _report(_save(tmp_path / "h.txt", *_histogram(shape, mean=2_000)))
    assert any("blinking" in warning for warning in report["warnings"])


def test_narrow_window_is_warned_of(tmp_path):
    report = _report(_save(tmp_path / "h.txt", *_histogram({2: 0.02}, mean=5_000)), "--window-ps", 300)
    assert any("photons outside" in warning for warning in report["warnings"])


def test_plain_output_is_a_table_and_refusal_is_one_line_on_stderr(tmp_path):
    good = _run(_save(tmp_path / "h.txt", *_histogram({2: 0.02})))
    assert good.exit_code == 0
    assert "g2.pulsed.area" in good.stdout
    assert "side_peaks 40" in good.stdout
    bad = _run(tmp_path / "absent")
    assert (bad.exit_code, bad.stdout) == (64, "")
    assert len(bad.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("channels", ["1", "1,1", "a,b", "1,7"])
def test_bad_channels_are_refused(tmp_path, made, channels):
    path = tmp_path / "x"
    rng = np.random.default_rng(0)
    path.write_bytes(made.qutag(np.sort(rng.integers(0, 10**10, 1000)), rng.integers(1, 3, 1000)))
    assert "channel" in _report(path, "--channels", channels)["refused"]


@pytest.mark.parametrize("option", [("--window-ps", "20000"), ("--window-ps", "100"), ("--confidence", "1.5")])
def test_bad_options_are_refused(tmp_path, option):
    assert _report(_save(tmp_path / "h.txt", *_histogram({2: 0.02})), *option)["refused"]


def test_peaks_of_alternating_height_keep_their_own_period(tmp_path):
    axis = np.arange(-100_000, 100_000, 100)
    counts = np.random.default_rng(3).poisson(0.02, axis.size)
    for lag in range(-7, 8):
        height = 0.02 if lag == 0 else (1.0 if lag % 2 else 0.3)
        counts += np.random.default_rng(lag + 50).poisson(400 * height * np.exp(-np.abs(axis - 12_500 * lag) / 200))
    report = _report(_save(tmp_path / "h.txt", axis, counts))
    if report["refused"] is None:
        (g2,) = report["estimates"]
        assert g2["delay_ps"] == pytest.approx(0, abs=100)
        assert g2["value"] < 0.1
        assert g2["corrected"] is None or g2["corrected"] > -0.01
