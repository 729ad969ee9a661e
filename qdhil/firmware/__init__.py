"""Firmware bundles, and the slots they run in."""

from qdhil.firmware.bundle import Bundle, Manifest, find_bundle
from qdhil.firmware.slots import FirmwareChannel, run_candidate, run_confirmed, stage, verify_running

__all__ = [
    "Bundle",
    "FirmwareChannel",
    "Manifest",
    "find_bundle",
    "run_candidate",
    "run_confirmed",
    "stage",
    "verify_running",
]
