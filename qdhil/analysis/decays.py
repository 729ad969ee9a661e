"""Lifetimes of a decay: its single-exponential tail, and where it fits, the whole of it with the rise.

The tail begins where a single exponential on a floor first fits it, and ends as long after it has sunk into
the floor as it took to sink. A curve of several laser periods is folded into one; one that isn't a decay (no
rise over its own floor, flat, or an instrument's response without a tail) is refused.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdhil.analysis.decay_panels import tail_panel, whole_panel
from qdhil.analysis.findings import Findings
from qdhil.analysis.whole_decay import Decay, fit_whole
from qdhil.metrics.decay_tail import NotExponentialError, Tail, best_tail
from qdhil.metrics.histogram import Histogram

_HIGHEST_FLOOR = 0.5
"""Above this part of its maximum a curve's lowest level is no floor under a decay."""
_LEAST_TAIL = 0.03
_SMALL_TAIL = 0.3
_MOST_BINS = 4000
_PILE_UP = 0.05
_DEPARTS = 3.0
_FILLED, _FEWEST_ALIKE, _ALIKE = 0.1, 3, 0.7


def decay_of_curve(counts: npt.NDArray[np.int64], *, bin_ps: float, period_ps: float | None) -> Decay:
    """Return the decay in a curve of a counting card; refuse (ValueError) what isn't one.

    Parameters
    ----------
    counts
        Counts per bin, shape (bins,).
    bin_ps
        Width of a bin in ps.
    period_ps
        Laser period where the file tells it, else it is looked for.
    """
    from qdhil.metrics.comb import find_comb

    filled = np.flatnonzero(counts)
    if filled.size < 2 or int(counts.sum()) < 100:
        raise ValueError(f"{int(counts.sum())} counts are too few for a lifetime")
    used = counts[filled[0] : filled[-1] + 1]
    found_ps = None
    try:
        comb = find_comb(used, first_ps=0.0, bin_ps=bin_ps)
    except ValueError:
        pass
    else:
        found_ps = comb.period_ps if _repeats(used, comb.period_ps / bin_ps) else None
    if found_ps is not None:
        used = folded(used, found_ps / bin_ps)
        return _turned(used, bin_ps, found_ps)
    for whole in (used, counts):
        if period_ps is not None and abs(whole.size * bin_ps - period_ps) < 0.01 * period_ps:
            return _turned(whole[: int(period_ps // bin_ps)], bin_ps, period_ps)
    if period_ps is not None and used.size * bin_ps > period_ps:
        return _turned(folded(used, period_ps / bin_ps), bin_ps, period_ps)
    return Decay(Histogram.of(used, first_ps=bin_ps / 2, bin_ps=bin_ps), None)


def decay_of_clicks(since_sync_ps: npt.NDArray[np.int64], *, period_ps: float, resolution_ps: float) -> Decay:
    """Return the decay of one detector's clicks by their time since the laser pulse, in ps, shape (clicks,)."""
    bin_ps = resolution_ps * max(1, int(np.ceil(period_ps / resolution_ps / _MOST_BINS)))
    bins = int(period_ps // bin_ps)
    if bins < 8:
        raise ValueError(f"{bins} bins of {bin_ps:g} ps in a period are too coarse for a lifetime")
    phase = np.floor((since_sync_ps % period_ps + 0.01 * resolution_ps) / bin_ps).astype(np.int64)
    return _turned(np.bincount(phase[phase < bins], minlength=bins), bin_ps, period_ps)


def folded(counts: npt.NDArray[np.int64], period_bins: float) -> npt.NDArray[np.int64]:
    """Return the sum over all whole periods; each adds exactly one bin to each of the folded ones."""
    bins = int(period_bins)
    whole = int(counts.size / period_bins)
    period, phase = np.divmod(np.arange(counts.size, dtype=np.float64), period_bins)
    kept = (phase < bins) & (period < max(whole, 1))
    total: npt.NDArray[np.int64] = np.bincount(phase[kept].astype(np.int64), weights=counts[kept], minlength=bins)
    return np.rint(total).astype(np.int64)


def _repeats(counts: npt.NDArray[np.int64], period_bins: float) -> bool:
    """Return whether the first and the second half of the periods show the same decay."""
    periods = int(counts.size / period_bins)
    if periods < 2:
        return False
    middle = int(periods // 2 * period_bins)
    first, second = folded(counts[:middle], period_bins), folded(counts[middle : 2 * middle], period_bins)
    # a single decay has ripples that look like a comb, but each period of them holds less than the one before
    place = (np.arange(counts.size) / period_bins).astype(np.int64)
    totals = np.bincount(place, weights=counts)[:periods]
    pairs = totals[:-1] > _FILLED * totals.max()
    steps = totals[1:][pairs] / totals[:-1][pairs]
    alike = steps.size >= _FEWEST_ALIKE and float(np.median(steps)) > _ALIKE
    return alike and bool(np.corrcoef(first, second)[0, 1] > 0.5)


def _turned(counts: npt.NDArray[np.int64], bin_ps: float, period_ps: float) -> Decay:
    peak = int(np.argmax(_smooth(counts, max(counts.size // 2000, 1))))
    turned = np.roll(counts, counts.size // 4 - peak)
    return Decay(Histogram.of(turned, first_ps=bin_ps / 2, bin_ps=bin_ps), period_ps)


def _smooth(counts: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.float64]:
    return np.convolve(counts, np.ones(width) / width, "same")


def analyse_decay(
    decay: Decay, *, name: str, confidence: float, clicks_per_pulse: float | None = None, label: str = ""
) -> Findings:
    """Return the lifetime of the tail and, where it fits, of the whole decay with its rise.

    Parameters
    ----------
    decay
        Counts after the pulse.
    name
        Title of the plot.
    confidence
        Nominal coverage of the intervals.
    clicks_per_pulse
        Clicks per laser pulse, for the check of pile-up.
    label
        What the notes speak of, such as ``"channel 1"``.

    Raises
    ------
    ValueError
        If it isn't a decay, or no part of it is a single exponential.
    """
    histogram, where = decay.histogram, f"{label}: " if label else ""
    peak_level, floor = _levels(histogram.array)
    if floor > _HIGHEST_FLOOR * peak_level:
        raise ValueError(f"no decay: the level falls from {peak_level:.3g} to {floor:.3g} counts a bin only")
    try:
        tail = best_tail(histogram, confidence=confidence)
    except NotExponentialError as error:
        return _without_tail(decay, str(error), name, where, clicks_per_pulse, confidence)
    if tail.share < _LEAST_TAIL:
        raise ValueError(
            f"only {tail.share:.1%} of the clicks lie in a tail of {tail.estimate.value:.0f} ps: an instrument's "
            "response, or a decay of many exponentials"
        )
    notes = [where + note for note in _caveats(tail, clicks_per_pulse)]
    found = Findings([tail.estimate], notes, [tail_panel(histogram, tail, name)])
    found.add(_with_tail(decay, found, tail.estimate.value, name, where, clicks_per_pulse))
    return found


def _with_tail(
    decay: Decay, found: Findings, tail_ps: float, name: str, where: str, clicks_per_pulse: float | None
) -> Findings:
    """Return what the whole decay tells besides its tail; two exponentials take the place of the tail's plot."""
    try:
        fit = fit_whole(decay, tail_ps, clicks_per_pulse, found.estimates[0].confidence)
    except ValueError as error:
        return Findings(notes=[f"{where}no fit of the whole decay: {error}"] if decay.period_ps is not None else [])
    if fit.double:
        found.panels.clear()
    panels = [whole_panel(decay.histogram, fit, name)] if fit.double else []
    return Findings(fit.estimates, [where + note for note in fit.notes], panels)


def _without_tail(
    decay: Decay, reason: str, name: str, where: str, clicks_per_pulse: float | None, confidence: float
) -> Findings:
    """Return two lifetimes where no tail is a single exponential, or refuse for that reason."""
    try:
        fit = fit_whole(decay, None, clicks_per_pulse, confidence)
    except ValueError as error:
        raise ValueError(f"{reason}; nor is the whole of it two: {error}") from error
    panel = whole_panel(decay.histogram, fit, name)
    return Findings(fit.estimates, [where + note for note in fit.notes], [panel])


def _caveats(tail: Tail, clicks_per_pulse: float | None) -> list[str]:
    notes: list[str] = []
    if tail.share < _SMALL_TAIL:
        notes.append(f"the tail holds {tail.share:.0%} of the clicks: the lifetime is that of the slowest part")
    if tail.chi2 > _DEPARTS:
        notes.append(
            f"χ²/n of the tail is {tail.chi2:.1f}: it departs from a single exponential by some per cent, and "
            "the lifetime depends on its range"
        )
    if tail.estimate.systematic is not None:
        notes.append(f"begun later, the tail gives a lifetime up to {tail.estimate.systematic:.4g} ps away: systematic")
    if clicks_per_pulse is not None and clicks_per_pulse > _PILE_UP:
        notes.append(f"{clicks_per_pulse:.3f} clicks a pulse: pile-up shortens the decay")
    return notes


def _levels(counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the highest and the lowest level of the curve, each over a number of bins."""
    width = max(counts.size // 200, 1)
    level = _smooth(counts, width)[width : counts.size - width]
    return (float(level.max()), float(level.min())) if level.size else (0.0, 0.0)
