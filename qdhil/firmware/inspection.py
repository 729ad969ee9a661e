"""What a bundle or an image says, for people and programs that want to look: nothing of it is believed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from qdhil.errors import ConfigurationError, QdhilError
from qdhil.firmware.bundle import ENVELOPE_NAME
from qdhil.firmware.image_facts import check_agrees, format_of, read_facts
from qdhil.firmware.manifest import MANIFEST_NAME, MANIFEST_TYPE, Format, Manifest, read_manifest
from qdhil.keys.envelope import read_envelope
from qdhil.regular_files import read_regular

_KEY_ID_SHOWN = 12


def inspect_image(image: bytes, form: Format | None = None) -> dict[str, Any]:
    """Return what an image file says; ``problem`` where it is broken."""
    form = form or format_of(image)
    found: dict[str, Any] = {"format": form, "bytes": len(image), "sha256": hashlib.sha256(image).hexdigest()}
    try:
        facts = read_facts(form, image)
    except QdhilError as error:
        return {**found, "problem": str(error)}
    found |= {"image version": facts.version, "boot digest": facts.boot_digest}
    found |= {"image hardware": list(facts.hardware or ()), "image security counter": facts.security_counter}
    return {**found, **facts.notes}


def inspect_bundle(folder: Path) -> dict[str, Any]:
    """Return what manifest, image and envelope of a bundle say; ``problem`` where they disagree.

    Raises
    ------
    ConfigurationError
        If there is no manifest, or it is none.
    """
    file = folder / MANIFEST_NAME
    try:
        data = read_regular(file)
    except OSError as error:
        raise ConfigurationError(f"firmware bundle {folder}: {error.strerror}: {file}") from error
    manifest = read_manifest(data, f"firmware manifest {file}")
    found: dict[str, Any] = {
        name.replace("_", " "): value for name, value in manifest.model_dump(exclude={"schema_version"}).items()
    }
    problems: list[str] = []
    found["signed by keys"] = _key_ids(folder, data, problems)
    found |= _image_rows(folder, manifest, problems)
    return found | ({"problem": "; ".join(problems)} if problems else {})


def _image_rows(folder: Path, manifest: Manifest, problems: list[str]) -> dict[str, Any]:
    try:
        image = read_regular(folder / manifest.image)
    except OSError as error:
        problems.append(f"{manifest.image}: {error.strerror}")
        return {}
    rows = inspect_image(image, manifest.format)
    for name, said in (("sha256", manifest.sha256), ("bytes", manifest.size_bytes)):
        if rows[name] != said:
            problems.append(f"{manifest.image} has {name} {rows[name]}")
    if "problem" in rows:
        problems.append(rows["problem"])
    else:
        try:
            check_agrees(manifest, read_facts(manifest.format, image), manifest.image)
        except QdhilError as error:
            problems.append(str(error))
    return {name: value for name, value in rows.items() if name not in ("format", "bytes", "sha256", "problem")}


def _key_ids(folder: Path, data: bytes, problems: list[str]) -> list[str]:
    file = folder / ENVELOPE_NAME
    if not file.exists():
        return []
    try:
        envelope = read_envelope(read_regular(file), ENVELOPE_NAME, MANIFEST_TYPE)
    except OSError as error:
        problems.append(f"{ENVELOPE_NAME}: {error.strerror}")
        return []
    except QdhilError as error:
        problems.append(str(error))
        return []
    if envelope.payload != data:
        problems.append(f"{ENVELOPE_NAME} signs another manifest")
    return [keyid[:_KEY_ID_SHOWN] for keyid in sorted(envelope.signatures)]
