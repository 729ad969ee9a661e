"""Make docs/example-bundle: a signed MCUboot bundle and the trust file that it is verified against.

``python docs/example_bundle.py`` signs with keys that are thrown away; the payload is the simulator's build 1.5.0-good.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from qdhil.firmware.build import Stated, make_manifest, write_bundle
from qdhil.firmware.mcuboot_build import wrap_payload
from qdhil.keys.signers import public_pem
from qdhil_sim.builds import read_image

FOLDER = Path(__file__).resolve().parent / "example-bundle"
HARDWARE = "psc-2-rev-b"
ISSUED = datetime(2025, 1, 1, tzinfo=UTC)


def main() -> None:
    """Write the folder anew."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    keys = {name: CryptoSigner.generate_ed25519() for name in ("build", "boot", "return")}
    signs = {"build": "firmware", "boot": "image", "return": "downgrade"}
    image = wrap_payload(
        read_image("1.5.0-good"), "1.5.0-good+7", keys["boot"], security_counter=3, hardware=[HARDWARE]
    )
    stated = Stated(
        sequence=150, min_bootloader="1.2.0", fpga_build="f150", calibration_schema=1, version="1.5.0-good+7"
    )
    write_bundle(FOLDER / "1.5.0", image, make_manifest(image, "app.signed.bin", stated, ISSUED), [keys["build"]])
    text = "schema_version = 1\nthreshold = 1        # of verdicts\nlifetime_max_h = 24\n\n[firmware]\nthreshold = 1\n"
    text += "downgrade_lifetime_max_h = 8\n"
    for name, signer in keys.items():
        entry = f'signs = "{signs[name]}"\npublic = """\n{public_pem(signer).strip()}\n"""\n'
        text += f"\n[keys.{name}]  # key id {signer.public_key.keyid[:12]}\n{entry}"
    (FOLDER / "trust.toml").write_text(text)


if __name__ == "__main__":
    main()
