"""A histogram of delays: pulsed or continuous, antibunching or interference, or a decay, as its shape says.

1. A comb with one low peak is a pulsed Hanbury Brown-Twiss measurement, unless the peaks beside the low one are low as
   well, which antibunching never does: then it is interference, if the whole pattern is there, or refused.
2. With a comb or without, a curve that rises from and sinks to far below its maximum is a decay.
3. Without a comb, a level that has a dip but doesn't sink is that of a continuously pumped source.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qdhil.analysis.beside import pairs_beside
from qdhil.analysis.choices import Choices
from qdhil.analysis.findings import Findings
from qdhil.analysis.snapshots import without_bursts
from qdhil.errors import FormatError
from qdhil.metrics.comb import find_comb
from qdhil.metrics.delay_counts import DelayCounts
from qdhil.metrics.hbt import HbtResult, analyse_histogram
from qdhil.statistics.intervals import poisson_ratio_interval
from qdhil.tags.recording import DelayHistogram, Histograms

_LOW_SIDE, _HINT_SIDE = 0.9, 0.87
_SURE, _HINT = 0.999, 0.85


def analyse_delays(histogram: DelayHistogram, choices: Choices) -> Findings:
    """Return what a histogram of delays tells.

    Raises
    ------
    FormatError
        With the reasons, if nothing can be estimated.
    """
    kept, notes = without_bursts(histogram)
    delays = DelayCounts(kept.counts, kept.first_ps, kept.bin_ps)
    attempts: dict[str, Callable[[], Findings]] = {
        "hbt": lambda: _pulsed(kept, choices),
        "hom": lambda: _interference(delays, choices),
        "decay": lambda: _decay(kept, choices),
        "cw": lambda: _continuous(kept, choices),
    }
    if choices.kind == "auto":
        if has_comb(delays):
            del attempts["cw"]
        else:
            del attempts["hom"], attempts["cw" if _sinks(kept) else "decay"]
    found = first_that_works(attempts, choices)
    found.notes[:0] = notes
    return found


def _pulsed(histogram: DelayHistogram, choices: Choices) -> Findings:
    from qdhil.analysis.pulsed import Snapshots, analyse_pulsed

    result = analyse_histogram(
        histogram.counts,
        first_ps=histogram.first_ps,
        bin_ps=histogram.bin_ps,
        window_ps=choices.window_ps,
        confidence=choices.confidence,
    )
    doubts = refuse_interference(result, choices)
    snapshots = None if histogram.snapshots is None else Snapshots(histogram.snapshots)
    found = analyse_pulsed(result, choices, snapshots=snapshots)
    found.notes += doubts
    return found


def _interference(delays: DelayCounts, choices: Choices) -> Findings:
    from qdhil.analysis.interference import analyse_interference, find_pattern

    return analyse_interference(find_pattern(delays, choices, strict=choices.kind != "hom"), choices)


def _continuous(histogram: DelayHistogram, choices: Choices) -> Findings:
    from qdhil.analysis.continuous import analyse_dip

    return analyse_dip(histogram.counts, first_ps=histogram.first_ps, bin_ps=histogram.bin_ps, choices=choices)


def _decay(histogram: DelayHistogram, choices: Choices) -> Findings:
    from qdhil.analysis.decays import analyse_decay, decay_of_curve

    curve = decay_of_curve(histogram.counts, bin_ps=histogram.bin_ps, period_ps=histogram.period_ps)
    return analyse_decay(curve, name="decay", confidence=choices.confidence)


def has_comb(histogram: DelayCounts, period_ps: float | None = None) -> bool:
    """Return whether pulses show in a histogram of delays."""
    try:
        find_comb(histogram.counts, first_ps=histogram.first_ps, bin_ps=histogram.bin_ps, period_ps=period_ps)
    except ValueError:
        return False
    return True


def first_that_works(attempts: dict[str, Callable[[], Findings]], choices: Choices) -> Findings:
    """Return what the first of the allowed attempts finds; refuse (FormatError) with the reasons of all.

    Attempts are named by the kind of measurement; where the caller asked for a window, only pulsed ones are made.
    """
    reasons: list[str] = []
    for kind, attempt in attempts.items():
        if choices.kind not in ("auto", kind) or (choices.window_ps and kind not in ("hbt", "hom")):
            continue
        try:
            return attempt()
        except ValueError as error:
            said = str(error) if choices.kind == kind or kind == "hbt" else f"{_MEANT[kind]}: {error}"
            if kind != "hom" or choices.kind == "hom":
                reasons.append(said)
    if not reasons:
        raise FormatError(f"nothing of kind {choices.kind} can be taken from correlations or decays")
    raise FormatError("; ".join(reasons))


_MEANT = {"hom": "as interference", "cw": "as continuous light", "decay": "as a decay"}


def refuse_interference(result: HbtResult, choices: Choices) -> list[str]:
    """Refuse (ValueError) a low peak whose neighbours are low as well: antibunching and dead time never do that.

    The two at the interferometer's delay are compared with those beyond, raised as these say that blinking raises them.
    Returned is what to say where they may be low, but too few pairs tell.
    """
    counts, delay = result.counts, choices.delay_periods
    peaks = np.asarray(counts.peaks)
    lag = np.abs(np.arange(-counts.max_lag, counts.max_lag + 1))
    beside, far = int(peaks[lag == delay].sum()), lag > delay
    pairs = int(peaks[far].sum())
    if choices.kind == "hbt" or counts.max_lag <= delay or not pairs:
        return []
    blinking = max(pairs_beside(counts, delay) / (pairs / int(far.sum())), 1e-3)
    scales = [int(far.sum()) / 2 / raised for raised in (1.0, blinking)]
    lowest = max(scales, key=lambda scale: -beside * scale)
    seen = f"the peaks beside the central one hold {beside * lowest / pairs:.2f} of the far ones: "
    if poisson_ratio_interval(beside, pairs, _SURE)[1] * lowest < _LOW_SIDE:
        raise ValueError(
            f"{seen}interference (--kind hom), or a distorted histogram; "
            "--kind hbt takes it for antibunching all the same"
        )
    unlikely = beside * lowest / pairs < _HINT_SIDE and poisson_ratio_interval(beside, pairs, _HINT)[1] * lowest < 1
    return [f"{seen}few enough for interference, which --kind hom takes it for"] if unlikely else []


def _sinks(histogram: DelayHistogram) -> bool:
    """Return whether the histogram sinks to less than half its maximum over much of its range, as a decay does."""
    filled = np.flatnonzero(histogram.counts)
    used = histogram.counts[filled[0] : filled[-1] + 1]
    width = max(used.size // 50, 1)
    level = np.convolve(used, np.ones(width) / width, "valid")
    return float(np.median(level)) < 0.5 * float(level.max())


def analyse_curves(recording: Histograms, choices: Choices) -> Findings:
    """Return what each curve of a counting card tells, and for those that tell nothing, why.

    Raises
    ------
    FormatError
        If none tells anything.
    """
    found = Findings()
    reasons: list[str] = []
    for number, curve in recording.curves.items():
        try:
            found.add(analyse_delays(curve, choices).of_curve(number))
        except FormatError as error:
            reasons.append(f"nothing from curve {number}: {_last(str(error))}")
    if not found.estimates:
        raise FormatError(reasons[0] + (f" (and {len(reasons) - 1} more curves)" if reasons[1:] else ""))
    found.notes += reasons
    return found


def _last(reasons: str) -> str:
    """Return the last of the reasons, which is that of a decay where there are several: such are a card's curves."""
    return reasons.rpartition("; ")[2].removeprefix(f"{_MEANT['decay']}: ")
