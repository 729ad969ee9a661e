"""Exact clicks of detectors with dead time: their limit of weak light, and against the event sampler.

Comparisons with the sampler are at 4 standard errors over 50 batches, seeds fixed: with 49 degrees of freedom a
false alarm has odds of 2.1e-4 each; 90 of them make 1.9 % per choice of seeds.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from qdhil.errors import ConfigurationError
from qdhil_sim.light import LightStream, PulseControls, Setup, load_setup
from qdhil_sim.light.clicks import ClickPrediction, predict_clicks
from qdhil_sim.light.closed_form import predict

PATHS = {"hbt": "hbt", "hom_parallel": "parallel", "hom_orthogonal": "orthogonal"}
PERIOD_PS = 12_500
WINDOW_PS = 12_000
FAR = [11, 12, 13, 14]
BATCHES = 50
BATCH_PULSES = 40_000
UNEVEN = {"bs1_short": 0.45, "bs2_transmission": 0.56, "mode_mismatch": 0.01, "transmission": 0.9}
TWICE = PulseControls(spurious_area_pi=0.2, sync_jitter_ps=10)


def pillar(times: float, a: dict[str, float], b: dict[str, float], **changes: object) -> Setup:
    """The pillar of the profile, ``times`` as bright, with detectors and other parts changed."""
    fields = load_setup("pillar-930").model_dump()
    fields["transmission"] *= times
    fields["detector_a"] |= a
    fields["detector_b"] |= b
    return Setup.model_validate(fields | changes)


def numbers(expected: ClickPrediction, lag: int) -> np.ndarray:
    """Clicks of a and b, and coincidences at lags 0, ±lag and far, by path."""
    paths = [getattr(expected, name) for name in PATHS.values()]
    peaks = [[path.peaks[path.max_lag + m] for m in (0, lag, -lag)] for path in paths]
    return np.array([[path.clicks_a, path.clicks_b, *at, path.far] for path, at in zip(paths, peaks, strict=True)])


@pytest.mark.parametrize("delay_periods", [1, 3])
def test_weak_light_tends_to_the_closed_forms(delay_periods: int) -> None:
    """The relative difference is linear in the transmission, down to parts in 1e5."""
    quiet = {"dark_rate_hz": 0.0}
    mzi = UNEVEN | {"delay_periods": delay_periods}
    differences = []
    for times in (1e-2, 1e-3):
        setup = pillar(times, quiet, quiet | {"efficiency": 0.6}, interferometer=mzi, hbt={"transmission": 0.45})
        exact, form = predict_clicks(setup, TWICE, window_ps=WINDOW_PS), predict(setup, TWICE)
        photons = setup.transmission * form.mean_photons * np.array([0.8, 0.6])
        s, t = mzi["bs1_short"], mzi["bs2_transmission"]
        share = s * t + (1 - s) * (1 - t)
        behind = 0.9 * photons * [share, 1 - share]
        pairs = 0.9**2 * photons.prod()
        hbt = photons * [0.45, 0.55]
        expected = np.array(
            [
                [*hbt, hbt.prod() * form.g2, hbt.prod(), hbt.prod(), hbt.prod()],
                [*behind, *(pairs * np.array(form.areas_parallel))],
                [*behind, *(pairs * np.array(form.areas_orthogonal))],
            ]
        )
        values = [exact.g2, exact.brightness]
        limits = [form.g2, hbt.sum()]
        differences.append(
            np.append(numbers(exact, delay_periods) / expected - 1, np.array(values) / np.array(limits) - 1)
        )
    assert np.abs(differences[1]).max() < 5e-4
    # what has no linear term to speak of must be smaller still
    np.testing.assert_allclose(differences[0], 10 * differences[1], rtol=0.02, atol=1e-7)
    assert np.abs(differences[1]).max() > 1e-6


@pytest.mark.parametrize(("dead_time_ps", "blinded"), [(7_500, 0.0), (20_000, 0.5)])
def test_first_order_of_the_central_peak_for_single_photons(dead_time_ps: int, blinded: float) -> None:
    """A0/A_unc of a source with g2 = 0 rises by (1 + M)/2 clicks per pulse, and by 1/2 more with a blind neighbour.

    Two photons bunch at one detector of an uncorrelated slot with a chance of (1 + M)/2 p², and click once; a
    coincidence holds one photon each. Its long photon can't have blinded a detector one pulse before, which
    leaves half the chance for that; in an uncorrelated slot every second photon is long, which leaves 3/4.
    """
    detector = {"dark_rate_hz": 0.0, "dead_time_ps": dead_time_ps}
    setup = pillar(1e-3, detector, detector, emitter={"lifetime_ps": 200.0, "overlap": 0.963})
    controls = PulseControls(pulse_fwhm_ps=0)
    exact = predict_clicks(setup, controls, window_ps=WINDOW_PS)
    form = predict(setup, controls)
    photons = setup.transmission * 0.9 * 0.8 / 2
    slope = (exact.parallel.central_to_far * 2 / (1 - form.visibility_unc) - 1) / photons
    assert slope == pytest.approx((1 + form.visibility_unc) / 2 + blinded, rel=1e-3)


def test_visibilities_tend_to_the_closed_forms() -> None:
    quiet = {"dark_rate_hz": 0.0}
    form = predict(load_setup("pillar-930"), PulseControls())
    off = []
    for times in (1e-2, 1e-3):
        exact = predict_clicks(pillar(times, quiet, quiet), PulseControls(), window_ps=WINDOW_PS)
        off.append([exact.visibility_unc - form.visibility_unc, exact.visibility_cross - form.visibility_cross])
    np.testing.assert_allclose(off[0], 10 * np.array(off[1]), rtol=0.02)
    assert 1e-7 < np.abs(off[1]).max() < 1e-5


def sampled(setup: Setup, controls: PulseControls, path: str, lag: int) -> np.ndarray:
    """Clicks of a and b, coincidences at lags 0, ±lag and far, per pulse; a row for each batch."""
    stream = LightStream(setup, controls, path, seed=[5, lag])
    rows = []
    for _ in range(BATCHES):
        words = stream.take(BATCH_PULSES * PERIOD_PS)
        t_ps, channel = words >> 5, words & 31
        a_ps, b_ps = t_ps[channel == 2], t_ps[channel == 3] - setup.delay_b_ps
        peaks = [coincidences(a_ps, b_ps, order) for order in (0, lag, -lag)]
        far = np.mean([coincidences(a_ps, b_ps, sign * order) for order in FAR for sign in (1, -1)])
        rows.append([a_ps.size, b_ps.size, *peaks, far])
    return np.array(rows) / BATCH_PULSES


def coincidences(a_ps: np.ndarray, b_ps: np.ndarray, lag: int) -> float:
    """Pairs in the window of a peak, allowing for those that the batch's ends cut off."""
    first = a_ps + lag * PERIOD_PS - WINDOW_PS // 2
    count = (np.searchsorted(b_ps, first + WINDOW_PS) - np.searchsorted(b_ps, first)).sum()
    return float(count) / (1 - abs(lag) / BATCH_PULSES)


CASES = {
    "profile, 3 times brighter": (pillar(3, {}, {}), PulseControls(), 1),
    "uneven, dark counts": (
        pillar(
            *(4, {"dead_time_ps": 8_000, "dark_rate_hz": 1e6}, {"dead_time_ps": 45_000, "efficiency": 0.6}),
            interferometer=UNEVEN,
            hbt={"transmission": 0.45},
        ),
        PulseControls(pulse_fwhm_ps=40),
        1,
    ),
    "two periods, a second pulse": (
        pillar(4, {"dead_time_ps": 32_000}, {}, interferometer=UNEVEN | {"delay_periods": 2}),
        TWICE,
        2,
    ),
    "interferometer and dead time together": (pillar(4, {}, {}), PulseControls(), 2),
    "near peak within the dead time": (
        pillar(4, {"dead_time_ps": 32_000}, {"dead_time_ps": 32_000}),
        PulseControls(),
        2,
    ),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", CASES)
def test_the_event_sampler_clicks_the_same(name: str, path: str) -> None:
    setup, controls, lag = CASES[name]
    rows = sampled(setup, controls, path, lag)
    expected = numbers(predict_clicks(setup, controls, window_ps=WINDOW_PS), lag)[list(PATHS).index(path)]
    error = rows.std(axis=0, ddof=1) / math.sqrt(BATCHES)
    z = (rows.mean(axis=0) - expected) / error
    assert np.all(np.abs(z) < 4), z


@pytest.mark.parametrize("path", PATHS)
def test_photon_counts_would_be_noticed(path: str) -> None:
    """The closed form of the far peak is far off at this brightness, so the comparison above can fail."""
    setup, controls, lag = CASES["profile, 3 times brighter"]
    far = sampled(setup, controls, path, lag)[:, 5]
    photons = setup.transmission * 0.8 * predict(setup, controls).mean_photons * (1 if path == "hbt" else 0.9)
    error = far.std(ddof=1) / math.sqrt(BATCHES)
    assert abs(far.mean() - photons**2 / 4) > 10 * error


def test_what_cuts_light_is_refused() -> None:
    controls = PulseControls()
    for window_ps in (1_000, 13_000):
        with pytest.raises(ConfigurationError, match="window_ps"):
            predict_clicks(pillar(1, {}, {}), controls, window_ps=window_ps)
    for dead_time_ps in (0, 12_500, 24_000):
        with pytest.raises(ConfigurationError, match=r"detector_b\.dead_time_ps"):
            predict_clicks(pillar(1, {}, {"dead_time_ps": dead_time_ps}), controls, window_ps=WINDOW_PS)
    with pytest.raises(ConfigurationError, match="delay_periods"):
        predict_clicks(pillar(1, {}, {}, interferometer={"delay_periods": 40}), controls, window_ps=WINDOW_PS)
