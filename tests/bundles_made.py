"""Keys, trust files and signed bundles: what the tests of firmware bundles are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner

from qdhil.firmware.build import Stated, make_manifest, write_bundle
from qdhil.firmware.bundle import Bundle
from qdhil.firmware.downgrade import PERMISSION_TYPE, permission
from qdhil.firmware.mcuboot_build import wrap_payload
from qdhil.keys.envelope import seal
from qdhil.keys.signers import public_pem
from qdhil.keys.trust import Trust, load_trust

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
HARDWARE = "psc-2-rev-b"
# made once: a key is as good as another, and which one signs is what the tests vary
BUILD, SECOND, STRANGER, BOOT, OTHER_BOOT, RETURN = (CryptoSigner.generate_ed25519() for _ in range(6))


def payload(version: str = "1.5.0", fpga_build: str = "f150", more: str = "") -> bytes:
    """What the simulated controller runs."""
    text = f'[image]\nversion = "{version}"\nhardware = ["{HARDWARE}"]\nfpga_build = "{fpga_build}"\n'
    return (text + more).encode()


def mcuboot_image(version: str = "1.5.0+7", *, counter: int = 3, signer: Any = BOOT, content: bytes = b"") -> bytes:
    return wrap_payload(
        content or payload(), version, signer, security_counter=counter, hardware=[HARDWARE], header_bytes=32
    )


def made_bundle(
    folder: Path,
    image: bytes,
    *,
    version: str | None = None,
    sequence: int = 150,
    hardware: Sequence[str] = (HARDWARE,),
    signers: Iterable[Any] = (BUILD,),
    lifetime: timedelta | None = None,
    min_bootloader: str = "1.0.0",
    fpga_build: str = "f150",
    now: datetime = NOW,
) -> Bundle:
    """Write a bundle below a folder that is there or not."""
    stated = Stated(
        sequence=sequence,
        min_bootloader=min_bootloader,
        fpga_build=fpga_build,
        calibration_schema=1,
        version=version,
        hardware=tuple(hardware),
        lifetime=lifetime,
    )
    return write_bundle(folder, image, make_manifest(image, "image.bin", stated, now), tuple(signers))


def permission_file(from_sha256: str, to_sha256: str, *, signer: Any = RETURN, **changes: Any) -> bytes:
    said: dict[str, Any] = {
        "from_sha256": from_sha256,
        "to_sha256": to_sha256,
        "hardware": HARDWARE,
        "reason": "field regression, see 12",
        "lifetime": timedelta(hours=4),
        "now": NOW,
        **changes,
    }
    return seal(permission(**said), [signer], payload_type=PERMISSION_TYPE).encode()


def trust_text(*, threshold: int = 1, keys: dict[str, tuple[str, Any]] | None = None) -> str:
    trusted = keys or {
        "build": ("firmware", BUILD),
        "second": ("firmware", SECOND),
        "boot": ("image", BOOT),
        "return": ("downgrade", RETURN),
    }
    lines = ["schema_version = 1", "threshold = 1", "lifetime_max_h = 24"]
    lines += ["[firmware]", f"threshold = {threshold}", "downgrade_lifetime_max_h = 8"]
    for name, (signs, signer) in trusted.items():
        lines += [f"[keys.{name}]", f'signs = "{signs}"', f'public = """\n{public_pem(signer)}"""']
    return "\n".join(lines) + "\n"


def made_trust(folder: Path, **options: Any) -> Trust:
    file = folder / "trust.toml"
    file.write_text(trust_text(**options))
    return load_trust(file, "firmware")
