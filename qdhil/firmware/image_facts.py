"""What an image says of itself, and whether a manifest says the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from qdhil.errors import RefusedError
from qdhil.firmware.manifest import Format, Manifest, version_numbers
from qdhil.firmware.mcuboot import HEADER_MAGIC, McubootImage, parse_mcuboot


@dataclass(frozen=True)
class ImageFacts:
    """What was read from an image file; ``None`` where this format, or this image, does not say.

    Parameters
    ----------
    boot_digest
        What a bootloader or controller reports as the running image's hash, in hex.
    version
        Version as the image has it.
    hardware
        Hardware revisions that the image names.
    security_counter
        MCUboot's counter against rollback.
    mcuboot
        The parsed image where it is one.
    notes
        What else is worth knowing, for people.
    """

    boot_digest: str
    version: str | None = None
    hardware: tuple[str, ...] | None = None
    security_counter: int | None = None
    mcuboot: McubootImage | None = None
    notes: dict[str, str] = field(default_factory=dict)


_BEGINNINGS: dict[bytes, Format] = {
    HEADER_MAGIC.to_bytes(4, "little"): "mcuboot",
    b"070701": "swu",
    b"070702": "swu",
    b"hsqs": "raucb",
}


def format_of(image: bytes) -> Format:
    """Return the format that an image file begins like; ``raw`` is whatever is none of the others."""
    return next((form for beginning, form in _BEGINNINGS.items() if image.startswith(beginning)), "raw")


def read_facts(form: Format, image: bytes) -> ImageFacts:
    """Read an image file.

    Raises
    ------
    RefusedError
        If it is not what its format says.
    """
    digest = hashlib.sha256(image).hexdigest()
    if form == "raw" and format_of(image) != "raw":
        raise RefusedError(f"an image of format raw begins like one of format {format_of(image)}")
    if form == "mcuboot":
        return _mcuboot_facts(image)
    if form == "swu":
        from qdhil.firmware.swu import read_swu

        found = read_swu(image)
        notes = {"members": ", ".join(found.members)}
        return ImageFacts(digest, found.version, found.hardware, notes=notes)
    if form == "raucb":
        from qdhil.firmware.rauc import read_raucb

        rauc = read_raucb(image)
        if rauc is None:
            return ImageFacts(digest, notes={"rauc": "not installed: only the manifest says what is inside"})
        return ImageFacts(digest, rauc.version, (rauc.compatible,), notes={"rauc": "read by rauc info"})
    return ImageFacts(digest)


def check_agrees(manifest: Manifest, facts: ImageFacts, what: str) -> None:
    """Refuse a manifest that says something else than its image.

    Raises
    ------
    RefusedError
        With the field that differs.
    """
    if facts.version is not None:
        same = facts.version == manifest.version
        if manifest.format == "mcuboot":
            same = version_numbers(facts.version) == version_numbers(manifest.version)
        if not same:
            raise RefusedError(f"{what}: image says version {facts.version}, its manifest says {manifest.version}")
    if facts.hardware is not None and sorted(facts.hardware) != sorted(manifest.hardware):
        raise RefusedError(
            f"{what}: image is for hardware {', '.join(facts.hardware)}, its manifest says "
            f"{', '.join(manifest.hardware)}"
        )
    if facts.security_counter != manifest.security_counter:
        raise RefusedError(
            f"{what}: image has security counter {facts.security_counter}, its manifest says "
            f"{manifest.security_counter}"
        )


def _mcuboot_facts(image: bytes) -> ImageFacts:
    parsed = parse_mcuboot(image)
    if parsed.security_counter is None:
        raise RefusedError("MCUboot image: it has no security counter among its protected entries")
    signed_by = "none" if parsed.key_hash is None else parsed.key_hash.hex()
    return ImageFacts(
        parsed.digest.hex(),
        parsed.version,
        parsed.hardware,
        parsed.security_counter,
        parsed,
        {"image key hash": signed_by, "payload bytes": str(len(parsed.payload))},
    )
