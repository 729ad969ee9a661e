"""Measure the simulated light against its closed forms, and draw the figure and the table of it.

``python docs/acceptance_figure.py`` writes ``docs/acceptance.svg`` and ``docs/acceptance.md``. Seeds are fixed, so a
second run writes the same files. Pairs are counted with numpy alone, so that neither the library's kernels nor its
estimators can hide an error of the light.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from qdhil.metrics import fidelity_six_settings, reconstruct_state
from qdhil_sim.light import LightStream, PulseControls, Setup
from qdhil_sim.light.cascade import CascadeEmitter, CascadeSetup, PairStream, pair_quality
from qdhil_sim.light.clicks import non_paralysable_rate_hz, paralysable_rate_hz
from qdhil_sim.light.closed_form import adjacent_visibility, predict, source_numbers
from qdhil_sim.light.continuous import ContinuousEmitter, ContinuousSetup, ContinuousStream, correlation
from qdhil_sim.light.detector import Detector
from qdhil_sim.light.wave_plates import ANALYSERS, SIXTEEN_SETTINGS

DOCS = Path(__file__).resolve().parent
PERIOD_PS = 12_500
PULSES = 100_000
BATCHES = 60
SHARP = PulseControls(pulse_fwhm_ps=0)
JAMES = (
    34749, 324, 35805, 444, 16324, 17521, 13441, 16901,
    17932, 32028, 15132, 17238, 13171, 17170, 16722, 33586,
)  # fmt: skip
Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


class Row(NamedTuple):
    """One comparison."""

    group: str
    name: str
    measured: float
    error: float
    expected: float

    @property
    def deviation(self) -> float:
        """In standard errors."""
        off = self.measured - self.expected
        return off / self.error if self.error > 0 else (0.0 if off == 0 else math.inf)


def bright(**changes: Any) -> Setup:
    """Return a setup without dead time and dark counts, so bright that short acquisitions tell."""
    detector = {"efficiency": 0.9, "jitter_ps": 20.0}
    fields: dict[str, Any] = {
        "rep_rate_hz": 80e6,
        "transmission": 0.4,
        "sync_divider": 8192,
        "emitter": dot(),
        "detector_a": detector,
        "detector_b": detector,
    }
    return Setup.model_validate(fields | changes)


def dot(**changes: Any) -> dict[str, Any]:
    """Return an emitter of 200 ps."""
    return {"lifetime_ps": 200.0, "overlap": 1.0, **changes}


def batches(setup: Setup, path: Any, controls: PulseControls, seed: int) -> Iterator[tuple[Times, Times]]:
    """Yield times of a and b."""
    stream = LightStream(setup, controls, path, seed=seed)
    for _ in range(BATCHES):
        words = stream.take(PULSES * PERIOD_PS)
        yield words[(words & 31) == 2] >> 5, words[(words & 31) == 3] >> 5


def pairs(a_ps: Times, b_ps: Times, lag: int) -> int:
    """Count pairs of tags ``lag`` pulses apart, within half a period."""
    middle = lag * PERIOD_PS
    low, high = (np.searchsorted(b_ps, a_ps + middle + side * PERIOD_PS // 2) for side in (-1, 1))
    return int((high - low).sum())


def peaks(
    setup: Setup, path: str, lags: Sequence[int], controls: PulseControls = SHARP, seed: int = 1
) -> tuple[Floats, Floats]:
    """Return pair counts by batch and lag, and the clicks of both detectors by batch."""
    rows, clicks = [], []
    for a_ps, b_ps in batches(setup, path, controls, seed):
        rows.append([pairs(a_ps, b_ps, lag) for lag in lags])
        clicks.append([a_ps.size, b_ps.size])
    return np.array(rows, np.float64), np.array(clicks, np.float64)


def mean(group: str, name: str, samples: Floats, expected: float) -> Row:
    """Compare a mean over batches."""
    return Row(
        group,
        name,
        float(samples.mean()),
        float(samples.std(ddof=1) / math.sqrt(samples.size)),
        float(expected),
    )


def ratio(group: str, name: str, above: Floats, below: Floats, expected: float, scale: Callable[[float], float]) -> Row:
    """Compare a function, linear in it, of the ratio of two batch means; error by the delta method."""
    found = float(above.mean() / below.mean())
    spread = float((above - found * below).std(ddof=1) / math.sqrt(above.size) / below.mean())
    return Row(group, name, scale(found), abs(scale(1.0) - scale(0.0)) * spread, expected)


def as_is(value: float) -> float:
    """Return the ratio itself."""
    return value


def singles() -> Iterator[Row]:
    """(1) Clicks per pulse are the mean photon number times the losses."""
    for name, area in (("π pulse", 1.0), ("π/2 pulse", 0.5)):
        controls = PulseControls(pulse_area_pi=area)
        setup = bright(hbt={"transmission": 0.45})
        _, clicks = peaks(setup, "hbt", [], controls)
        unit = source_numbers(setup, controls).mean * 0.36
        yield mean("1 singles", f"{name}, a", clicks[:, 0] / PULSES, 0.45 * unit)
        yield mean("1 singles", f"{name}, b", clicks[:, 1] / PULSES, 0.55 * unit)


def purity() -> Iterator[Row]:
    """(2) g2(0) of laser leak beside a single photon."""
    for g2 in (0.0, 0.02, 0.1):
        leak = (1 - g2 - math.sqrt(1 - 2 * g2)) / g2 if g2 else 0.0
        counts, _ = peaks(bright(emitter=dot(leak_photons=leak)), "hbt", [0, 7, -7])
        yield ratio("2 g2(0)", f"g2 = {g2:g}", counts[:, 0], counts[:, 1:].mean(axis=1), g2, as_is)


def areas() -> Iterator[Row]:
    """(3) The areas of the HOM peaks."""
    for short, mismatch in ((0.5, 0.0), (0.45, 0.0), (0.5, 0.03), (0.45, 0.03)):
        mzi = {"bs1_short": short, "bs2_transmission": 1 - short, "mode_mismatch": mismatch}
        setup = bright(emitter=dot(overlap=0.9, leak_photons=0.03), interferometer=mzi)
        expected = predict(setup, PulseControls()).areas_parallel
        counts, _ = peaks(setup, "hom_parallel", [0, 1, -1, 3, -3], PulseControls(), seed=2)
        unit = PULSES * (0.36 * source_numbers(setup, PulseControls()).mean) ** 2
        found = [counts[:, 0], counts[:, 1], counts[:, 2], counts[:, 3:].mean(axis=1)]
        for name, samples, value in zip(("A0", "A+1", "A-1", "A far"), found, expected, strict=True):
            yield mean(
                "3 HOM areas",
                f"{name}, {100 * short:g}:{100 - 100 * short:g}, ε = {mismatch:g}",
                samples / unit,
                value,
            )


def visibilities() -> Iterator[Row]:
    """(4) V by far peaks and V' by adjacent ones, where blinking sets them apart."""
    for name, blinking in (("steady", {}), ("blinking", {"on_fraction": 0.5, "correlation_ns": 200.0})):
        setup = bright(emitter=dot(overlap=0.9, leak_photons=0.02, blinking=blinking))
        form = predict(setup, SHARP)
        counts, _ = peaks(setup, "hom_parallel", [0, 1, -1, 300, -300], seed=3)
        far, near = counts[:, 3:].mean(axis=1), counts[:, 1] + counts[:, 2]
        yield ratio("4 V and V'", f"V, {name}", counts[:, 0], far, form.visibility_unc, lambda x: 1 - 2 * x)
        value = adjacent_visibility(form.areas_parallel, form.g2)
        weight = 3 + form.g2
        yield ratio("4 V and V'", f"V', {name}", counts[:, 0], near, value, lambda x, w=weight: 1 - w * x)


def overlaps() -> Iterator[Row]:
    """(5) What limits the overlap."""
    wandering = {"diffusion": {"sd_ghz": 0.3, "correlation_ns": 50.0}}
    cases: list[tuple[str, dict[str, Any], dict[str, float]]] = [
        ("dephasing", {"emitter": dot(overlap=0.8)}, {}),
        ("detuning", {}, {"bias_ripple_ghz": 0.4}),
        ("pulse jitter", {}, {"sync_jitter_ps": 30.0}),
        ("feeding", {"excitation": {"kind": "p-shell", "relaxation_ps": 20.0}}, {}),
        ("cascade", {"excitation": {"kind": "two-photon", "biexciton_lifetime_ps": 100.0}}, {}),
        ("diffusion", {"emitter": dot(**wandering)}, {}),
        ("diffusion, dephasing", {"emitter": dot(overlap=0.9, **wandering)}, {}),
        ("delay mismatch", {"interferometer": {"delay_error_ps": 30.0}}, {}),
    ]
    for name, changes, settings in cases:
        setup, controls = bright(**changes), PulseControls(pulse_fwhm_ps=0, **settings)
        counts, _ = peaks(setup, "hom_parallel", [0, 4, -4], controls, seed=4)
        expected = predict(setup, controls).overlap_signal
        far = counts[:, 1:].mean(axis=1)
        yield ratio("5 overlap", name, counts[:, 0], far, expected, lambda x: 1 - 2 * x)


def blinking() -> Iterator[Row]:
    """(6) The envelope of the side peaks."""
    lags = [1, 4, 8, 16]
    setup = bright(transmission=0.15, emitter=dot(blinking={"on_fraction": 0.5, "correlation_ns": 100.0}))
    source = source_numbers(setup, SHARP)
    counts, _ = peaks(setup, "hbt", lags, seed=5)
    unit = PULSES * (0.15 * 0.9 * source.mean / 2) ** 2
    for lag, samples in zip(lags, counts.T, strict=True):
        yield mean("6 blinking", f"peak {lag}", samples / unit, source.envelope(lag * PERIOD_PS))


def dead_time() -> Iterator[Row]:
    """(7) Near side peaks of detectors with dead time, 1/(1 - p) or 1 + p to first order; and steady light."""
    detector = {"efficiency": 1.0, "jitter_ps": 20.0, "dead_time_ps": 56_000}
    for transmission in (0.06, 0.15):
        setup = bright(transmission=transmission, detector_a=detector, detector_b=detector)
        near, far = [1, 2, 3, 4, -1, -2, -3, -4], [9, 11, 13, -9, -11, -13]
        counts, clicks = peaks(setup, "hbt", [*near, *far], seed=6)
        observed = float(clicks.mean()) / PULSES
        above, below = counts[:, :8].mean(axis=1), counts[:, 8:].mean(axis=1)
        yield ratio("7 dead time", f"near/far, p = {observed:.3f}", above, below, 1 / (1 - observed), as_is)
    for kind, law in (("non-paralysable", non_paralysable_rate_hz), ("paralysable", paralysable_rate_hz)):
        emitter = ContinuousEmitter(lifetime_ps=500, pump_per_ns=1.0)
        blind = Detector(efficiency=1.0, dead_time_ps=50_000, dead_time_kind=kind)
        setup_cw = ContinuousSetup(transmission=0.03, emitter=emitter, detector_a=blind, detector_b=blind)
        clicks_cw = ContinuousStream(setup_cw, seed=7).take(10**11).size / 2
        expected = law(correlation(emitter).photons_per_ps * 1e12 * 0.015, 50_000) * 0.1
        yield Row("7 dead time", f"{kind}, Mcps", clicks_cw / 1e5, (clicks_cw / 2) ** 0.5 / 1e5, expected / 1e5)


def dip() -> Iterator[Row]:
    """(8) The dip of continuous light, blurred by both detectors."""
    emitter = ContinuousEmitter(lifetime_ps=600, pump_per_ns=1 / 0.6, background_share=1 - math.sqrt(0.95))
    detector = Detector(efficiency=1.0, jitter_ps=200 / math.sqrt(2))
    setup = ContinuousSetup(transmission=0.04, emitter=emitter, detector_a=detector, detector_b=detector)
    lasts_ps, width_ps = 5 * 10**11, 40
    words = ContinuousStream(setup, seed=8).take(lasts_ps)
    a_ps, b_ps = words[(words & 31) == 2] >> 5, words[(words & 31) == 3] >> 5
    for delay_ps in (0, 200, 400, 800, 1600):
        low, high = (np.searchsorted(b_ps, a_ps + delay_ps + side * width_ps // 2) for side in (-1, 1))
        count, unit = int((high - low).sum()), a_ps.size * b_ps.size * width_ps / lasts_ps
        expected = float(correlation(emitter).at(delay_ps, sigma_ps=200.0))
        yield Row("8 CW dip", f"τ = {delay_ps} ps", count / unit, math.sqrt(count) / unit, expected)


def p_values() -> Iterator[Row]:
    """(9) Exact p-values of 1000 acquisitions are uniform."""
    number, pulses, lags = 1000, 60_000, 10
    setup = bright(transmission=0.08, emitter=dot(leak_photons=0.05))
    stream = LightStream(setup, PulseControls(), "hbt", seed=9)
    central, side = np.zeros((2, number), np.int64)
    for place in range(number):
        words = stream.take(pulses * PERIOD_PS)
        a_ps, b_ps = words[(words & 31) == 2] >> 5, words[(words & 31) == 3] >> 5
        counts = [pairs(a_ps, b_ps, lag) for lag in range(-lags // 2, lags // 2 + 1)]
        central[place] = counts[lags // 2]
        side[place] = sum(counts) - counts[lags // 2]
    g2 = predict(setup, PulseControls()).g2
    law = stats.binom(central + side, g2 / (g2 + lags))
    values = law.cdf(central - 1) + np.random.default_rng(1).random(number) * law.pmf(central)
    yield mean("9 p-values", "mean", values, 0.5)
    for level in (0.05, 0.5, 0.95):
        error = math.sqrt(level * (1 - level) / number)
        yield Row("9 p-values", f"share below {level:g}", float(np.mean(values < level)), error, level)


def reexcitation() -> Iterator[Row]:
    """(10) g2(0) of a driven dot by the length of its pulse."""
    for share, solved in ((0.02, 0.0061), (0.05, 0.0150), (0.1, 0.0290)):
        controls = PulseControls(pulse_fwhm_ps=200 * share)
        counts, _ = peaks(bright(), "hbt", [0, 7, -7], controls, seed=10)
        expected = predict(bright(), controls).g2
        name = f"pulse of {share:g} T1 (QuTiP {solved:g})"
        yield ratio("10 re-excitation", name, counts[:, 0], counts[:, 1:].mean(axis=1), expected, as_is)


def entanglement() -> Iterator[Row]:
    """(11) Data of James et al., and the fidelity of simulated pairs by six settings."""
    found = reconstruct_state(list(SIXTEEN_SETTINGS), JAMES)
    for place, published in ((0, 1.0215), (-1, -0.0653)):
        name = f"eigenvalue {published:+.4f} of James' data"
        yield Row("11 tomography", name, sorted(found.inverted_eigenvalues)[-1 - place], 5e-5, published)
    for splitting_uev in (0.0, 1.0, 2.0):
        emitter = CascadeEmitter(
            pair_probability=0.9,
            lifetime_biexciton_ps=120,
            lifetime_exciton_ps=250,
            splitting_uev=splitting_uev,
        )
        estimate = fidelity_six_settings(six_settings(emitter))
        error = (estimate.high - estimate.low) / 3.92
        name = f"fidelity, S = {splitting_uev:g} µeV"
        yield Row("11 tomography", name, estimate.value, error, pair_quality(emitter).fidelity)


def six_settings(emitter: CascadeEmitter) -> dict[str, tuple[int, int]]:
    """Return pairs with like and unlike outcomes in three bases."""
    detector = Detector(efficiency=0.9, jitter_ps=20.0)
    setup = CascadeSetup(
        rep_rate_hz=80e6,
        transmission_biexciton=0.2,
        transmission_exciton=0.2,
        emitter=emitter,
        detector_biexciton=detector,
        detector_exciton=detector,
        sync_divider=8192,
    )
    outcomes = {}
    for place, basis in enumerate(("HV", "DA", "RL")):
        plates = ANALYSERS[basis[0]]
        words = PairStream(setup, plates, plates, seed=[11, place]).take(20 * 10**9)
        ports = [words[(words & 31) == channel] >> 5 for channel in (2, 3, 4, 5)]
        like = pairs(ports[0], ports[2], 0) + pairs(ports[1], ports[3], 0)
        outcomes[basis] = (like, pairs(ports[0], ports[3], 0) + pairs(ports[1], ports[2], 0))
    return outcomes


ITEMS = (
    singles,
    purity,
    areas,
    visibilities,
    overlaps,
    blinking,
    dead_time,
    dip,
    p_values,
    reexcitation,
    entanglement,
)


def measure() -> list[Row]:
    """Return every comparison."""
    return [row for item in ITEMS for row in item()]


def draw(rows: list[Row], file: Path) -> None:
    """Draw deviations by item, and measured against expected values."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    with mpl.rc_context({"svg.hashsalt": "acceptance", "svg.fonttype": "none", "font.size": 8}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 8.5), width_ratios=[1.3, 1], layout="constrained")
        groups = list(dict.fromkeys(row.group for row in rows))
        colours = {group: plt.get_cmap("tab20")(place % 20) for place, group in enumerate(groups)}
        for place, row in enumerate(rows):
            colour = colours[row.group]
            left.errorbar(row.deviation, place, xerr=1.0, fmt="o", ms=3, color=colour)
            if min(row.measured, row.expected) > 0:
                right.errorbar(row.expected, row.measured, yerr=row.error, fmt="o", ms=3, color=colour)
        left.axvspan(-4, 4, color="0.95", zorder=0)
        left.axvline(0, color="0.5", lw=0.8)
        left.set_xlim(-5, 5)
        left.set_ylim(len(rows) - 0.5, -0.5)
        left.set_yticks(range(len(rows)), [f"({row.group.split()[0]}) {row.name}" for row in rows], fontsize=5.5)
        left.set_xlabel("(measured - closed form) / standard error")
        values = [row.expected for row in rows if row.expected > 0]
        right.plot([min(values), max(values)], [min(values), max(values)], color="0.5", lw=0.8, zorder=0)
        right.set(xscale="log", yscale="log", xlabel="closed form", ylabel="measured")
        for group in groups:
            right.plot([], [], "o", ms=3, color=colours[group], label=group)
        right.legend(fontsize=7, loc="upper left")
        figure.savefig(file, metadata={"Date": None})
        plt.close(figure)


def table(rows: list[Row]) -> str:
    """Return the page with the table."""
    worst = max(rows, key=lambda row: abs(row.deviation))
    lines = [
        "# The simulated light against its closed forms",
        "",
        f"{len(rows)} comparisons; the largest deviation is {abs(worst.deviation):.1f} standard errors ({worst.name}).",
        "Beyond 4 standard errors a correct simulator goes once in 16 000 comparisons.",
        "",
        "![measured against closed form](acceptance.svg)",
        "",
        "| item | quantity | measured | standard error | closed form | deviation |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        numbers = f"{row.measured:.5g} | {row.error:.2g} | {row.expected:.5g} | {row.deviation:+.1f}"
        lines.append(f"| {row.group} | {row.name} | {numbers} |")
    return "\n".join(lines) + "\n"


def main(folder: Path = DOCS) -> int:
    """Write the figure and the table; return 1 where a comparison fails."""
    rows = measure()
    draw(rows, folder / "acceptance.svg")
    (folder / "acceptance.md").write_text(table(rows), encoding="utf-8")
    return int(any(abs(row.deviation) > 4 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
