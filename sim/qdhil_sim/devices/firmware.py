"""Firmware of the simulated controller: what an image holds, and the two slots it lives in.

An image is TOML text, bare or inside an MCUboot image: ``[image]`` says what it is, ``[controls]`` what it makes the
excitation do, ``[outputs]`` what else it does to the rig, and ``[behaviour]`` how the controller then answers. Slots
follow the rules of a test-boot bootloader: a new image is booted once on trial, and the next reset returns to the
confirmed image unless the running one was confirmed in between.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field

from pydantic import Field, ValidationError

from qdhil.model_files import Strict, describe
from qdhil_sim.devices.mcuboot import BadImage, payload_of
from qdhil_sim.light.controls import PulseControls

HARDWARE = "psc-2-rev-b"


class ImageHead(Strict):
    """What an image says of itself."""

    version: str = Field(min_length=1, pattern=r"^[0-9A-Za-z.+-]+$")
    hardware: tuple[str, ...]
    fpga_build: str = Field(pattern=r"^[0-9A-Za-z.+-]*$")


class Outputs(Strict):
    """What firmware does to the rig beside the shape of the excitation pulse."""

    delay_error_ps: float = Field(default=0.0, ge=-1e3, le=1e3)
    """Mismatch of the interferometer, from the table by which the controller compensates its delay."""
    clock_slip_ps: float = Field(default=0.0, ge=0, le=5e3)
    """Slip between clock domains on some boots, which stays until the next: it mismatches the interferometer."""
    clock_slip_probability: float = Field(default=0.0, ge=0, le=1)
    """Share of the boots that slip."""
    power_swing: float = Field(default=0.0, ge=0, lt=1)
    """Amplitude of a limit cycle of the power loop, relative to the power."""
    power_period_s: float = Field(default=3.0, ge=0.1)
    """Period of the limit cycle."""
    sync_divider_factor: int = Field(default=1, ge=1)
    """By how much more than configured the laser's sync is divided on its way to the tagger."""


class Behaviour(Strict):
    """How the controller behaves on its interface."""

    mute_probability: float = Field(default=0.0, ge=0, le=1)
    """Probability that a query gets no answer."""


class FirmwareImage(Strict):
    """A firmware image that the controller accepts."""

    image: ImageHead
    controls: PulseControls = PulseControls()
    outputs: Outputs = Outputs()
    behaviour: Behaviour = Behaviour()


class ImageRefused(Exception):  # noqa: N818 - the controller's word for it
    """The bytes are no image for this controller; the message says why in one line."""


def parse_image(data: bytes) -> FirmwareImage:
    """Read an image, bare or as the payload of an MCUboot image.

    Raises
    ------
    ImageRefused
        If it is malformed, fails MCUboot's own checks, or is for other hardware.
    """
    try:
        image = FirmwareImage.model_validate(tomllib.loads(payload_of(data).decode("utf-8")))
    except BadImage as error:
        raise ImageRefused(f"MCUboot image refused: {error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ImageRefused("malformed image") from error
    except ValidationError as error:
        raise ImageRefused("malformed image: " + " / ".join(describe(error).split("\n")).strip()) from error
    if HARDWARE not in image.image.hardware:
        raise ImageRefused(f"image is for {' '.join(image.image.hardware)} and this is {HARDWARE}")
    return image


@dataclass(frozen=True)
class Stored:
    """An image in a slot, with the bytes it came as."""

    data: bytes
    image: FirmwareImage

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass
class FirmwareSlots:
    """Two slots, which of them runs, which is confirmed, and which is booted on trial next."""

    contents: list[Stored | None] = field(default_factory=lambda: [None, None])
    running: int = 0
    confirmed: int = 0
    trial: int | None = None
    boots: int = 0
    """How often it has booted since it was made."""

    @classmethod
    def holding(cls, data: bytes) -> FirmwareSlots:
        """Return slots whose slot 0 holds ``data``, running and confirmed."""
        return cls([Stored(data, parse_image(data)), None])

    @property
    def inactive(self) -> int:
        """The slot that does not run."""
        return 1 - self.running

    @property
    def image(self) -> FirmwareImage:
        """The running image."""
        return self.running_slot.image

    @property
    def running_slot(self) -> Stored:
        """The running slot's content."""
        stored = self.contents[self.running]
        if stored is None:
            raise RuntimeError("the running slot is empty")
        return stored

    def reset(self) -> None:
        """Boot: the image on trial once if there is one, else the confirmed one."""
        self.running = self.confirmed if self.trial is None else self.trial
        self.trial = None
        self.boots += 1
