"""The reference histograms of ETA on a real HydraHarp recording, reproduced bin by bin with the library's kernels.

Three rules of that engine (version 0.9, recipes "Correlation" and "Lifetime") make its numbers differ from a count
of all pairs; nothing else does:

- Its clock counts whole picoseconds: the sync period of 12 495.52 ps becomes 12 495.
- It keeps starts in a ring of 100 places, and once the ring has come round, the loop over it leaves out place 0:
  of the starts with numbers 100, 200, ... no pair is counted.
- It ends when no record is left to be read, before the last photon has been copied to the channel that is counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from qdhil.metrics import cross_correlate
from qdhil.tags import open_recording, open_tags

ETA = Path(__file__).parents[2] / "shared" / "data" / "eta"
pytestmark = pytest.mark.skipif(not ETA.is_dir(), reason=f"recorded data not present at {ETA}")

BIN_PS, BINS, RING = 16, 10_000, 100
WINDOW_PS = BIN_PS * BINS
WAYS = pytest.mark.parametrize(
    ("start", "stop", "name", "total", "missed"), [(0, 1, "hist1", 4038, 43), (1, 0, "hist2", 4861, 55)]
)


class Photons(NamedTuple):
    """Records in the order of the file."""

    channel: np.ndarray
    pulse: np.ndarray
    since_ps: np.ndarray

    def times(self, channel, period_ps):
        mine = self.channel == channel
        return self.pulse[mine] * period_ps + self.since_ps[mine]


@pytest.fixture(scope="module")
def photons():
    file = open_tags(ETA / "200213_HH400_T3_80MHz_HBT.timeres")
    parts = [(b.channels.copy(), b.times_ps - b.since_ps, b.since_ps.copy()) for b in file.blocks()]
    channel, pulse_ps, since_ps = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Photons(channel, np.rint(pulse_ps / file.period_ps).astype(np.int64), since_ps)


def _published(kind):
    with np.load(ETA / f"200213_HH400_T3_80MHz_{kind}.npz") as found:
        return {name: found[name] for name in found}


def _later(starts, stops):
    """Return the counts of all pairs with 0 <= stop - start < 160 ns."""
    return cross_correlate(starts, stops, window_ps=WINDOW_PS, bin_ps=BIN_PS)[BINS:]


@WAYS
def test_hbt_bin_by_bin(photons, start, stop, name, total, missed):
    """All pairs less those of every hundredth start are the published counts, in each of the 10 000 bins."""
    published = _published("HBT")[name]
    starts, stops = (photons.times(channel, 12_495) for channel in (start, stop))
    number = np.arange(starts.size)
    left_out = (number % RING == 0) & (number > 0)
    assert published.sum() == total
    assert _later(starts[~left_out], stops).tolist() == published.tolist()
    dropped = _later(starts[left_out], stops)
    assert dropped.sum() == missed
    assert (_later(starts, stops) - dropped).tolist() == published.tolist()


def _ring(channels, times, start):
    """Count as ETA's ``CLOCK(c, 100, 1)`` and ``record_all`` do, record by record."""
    counts, places, head, tail = np.zeros(BINS, np.int64), [0] * RING, 0, 0
    for channel, time in zip(channels, times, strict=True):
        if channel == start:
            places[head] = time
            head = (head + 1) % RING
            tail = (tail + 1) % RING if head == tail else tail
            continue
        parts = [range(head - 1, tail - 1, -1)] if tail < head else []
        if tail > head:
            parts = [range(head - 1, 0, -1), range(RING - 1, tail - 1, -1)]
        for part in parts:
            for place in part:
                bin_ = (time - places[place]) // BIN_PS
                if bin_ >= BINS:
                    break
                counts[bin_] += 1
    return counts


@WAYS
def test_the_rule_is_that_of_the_ring(photons, start, stop, name, total, missed):
    """The engine's own loop, record by record, gives the published counts; so does leaving out place 0."""
    times = photons.pulse * 12_495 + photons.since_ps
    counts = _ring(photons.channel.tolist(), times.tolist(), start)
    assert counts.tolist() == _published("HBT")[name].tolist()


@WAYS
def test_the_period_in_whole_picoseconds_moves_pairs_but_loses_none(photons, start, stop, name, total, missed):
    """With the header's period there are as many pairs, each later by less than 8 ps: in its bin or the next."""
    recording = open_recording(ETA / "200213_HH400_T3_80MHz_HBT.timeres")
    assert recording.period_ps == pytest.approx(12_495.5204)
    exact = np.cumsum(_later(recording.channels[start], recording.channels[stop]))
    coarse = np.cumsum(_later(photons.times(start, 12_495), photons.times(stop, 12_495)))
    assert exact[-1] == coarse[-1] == total + missed
    assert (exact <= coarse).all()
    assert (exact[1:] >= coarse[:-1]).all()


def test_lifetime_bin_by_bin(photons):
    """Counts of channel 0 by time since the sync are the published ones, and the last photon of the file."""
    published = _published("lifetime")["hist1"]
    since_ps = photons.since_ps[photons.channel == 0]
    counts = np.bincount(since_ps // BIN_PS, minlength=780)
    assert photons.channel[-1] == 0
    assert published.sum() == since_ps.size - 1 == 160_952
    counts[since_ps[-1] // BIN_PS] -= 1
    assert counts.tolist() == published.tolist()
