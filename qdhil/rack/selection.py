"""Find the rack file, and the rigs that ``--rig`` names."""

from __future__ import annotations

import importlib.resources
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from qdhil.errors import ConfigurationError
from qdhil.rack.config import Rack, Rig


def default_rack_file() -> Path:
    """Return the packaged rack file with two simulated rigs."""
    return Path(str(importlib.resources.files("qdhil.rack") / "default_rack.toml"))


def select_rigs(rack: Rack, wanted: Sequence[str]) -> dict[str, Rig]:
    """Return the rigs that the selectors name, in the order of the rack file.

    Parameters
    ----------
    rack
        The rack.
    wanted
        Selectors: a rig's name, or ``tag:KEY=VALUE`` for every rig that carries the tag.

    Raises
    ------
    ConfigurationError
        If a selector matches no rig; the message lists what there is.
    """
    names: set[str] = set()
    for selector in wanted:
        matches = _matching(rack, selector)
        if not matches:
            known = ", ".join(rack.rigs) or "none"
            raise ConfigurationError(f"--rig {selector}: no such rig; the rack file has {known}")
        names |= matches
    return {name: rig for name, rig in rack.rigs.items() if name in names}


def bundle_folder(rig: Rig, rack_file: Path) -> Path:
    """Return the folder that holds the rig's firmware bundles.

    Raises
    ------
    ConfigurationError
        If it does not exist.
    """
    return named_folder(rig.firmware.bundles, rack_file.parent, "firmware.bundles")


def named_folder(where: str, beside: Path, what: str) -> Path:
    """Return the folder of ``pkg:PACKAGE/FOLDER``, or one relative to ``beside``; ``what`` names it in messages.

    Raises
    ------
    ConfigurationError
        If it does not exist.
    """
    if where.startswith("pkg:"):
        package, _, inner = where.removeprefix("pkg:").partition("/")
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError):  # a parent that is missing, or no name at all
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise ConfigurationError(f"{what} = {where!r}: package {package} is not installed")
        folder = Path(spec.submodule_search_locations[0]) / inner
    else:
        folder = beside / where
    if not folder.is_dir():
        raise ConfigurationError(f"{what} = {where!r}: no folder {folder.resolve()}")
    return folder


def _matching(rack: Rack, selector: str) -> set[str]:
    if not selector.startswith("tag:"):
        return {selector} & rack.rigs.keys()
    key, separator, value = selector.removeprefix("tag:").partition("=")
    if not separator:
        raise ConfigurationError(f"--rig {selector}: a tag selector reads tag:KEY=VALUE")
    return {name for name, rig in rack.rigs.items() if {"kind": rig.kind, **rig.tags}.get(key) == value}
