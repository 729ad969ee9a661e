"""Compiling the light's kernels before the first client comes, whose time-out would not wait for it."""

from __future__ import annotations

from typing import get_args

from qdhil.tags.acquisition import Configuration
from qdhil_sim.light.controls import PulseControls
from qdhil_sim.light.drift import Drift
from qdhil_sim.world import RigWorld

_TAKE_PS = 10**8


def warm_up(world: RigWorld) -> None:
    """Draw a little light on every path, with a second pulse and jitter, so that every kernel is ready."""
    from qdhil_sim.light.stream import LightStream

    controls = PulseControls(sync_jitter_ps=1.0, spurious_area_pi=0.1)
    drift = Drift(world.setup.drift, 0)
    for path in get_args(Configuration):
        stream = LightStream(world.setup, controls, path, seed=0, channels=world.channels, drift=drift)
        stream.take(_TAKE_PS)
