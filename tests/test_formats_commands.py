"""``qdhil info``, ``qdhil convert`` and ``qdhil analyze`` on files of every format, as a process would be used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import formats_made as made
import numpy as np
import pytest
import recordings_made

DATA = Path(__file__).parents[2] / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded data not present at {DATA}")


def _qdhil(*arguments):
    command = [sys.executable, "-c", "from qdhil.cli.main import run; run()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _report(command, *arguments):
    done = _qdhil(command, *arguments, "--json")
    assert done.returncode in (0, 64), done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def recording(tmp_path):
    """Return a .ptu of an antibunched source, and its times by channel."""
    t_a, t_b = recordings_made.antibunched_tags(pulses=400_000, p=0.05, seed=4)
    times, channels = recordings_made.merged(t_a, t_b, [0, 1])
    words = recordings_made.hydra_records(times.tolist(), channels.tolist(), wrap=1 << 25, version=2)
    path = tmp_path / "light.ptu"
    path.write_bytes(recordings_made.header(0x00010207, words.size, t3=False, unit_s=1e-12) + words.tobytes())
    return path, {0: t_a, 1: t_b}


def test_info_counts_channels(recording):
    path, times = recording
    facts = _report("info", path)
    assert (facts["kind"], facts["format"]) == ("tags", "picoquant-ptu/generic-t2")
    assert facts["channels"] == {str(number): t.size for number, t in times.items()}
    last_s = max(t[-1] for t in times.values()) * 1e-12
    assert facts["duration_s"] == pytest.approx(last_s)
    assert facts["rates_hz"]["0"] == pytest.approx(times[0].size / last_s)
    assert facts["header"]["File_Comment"] == "made by a test"
    plain = _qdhil("info", path).stdout
    assert f"{sum(t.size for t in times.values())} tags" in plain


def test_info_names_sync_and_markers(tmp_path):
    words = np.array([0 << 25 | 10, 1 << 31 | 20, 1 << 31 | 3 << 25 | 30, 1 << 25 | 40], "<u4")
    path = tmp_path / "x"
    path.write_bytes(recordings_made.header(0x01010204, 4, t3=False, unit_s=1e-12) + words.tobytes())
    plain = _qdhil("info", path).stdout
    assert "channel sync" in plain
    assert "channel marker 3" in plain


def test_info_lists_curves(tmp_path):
    rows = [np.zeros(300, int), np.random.default_rng(0).poisson(20, 300)]
    path = tmp_path / "x"
    path.write_bytes(made.phd(rows))
    facts = _report("info", path)
    assert list(facts["curves"]) == ["1"]
    assert facts["curves"]["1"]["counts"] == rows[1].sum()
    assert "curve 1: " in _qdhil("info", path).stdout


@pytest.mark.parametrize("command", ["info", "convert", "analyze"])
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, command):
    path = tmp_path / "x"
    path.write_bytes(b"PQTTTR\0\0nonsense")
    done = _qdhil(command, path, *([tmp_path / "y.parquet"] if command == "convert" else []))
    assert (done.returncode, done.stdout) == (64, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.count(str(path)) == 1


def test_convert_refuses_to_overwrite_and_wrong_endings(tmp_path, recording):
    path, _ = recording
    target = tmp_path / "x.parquet"
    target.write_bytes(b"kept")
    assert "--overwrite" in _qdhil("convert", path, target).stderr
    assert target.read_bytes() == b"kept"
    done = _qdhil("convert", path, tmp_path / "x.csv")
    assert (done.returncode, "tags can be converted to .parquet" in done.stderr) == (64, True)


def test_convert_to_a_segment_keeps_every_value_of_analyze(tmp_path, recording):
    pytest.importorskip("pyarrow")
    path, times = recording
    target = tmp_path / "x.parquet"
    done = _qdhil("convert", path, target, "--rig", "qd07", "--firmware", "1.4.2")
    assert done.returncode == 0, done.stderr
    assert f"{sum(t.size for t in times.values())} tags" in done.stdout
    facts = _report("info", target)
    assert (facts["header"]["rig"], facts["header"]["firmware"]) == ("qd07", "1.4.2")
    before, after = _report("analyze", path), _report("analyze", target)
    assert before["estimates"] == after["estimates"] != []
    assert next(e for e in after["estimates"] if e["definition"] == "g2.pulsed.area")["delay_ps"] == pytest.approx(
        23_000, abs=50
    )


def test_a_truncated_file_is_converted_on_demand_only(tmp_path, recording):
    pytest.importorskip("pyarrow")
    path, _ = recording
    path.write_bytes(path.read_bytes()[:-1_000])
    target = tmp_path / "x.parquet"
    assert _qdhil("convert", path, target).returncode == 64
    assert not target.exists()
    done = _qdhil("convert", path, target, "--partial")
    assert (done.returncode, "truncated" in done.stderr) == (0, True)


def test_convert_histogram_to_text_and_back(tmp_path):
    rows = [np.random.default_rng(i).poisson(40, 300) for i in range(2)]
    path, target = tmp_path / "x.thd", tmp_path / "x.txt"
    path.write_bytes(made.thd(rows))
    done = _qdhil("convert", path, target)
    assert (done.returncode, "--curve one of 0, 1" in done.stderr) == (64, True)
    assert _qdhil("convert", path, target, "--curve", "1").returncode == 0
    table = np.loadtxt(target)
    assert table[:, 1].astype(int).tolist() == rows[1].tolist()
    assert np.diff(table[:, 0]) == pytest.approx(36.6, rel=1e-4)
    assert _report("info", target)["curves"]["0"]["counts"] == rows[1].sum()


def test_times_of_a_slow_clock_give_no_correlation(tmp_path):
    """Steps of 100 ns are a comb of their own, in which dead time looks like antibunching."""
    rng = np.random.default_rng(3)
    macro = np.unique(rng.integers(0, 2_000_000, 60_000))
    routing = rng.integers(0, 2, macro.size)
    path = tmp_path / "x.spc"
    path.write_bytes(made.spc(macro, rng.integers(0, 4096, macro.size), routing, clock=1_000))
    report = _report("analyze", path)
    assert {e["definition"] for e in report["estimates"]} == {"rate.detected", "trace.rate"}
    assert any("too coarse for correlations" in warning for warning in report["warnings"])


def test_rates_are_counts_over_dwell(tmp_path):
    """Poissonian light in one channel: nothing but its rate, and that over time."""
    times = np.sort(np.random.default_rng(2).integers(0, 2 * 10**12, 5_000))
    path = tmp_path / "x"
    path.write_bytes(made.swabian(times, np.ones(times.size, int)))
    for rate in _report("analyze", path)["estimates"]:
        assert rate["definition"] in ("rate.detected", "trace.rate")
        assert rate["low"] < 2_500 < rate["high"]


def _decays(bins=2_500, bin_ps=36.6, t1_ps=4_000, clicks=300_000):
    rng = np.random.default_rng(5)
    delays = 9_000 + rng.normal(0, 60, clicks) + rng.exponential(t1_ps, clicks)
    noise = rng.uniform(0, bins * bin_ps, clicks // 50)
    return np.histogram(np.concatenate((delays, noise)), bins, (0, bins * bin_ps))[0]


def test_lifetime_of_a_curve(tmp_path):
    """4 ns from bins of 36.6 ps: 300,000 clicks give it to 0.2 %, so 1 % is five standard errors."""
    path = tmp_path / "x"
    path.write_bytes(made.thd([_decays()], sync_hz=10_000_000))
    lifetime, *_ = _report("analyze", path)["estimates"]
    assert (lifetime["definition"], lifetime["counts"]["curve"]) == ("lifetime.tail", 0)
    assert lifetime["value"] == pytest.approx(4_000, rel=0.01)


def _antibunched_series(tmp_path, g2):
    """Return a series of 30 snapshots with peaks every 12.5 ns, the fifth ``g2`` times as high."""
    rng = np.random.default_rng(1)
    delays = (np.arange(1_954) + 0.5) * 256
    peaks = np.arange(-3, 45) * 12_500 + 11_000
    heights = np.where(peaks == 61_000, g2, 1.0)
    shape = (heights * np.exp(-np.abs(delays[:, None] - peaks) / 700)).sum(axis=1)
    path = tmp_path / "x.txt"
    path.write_bytes(made.series(rng.poisson(3.0 * shape + 0.05, (30, delays.size))))
    return path


def _area(report):
    """Return the ratio of peak areas, whether or not it is what comes first."""
    (area,) = (e for e in report["estimates"] if e["definition"].startswith("g2.pulsed.area"))
    return area


def test_series_of_snapshots_gives_g2(tmp_path):
    g2 = _area(_report("analyze", _antibunched_series(tmp_path, 0.25)))
    assert g2["delay_ps"] == pytest.approx(61_000, abs=50)
    assert g2["corrected"] == pytest.approx(0.25, abs=0.05)


@real
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("2p5uW_4000cps_day1", 0.25, 0.36), ("8uW_5100cps", 0.42, 0.54), ("20uW_7000cps", 0.53, 0.61)],
)
def test_real_series_agree_with_the_published_fits(name, low, high):
    """Floor subtracted, an 8 ns window agrees with the published median fits, widened by its own error."""
    g2 = _area(_report("analyze", DATA / "sps-quality" / f"{name}.txt"))
    assert low < g2["corrected"] < high
    assert g2["delay_ps"] == pytest.approx(61_090, abs=50)
