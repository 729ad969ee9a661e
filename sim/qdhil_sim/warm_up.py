"""Compiling the light's kernels before a client comes whose time-out would not wait for it.

Compiled kernels are kept on disk. Where they are, loading them takes a second or two, and a client's
first acquisition may well wait for that; where they are not, nobody should be told that the rack is
ready. A stamp beside them says that a warm-up of just these sources went through.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from qdhil.tags.acquisition import Configuration
from qdhil_sim.light.controls import PulseControls
from qdhil_sim.light.drift import Drift

if TYPE_CHECKING:
    from qdhil_sim.world import RigWorld

_TAKE_PS = 10**8
_LIGHT = Path(__file__).parent / "light"
_CACHE = _LIGHT / "__pycache__"


def warm_up(world: RigWorld) -> None:
    """Draw a little light on every path, with a second pulse and jitter, so that every kernel is ready."""
    from qdhil_sim.light.stream import LightStream

    controls = PulseControls(sync_jitter_ps=1.0, spurious_area_pi=0.1)
    drift = Drift(world.setup.drift, 0)
    for path in get_args(Configuration):
        stream = LightStream(world.setup, controls, path, seed=0, channels=world.channels, drift=drift)
        stream.take(_TAKE_PS)


def kernels_are_on_disk() -> bool:
    """Return whether a warm-up of just these sources has left every compiled kernel on disk."""
    try:
        return int(_stamp().read_text()) <= _kernels_on_disk()
    except (OSError, ValueError):
        return False


def note_kernels_on_disk() -> None:
    """Leave the stamp of a finished warm-up; where the folder can't be written there is none."""
    if kernels := _kernels_on_disk():
        with contextlib.suppress(OSError):
            for old in _CACHE.glob("*.warm"):
                old.unlink(missing_ok=True)
            _stamp().write_text(str(kernels))


def _kernels_on_disk() -> int:
    # where the cache lies elsewhere nothing is known about it
    return 0 if "NUMBA_CACHE_DIR" in os.environ else len(list(_CACHE.glob("*.nbi")))


def _stamp() -> Path:
    sources = sorted(_LIGHT.glob("*.py"))
    facts = [f"{file.name} {file.stat().st_mtime_ns} {file.stat().st_size}" for file in sources]
    facts += [sys.version, importlib.metadata.version("numba"), *os.uname()]
    return _CACHE / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}.warm"
