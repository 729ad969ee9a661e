"""What is published or independently known of the real recordings, against what the analysis says."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from qdhil.analysis import Choices, analyse
from qdhil.tags import open_recording
from qdhil.tags.spectrum_text import read_spectrum

DATA = Path(__file__).parents[2] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded data not present at {DATA}")


@cache
def _report(name, choices=None):
    return analyse(open_recording(DATA / name), choices)


def _estimates(name, definition, **counts):
    return [
        e
        for e in _report(name).estimates
        if e.definition == definition and all(e.counts.get(key) == value for key, value in counts.items())
    ]


def _one(name, definition, **counts):
    (estimate,) = _estimates(name, definition, **counts)
    return estimate


def _sd(estimate):
    return (estimate.high - estimate.low) / (2 * 1.96)


@pytest.mark.parametrize(
    ("name", "definition", "known", "sd", "counts"),
    [
        ("eta/200213_HH400_T3_80MHz_HBT.timeres", "g2.pulsed.area", 0.0028, 0.0028, {}),
        ("eta/200213_HH400_T3_80MHz_HBT.timeres", "lifetime.tail", 131.4, 0.4, {"channel": 0}),
        ("eta/200213_HH400_T3_80MHz_HBT.timeres", "lifetime.tail", 131.8, 0.4, {"channel": 1}),
        ("eta/200204_qutag_320MHz_HBT_sync_filtered.qutag", "g2.pulsed.area", 0.0, 0.008, {}),
        ("fitmydata/demo_lifetime.dat", "lifetime.tail", 151.2, 0.8, {"curve": 3}),
        ("qudi-hira/20230306-1732-05_with_LP550nm_SP800nm_autocorrelation.dat", "g2.cw.dip3", 0.275, 0.024, {}),
        (
            "qudi-hira/20230306-1732-05_with_LP550nm_SP800nm_autocorrelation.dat",
            "g2.cw.antibunching_time",
            12_090,
            530,
            {},
        ),
    ],
)
def test_known_values_within_two_standard_errors(name, definition, known, sd, counts):
    estimate = _one(name, definition, **counts)
    assert abs(estimate.value - known) <= 2 * np.hypot(sd, _sd(estimate))


@pytest.mark.parametrize(
    ("name", "known", "published"),
    [
        ("8uW_5100cps", 0.485, (0.443, 0.543)),
        ("20uW_7000cps", 0.569, (0.530, 0.593)),
    ],
)
def test_telecom_dot_by_the_fit_of_the_comb(name, known, published):
    report = _report(f"sps-quality/{name}.txt")
    g2 = report.estimates[0]
    assert g2.definition == "g2.pulsed.comb_fit"
    assert g2.value == pytest.approx(known, abs=0.005)
    assert published[0] < g2.value < published[1]
    assert g2.delay_ps == pytest.approx(61_090, abs=50)
    assert "g2.pulsed.area" not in {e.definition for e in report.estimates}
    (raw,) = (e for e in report.estimates if e.definition == "g2.pulsed.area_raw")
    assert raw.low > g2.value


def test_telecom_dot_at_low_power_over_both_days():
    """Published median 0.315 of snapshots of two days; independently 0.308 for their sum."""
    names = ("2p5uW_4000cps_day1", "2p5uW_4000cps_day2_part1", "2p5uW_4000cps_day2_part2")
    found = [_report(f"sps-quality/{name}.txt").estimates[0] for name in names]
    assert {e.definition for e in found} == {"g2.pulsed.comb_fit"}
    weights = np.array([1 / _sd(e) ** 2 for e in found])
    mean = float(np.sum(weights * [e.value for e in found]) / weights.sum())
    assert abs(mean - 0.308) < 2 / np.sqrt(weights.sum())


def test_bunching_of_the_nv_centre():
    name = "qudi-hira/20230306-1732-05_with_LP550nm_SP800nm_autocorrelation.dat"
    assert _one(name, "g2.cw.bunching").value == pytest.approx(0.399, abs=0.02)
    assert _one(name, "g2.cw.bunching_time").value == pytest.approx(115_500, rel=0.03)
    assert any(note.startswith("three levels") for note in _report(name).notes)


def test_a_blinking_dot_is_said_to_be_on_for_part_of_the_time():
    """Side peaks of the 80 MHz recording hold 359 pairs where the singles predict 95."""
    report = _report("eta/200213_HH400_T3_80MHz_HBT.timeres")
    assert any("3.89 times" in note for note in report.notes)
    singles = _one("eta/200213_HH400_T3_80MHz_HBT.timeres", "g2.pulsed.singles")
    assert singles.value == pytest.approx(3.89 * 0.002785, rel=0.01)


def test_a_filtered_sync_gives_lifetimes():
    """320 MHz: the same dot as at 80 MHz (131.4 ps), seen over a period of 3.1 ns."""
    for channel in (1, 2):
        estimate = _one("eta/200204_qutag_320MHz_HBT_sync_filtered.qutag", "lifetime.tail", channel=channel)
        assert estimate.value == pytest.approx(131.5, rel=0.03)


@pytest.mark.parametrize(("name", "first", "lowest"), [("trace1", 518, 6), ("trace3", 498, 7)])
def test_traces_of_single_molecules(name, first, lowest):
    trace = _one(f"full-sms/{name}.pt3", "trace.rate")
    assert trace.counts["bin_s"] == pytest.approx(0.1)
    assert (trace.counts["first"], trace.counts["min"]) == (first, lowest)
    if name == "trace1":
        assert trace.counts["mean"] == pytest.approx(89.9, abs=0.05)
        assert 20 < _one("full-sms/trace1.pt3", "trace.bleaching_time").value < 30
    else:
        assert trace.counts["max"] == 539
        assert _one("full-sms/trace3.pt3", "blinking.trace.on_fraction").value > 0.5


def test_period_of_a_folded_decay():
    curve = open_recording(DATA / "fitmydata/demo_lifetime.dat").curves[3]
    from qdhil.analysis.decays import decay_of_curve

    decay = decay_of_curve(curve.counts, bin_ps=curve.bin_ps, period_ps=None)
    assert decay.period_ps == pytest.approx(12_202, abs=3)


def test_spectrum_in_nanometres():
    (path,) = (DATA / "qudi-hira").glob("*spectrum.dat")
    spectrum = read_spectrum(path.read_bytes())
    assert spectrum.unit == "nm"
    assert (spectrum.axis[0], spectrum.axis[-1]) == pytest.approx((347.28, 1128.85), abs=0.01)
    centre, _ = analyse(spectrum).estimates
    assert centre.value == pytest.approx(spectrum.axis[int(np.argmax(spectrum.signal))], abs=2)


def test_a_window_does_not_turn_a_recording_into_something_else():
    report = _report("fitmydata/demo_g2.txt", Choices(window_ps=1000))
    assert report.estimates[0].corrected == pytest.approx(0.00604, rel=0.005)
