"""The controller's two slots as a management server sees them: slot 0 runs, slot 1 is the other one."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import Protocol

from qdhil_sim.devices.firmware import FirmwareSlots, ImageRefused, Stored, parse_image
from qdhil_sim.devices.mcuboot import BadImage, is_mcuboot, parse_mcuboot


class SlotRefused(Exception):  # noqa: N818 - the server's word for it
    """A request that the slots don't allow.

    Parameters
    ----------
    code
        One of mcumgr's image management codes.
    generic
        The code of the protocol's first version that comes nearest.
    """

    def __init__(self, code: int, generic: int) -> None:
        super().__init__(code, generic)
        self.code = code
        self.generic = generic


NO_FREE_SLOT = (9, 6)
HASH_NOT_FOUND = (8, 5)
INVALID_IMAGE_HEADER = (22, 3)
INVALID_IMAGE_HEADER_MAGIC = (23, 3)
INVALID_HASH = (24, 9)
TEST_TO_ACTIVE_DENIED = (33, 6)
_CODES = {"magic": INVALID_IMAGE_HEADER_MAGIC, "header": INVALID_IMAGE_HEADER, "trailer": (4, 3), "no hash": (8, 5)}


@dataclass(frozen=True)
class SlotState:
    """What a slot holds and what becomes of it."""

    slot: int
    version: str
    digest: bytes
    pending: bool
    confirmed: bool
    active: bool
    permanent: bool


class ImageSlots(Protocol):
    """What a management server needs of a device."""

    def reachable(self) -> bool:
        """Return whether anything answers now."""

    def boots(self) -> int:
        """Return a number that every boot changes."""

    def states(self) -> list[SlotState]:
        """Return the slots that hold an image."""

    def store(self, data: bytes) -> None:
        """Write an image to the slot that does not run. Raises :class:`SlotRefused`."""

    def erase(self) -> None:
        """Empty the slot that does not run. Raises :class:`SlotRefused`."""

    def mark(self, digest: bytes, *, permanent: bool) -> None:
        """Boot an image next, once or for good. Raises :class:`SlotRefused`."""

    def confirm(self) -> None:
        """Keep the running image."""

    def reset(self) -> None:
        """Boot."""


class Device(Protocol):
    """A device with two slots, as :class:`qdhil_sim.devices.controller.Controller` is one."""

    slots: FirmwareSlots
    lock: threading.RLock

    def accepts_connections(self) -> bool:
        """Return whether it has booted."""

    def reboot(self) -> None:
        """Reset."""


class ControllerSlots:
    """Management of the controller's slots; images may come bare or inside an MCUboot image.

    Parameters
    ----------
    public_key
        Raw Ed25519 key; with it, only MCUboot images that it signed are taken.
    """

    def __init__(self, device: Device, public_key: bytes | None = None) -> None:
        self._device = device
        self._public_key = public_key

    def reachable(self) -> bool:
        """Return whether the device has booted."""
        with self._device.lock:
            return self._device.accepts_connections()

    def boots(self) -> int:
        """Return how often it has booted."""
        return self._device.slots.boots

    def states(self) -> list[SlotState]:
        """Return the running image as slot 0 and the other as slot 1."""
        with self._device.lock:
            slots = self._device.slots
            found = []
            for shown, index in enumerate((slots.running, slots.inactive)):
                stored = slots.contents[index]
                if stored is not None:
                    on_trial = slots.trial == index
                    found.append(
                        SlotState(
                            shown,
                            _version(stored),
                            _digest(stored),
                            pending=on_trial or (shown == 1 and slots.confirmed == index),
                            confirmed=slots.confirmed == index,
                            active=shown == 0,
                            permanent=shown == 1 and slots.confirmed == index,
                        )
                    )
            return found

    def store(self, data: bytes) -> None:
        """Write an image to the slot that does not run."""
        image = self._checked(data)
        with self._device.lock:
            slots = self._device.slots
            if slots.running != slots.confirmed or slots.trial is not None:
                raise SlotRefused(*NO_FREE_SLOT)
            slots.contents[slots.inactive] = image

    def erase(self) -> None:
        """Empty the slot that does not run."""
        with self._device.lock:
            slots = self._device.slots
            if slots.running != slots.confirmed or slots.trial is not None:
                raise SlotRefused(*NO_FREE_SLOT)
            slots.contents[slots.inactive] = None

    def mark(self, digest: bytes, *, permanent: bool) -> None:
        """Boot an image next, once or for good."""
        with self._device.lock:
            slots = self._device.slots
            running, other = slots.running_slot, slots.contents[slots.inactive]
            if _digest(running) == digest:
                if not permanent:
                    raise SlotRefused(*TEST_TO_ACTIVE_DENIED)
                slots.confirmed = slots.running
            elif other is not None and _digest(other) == digest:
                slots.trial = slots.inactive
                if permanent:
                    slots.confirmed = slots.inactive
            else:
                raise SlotRefused(*HASH_NOT_FOUND)

    def confirm(self) -> None:
        """Keep the running image."""
        with self._device.lock:
            self._device.slots.confirmed = self._device.slots.running

    def reset(self) -> None:
        """Boot."""
        with self._device.lock:
            self._device.reboot()

    def _checked(self, data: bytes) -> Stored:
        wrapped = is_mcuboot(data)
        if not wrapped and self._public_key is not None:
            raise SlotRefused(*INVALID_IMAGE_HEADER_MAGIC)
        try:
            payload = parse_mcuboot(data, self._public_key).payload if wrapped else data
            return Stored(data, parse_image(payload))
        except BadImage as bad:
            raise SlotRefused(*_CODES.get(bad.reason, INVALID_HASH)) from bad
        except ImageRefused as refused:
            raise SlotRefused(*(INVALID_IMAGE_HEADER if wrapped else INVALID_IMAGE_HEADER_MAGIC)) from refused


def _version(stored: Stored) -> str:
    return parse_mcuboot(stored.data).version if is_mcuboot(stored.data) else stored.image.image.version


def _digest(stored: Stored) -> bytes:
    if is_mcuboot(stored.data):
        return parse_mcuboot(stored.data).digest
    return hashlib.sha256(stored.data).digest()
