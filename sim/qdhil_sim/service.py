"""Serving a simulated rack as one process: what is wanted, made ready, announced, and cleared away."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from qdhil.errors import ConfigurationError
from qdhil.rack.config import Rack, load_rack
from qdhil_sim.control_port import ControlPort
from qdhil_sim.rack import SimulatedRack
from qdhil_sim.rack_text import rack_text
from qdhil_sim.running import RunningRack, registered
from qdhil_sim.scenario import load_scenario
from qdhil_sim.warm_up import kernels_are_on_disk, note_kernels_on_disk, warm_up


@dataclass(frozen=True)
class Wanted:
    """What ``qdhil-sim up`` was asked for; its options say what each means."""

    rack: Path | None
    rigs: int | None
    names: tuple[str, ...]
    scenario: Path | None
    control: int | None
    seed: int | None
    allow_non_loopback: bool
    registered: bool
    """Whether ``qdhil-sim down`` may end it; a rack that ends with its parent is the parent's."""


def load_described(rack: Path | None, rigs: int | None) -> tuple[Rack, Path]:
    """Return a rack and the file beside which its profiles lie: from a file, generated, or the packaged one.

    Raises
    ------
    ConfigurationError
        If both a file and a number are given, or either can't be used.
    """
    if rigs is not None:
        if rack is not None:
            raise ConfigurationError("--rack names the rigs of a file and --rigs generates some: give one of them")
        return Rack.model_validate(tomllib.loads(rack_text(rigs))), Path("rack.toml")
    if rack is not None:
        return load_rack(rack), rack
    with resources.as_file(resources.files("qdhil.rack") / "default_rack.toml") as file:
        return load_rack(file), file


@contextlib.contextmanager
def serve(wanted: Wanted) -> Iterator[list[str]]:
    """Serve a rack until the block ends; gives the words that tell where it is.

    Raises
    ------
    ConfigurationError
        If the rack, its scenario or its addresses can't be used.
    """
    _allow_many_connections()
    described, file = load_described(wanted.rack, wanted.rigs)
    simulated = SimulatedRack(
        described, file, wanted.names, allow_non_loopback=wanted.allow_non_loopback, seed=wanted.seed
    )
    with contextlib.ExitStack() as stack:
        stack.callback(simulated.close)
        control = None
        if wanted.control is not None:
            port = stack.enter_context(ControlPort(wanted.control, simulated.worlds))
            stack.callback(port.shutdown)
            port.start()
            control = port.address
        if wanted.registered:
            rack_file = str(wanted.rack.resolve()) if wanted.rack else None
            stack.enter_context(
                registered(RunningRack(os.getpid(), tuple(simulated.names), rack_file, wanted.rigs, control))
            )
            # who waits for the note to go finds every address free
            stack.callback(simulated.close)
        if wanted.scenario is not None:
            simulated.play(load_scenario(wanted.scenario))
        # in real time light does not wait for its kernels to be loaded
        ready = kernels_are_on_disk() and all(world.clock.turbo for world in simulated.worlds.values())
        if not ready:
            sys.stderr.write("qdhil-sim: preparing the light (compiles on first use) ...\n")
            _warm_up(simulated)
        simulated.listen()
        if ready:
            threading.Thread(target=_warm_up, args=(simulated,), name="warm-up", daemon=True).start()
        words = [f"pid={os.getpid()}", f"rigs={','.join(simulated.names)}"]
        yield words if control is None else [*words, f"control={control}"]


def _warm_up(simulated: SimulatedRack) -> None:
    # one rig of each profile: the others would only load the same kernels again
    by_profile = {repr(world.setup): world for world in simulated.worlds.values()}
    for world in by_profile.values():
        warm_up(world)
    note_kernels_on_disk()


def _allow_many_connections() -> None:
    """Raise the limit of open files to what the system allows: sixteen rigs listen on hundreds of ports."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
