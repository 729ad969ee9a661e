"""Firmware builds of the simulated controller: an image and a manifest in a folder for each version."""

from __future__ import annotations

from importlib import resources

from qdhil.errors import ConfigurationError


def versions() -> list[str]:
    """Return every version there is, sorted."""
    folders = resources.files(__name__).iterdir()
    return sorted(folder.name for folder in folders if folder.joinpath("image.toml").is_file())


def read_image(version: str) -> bytes:
    """Return the image of a version.

    Raises
    ------
    ConfigurationError
        If there is no such version.
    """
    if version not in versions():
        raise ConfigurationError(f"no firmware build {version!r}; there are: {', '.join(versions())}")
    return resources.files(__name__).joinpath(version, "image.toml").read_bytes()


def read_manifest(version: str) -> bytes:
    """Return the manifest of a version, as JSON.

    Raises
    ------
    ConfigurationError
        If there is no such version.
    """
    read_image(version)
    return resources.files(__name__).joinpath(version, "manifest.json").read_bytes()
