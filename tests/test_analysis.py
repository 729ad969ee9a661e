"""What a recording is taken for, and that each metric is given, labelled or refused as the data demand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from qdhil.analysis import Choices, Panel, analyse
from qdhil.analysis.decays import analyse_decay, decay_of_clicks, decay_of_curve
from qdhil.analysis.traces import analyse_trace
from qdhil.cli.analyze import analyze
from qdhil.errors import ConfigurationError, FormatError
from qdhil.tags.recording import DelayHistogram, Recording, Spectrum
from qdhil.tags.spectrum_text import looks_like_spectrum, read_spectrum

PERIOD_PS = 12_500.0
AXIS = np.arange(-400_000, 400_000, 64)

app = typer.Typer()
app.command()(analyze)


def _comb(shape, *, mean=400.0, floor=0.0, lifetime_ps=200.0, seed=0):
    """Return a histogram of peaks at 3 ns and every period from there; ``shape`` maps lag to relative area."""
    expected = np.full(AXIS.size, float(floor))
    for lag in range(-34, 35):
        height = shape.get(lag, 1.0) * mean * 64 / (2 * lifetime_ps)
        expected += height * np.exp(-np.abs(AXIS - lag * PERIOD_PS - 3_000) / lifetime_ps)
    return DelayHistogram("made", float(AXIS[0]), 64.0, np.random.default_rng(seed).poisson(expected))


def _named(report):
    return {estimate.definition: estimate for estimate in report.estimates}


def _continuous(*, photons=2_000_000, seed=0, delay_ps=15_000):
    """Return tags of two detectors of a two-level emitter: 6 ns lifetime, excited every 20 ns; τ_a = 4.6 ns."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(6_000, photons) + rng.exponential(20_000, photons))
    way = rng.random(photons)
    a = np.rint(times[way < 0.05]).astype(np.int64)
    b = np.rint(times[(way >= 0.05) & (way < 0.1)]).astype(np.int64) + delay_ps
    return Recording("made", {1: a, 2: b}, float(times[-1] * 1e-12))


def test_separate_peaks_give_the_ratio_of_areas_first():
    report = analyse(_comb({2: 0.05}, mean=2_000))
    assert report.estimates[0].definition == "g2.pulsed.area"
    found = _named(report)
    # both hold the truth at 99.99 %: the intervals are twice as wide as at 95 %
    for name in ("g2.pulsed.area", "g2.pulsed.comb_fit", "g2.pulsed.near"):
        estimate = found[name]
        assert abs(estimate.value - 0.05) < 2 * (estimate.high - estimate.low)
    assert "g2.pulsed.area_raw" not in found


@pytest.mark.parametrize("options", [{"lifetime_ps": 3_000}, {"floor": 10.0, "mean": 1_000}], ids=["overlap", "floor"])
def test_a_contaminated_ratio_of_areas_is_called_raw_and_comes_second(options):
    report = analyse(_comb({2: 0.1}, **options))
    found = _named(report)
    first = report.estimates[0]
    assert first.definition == "g2.pulsed.comb_fit"
    assert abs(first.value - 0.1) < 2 * (first.high - first.low)
    assert found["g2.pulsed.area_raw"].low > 0.12
    assert "g2.pulsed.area" not in found
    assert "g2.pulsed.near" not in found
    assert any("g2(0) is that of the fitted comb" in note for note in report.notes)


def test_a_floor_above_the_interval_is_said():
    report = analyse(_comb({2: 0.02}, mean=20_000, floor=8.0))
    assert report.estimates[0].definition == "g2.pulsed.area"
    assert any("more than its interval" in note for note in report.notes)


def test_interference_is_told_from_antibunching():
    report = analyse(_comb({1: 0.75, 2: 0.05, 3: 0.75}, mean=4_000))
    found = _named(report)
    assert "g2.pulsed.area" not in found
    assert found["hom.v_unc"].low < 0.9 < found["hom.v_unc"].high
    assert found["hom.v_adj"].value == pytest.approx(0.9, abs=0.03)


def test_interference_of_a_longer_delay_with_a_known_purity():
    choices = Choices(kind="hom", delay_periods=2, g2=0.02, g2_sd=0.002)
    found = _named(analyse(_comb({0: 0.75, 2: 0.05, 4: 0.75}, mean=4_000), choices))
    assert found["hom.m_tot"].low < 0.92 < found["hom.m_tot"].high
    with pytest.raises(FormatError, match="peaks are low"):
        analyse(_comb({0: 0.75, 2: 0.05, 4: 0.75}, mean=4_000))


def test_low_neighbours_without_the_whole_pattern_are_refused():
    """One low neighbour, hardly enough to be low itself: no antibunching, and no interference either."""
    histogram = _comb({1: 0.6, 2: 0.05, 3: 0.95}, mean=2_000)
    with pytest.raises(FormatError, match=r"peaks are low|beside the central one"):
        analyse(histogram)


def test_antibunching_taken_for_interference_is_said_to_be_unlike_it():
    report = analyse(_comb({2: 0.05}), Choices(kind="hom"))
    assert any("is it a measurement of interference?" in note for note in report.notes)


@pytest.mark.parametrize("kind", ["auto", "cw"])
def test_continuous_tags_give_the_dip(kind):
    report = analyse(_continuous(), Choices(kind=kind, irf_ps=0.0))
    found = _named(report)
    assert report.estimates[0].definition == "g2.cw.dip"
    assert report.estimates[0].low == 0.0
    assert report.estimates[0].high < 0.1
    tau = found["g2.cw.antibunching_time"]
    assert abs(tau.value - 1 / (1 / 6_000 + 1 / 20_000)) < 2 * (tau.high - tau.low)
    assert tau.delay_ps == pytest.approx(15_000, abs=1_000)


def test_the_response_is_missed_where_none_is_given():
    notes = analyse(_continuous(photons=1_000_000)).notes
    assert any("--irf-ps" in note for note in notes)


def test_light_without_correlations_gives_rates_only():
    rng = np.random.default_rng(5)
    channels = {n: np.sort(rng.integers(0, 10**12, 100_000)) for n in (1, 2)}
    report = analyse(Recording("made", channels, 1.0))
    assert {e.definition for e in report.estimates} == {"rate.detected", "trace.rate"}
    assert any(note.startswith("no g2(0): channels 1 and 2: no pulse comb") for note in report.notes)


def test_pulsed_light_is_never_taken_for_continuous():
    with pytest.raises(FormatError, match="no antibunched peak") as refused:
        analyse(_comb({}))
    assert "continuous" not in str(refused.value)


@pytest.mark.parametrize("lowest", [1.0, 0.4])
def test_a_level_or_a_microwave_sweep_is_no_dip(lowest):
    rng = np.random.default_rng(1)
    axis = np.arange(400)
    expected = 400 * (1 - (1 - lowest) * np.exp(-(((axis - 200) / 12) ** 2)))
    histogram = DelayHistogram("made", 2.8e8, 5e5, rng.poisson(expected))
    with pytest.raises(FormatError, match=r"no dip|doesn't fit|beyond any cable|too short"):
        analyse(histogram)


def test_every_pulse_marked_by_a_sync_channel_gives_lifetimes(recording_with_sync):
    report = analyse(recording_with_sync)
    lifetimes = [e for e in report.estimates if e.definition == "lifetime.tail"]
    assert sorted(e.counts["channel"] for e in lifetimes) == [1, 2]
    for estimate in lifetimes:
        assert abs(estimate.value - 150) < 2 * (estimate.high - estimate.low)
    assert report.estimates[0].definition == "g2.pulsed.area"


def test_a_divided_sync_gives_the_same_lifetimes(recording_with_sync):
    divided = {**recording_with_sync.channels, 5: recording_with_sync.channels[5][::8]}
    report = analyse(replace(recording_with_sync, channels=divided))
    lifetimes = [e for e in report.estimates if e.definition == "lifetime.tail"]
    assert len(lifetimes) == 2
    for estimate in lifetimes:
        assert abs(estimate.value - 150) < 2 * (estimate.high - estimate.low)


@pytest.fixture
def recording_with_sync():
    from recordings_made import antibunched_tags

    t_a, t_b = antibunched_tags(delay_ps=0, g2=0.05, seed=3)
    return Recording("made", {1: t_a, 2: t_b, 5: np.arange(3_000_000) * 12_500}, 3e6 * 12.5e-9)


def test_a_dead_time_is_found_and_corrects_the_rate(recording_with_sync):
    rng = np.random.default_rng(2)
    clicks = np.sort(rng.integers(0, 10**11, 40_000))
    kept, last = [], -(10**9)
    for click in clicks:
        if click - last >= 50_000:
            kept.append(click)
            last = click
    found = _named(analyse(Recording("made", {1: np.array(kept)}, 0.1)))
    assert found["detector.dead_time"].low <= 50_000 <= found["detector.dead_time"].high
    assert found["rate.detected"].corrected == pytest.approx(400_000, rel=0.02)
    # antibunched pulses come a period apart at least, whatever the detector does
    assert "detector.dead_time" not in _named(analyse(recording_with_sync))


def _decay(seed=0, *, lifetime_ps=400.0, rise_ps=40.0, clicks=200_000, floor=0.02, period_ps=PERIOD_PS):
    rng = np.random.default_rng(seed)
    since = 1_000 + rng.normal(0, rise_ps, clicks) + rng.exponential(lifetime_ps, clicks)
    dark = rng.random(clicks) < floor
    since[dark] = rng.uniform(0, period_ps, int(dark.sum()))
    return np.rint(since % period_ps).astype(np.int64)


def test_a_decay_gives_tail_and_whole():
    decay = decay_of_clicks(_decay(), period_ps=PERIOD_PS, resolution_ps=4.0)
    found = {e.definition: e for e in analyse_decay(decay, name="x", confidence=0.95).estimates}
    for name in ("lifetime.tail", "lifetime.decay"):
        assert abs(found[name].value - 400) < 2 * (found[name].high - found[name].low)
    assert found["jitter.sigma"].value == pytest.approx(40, rel=0.1)
    assert found["lifetime.tail"].counts["tail_from_ps"] > 0


def test_a_curve_of_several_periods_is_folded():
    periods = [np.bincount(_decay(seed, clicks=50_000) // 4, minlength=3125)[:3125] for seed in range(8)]
    counts = np.concatenate([np.zeros(100, np.int64), *periods, np.zeros(5_000, np.int64)])
    decay = decay_of_curve(counts, bin_ps=4.0, period_ps=None)
    assert decay.period_ps == pytest.approx(PERIOD_PS, abs=3)
    tail = analyse_decay(decay, name="x", confidence=0.95).estimates[0]
    assert tail.value == pytest.approx(400, rel=0.02)


@pytest.mark.parametrize(
    ("times", "match"),
    [
        (lambda rng: rng.normal(5_000, 300, 100_000), "response|single exponential|too few"),
        (lambda rng: rng.uniform(0, PERIOD_PS, 100_000), "no decay"),
        (lambda rng: 5_000 + rng.laplace(0, 300, 100_000), "pairs by delay"),
    ],
    ids=["response", "flat", "two-sided"],
)
def test_what_is_no_decay_is_refused(times, match):
    since = np.rint(times(np.random.default_rng(4)) % PERIOD_PS).astype(np.int64)
    decay = decay_of_clicks(since, period_ps=PERIOD_PS, resolution_ps=4.0)
    with pytest.raises(ValueError, match=match):
        analyse_decay(decay, name="x", confidence=0.95)


def test_a_slow_tail_under_a_fast_decay_is_said_to_be_a_part():
    since = np.concatenate([_decay(clicks=300_000, lifetime_ps=100.0), _decay(1, clicks=60_000, lifetime_ps=1_000.0)])
    found = analyse_decay(decay_of_clicks(since, period_ps=PERIOD_PS, resolution_ps=4.0), name="x", confidence=0.95)
    tail = found.estimates[0]
    assert tail.systematic is not None
    assert abs(tail.value - 1_000) < tail.high - tail.low + tail.systematic
    assert tail.value > 800
    assert any("begun later" in note for note in found.notes)


def _two_lifetimes(share, seed=0, clicks=400_000, window_ps=None):
    """Return a curve of 1.2 ns and 4 ns behind a response of 120 ps, 50 ns apart or cut off before."""
    rng = np.random.default_rng(seed)
    lifetimes = np.where(rng.random(clicks) < share, 4_000.0, 1_200.0)
    since = 3_000 + rng.normal(0, 120, clicks) + rng.exponential(lifetimes)
    counts = np.bincount(np.floor(since[since < 50_000] / 32).astype(int), minlength=1_562)
    return counts if window_ps is None else counts[: int(window_ps / 32)]


@pytest.mark.parametrize(("window_ps", "period_ps"), [(None, 50_000.0), (None, None), (44_000, 100_000.0)])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_two_lifetimes_are_told_where_one_does_not_fit(window_ps, period_ps, share):
    """Intervals hold the truth at 99.99 %; a window of less than a period is said to be one."""
    curve = decay_of_curve(_two_lifetimes(share, window_ps=window_ps), bin_ps=32.0, period_ps=period_ps)
    found = analyse_decay(curve, name="x", confidence=0.9999)
    named = {e.definition: e for e in found.estimates}
    for name, truth in (("fast", 1_200), ("slow", 4_000), ("slow_share", share)):
        estimate = named[f"lifetime.decay2.{name}"]
        assert estimate.low < truth < estimate.high, name
    assert any("two exponentials" in note for note in found.notes)
    assert any("less than a period" in note for note in found.notes) == (period_ps != 50_000.0)


def test_an_unfinished_decay_of_two_lifetimes_is_not_fitted():
    curve = decay_of_curve(_two_lifetimes(0.6, window_ps=15_000), bin_ps=32.0, period_ps=None)
    found = analyse_decay(curve, name="x", confidence=0.95)
    assert {e.definition for e in found.estimates} == {"lifetime.tail"}


def _trace(rates_hz, seed=0):
    """Return clicks of consecutive seconds at the given rates."""
    rng = np.random.default_rng(seed)
    times = [second + rng.random(rng.poisson(rate)) for second, rate in enumerate(rates_hz)]
    return np.sort(np.rint(np.concatenate(times) * 1e12).astype(np.int64))


def test_bleaching_is_found_and_blinking_is_not_mistaken_for_it():
    bleached = analyse_trace(_trace([3_000] * 20 + [50] * 40), duration_s=60.0, confidence=0.95)
    (time,) = (e for e in bleached.estimates if e.definition == "trace.bleaching_time")
    assert time.low <= 20.0 <= time.high + 1e-9
    blinking = analyse_trace(_trace(([3_000] * 3 + [50] * 3) * 10), duration_s=60.0, confidence=0.95)
    names = {e.definition for e in blinking.estimates}
    assert "trace.bleaching_time" not in names
    assert "blinking.trace.on_fraction" in names
    steady = analyse_trace(_trace([3_000] * 60), duration_s=60.0, confidence=0.95)
    assert {e.definition for e in steady.estimates} == {"trace.rate"}
    assert steady.notes == []


def _spectrum(centre=900.0, fwhm=0.2, seed=0):
    axis = np.linspace(890, 910, 1_000)
    line = 5_000 / (1 + ((axis - centre) / (fwhm / 2)) ** 2)
    return Spectrum("made", axis, np.random.default_rng(seed).poisson(line + 600).astype(float), "nm")


def test_the_strongest_line_of_a_spectrum():
    spectrum = _spectrum()
    second = replace(spectrum, signal=spectrum.signal + 0.5 * _spectrum(centre=905.0, seed=1).signal)
    for tried, lines in ((spectrum, 1), (second, 2)):
        report = analyse(tried)
        found = _named(report)
        assert found["line.centre"].value == pytest.approx(900, abs=0.01)
        assert found["line.fwhm"].value == pytest.approx(0.2, rel=0.1)
        assert any("strongest" in note for note in report.notes) == (lines > 1)
    with pytest.raises(FormatError, match="no line"):
        analyse(replace(spectrum, signal=np.random.default_rng(1).poisson(600, 1_000).astype(float)))


@pytest.mark.parametrize(
    ("heading", "scale", "unit", "first"),
    [
        ("Wavelength (nm)\tIntensity", 1.0, "nm", 890.0),
        ("# wavelength\tsignal", 1e-9, "nm", 890.0),
        ("energy (eV),counts", 1.5e-3, "meV", 1335.0),
    ],
)
def test_spectra_as_text(heading, scale, unit, first):
    separator = "," if "," in heading else "\t"
    axis = np.linspace(890, 910, 50) * scale
    text = heading + "\n" + "".join(f"{x:.9e}{separator}{600 + i % 7}\n" for i, x in enumerate(axis))
    assert looks_like_spectrum(text.encode())
    spectrum = read_spectrum(text.encode())
    assert (spectrum.unit, spectrum.axis[0]) == (unit, pytest.approx(first))


@pytest.mark.parametrize("heading", ["#Frequency (Hz)\tCounts", "#frequency\tsignal", "#Frequency (MHz)\tcounts"])
def test_a_microwave_sweep_is_refused(tmp_path, heading):
    axis = np.linspace(2.77e9, 2.97e9, 200) * (1e-6 if "MHz" in heading else 1)
    counts = np.random.default_rng(0).poisson(1e5 * (1 - 0.1 / (1 + ((np.arange(200) - 100) / 5) ** 2)))
    path = tmp_path / "odmr.dat"
    path.write_text(heading + "\n" + "".join(f"{x:.6e}\t{n}\n" for x, n in zip(axis, counts, strict=True)))
    result = CliRunner().invoke(app, [str(path)])
    assert result.exit_code == 64
    assert "no optical spectrum" in result.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "tea"},
        {"confidence": 1.0},
        {"irf_ps": -1.0},
        {"delay_periods": 0},
        {"g2": 1.5},
        {"g2": 0.1, "g2_sd": -1},
    ],
)
def test_choices_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigurationError):
        Choices(**wrong)


def test_every_panel_can_be_drawn():
    reports = [analyse(_comb({2: 0.05})), analyse(_continuous(photons=1_000_000)), analyse(_spectrum())]
    panels = [panel for report in reports for panel in report.panels]
    assert len(panels) >= 5
    for panel in panels:
        assert isinstance(panel, Panel)
        assert panel.x.shape == panel.y.shape
        if panel.model is not None:
            assert panel.model[0].shape == panel.model[1].shape
        if panel.errors is not None:
            assert panel.errors.shape == panel.y.shape


def _saved(tmp_path):
    histogram = _comb({2: 0.05})
    path = tmp_path / "h.txt"
    path.write_text("".join(f"{a}\t{c}\n" for a, c in zip(AXIS, histogram.counts, strict=True)))
    return path


def test_plot_is_written_and_named(tmp_path):
    pytest.importorskip("matplotlib")
    figure = tmp_path / "figure.png"
    result = CliRunner().invoke(app, [str(_saved(tmp_path)), "--plot", str(figure), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["plot"] == str(figure)
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["figure.gif", "absent/figure.png", "figure"])
def test_a_figure_that_cannot_be_written_is_refused_before_reading(tmp_path, name):
    result = CliRunner().invoke(app, [str(tmp_path / "no such recording"), "--plot", str(tmp_path / name)])
    assert result.exit_code == 64
    assert "--plot" in result.stderr


def test_a_kind_that_the_file_is_not_is_refused(tmp_path):
    for kind in ("cw", "decay", "trace", "spectrum"):
        result = CliRunner().invoke(app, [str(_saved(tmp_path)), "--kind", kind])
        assert (result.exit_code, result.stdout) == (64, ""), kind
