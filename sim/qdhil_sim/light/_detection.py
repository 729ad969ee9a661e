"""From photons at the detectors to tags: jitter, delay, dark counts, dead time, the sync channel.

Tags wait in one buffer as packed words, kept in order by insertion: photons are drawn pulse by pulse,
so a new tag is rarely more than a place or two from the end.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qdhil_sim.light._compiled import compiled, inlined
from qdhil_sim.light._random import Words, exponential, normal, uniform

Tags = npt.NDArray[np.int64]
Photons = npt.NDArray[np.float64]
"""A row for each photon on its way to a detector: time within the frame, 1 for detector a or 0 for b."""

NEVER_PS = 1 << 57
"""A time after every acquisition that still fits a packed word."""
_LONGEST_GAP_PS = 2.0**57


class Frame(NamedTuple):
    """A run of pulses drawn in one go; times inside it are floats relative to ``base_ps``."""

    base_ps: int
    phase_ps: float
    """Time of the frame's first pulse after ``base_ps``, below 1 ps."""
    period_ps: float
    first_pulse: int
    pulses: int
    floor_ps: int
    """Everything before this time has been handed out; no tag may come before it."""


class Clicks(NamedTuple):
    """How the two detectors turn photons into tags."""

    keep_a: float
    keep_b: float
    jitter_a_ps: float
    jitter_b_ps: float
    delay_b_ps: float
    channel_a: int
    channel_b: int


class Inputs(NamedTuple):
    """How the tagger's inputs behave beside photons."""

    dark_gap_a_ps: float
    """Mean time between dark counts; 0 where there are none."""
    dark_gap_b_ps: float
    dead_a_ps: int
    dead_b_ps: int
    channel_a: int
    channel_b: int
    channel_sync: int
    sync_divider: int
    sync_jitter_ps: float


@inlined
def insert(buffer: Tags, n: int, word: int) -> int:
    """Put a word in its place among the ordered ``buffer[:n]``; return the new count."""
    place = n
    while place > 0 and buffer[place - 1] > word:
        buffer[place] = buffer[place - 1]
        place -= 1
    buffer[place] = word
    return n + 1


@compiled
def detect(rng: Words, clicks: Clicks, frame: Frame, photons: Photons, count: int, buffer: Tags, n: int) -> int:
    """Put the tags of a frame's photons in order into ``buffer[:n]`` and return the new count."""
    for index in range(count):
        at_a = photons[index, 1] > 0
        keep = clicks.keep_a if at_a else clicks.keep_b
        if keep < 1.0 and uniform(rng) >= keep:
            continue
        local_ps = photons[index, 0] + (clicks.jitter_a_ps if at_a else clicks.jitter_b_ps) * normal(rng)
        local_ps += 0.0 if at_a else clicks.delay_b_ps
        t_ps = max(frame.base_ps + math.floor(local_ps + 0.5), frame.floor_ps)
        word = (t_ps << 5) | (clicks.channel_a if at_a else clicks.channel_b)
        n = insert(buffer, n, word)
    return n


@compiled
def release(
    rng: Words,
    inputs: Inputs,
    frame: Frame,
    until_ps: int,
    buffer: Tags,
    n: int,
    pending: Tags,
    last_ps: Tags,
    out: Tags,
) -> tuple[int, int]:
    """Write every tag from 0 to before ``until_ps`` to ``out`` in order.

    Returns how many were written and how many stay in the buffer; -1 written says that ``out`` is full.
    ``pending`` holds the words of the next dark count of a and b and of the next sync tag, and the sync
    tag's pulse; ``last_ps`` the last click of a and b, for the dead time.
    """
    written, read = 0, 0
    end = until_ps << 5
    other = min(pending[0], pending[1], pending[2])
    while True:
        if read < n and buffer[read] < min(end, other):
            word = buffer[read]
            read += 1
        elif other < end:
            word = other
            draw_following(rng, inputs, frame, pending)
            other = min(pending[0], pending[1], pending[2])
        else:
            break
        t_ps, channel = word >> 5, word & 31
        if channel != inputs.channel_sync:
            at_b = 1 if channel == inputs.channel_b else 0
            if t_ps - last_ps[at_b] < (inputs.dead_b_ps if at_b else inputs.dead_a_ps):
                continue
            last_ps[at_b] = t_ps
        if t_ps >= 0:
            if written >= out.size:
                return -1, 0
            out[written] = word
            written += 1
    buffer[: n - read] = buffer[read:n].copy()
    return written, n - read


@compiled
def draw_following(rng: Words, inputs: Inputs, frame: Frame, pending: Tags) -> None:
    """Replace the earliest of the two dark counts and the sync tag by the one that follows it."""
    which = np.argmin(pending[:3])
    t_ps = pending[which] >> 5
    if which == 2:
        pending[3] += inputs.sync_divider
        local_ps = frame.phase_ps + (pending[3] - frame.first_pulse) * frame.period_ps
        local_ps += inputs.sync_jitter_ps * normal(rng)
        t_ps = max(frame.base_ps + math.floor(local_ps + 0.5), t_ps)
        pending[2] = (t_ps << 5) | inputs.channel_sync
    else:
        gap_ps = (inputs.dark_gap_b_ps if which else inputs.dark_gap_a_ps) * exponential(rng)
        t_ps = min(t_ps + math.ceil(min(gap_ps, _LONGEST_GAP_PS)), NEVER_PS)
        pending[which] = (t_ps << 5) | (inputs.channel_b if which else inputs.channel_a)
