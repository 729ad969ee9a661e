"""Every estimate that a recording supports, and for those it doesn't, why not.

A metric that can't be estimated is a note while another one can; where none can, or where the caller asked for
a window or for channels that don't work, the recording is refused.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qdhil.analysis.choices import Choices
from qdhil.analysis.findings import Findings, Report
from qdhil.errors import FormatError
from qdhil.tags.recording import DelayHistogram, Histograms, Recording, Spectrum

_NEAR_PERIODS = 1000
"""A sync tag further back tells no phase: the period isn't known that well."""

Analysable = Recording | DelayHistogram | Histograms | Spectrum


def analyse(recording: Analysable, choices: Choices | None = None) -> Report:
    """Return the estimates of a recording, what a reader should know of them, and plots.

    Parameters
    ----------
    recording
        What :func:`qdhil.tags.open_recording` returns.
    choices
        What the caller fixes; by default everything is told by the data.

    Raises
    ------
    FormatError
        With the reason, if nothing can be estimated.
    """
    choices = choices or Choices()
    if isinstance(recording, Spectrum):
        from qdhil.analysis.spectra import analyse_spectrum

        return analyse_spectrum(recording, choices).report()
    if choices.kind == "spectrum":
        raise FormatError("no spectrum: the file holds time tags or delays")
    if isinstance(recording, Recording):
        return _tags(recording, choices).report()
    from qdhil.analysis.correlations import analyse_curves, analyse_delays

    if isinstance(recording, DelayHistogram):
        return analyse_delays(recording, choices).report()
    return analyse_curves(recording, choices).report()


def _tags(recording: Recording, choices: Choices) -> Findings:
    from qdhil.analysis.tag_correlations import FEWEST_TAGS, MOST_CHANNELS, analyse_pairs, detectors_of, sharpest

    detectors, regular = detectors_of(recording)
    found, reasons = Findings(), []
    chosen: tuple[int, ...] = tuple(choices.channels or detectors[:MOST_CHANNELS])
    period_ps, clock = None, None
    if choices.kind in ("auto", "hbt", "hom", "cw"):
        try:
            pair = analyse_pairs(recording, detectors, choices)
        except FormatError as error:
            if choices.kind != "auto" or choices.window_ps or choices.channels:
                raise
            reasons.append(f"no g2(0): {error}")
        else:
            found.add(pair.findings)
            chosen, period_ps = pair.channels, pair.period_ps
            if period_ps is not None and not regular:
                clock = sharpest(recording, chosen, period_ps)
    _require(recording, chosen)
    if not chosen:
        raise FormatError(reasons[0].removeprefix("no g2(0): ") if reasons else f"no channel holds {FEWEST_TAGS} tags")
    if choices.allows("decay"):
        filtered = None if clock is None or period_ps is None else (clock, period_ps)
        found.add(_lifetimes(recording, chosen, (regular, filtered), period_ps, choices))
    if choices.kind in ("auto", "hbt", "hom", "cw", "trace"):
        found.add(_detectors(recording, chosen, choices, period_ps or recording.period_ps, period_ps is not None))
    if choices.allows("trace"):
        try:
            found.add(_trace(recording, chosen, choices))
        except ValueError as error:
            reasons.append(f"no trace: {error}")
    if not found.estimates:
        raise FormatError((reasons or found.notes or ["nothing can be taken from it"])[0].removeprefix("no g2(0): "))
    found.notes += reasons
    return found


def _require(recording: Recording, channels: tuple[int, ...]) -> None:
    for number in channels:
        if number not in recording.channels:
            raise FormatError(f"no tags of channel {number}; there are {sorted(recording.channels)}")


def _lifetimes(
    recording: Recording,
    channels: tuple[int, ...],
    syncs: tuple[list[int], tuple[int, float] | None],
    known_ps: float | None,
    choices: Choices,
) -> Findings:
    """Return the decay each detector sees, by the tagger's time since sync or by the sync's own tags.

    ``syncs``: regular channels, and one that passes with photons only with its period; ``known_ps``: the comb's period.
    """
    from qdhil.analysis.decays import analyse_decay, decay_of_clicks

    found = Findings()
    regular, filtered = syncs
    for channel in channels:
        try:
            if filtered is not None and channel not in recording.since_sync_ps:
                since, period_ps = _since_filtered(recording, channel, *filtered), filtered[1]
            else:
                since, period_ps = _since_sync(recording, channel, regular, known_ps)
        except ValueError as error:
            if choices.kind == "decay":
                found.notes.append(f"no lifetime from channel {channel}: {error}")
            continue
        pulses = (recording.duration_s or 0.0) * 1e12 / period_ps
        try:
            decay = decay_of_clicks(since, period_ps=period_ps, resolution_ps=recording.resolution_ps)
            seen = analyse_decay(
                decay,
                name=f"decay, channel {channel}",
                confidence=choices.confidence,
                clicks_per_pulse=since.size / pulses if pulses else None,
                label=f"channel {channel}",
            )
        except ValueError as error:
            found.notes.append(f"no lifetime from channel {channel}: {error}")
            continue
        found.add(_of_channel(seen, channel))
    return found


def _of_channel(seen: Findings, channel: int) -> Findings:
    estimates = [replace(e, counts={"channel": channel, **e.counts}) for e in seen.estimates]
    return Findings(estimates, seen.notes, seen.panels)


def _since_sync(
    recording: Recording, channel: int, regular: list[int], known_ps: float | None
) -> tuple[npt.NDArray[np.int64], float]:
    """Return the time of each click since the laser pulse in ps, and the period; a sync may be divided."""
    from qdhil.metrics.pulse_train import PulseTrain
    from qdhil.tags.recording import SYNC

    if channel in recording.since_sync_ps and recording.period_ps is not None:
        return recording.since_sync_ps[channel], recording.period_ps
    syncs = [SYNC] if SYNC in recording.channels else regular
    syncs = [number for number in syncs if number != channel]
    if len(syncs) != 1:
        raise ValueError("the file holds no times since the laser's pulse, and no single channel is its sync")
    train = PulseTrain(recording.channels[syncs[0]])
    phases = [phase for _, phase in train.located(recording.channels[channel])]
    since = np.concatenate(phases) if phases else np.empty(0, np.int64)
    period_ps = train.period_ps / max(round(train.period_ps / known_ps), 1) if known_ps else train.period_ps
    return np.floor(since % period_ps).astype(np.int64), period_ps


def _since_filtered(recording: Recording, channel: int, clock: int, period_ps: float) -> npt.NDArray[np.int64]:
    """Return the time of each click since the sync tag before it, in ps, folded into a period."""
    clicks, marks = recording.channels[channel], recording.channels[clock]
    place = np.searchsorted(marks, clicks, side="right") - 1
    since = clicks - marks[np.maximum(place, 0)]
    near = (place >= 0) & (since < _NEAR_PERIODS * period_ps)
    phase: npt.NDArray[np.int64] = np.floor(since[near] % period_ps).astype(np.int64)
    return phase


def _detectors(
    recording: Recording, channels: tuple[int, ...], choices: Choices, period_ps: float | None, correlated: bool
) -> Findings:
    """Return the rates of the detectors, and dead times and afterpulses where the tags show them."""
    from qdhil.analysis.detectors import afterpulses, dead_times, rates

    usable = tuple(number for number in channels if recording.channels[number].size >= 2)
    dead = dead_times(recording, usable, choices.confidence, period_ps=period_ps)
    found = Findings([*rates(recording, usable, dead, choices.confidence), *dead.values()])
    if not correlated or len(usable) != 2:
        return found
    for channel, other in (usable, usable[::-1]):
        estimate = afterpulses(
            recording.channels[channel],
            recording.channels[other],
            channel=channel,
            dead_time_ps=dead[channel].value if channel in dead else 0.0,
            confidence=choices.confidence,
        )
        if estimate is not None:
            found.estimates.append(estimate)
    return found


def _trace(recording: Recording, channels: tuple[int, ...], choices: Choices) -> Findings:
    from qdhil.analysis.traces import analyse_trace

    times = [recording.channels[number] for number in channels]
    clicks = np.sort(np.concatenate(times), kind="stable") if len(times) > 1 else times[0]
    name = f"channel {channels[0]}" if len(channels) == 1 else "channels " + ", ".join(map(str, channels))
    return analyse_trace(clicks, duration_s=recording.duration_s, confidence=choices.confidence, name=name)
