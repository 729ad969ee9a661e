"""The state of a rollout: all that must outlive the process that runs it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from qdhil.exit_codes import ExitCode
from qdhil.model_files import Digest, Strict
from qdhil.rollout.plan import Name

DevicePhase = Literal[
    "pending", "installing", "trial", "confirming", "confirmed", "reverting", "reverted", "failed", "out"
]
"""``pending``: not touched, or to be tried again; ``installing``, ``confirming``, ``reverting``: what is to be done,
written down before it is begun; ``trial``: runs the candidate, not confirmed; ``confirmed``: runs it for good;
``reverted``: back on the baseline with its ring; ``failed``: back on the baseline by itself; ``out``: out of reach, or
unfit."""
Then = Literal["pending", "again", "failed", "reverted"]
"""``pending``: tried when the ring opens again; ``again``: was lost on the candidate, and that counts; ``failed``;
``reverted``, with its ring."""
Wish = Literal["pause", "abort", "abort-all", "abort-keep"]
"""What a person asks: stop; roll back what is on trial; roll back everything; leave everything as it is."""


def _with_zone(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time needs its zone")
    return text


Time = Annotated[str, AfterValidator(_with_zone)]
"""ISO 8601, with its zone."""

USED = "attestation: another rollout used it; it opens nothing twice: sign the run again"
"""What is said of an attestation that another rollout used."""


class Device(Strict):
    """One device of a ring."""

    ring: Name
    phase: DevicePhase = "pending"
    then: Then = "reverted"
    """What a device that is being reverted is afterwards."""
    attempts: Annotated[int, Field(ge=0)] = 0
    """How often the candidate was tried on it."""
    begun: bool = False
    """Whether it was fit to be installed on, and may have been touched since."""
    well: bool = False
    """Whether it was seen well after baking."""
    stuck: bool = False
    """Whether it could not be brought back; tried again on resume."""
    detail: str = ""
    """What it said last, or why it is not going on."""


class Hold(Strict):
    """Why a rollout stands still; ``resume`` ends it."""

    reason: str
    exit_code: ExitCode
    paused: bool = False
    """Asked for by a person: even what is being rolled back waits."""


class Firmware(Strict):
    """A firmware image."""

    version: str
    sha256: Digest
    boot_digest: Digest | None = None
    """What a bootloader reports of it."""


class RolloutState(Strict):
    """Everything about a rollout at one moment."""

    schema_version: Literal[1] = 1
    rollout: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Made at the start; the nonces of attestations are kept for it."""
    name: Name
    plan_sha256: Digest
    candidate: Firmware
    baseline: Firmware
    revision: Annotated[int, Field(ge=0)] = 0
    """Grows with every change."""
    updated: str
    phase: Literal["running", "rolling back", "done", "rolled back", "aborted"] = "running"
    ring: Annotated[int, Field(ge=0)] = 0
    """The ring at work, as its place in the plan."""
    opened: bool = False
    """Whether the lock opened this ring for the wave at work."""
    baking_until: Time | None = None
    baked: bool = False
    """Whether the wave has baked, and is looked at and confirmed."""
    held: Hold | None = None
    outcome: str = ""
    """Why it ended, or rolls back."""
    exit_code: ExitCode = ExitCode.INCONCLUSIVE
    """What it ends with; 20 while it has not ended."""
    ending: Literal["rolled back", "aborted"] = "rolled back"
    """What it is when everything that has to be rolled back is."""
    devices: dict[str, Device]

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self.phase in ("done", "rolled back", "aborted")

    def of_ring(self, ring: str) -> dict[str, Device]:
        """Return a ring's devices by name, in the order of the plan."""
        return {name: device for name, device in self.devices.items() if device.ring == ring}


class JournalEntry(Strict):
    """One line of the journal: what is about to be done, or what came of it."""

    revision: Annotated[int, Field(ge=0)]
    """Of the state that follows."""
    time: str
    what: str
    """In words of the field: ``intent``, ``ring opened``, ``device confirmed`` and so on."""
    subject: str = ""
    """A device or a ring."""
    outcome: str = ""
