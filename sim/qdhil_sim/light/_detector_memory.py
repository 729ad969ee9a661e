"""Any number of detectors with memory: from photons to tags, with all that a click does to later ones.

The kernels of :mod:`~qdhil_sim.light._detection` do the same for two detectors whose only memory is a
dead time that isn't extended, and are faster.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qdhil_sim.light._compiled import compiled
from qdhil_sim.light._detection import NEVER_PS, Frame, Photons, Tags, insert
from qdhil_sim.light._random import Words, exponential, normal, uniform

Floats = npt.NDArray[np.float64]
_LONGEST_GAP_PS = 2.0**56
BROKEN = -1
"""Returned where more afterpulses wait than there is room for."""


class Bank(NamedTuple):
    """The detectors, one element each, and the sync input."""

    channel: Tags
    number: Tags
    """Detector by channel, for channels 0 to 31."""
    keep: Floats
    """Share of the drawn photons that the detector sees."""
    jitter_ps: Floats
    delay_ps: Floats
    dark_gap_ps: Floats
    """Mean time between dark counts; 0 where there are none."""
    dead_ps: Tags
    extends: Tags
    """1 where what is missed extends the dead time."""
    afterpulse: Floats
    afterpulse_decay_ps: Floats
    crosstalk: float
    crosstalk_delay_ps: int
    input_dead_ps: int
    """Dead time of the tagger itself after each tag of an input."""
    channel_sync: int
    """-1 where there is no sync input."""
    sync_divider: int
    sync_jitter_ps: float


class Memory(NamedTuple):
    """What the detectors carry from one frame to the next."""

    pending: Tags
    """Words of the next dark count of each detector and, last, of the next sync tag."""
    last_ps: Tags
    """Last event of each detector that started a dead time."""
    tagged_ps: Tags
    """Last tag of each detector."""
    triggered: Tags
    """Heap of words of afterpulses and crosstalk to come."""
    counts: Tags
    """Number in the heap, and the pulse of the next sync tag."""


@compiled
def detect(rng: Words, bank: Bank, frame: Frame, photons: Photons, count: int, buffer: Tags, n: int) -> int:
    """Put the tags of photons (time within the frame, detector) in order into ``buffer[:n]``; return the new count."""
    for index in range(count):
        at = int(photons[index, 1])
        if bank.keep[at] < 1 and uniform(rng) >= bank.keep[at]:
            continue
        local_ps = photons[index, 0] + bank.delay_ps[at] + bank.jitter_ps[at] * normal(rng)
        t_ps = max(frame.base_ps + math.floor(local_ps + 0.5), frame.floor_ps)
        word = (t_ps << 5) | bank.channel[at]
        n = insert(buffer, n, word)
    return n


@compiled
def release(
    rng: Words, bank: Bank, memory: Memory, frame: Frame, until_ps: int, buffer: Tags, n: int, out: Tags
) -> tuple[int, int]:
    """Write the tags from 0 to before ``until_ps`` to ``out`` in order.

    Returns how many were written and how many stay in the buffer. Where ``out`` is full there may be more:
    call again.
    """
    pending, heap, counts = memory.pending, memory.triggered, memory.counts
    written, read, end = 0, 0, until_ps << 5
    other = soonest(pending, heap, counts)
    while written < out.size:
        if read < n and buffer[read] < min(end, other):
            word = buffer[read]
            read += 1
        elif other < end:
            word = other
            draw_following(rng, bank, memory, frame)
            other = soonest(pending, heap, counts)
        else:
            break
        t_ps, channel = word >> 5, word & 31
        if channel != bank.channel_sync:
            at = bank.number[channel]
            if not is_live(memory.last_ps, bank.dead_ps[at], bank.extends[at], at, t_ps):
                continue
            if bank.afterpulse[at] > 0 and uniform(rng) < bank.afterpulse[at]:
                wait_ps = bank.dead_ps[at] + math.ceil(bank.afterpulse_decay_ps[at] * exponential(rng))
                other = min(other, push(heap, counts, ((t_ps + wait_ps) << 5) | channel))
            if bank.crosstalk > 0 and uniform(rng) < bank.crosstalk:
                neighbour = another(rng, bank.channel, at)
                other = min(other, push(heap, counts, ((t_ps + bank.crosstalk_delay_ps) << 5) | neighbour))
            if counts[0] + 2 > heap.size:
                return BROKEN, 0
            if t_ps - memory.tagged_ps[at] < bank.input_dead_ps:
                continue
            memory.tagged_ps[at] = t_ps
        if t_ps >= 0:
            out[written] = word
            written += 1
    buffer[: n - read] = buffer[read:n].copy()
    return written, n - read


@compiled
def soonest(pending: Tags, heap: Tags, counts: Tags) -> int:
    """Return the word of the next dark count, sync tag, afterpulse or crosstalk."""
    word: int = pending.min()
    if counts[0] > 0:
        word = min(word, heap[0])
    return word


@compiled
def another(rng: Words, channels: Tags, at: int) -> int:
    """Return the channel of another detector, by chance; of a lone one its own, where it falls into the dead time."""
    others = channels.size - 1
    place = int(uniform(rng) * others)
    channel: int = channels[min(place + 1 if place >= at else place, others)]
    return channel


@compiled
def is_live(last_ps: Tags, dead_ps: int, extends: int, at: int, t_ps: int) -> bool:
    """Return whether a detector clicks at an event, and begin or extend its dead time."""
    live: bool = t_ps - last_ps[at] >= dead_ps
    if live or extends:
        last_ps[at] = t_ps
    return live


@compiled
def draw_following(rng: Words, bank: Bank, memory: Memory, frame: Frame) -> None:
    """Replace the earliest of what is to come beside photons by what follows it."""
    pending, counts = memory.pending, memory.counts
    which = np.argmin(pending)
    if counts[0] > 0 and memory.triggered[0] <= pending[which]:
        pop(memory.triggered, counts)
        return
    t_ps = pending[which] >> 5
    if which == bank.channel.size:
        counts[1] += bank.sync_divider
        local_ps = frame.phase_ps + (counts[1] - frame.first_pulse) * frame.period_ps
        local_ps += bank.sync_jitter_ps * normal(rng)
        t_ps = max(frame.base_ps + math.floor(local_ps + 0.5), t_ps)
        pending[which] = (t_ps << 5) | bank.channel_sync
    else:
        gap_ps = min(bank.dark_gap_ps[which] * exponential(rng), _LONGEST_GAP_PS)
        t_ps = min(t_ps + math.ceil(gap_ps), NEVER_PS)
        pending[which] = (t_ps << 5) | bank.channel[which]


@compiled
def push(heap: Tags, counts: Tags, word: int) -> int:
    """Add a word to the heap and return it."""
    place = counts[0]
    counts[0] += 1
    while place > 0 and heap[(place - 1) // 2] > word:
        heap[place] = heap[(place - 1) // 2]
        place = (place - 1) // 2
    heap[place] = word
    return word


@compiled
def pop(heap: Tags, counts: Tags) -> None:
    """Remove the smallest word from the heap."""
    counts[0] -= 1
    size, place = counts[0], 0
    word = heap[size]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if word <= heap[child]:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = word
