"""``qdhil firmware``: make, sign, look at and check firmware bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdhil.cli.authority import AuditOption, RolesOption, authority
from qdhil.cli.exit_maps import OPTION, ExitMap
from qdhil.cli.firmware_rows import json_text, print_rows
from qdhil.cli.json_output import JsonOption
from qdhil.cli.signing import KeyOption, TrustOption, is_folder, lifetime, now, read_bytes, refused, signers
from qdhil.errors import ConfigurationError, RefusedError

if TYPE_CHECKING:
    from qdhil.firmware.bundle import Bundle
    from qdhil.firmware.history import Installed
    from qdhil.keys.extra import Signer

firmware = typer.Typer(no_args_is_help=True, help="Make, sign, look at and check firmware bundles.")

BundleArgument = Annotated[Path, typer.Argument(help="Bundle folder.", metavar="BUNDLE")]
HardwareOption = Annotated[str, typer.Option(help="Hardware revision of the device.")]


@firmware.command()
def build(
    image: Annotated[Path, typer.Argument(help="Image file, or with --image-key a payload.", metavar="IMAGE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Bundle folder to make.", metavar="FOLDER")],
    sequence: Annotated[int, typer.Option(help="Number that grows with every release.")],
    min_bootloader: Annotated[str, typer.Option(help="Oldest bootloader that can boot it.")],
    fpga_build: Annotated[str, typer.Option(help="FPGA build that belongs to it.")],
    calibration_schema: Annotated[int, typer.Option(help="Schema of the calibration data that it reads.")],
    key: Annotated[
        list[str] | None, typer.Option(help="Key that signs the manifest; repeatable.", metavar="FILE|env:NAME|pkcs11:")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Version (default: what the image says).")] = None,
    hardware: Annotated[
        list[str] | None, typer.Option(help="Hardware revision; repeatable (default: what the image says).")
    ] = None,
    git_commit: Annotated[str | None, typer.Option(help="Commit it was made of.")] = None,
    expires: Annotated[str | None, typer.Option(help="How long it may be installed: 90d (default: always).")] = None,
    image_key: Annotated[
        str | None,
        typer.Option(help="Wrap IMAGE into an MCUboot image signed by this key.", metavar="FILE|env:NAME|pkcs11:"),
    ] = None,
    security_counter: Annotated[int | None, typer.Option(help="MCUboot's counter, with --image-key.")] = None,
    header_bytes: Annotated[int, typer.Option(help="Length of the MCUboot header, with --image-key.")] = 32,
    roles: RolesOption = None,
    audit: AuditOption = None,
    json: JsonOption = False,
) -> None:
    """Make a bundle: derive what the image says, write its manifest, sign it."""
    from qdhil.firmware.build import Stated, make_manifest, write_bundle

    content, name = read_bytes(image, "image"), image.name
    if image_key is None and security_counter is not None:
        raise ConfigurationError("--security-counter goes with --image-key; a signed image has its own")
    stated = Stated(
        sequence=sequence,
        min_bootloader=min_bootloader,
        fpga_build=fpga_build,
        calibration_schema=calibration_schema,
        git_commit=git_commit,
        version=version,
        hardware=tuple(hardware or ()),
        lifetime=None if expires is None else lifetime(expires),
    )
    keys = signers(key or [])
    with authority(roles, audit, keys[0] if keys else None).action(
        "releaser", "firmware.build", output.name, _keys(keys)
    ) as progress:
        if image_key is not None:
            content = _wrapped(content, version, image_key, security_counter, hardware or [], header_bytes)
            name = f"{image.stem}.signed.bin"
        made = write_bundle(output, content, make_manifest(content, name, stated, now()), keys)
        progress.details = {"version": made.version, "sha256": made.sha256}
    _say_made(output, made, json)


@firmware.command()
def sign(
    bundle: BundleArgument,
    key: KeyOption,
    roles: RolesOption = None,
    audit: AuditOption = None,
    json: JsonOption = False,
) -> None:
    """Sign a bundle beside those who signed it already, after checking its image against its manifest."""
    from qdhil.firmware.build import co_sign

    keys = signers(key)
    about = _keys(keys)
    with authority(roles, audit, keys[0]).action("releaser", "firmware.sign", bundle.name, about) as progress:
        made = co_sign(bundle, keys)
        progress.details = {"version": made.version, "sha256": made.sha256}
    _say_made(bundle, made, json)


@firmware.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="Bundle folder or image file.", metavar="BUNDLE|IMAGE")],
    json: JsonOption = False,
) -> None:
    """Print what a bundle or an image says; nothing of it is verified."""
    from qdhil.firmware.inspection import inspect_bundle, inspect_image

    found = inspect_bundle(path) if is_folder(path) else inspect_image(read_bytes(path, "image"))
    if json:
        typer.echo(json_text(found))
        return
    print_rows(found)
    typer.echo("nothing of this was verified: qdhil firmware verify")


@firmware.command()
def verify(
    bundle: BundleArgument,
    trust: TrustOption,
    hardware: HardwareOption,
    bootloader: Annotated[str | None, typer.Option(help="Bootloader of the device (default: not checked).")] = None,
    installed: Annotated[str | None, typer.Option(help="Image in service.", metavar="DIGEST")] = None,
    installed_version: Annotated[str | None, typer.Option(help="Version in service.")] = None,
    installed_sequence: Annotated[int | None, typer.Option(help="Sequence number in service.")] = None,
    installed_counter: Annotated[int | None, typer.Option(help="Security counter in service.")] = None,
    history: Annotated[Path | None, typer.Option(help="What the rig has confirmed.", metavar="FILE")] = None,
    rig: Annotated[str | None, typer.Option(help="Whose history, with --history.")] = None,
    downgrade: Annotated[
        list[Path] | None, typer.Option(help="Permission to go back (default: *.downgrade.json in BUNDLE).")
    ] = None,
    exit_map: Annotated[ExitMap | None, typer.Option(OPTION, help="Exit codes of another program.")] = None,
    json: JsonOption = False,
) -> None:
    """End with 0 only for a bundle that may be installed on this hardware now; 40 says why not."""
    from qdhil.firmware.bundle import find_bundle
    from qdhil.keys.trust import load_trust

    del exit_map  # the entry point maps, so that errors are mapped too
    known = _installed(history, rig, installed, installed_version, installed_sequence, installed_counter)
    trusted = load_trust(trust, "firmware")
    if not is_folder(bundle):
        raise ConfigurationError(f"{bundle}: no such bundle folder")
    try:
        found = find_bundle(
            str(bundle.resolve()),
            bundle.parent,
            hardware=hardware,
            trust=trusted,
            bootloader=bootloader,
            installed=known,
            permissions=None if downgrade is None else [read_bytes(file, "permission") for file in downgrade],
            now=now(),
        )
    except RefusedError as error:
        raise refused(error, json) from error
    _say_accepted(found, bootloader is not None, bool(known.confirmed), json)


@firmware.command("permit-downgrade")
def permit_downgrade(
    from_: Annotated[str, typer.Option("--from", help="Image in service.", metavar="BUNDLE|DIGEST")],
    to: Annotated[str, typer.Option(help="Older image.", metavar="BUNDLE|DIGEST")],
    hardware: HardwareOption,
    reason: Annotated[str, typer.Option(help="Why, in a sentence.")],
    key: KeyOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="Permission to write.", metavar="*.downgrade.json")],
    expires: Annotated[str, typer.Option(help="How long it holds: 30m, 4h, 1d.")] = "4h",
    roles: RolesOption = None,
    audit: AuditOption = None,
) -> None:
    """Permit one hardware revision to go back from one image to one older image, for some time."""
    from pydantic import ValidationError

    from qdhil.cli.signing import write_signed
    from qdhil.firmware.bundle import PERMISSION_SUFFIX
    from qdhil.firmware.downgrade import PERMISSION_TYPE, permission
    from qdhil.keys.envelope import seal
    from qdhil.model_files import describe

    if not output.name.endswith(PERMISSION_SUFFIX):
        raise ConfigurationError(f"--output must be named *{PERMISSION_SUFFIX}, so that it is found beside its bundle")
    older, newer, keys = _digest_of(to, "--to"), _digest_of(from_, "--from"), signers(key)
    said = {**_keys(keys), "from_sha256": newer, "to_sha256": older, "hardware": hardware, "reason": reason}
    with authority(roles, audit, keys[0]).action("releaser", "firmware.permit-downgrade", output.name, said):
        try:
            statement = permission(
                from_sha256=newer,
                to_sha256=older,
                hardware=hardware,
                reason=reason,
                lifetime=lifetime(expires),
                now=now(),
            )
        except ValidationError as error:
            raise ConfigurationError(f"downgrade permission: {describe(error).strip()}") from error
        write_signed(output, seal(statement, keys, payload_type=PERMISSION_TYPE))
    typer.echo(f"{output}: {hardware} may go back from {newer[:12]} to {older[:12]}")


def _keys(keys: list[Signer]) -> dict[str, str]:
    """Return what the audit log says of keys."""
    return {"keys": ", ".join(str(signer.public_key.keyid) for signer in keys)}


def _wrapped(
    payload: bytes, version: str | None, key: str, counter: int | None, hardware: list[str], header_bytes: int
) -> bytes:
    from qdhil.firmware.mcuboot_build import wrap_payload
    from qdhil.keys.signers import load_signer

    if version is None or counter is None or not hardware:
        raise ConfigurationError("--image-key needs --version, --hardware and --security-counter")
    return wrap_payload(
        payload,
        version,
        load_signer(key, "--image-key"),
        security_counter=counter,
        hardware=hardware,
        header_bytes=header_bytes,
    )


def _installed(
    history: Path | None,
    rig: str | None,
    digest_text: str | None,
    version: str | None,
    sequence: int | None,
    counter: int | None,
) -> Installed:
    from qdhil.cli.signing import digest
    from qdhil.firmware.history import NOTHING_INSTALLED, StatedFirmware, read_history

    if (history is None) != (rig is None):
        raise ConfigurationError("--history and --rig go together")
    known = NOTHING_INSTALLED if history is None or rig is None else read_history(history, rig)
    if (digest_text, version, sequence, counter) == (None,) * 4:
        return known
    sha256 = "" if digest_text is None else digest(digest_text, "--installed")
    return known.then(StatedFirmware(sha256, version or "0.0.0", -1 if sequence is None else sequence, counter))


def _digest_of(text: str, option: str) -> str:
    """Return the digest of an image: of the bundle in a folder, or as given."""
    from qdhil.cli.signing import digest
    from qdhil.firmware.bundle import load_bundle

    return load_bundle(Path(text)).sha256 if is_folder(Path(text)) else digest(text, option)


def _say_made(folder: Path, made: Bundle, json: bool) -> None:
    from qdhil.firmware.inspection import inspect_bundle

    if json:
        typer.echo(json_text(inspect_bundle(folder)))
        return
    manifest = made.manifest
    keys = inspect_bundle(folder)["signed by keys"]
    typer.echo(f"{folder}: firmware {made.version} ({manifest.format}) for {', '.join(manifest.hardware)}")
    typer.echo(f"  sha256 {made.sha256}")
    typer.echo(f"  signed by {', '.join(keys) if keys else 'nobody'}")


def _say_accepted(found: Bundle, bootloader: bool, history: bool, json: bool) -> None:
    unchecked = [
        *(["min_bootloader: give --bootloader"] if not bootloader else []),
        *(["age: give --history or --installed-..."] if not history else []),
        *(
            ["version and hardware inside the RAUC file: rauc is not installed"]
            if found.manifest.format == "raucb" and found.facts.version is None
            else []
        ),
    ]
    said: dict[str, Any] = {
        "verdict": "ACCEPTED",
        "accepted": True,
        "version": found.version,
        "sequence": found.manifest.sequence,
        "sha256": found.sha256,
        "boot_digest": found.boot_digest,
        "keys": list(found.signers),
        "not_checked": unchecked,
    }
    if json:
        typer.echo(json_text(said))
        return
    typer.echo(f"ACCEPTED: firmware {found.version}, signed by {', '.join(found.signers)}")
    for what in unchecked:
        typer.echo(f"  not checked: {what}")
