"""``rollout.toml``: what is rolled out, where, in which rings, and what would stop it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from qdhil.errors import ConfigurationError
from qdhil.model_files import Digest, Strict, read_toml

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
Seconds = Annotated[float, Field(ge=0, le=31 * 86400)]
Text = Annotated[str, Field(min_length=1)]


class Health(Strict):
    """What a ring must look like for the rollout to go on."""

    max_failed: Annotated[int, Field(ge=0)] = 0
    """Devices that may fail on the candidate; one more rolls the ring back."""
    max_unreachable: Annotated[int, Field(ge=0)] = 0
    """Devices that may be out of reach or unfit; one more holds the rollout."""
    min_healthy: Annotated[int, Field(ge=1)] = 1
    """Devices that must have been confirmed at the end of the ring."""
    attempts_max: Annotated[int, Field(ge=1, le=10)] = 3
    """A device that is lost on the candidate or falls back by itself, and is well on the baseline, is tried so often;
    then it has failed."""


class Ring(Strict):
    """Devices that are opened by one verdict."""

    name: Name
    devices: tuple[Text, ...] = ()
    """Devices by name."""
    select: tuple[Text, ...] = ()
    """Selectors of the fleet; of rigs ``tag:KEY=VALUE``."""
    wave_size: Annotated[int, Field(ge=1)] = 1
    """Devices that are on trial at the same time."""
    bake_time_s: Seconds
    """How long a wave runs the candidate before it is confirmed."""
    attestation: Text = "{ring}.attestation.json"
    """The file that opens the ring, relative to the plan; ``{ring}`` is its name."""
    health: Health = Health()

    @model_validator(mode="after")
    def _has_devices(self) -> Self:
        if not self.devices and not self.select:
            raise ValueError("a ring needs devices or select")
        return self


class RigsSettings(Strict):
    """A fleet of the rigs of a rack file."""

    kind: Literal["rigs"]
    rack: Text
    lease_wait_s: Seconds = 0
    """How long a rig that somebody else holds is waited for."""


class GoosebitSettings(Strict):
    """A fleet of the devices of a goosebit server."""

    kind: Literal["goosebit"]
    url: Annotated[str, Field(pattern=r"^https?://")]
    credentials: Text
    """A file with the user's name and password, a line each; nobody else may read it."""
    request_timeout_s: Annotated[float, Field(gt=0)] = 10


class FileState(Strict):
    """State of rollouts in a folder of this host."""

    kind: Literal["file"]
    folder: Text


class PostgresState(Strict):
    """State of rollouts in a PostgreSQL database."""

    kind: Literal["postgres"]
    conninfo: Text
    """libpq's connection string or URI, without a password: that comes from ``PGPASSFILE`` or ``PGPASSWORD``."""
    table_schema: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "qdhil"


class Plan(Strict):
    """The whole file."""

    schema_version: Literal[1]
    name: Name
    """Names the rollout; a name is used once."""
    candidate: Text
    """The bundle to roll out: a version in ``bundles`` or a path."""
    baseline: Text
    """The bundle to roll back to, verified in the same way."""
    bundles: Text
    """A folder relative to the plan, or ``pkg:PACKAGE/FOLDER`` inside an installed package."""
    unsigned_bundles: bool = False
    """Whether bundles without a signature are taken, as those of the simulator are."""
    hardware: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Hardware revisions of the devices; every ring's attestation must hold for each."""
    policy_sha256: Digest
    """The policy that must have decided."""
    trust: Text = "trust.toml"
    """Whose signatures count, relative to the plan."""
    roles: Text | None = None
    """Who may release; without it everybody who can run the command."""
    audit: Text | None = None
    """The audit log that every action is written to."""
    install_timeout_s: Annotated[float, Field(gt=0)] = 600
    """A device that is not on the candidate by then is lost."""
    poll_s: Annotated[float, Field(gt=0, le=60)] = 1
    """How often a device that installs is asked."""
    state: Annotated[FileState | PostgresState, Field(discriminator="kind")]
    fleet: Annotated[RigsSettings | GoosebitSettings, Field(discriminator="kind")]
    rings: Annotated[tuple[Ring, ...], Field(min_length=1)]
    """In the order of the rollout."""

    @model_validator(mode="after")
    def _rings_differ(self) -> Self:
        names = [ring.name for ring in self.rings]
        if len(set(names)) != len(names):
            raise ValueError("rings: a name is there twice")
        owner: dict[str, str] = {}
        for ring in self.rings:
            for device in ring.devices:
                if device in owner:
                    raise ValueError(f"rings: device {device} is in {owner[device]} and again in {ring.name}")
                owner[device] = ring.name
        return self

    @property
    def sha256(self) -> str:
        """Digest of what the plan says; comments and order of keys don't count."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def attestation_file(self, ring: Ring, folder: Path) -> Path:
        """Return the file that opens a ring."""
        return folder / ring.attestation.replace("{ring}", ring.name)


def load_plan(file: Path) -> Plan:
    """Read and check a plan.

    Raises
    ------
    ConfigurationError
        With every error of the file and its path, one a line; or if a password stands in it.
    """
    plan = read_toml(file, Plan, "rollout plan")
    if isinstance(plan.state, PostgresState) and _has_password(plan.state.conninfo):
        raise ConfigurationError(f"rollout plan {file}: no password in state.conninfo: use PGPASSFILE or PGPASSWORD")
    return plan


def _has_password(conninfo: str) -> bool:
    authority = conninfo.partition("://")[2].partition("/")[0]
    user = authority.rpartition("@")[0]
    return ":" in user or "password" in conninfo.lower()
