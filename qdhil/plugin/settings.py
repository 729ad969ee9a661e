"""What the options and files of a session say, checked before any test is collected."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from qdhil.errors import ConfigurationError, RefusedError
from qdhil.firmware import Bundle
from qdhil.gate.policy import Policy, default_policy_file, load_policy
from qdhil.gate.quarantine import QuarantineEffect, QuarantineEntry, load_quarantine, quarantine_effect
from qdhil.plugin.authority import note_refused
from qdhil.rack.config import Rack, Rig, load_rack
from qdhil.rack.rig_bundles import rig_bundles
from qdhil.rack.selection import default_rack_file, select_rigs
from qdhil.rack.simulated import provider_module
from qdhil.record.run_folder import POLICY_NAME, QUARANTINE_NAME, RACK_NAME, create_run_folder, write_bytes


@dataclass(frozen=True)
class Settings:
    """The whole configuration of a gate session, the same in every xdist worker.

    Parameters
    ----------
    rack_file, policy_file
        Where rack and policy were read.
    rack, rigs, policy
        What they say; ``rigs`` only those selected.
    quarantined
        Entries of the quarantine file, none without one.
    bundles
        Baseline and candidate of each rig.
    run_folder
        Folder of this run.
    order_seed
        Seed of the order of quads.
    simulator_seed
        Seed of simulated light instead of the rack file's, if one was given.
    rig_wait_s
        How long a busy rig is waited for.
    inputs
        Digest of rack, policy and bundles: every process of a session must have read the same ones.
    """

    rack_file: Path
    policy_file: Path
    rack: Rack
    rigs: Mapping[str, Rig]
    policy: Policy
    quarantined: tuple[QuarantineEntry, ...]
    bundles: Mapping[str, tuple[Bundle, Bundle]]
    run_folder: Path
    order_seed: int
    simulator_seed: int | None
    rig_wait_s: float
    inputs: str

    @property
    def lock_dir(self) -> Path:
        """Folder of the rigs' lock files."""
        return Path(self.rack.lock_dir)

    @property
    def firmware(self) -> tuple[Bundle, Bundle]:
        """Baseline and candidate, the same on every selected rig."""
        return next(iter(self.bundles.values()))

    def quarantine(self, day: date) -> QuarantineEffect:
        """Return what quarantine does to this run on a day."""
        return quarantine_effect(
            self.quarantined, self.policy.metrics, self.rigs, day, required_rigs=self.policy.campaign.required_rigs
        )


def resolve(config: pytest.Config) -> Settings:
    """Read and check everything that the options name, and make the run folder.

    Raises
    ------
    ConfigurationError, RefusedError
        With all that the person at the command line must know.
    """
    rack_file = _file(config, "rack", default_rack_file())
    policy_file = _file(config, "rig_policy", default_policy_file())
    quarantine_file = named_path(config, "rig_quarantine")
    quarantined = () if quarantine_file is None else load_quarantine(quarantine_file)
    rack, policy = load_rack(rack_file), load_policy(policy_file)
    rigs = select_rigs(rack, config.getoption("rig"))
    try:
        bundles = {name: _bundles(config, name, rig, rack_file) for name, rig in rigs.items()}
    except RefusedError as error:
        if not hasattr(config, "workerinput") and not config.getoption("collectonly"):
            wanted = _given(config, "candidate") or next(iter(rigs.values())).firmware.candidate
            note_refused(rack, rack_file, rigs, str(wanted), error)
        raise
    _check_bundles(bundles)
    wait_s = config.getoption("rig_wait")
    if not 0 <= wait_s < math.inf:
        raise ConfigurationError(f"--rig-wait {wait_s:g}: give a time in seconds, 0 to refuse at once")
    _check_rigs(rigs, policy)
    shared: dict[str, Any] = getattr(config, "workerinput", {}).get("qdhil", {})
    if hasattr(config, "workerinput") and not shared:
        raise ConfigurationError("this xdist worker was given no run folder: start workers with -n")
    inputs = _digest_of(rack, policy, bundles)
    if shared.get("inputs", inputs) != inputs:
        raise RefusedError("a bundle, the rack file or the policy was exchanged while the session started")
    seed = config.getoption("rig_seed")
    if seed is not None and seed < 0:
        raise ConfigurationError(f"--rig-seed {seed}: give a whole number from 0")
    order_seed = shared.get("order_seed", seed if seed is not None else secrets.randbits(32))
    kept = {RACK_NAME: rack_file, POLICY_NAME: policy_file, QUARANTINE_NAME: quarantine_file}
    _, candidate = next(iter(bundles.values()))
    return Settings(
        rack_file=rack_file.resolve(),
        policy_file=policy_file.resolve(),
        rack=rack,
        rigs=rigs,
        policy=policy,
        quarantined=quarantined,
        bundles=bundles,
        run_folder=_run_folder(config, shared, candidate.version, kept),
        order_seed=order_seed,
        simulator_seed=seed,
        rig_wait_s=wait_s,
        inputs=inputs,
    )


def _digest_of(rack: Rack, policy: Policy, bundles: Mapping[str, tuple[Bundle, Bundle]]) -> str:
    """Return what tells whether two processes read the same files."""
    firmware = {name: [bundle.sha256 for bundle in pair] for name, pair in bundles.items()}
    return hashlib.sha256(f"{rack.model_dump_json()} {policy.sha256} {firmware}".encode()).hexdigest()


def _check_bundles(bundles: Mapping[str, tuple[Bundle, Bundle]]) -> None:
    """Refuse a comparison of a firmware with itself, or of several."""
    for name, (baseline, candidate) in bundles.items():
        if baseline.sha256 == candidate.sha256:
            raise ConfigurationError(
                f"rig {name}: candidate and baseline are both {candidate.version}: nothing to decide"
            )
    if len({(baseline.sha256, candidate.sha256) for baseline, candidate in bundles.values()}) > 1:
        raise ConfigurationError(
            "the selected rigs would compare different firmware; name --rig-baseline and --candidate"
        )


def _check_rigs(rigs: Mapping[str, Rig], policy: Policy) -> None:
    """Refuse a simulator that is not installed, and a window that holds more than one pulse."""
    for name, rig in rigs.items():
        if rig.simulation is not None:
            provider_module(rig.simulation.provider)
        period_ps = 1e12 / rig.calibration.rep_rate_hz
        if policy.window.window_ps > period_ps:
            raise ConfigurationError(
                f"policy window.window_ps = {policy.window.window_ps}: wider than the {period_ps:g} ps "
                f"between the pulses of rig {name}"
            )


def _run_folder(
    config: pytest.Config, shared: Mapping[str, Any], candidate: str, kept: Mapping[str, Path | None]
) -> Path:
    """Return the session's run folder; where no other process has made it, make it and copy files into it."""
    if "run_folder" in shared:
        return Path(shared["run_folder"])
    runs = Path(config.getoption("rig_runs"))
    if config.getoption("collectonly"):
        return runs
    folder = create_run_folder(runs, candidate).resolve()
    for name, file in kept.items():
        if file is not None:
            write_bytes(folder / name, file.read_bytes())
    return folder


def _file(config: pytest.Config, name: str, default: Path) -> Path:
    return named_path(config, name) or default


def named_path(config: pytest.Config, name: str) -> Path | None:
    """Return the file or folder that an option, or else the ini value, names."""
    option = _given(config, name)
    if option is not None:
        return Path(option)
    ini: str = config.getini(name)
    if ini:
        return (config.inipath.parent if config.inipath else config.rootpath) / ini
    return None


def _bundles(config: pytest.Config, name: str, rig: Rig, rack_file: Path) -> tuple[Bundle, Bundle]:
    candidate = _given(config, "candidate") or rig.firmware.candidate
    if candidate is None:
        raise ConfigurationError(f"rig {name}: no candidate; give --candidate VERSION|PATH")
    return rig_bundles(name, rig, rack_file, _given(config, "rig_baseline") or rig.firmware.baseline, candidate)


def _given(config: pytest.Config, name: str) -> str | None:
    """Return an option's value; an empty one, as an unset variable of a CI job leaves, is a mistake."""
    value: str | None = config.getoption(name)
    if value is not None and not value.strip():
        raise ConfigurationError(f"--{name.replace('_', '-')} was given without a value")
    return value
