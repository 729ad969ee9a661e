"""Firmware bundles, and the slots they run in."""

from qdhil.firmware.bundle import Bundle, find_bundle
from qdhil.firmware.manifest import Manifest
from qdhil.firmware.slots import (
    FirmwareChannel,
    Identity,
    Running,
    confirm_running,
    run_candidate,
    run_confirmed,
    stage,
    verify_running,
)

__all__ = [
    "Bundle",
    "FirmwareChannel",
    "Identity",
    "Manifest",
    "Running",
    "confirm_running",
    "find_bundle",
    "run_candidate",
    "run_confirmed",
    "stage",
    "verify_running",
]
