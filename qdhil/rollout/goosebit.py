"""A fleet of devices that a goosebit server updates: SWUpdate and RAUC clients that poll it.

Every firmware has a feed of its own beside the feed that a device was put into by people: ``canary`` becomes
``canary+qdhil-`` and twelve digits of the firmware's digest. A device is installed on by moving it into the
candidate's feed and rolled back by moving it into the baseline's; each feed has a goosebit rollout of exactly one
file, which was read back from the server and compared by SHA-256. So waves are kept, and devices that the rollout has
not reached are in no feed that offers anything.

Devices confirm or refuse by themselves (``swupdate -c 2`` or ``-c 3`` after the restart); goosebit knows of them what
they report, which is a version and not a digest.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qdhil.errors import ConfigurationError, InfraFault
from qdhil.rollout.fleet import DeviceState, installable, unreachable, wait
from qdhil.rollout.goosebit_api import GoosebitApi
from qdhil.rollout.state import Firmware

if TYPE_CHECKING:
    from qdhil.firmware.bundle import Bundle
    from qdhil.rollout.plan import Plan, Ring

_MARK = "+qdhil-"
_DIGITS = 12
_FORMATS = ("swu", "raucb")
_SELECTOR = "feed:"


@contextmanager
def fleet(
    plan: Plan, folder: Path, candidate: Bundle | Firmware, baseline: Bundle, interrupted: Callable[[], bool]
) -> Iterator[GoosebitFleet]:
    """Give the devices of the server that a plan names."""
    settings = plan.fleet
    if settings.kind != "goosebit":
        raise ConfigurationError(f"rollout plan: fleet.kind is {settings.kind}, not goosebit")
    for bundle in (candidate, baseline):
        if not isinstance(bundle, Firmware) and bundle.manifest.format not in _FORMATS:
            raise ConfigurationError(f"firmware {bundle.version}: goosebit takes {' and '.join(_FORMATS)} images")
    if candidate.version == baseline.version:
        raise ConfigurationError(f"candidate and baseline are both {candidate.version}; goosebit can't tell them apart")
    api = GoosebitApi(settings.url, folder / settings.credentials, settings.request_timeout_s)
    waiting = {"install_timeout_s": plan.install_timeout_s, "poll_s": plan.poll_s}
    yield GoosebitFleet(api, candidate, baseline, **waiting, interrupted=interrupted)


class GoosebitFleet:
    """Devices of a goosebit server, with the bundles of one rollout.

    Parameters
    ----------
    api
        The server.
    candidate, baseline
        The verified bundles; their images are what the devices install. Without the candidate's, devices can only be
        rolled back.
    install_timeout_s
        How long a device that installs is waited for before it is rolled back.
    poll_s
        How often it is looked at meanwhile.
    interrupted
        Whether to stop waiting.
    """

    def __init__(
        self,
        api: GoosebitApi,
        candidate: Bundle | Firmware,
        baseline: Bundle,
        *,
        install_timeout_s: float,
        poll_s: float,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._api = api
        self._candidate = candidate
        self._baseline = baseline
        self._install_timeout_s = install_timeout_s
        self._poll_s = poll_s
        self._interrupted = interrupted
        self._numbers: dict[str, int] = {}

    def devices(self, ring: Ring) -> list[str]:
        """Return the names of a ring's devices: those it names, and those of its feeds.

        Raises
        ------
        ConfigurationError
            If one is not on the server, or is not updated by feeds there.
        """
        known = {str(entry["id"]): entry for entry in self._api.devices()}
        names = dict.fromkeys(ring.devices)
        for selector in ring.select:
            if not selector.startswith(_SELECTOR):
                raise ConfigurationError(f"ring {ring.name}: select takes feed:NAME, not {selector}")
            feed = selector.removeprefix(_SELECTOR)
            found = sorted(name for name, entry in known.items() if _home(entry) == feed)
            if not found:
                raise ConfigurationError(f"ring {ring.name}: goosebit has no device in feed {feed}")
            names |= dict.fromkeys(found)
        for name in names:
            if name not in known:
                raise ConfigurationError(f"ring {ring.name}: goosebit has no device {name}")
            if known[name]["update_mode"] != "Rollout":
                raise ConfigurationError(f"ring {ring.name}: device {name} is {known[name]['update_mode']} in goosebit")
        return list(names)

    def observe(self, device: str) -> DeviceState:
        """Return what the server knows of a device."""
        try:
            return self._state(self._entry(device))
        except InfraFault as fault:
            return unreachable(fault)

    def install(self, device: str) -> None:
        """Offer the candidate to a device that runs the baseline; it installs when it polls."""
        entry = self._entry(device)
        if entry["last_state"] == "Running" or entry["sw_version"] != self._baseline.version:
            return
        candidate = installable(self._candidate)
        feed = self._feed(entry, candidate)
        self._offer(feed, candidate, entry)
        if entry["feed"] != feed:
            self._api.move(device, feed, force=entry["last_state"] == "Error")

    def confirm(self, device: str) -> None:
        """Do nothing: a device confirms by itself, and is on trial for nobody else."""

    def roll_back(self, device: str) -> None:
        """Offer the baseline to a device and take the candidate from it.

        Raises
        ------
        InfraFault
            If it does not end what it is installing: only then can it report, and begin something else.
        """
        entry = self._at_rest(device)
        feed = self._feed(entry, self._baseline)
        self._offer(feed, self._baseline, entry)
        stuck = entry["last_state"] == "Error" and entry["sw_version"] != self._baseline.version
        self._api.move(device, feed, force=stuck)
        self._close(self._feed(entry, self._candidate))

    def _state(self, entry: dict[str, Any]) -> DeviceState:
        running = {bundle.version: bundle for bundle in (self._baseline, self._candidate)}.get(entry["sw_version"])
        target, digest = self._target(entry), "" if running is None else running.sha256
        said = f"goosebit: {entry['last_state']}, version {entry['sw_version']}"

        def state(phase: Any) -> DeviceState:
            return DeviceState(phase, digest, said, None)

        if entry["last_state"] == "Running":
            return state("installing")
        failed = entry["last_state"] == "Error" and not entry["force_update"]
        if failed and (target == "candidate" or (target == "baseline" and running is not self._baseline)):
            return state("failed")
        if not entry["polling"]:
            return DeviceState("unreachable", digest, f"{said}, does not poll", None)
        if running is None:
            return state("installing" if target == "baseline" else "unknown")
        phase: Literal["confirmed", "baseline"] = "confirmed" if running is self._candidate else "baseline"
        arrived = target is None or (target == "candidate") == (running is self._candidate)
        return state(phase if arrived else "installing")

    def _target(self, entry: dict[str, Any]) -> Literal["candidate", "baseline"] | None:
        """Return which firmware the device's feed offers, of this rollout's two."""
        if entry["feed"] == self._feed(entry, self._candidate):
            return "candidate"
        return "baseline" if entry["feed"] == self._feed(entry, self._baseline) else None

    def _feed(self, entry: dict[str, Any], firmware: Bundle | Firmware) -> str:
        return f"{_home(entry)}{_MARK}{firmware.sha256[:_DIGITS]}"

    def _entry(self, device: str) -> dict[str, Any]:
        return _named(device, self._api.devices())

    def _at_rest(self, device: str) -> dict[str, Any]:
        deadline = time.monotonic() + self._install_timeout_s
        while (entry := self._entry(device))["last_state"] == "Running":
            if time.monotonic() > deadline:
                advice = "restart the device, or its update client, so that it reports"
                raise InfraFault(device, "goosebit", "update state", "Running", "ended", advice)
            wait(self._poll_s, self._interrupted)
        return entry

    def _offer(self, feed: str, bundle: Bundle, entry: dict[str, Any]) -> None:
        """Have a rollout of this firmware in a feed, and of nothing else."""
        number = self._number(bundle, entry)
        here = [rollout for rollout in self._api.rollouts() if rollout["feed"] == feed]
        if any(rollout["software"]["id"] != number for rollout in here):
            raise InfraFault(str(entry["id"]), "goosebit", f"rollouts of feed {feed}", "other firmware", bundle.version)
        if any(not rollout["paused"] for rollout in here):
            return
        if not here:
            self._api.start_rollout(f"qdhil {bundle.version}", feed, number)
        elif self._inhabited(feed):
            advice = "somebody paused it there: take the pause back, or end the rollout with qdhil"
            raise InfraFault(str(entry["id"]), "goosebit", f"rollout of feed {feed}", "paused", "running", advice)
        else:
            self._api.pause([rollout["id"] for rollout in here], paused=False)

    def _close(self, feed: str) -> None:
        """Stop the rollout of a feed that no device is in any more."""
        running = [
            rollout["id"] for rollout in self._api.rollouts() if rollout["feed"] == feed and not rollout["paused"]
        ]
        if running and not self._inhabited(feed):
            self._api.pause(running, paused=True)

    def _inhabited(self, feed: str) -> bool:
        return any(entry["feed"] == feed for entry in self._api.devices())

    def _number(self, bundle: Bundle, entry: dict[str, Any]) -> int:
        """Return the server's number of a bundle's image, which is put there where it is missing."""
        if bundle.sha256 not in self._numbers:
            number = self._uploaded(bundle)
            if hashlib.sha256(self._api.download(number, len(bundle.image))).hexdigest() != bundle.sha256:
                raise ConfigurationError(f"goosebit has another file as firmware {bundle.version}")
            self._numbers[bundle.sha256] = number
        number = self._numbers[bundle.sha256]
        (software,) = (found for found in self._api.software() if found["id"] == number)
        if entry["hardware"]["id"] not in [hardware["id"] for hardware in software["compatibility"]]:
            made_for = ", ".join(f"{one['model']}/{one['revision']} ({one['id']})" for one in software["compatibility"])
            has = "{model}/{revision} ({id})".format(**entry["hardware"])
            raise InfraFault(str(entry["id"]), "goosebit", "hardware", has, made_for)
        return number

    def _uploaded(self, bundle: Bundle) -> int:
        sha1 = hashlib.sha1(bundle.image, usedforsecurity=False).hexdigest()  # what goosebit names files by
        for found in self._api.software():
            if found["hash"] == sha1 and found["size"] == len(bundle.image):
                return int(found["id"])
        return self._api.upload(f"{bundle.version}.{bundle.manifest.format}", bundle.image)


def _home(entry: dict[str, Any]) -> str:
    """Return the feed that people put a device into."""
    return str(entry["feed"]).partition(_MARK)[0]


def _named(device: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    for entry in entries:
        if entry["id"] == device:
            return entry
    raise InfraFault(device, "goosebit", "device", None, "known to the server", "has it been deleted there?")
