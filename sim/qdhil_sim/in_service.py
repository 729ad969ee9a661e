"""The firmware in service on a simulated controller: the one that the rack file names, from its bundles."""

from __future__ import annotations

import json
from pathlib import Path

from qdhil.errors import ConfigurationError
from qdhil.rack.config import Rig
from qdhil.rack.selection import bundle_folder
from qdhil_sim.builds import read_image
from qdhil_sim.devices.firmware import ImageRefused, parse_image


def image_in_service(rig: Rig, rack_file: Path) -> bytes:
    """Return the image of a rig's baseline: of its bundle, or else of the packaged build of that version.

    What the bundle is worth is for the session to find out; a flash programmer does not ask either.

    Raises
    ------
    ConfigurationError
        If there is neither, or the bundle can't be read.
    """
    wanted = rig.firmware.baseline
    for folder in (_beside(rig, rack_file, wanted), Path(wanted)):
        if folder is not None and (folder / "manifest.json").is_file():
            return _image_of(folder)
    return read_image(wanted)


def _beside(rig: Rig, rack_file: Path, wanted: str) -> Path | None:
    try:
        return bundle_folder(rig, rack_file) / wanted
    except ConfigurationError:  # a rack may be served by a host that holds no bundles
        return None


def _image_of(folder: Path) -> bytes:
    try:
        name = json.loads((folder / "manifest.json").read_bytes())["image"]
        image = (folder / str(name)).read_bytes()
        parse_image(image)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"firmware bundle {folder}: its image can't be read: {error}") from error
    except ImageRefused as error:
        raise ConfigurationError(f"firmware bundle {folder}: the simulated controller can't run it: {error}") from error
    return image
