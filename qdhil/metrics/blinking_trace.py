"""Blinking by the count-rate trace: on-fraction and mean times of the two states of a telegraph.

The trace is split at the count where a mixture of two Poisson states is as likely on as off. Dwell times are
exponential, so the sum of n whole dwells, times 2/mean, is χ² with 2n degrees of freedom, and the ratio of the
two means follows the F distribution: exact intervals of τ_on, τ_off and β = τ_on/(τ_on + τ_off). The first and the
last dwell are cut by the recording and left out. It asks for states that a bin tells apart nearly always,
and that last for many bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdhil.metrics.estimate import Estimate

_FEWEST_DWELLS = 3
_SHORTEST_DWELL = 10.0
_ROUNDS = 200


@dataclass(frozen=True)
class TraceBlinking:
    """What a trace tells about a source of two states.

    Parameters
    ----------
    on_time, off_time
        Mean dwell in s; ids ``blinking.trace.on_time``, ``blinking.trace.off_time``.
    on_fraction
        β; id ``blinking.trace.on_fraction``.
    on_rate_hz, off_rate_hz
        Count rates of the states.
    threshold
        Counts per bin from which the state is on.
    """

    on_time: Estimate
    off_time: Estimate
    on_fraction: Estimate
    on_rate_hz: float
    off_rate_hz: float
    threshold: int


def trace_blinking(counts: npt.ArrayLike, *, bin_s: float, confidence: float = 0.95) -> TraceBlinking:
    """Return on- and off-times and the on-fraction of a blinking source.

    Parameters
    ----------
    counts
        Clicks per bin of the trace, shape (bins,).
    bin_s
        Width of a bin, in s.
    confidence
        Nominal coverage of the intervals.

    Raises
    ------
    ValueError
        If the trace doesn't show two states that bins tell apart, they last for too few bins, or it holds too
        few whole dwells.
    """
    trace = np.asarray(counts)
    if trace.ndim != 1 or trace.size < 100 or trace.dtype.kind not in "iu" or bin_s <= 0 or int(trace.min()) < 0:
        raise ValueError("a trace needs 100 bins or more of whole counts, and bin_s must be positive")
    dim, bright, share = _two_states(trace)
    threshold = _threshold(dim, bright, share)
    is_on = trace >= threshold
    on, off = _dwells(is_on, bin_s)
    for name, dwells in (("on", on), ("off", off)):
        if dwells.size < _FEWEST_DWELLS:
            raise ValueError(f"{dwells.size} whole dwells in the {name} state are too few")
        if dwells.mean() < _SHORTEST_DWELL * bin_s:
            raise ValueError(
                f"the {name} state lasts for less than {_SHORTEST_DWELL:g} bins at a stretch: the bins are too long, "
                "or there are more than two states"
            )
    return _result(on, off, (dim / bin_s, bright / bin_s, threshold), confidence)


def _two_states(trace: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """Return mean counts of the dim and the bright state, and the share of bright bins, by EM."""
    from scipy.special import expit

    values, times = np.unique(trace, return_counts=True)
    low, high = (max(float(np.quantile(trace, q)), 0.1) for q in (0.05, 0.95))
    high, share = max(high, low * 1.5), 0.5
    for _ in range(_ROUNDS):
        odds = np.log(share / (1 - share)) + values * np.log(high / low) - (high - low)
        bright_bins = times * expit(odds)
        dim_bins = times - bright_bins
        if min(bright_bins.sum(), dim_bins.sum()) < 1:
            raise ValueError("the trace shows one state only")
        before = high
        high = max(float((bright_bins * values).sum() / bright_bins.sum()), 1e-3)
        low = max(float((dim_bins * values).sum() / dim_bins.sum()), 1e-3)
        share = float(np.clip(bright_bins.sum() / times.sum(), 1e-6, 1 - 1e-6))
        if abs(high - before) < 1e-9 * high:
            break
    return low, high, share


def _threshold(dim: float, bright: float, share: float) -> int:
    from scipy.special import pdtr

    threshold = int(np.ceil((bright - dim - np.log(share / (1 - share))) / np.log(bright / dim)))
    mistaken = float(pdtr(threshold - 1, bright) + 1 - pdtr(threshold - 1, dim))
    if mistaken > 1e-3:
        raise ValueError(
            f"states of {dim:.1f} and {bright:.1f} counts a bin overlap: {mistaken:.2%} of the bins would be mistaken"
        )
    return threshold


def _dwells(is_on: npt.NDArray[np.bool_], bin_s: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the whole dwells in the on and in the off state, in s."""
    changes = np.flatnonzero(np.diff(is_on.astype(np.int8))) + 1
    if changes.size < 2:
        return np.empty(0), np.empty(0)
    lengths = np.diff(changes) * bin_s
    began_on = is_on[changes[:-1]]
    return lengths[began_on], lengths[~began_on]


def _result(
    on: npt.NDArray[np.float64],
    off: npt.NDArray[np.float64],
    states: tuple[float, float, int],
    confidence: float,
) -> TraceBlinking:
    from scipy.special import chdtri, fdtri

    tail = (1 - confidence) / 2
    tally = {"on_s": float(on.sum()), "on_dwells": on.size, "off_s": float(off.sum()), "off_dwells": off.size}

    def estimate(name: str, value: float, low: float, high: float) -> Estimate:
        return Estimate(
            definition=f"blinking.trace.{name}",
            value=value,
            low=low,
            high=high,
            confidence=confidence,
            counts=tally,
            window_ps=None,
            delay_ps=None,
            normalisation="whole-dwells",
            raw=value,
        )

    def mean_time(name: str, dwells: npt.NDArray[np.float64]) -> Estimate:
        total = float(dwells.sum())
        limits = (2 * total / float(chdtri(2 * dwells.size, p)) for p in (tail, 1 - tail))
        return estimate(name, total / dwells.size, *limits)

    ratio = float(on.mean() / off.mean())
    ratios = [ratio / float(fdtri(2 * on.size, 2 * off.size, p)) for p in (1 - tail, tail)]
    fractions = (r / (1 + r) for r in (ratio, *ratios))
    dim_hz, bright_hz, threshold = states
    return TraceBlinking(
        mean_time("on_time", on),
        mean_time("off_time", off),
        estimate("on_fraction", *fractions),
        bright_hz,
        dim_hz,
        threshold,
    )
