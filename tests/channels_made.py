"""Rigs that take firmware in each of the ways, images of each kind, and links that lose or cut what passes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import socket
import threading
from dataclasses import replace
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from qdhil.firmware.bundle import Bundle, find_bundle
from qdhil.firmware.mcuboot_build import wrap_payload
from qdhil.rack.config import Rig, load_rack
from qdhil.rack.selection import bundle_folder
from qdhil_sim.builds import read_image
from qdhil_sim.rack_text import rack_text

CHANNELS = ("scpi-block", "scpi-url", "smp-udp", "smp-serial")
RIGS = {channel: f"sim-a{number + 1}" for number, channel in enumerate(CHANNELS)}
_FIRST_OCTET = 250
"""Loopback networks that the other tests leave alone."""
MCUBOOT_VERSION = "1.5.0+3"
_IMAGE_KEY = CryptoSigner.generate_ed25519()


def network_of(channel: str) -> str:
    """Return the first three numbers of a rig's addresses."""
    return f"127.{64 + os.getpid() % 128}.{_FIRST_OCTET + CHANNELS.index(channel)}"


def settings_of(channel: str, folder: Path) -> str:
    """Return the keys of the firmware table that choose a channel."""
    network = network_of(channel)
    patience = "timeout_s = 0.5, erase_timeout_s = 1.0, attempts = 3"
    return {
        "scpi-block": "",
        "scpi-url": f'channel = "scpi-url"\nscpi_url = {{ serve = "{network}.1:0" }}\n',
        "smp-udp": f'channel = "smp"\nsmp = {{ address = "udp://{network}.30:1337", {patience} }}\n',
        "smp-serial": f'channel = "smp"\nsmp = {{ address = "{folder}/psc2", {patience} }}\n',
    }[channel]


def write_channel_rack(folder: Path, clock: str = "turbo") -> Path:
    """Write a rack with one simulated rig for each channel."""
    tables = re.split(r"(?=\n\[rigs\.sim-a\d\]\n)", rack_text(len(CHANNELS)))
    text = tables[0] + f'lock_dir = "{folder}/locks"\n'
    for number, channel in enumerate(CHANNELS):
        table = tables[1 + number].replace(f"127.0.{10 + number}.", f"{network_of(channel)}.")
        table = table.replace('hardware = "psc-2-rev-b"\n', f'hardware = "psc-2-rev-b"\n{settings_of(channel, folder)}')
        text += table.replace("seed = ", f'clock = "{clock}"\nseed = ', 1)
    file = folder / "rack.toml"
    file.write_text(text)
    return file


def described(rack_file: Path, channel: str) -> Rig:
    return load_rack(rack_file).rigs[RIGS[channel]]


def raw(rack_file: Path, version: str) -> Bundle:
    """Return a packaged build as it is."""
    rig = described(rack_file, CHANNELS[0])
    return find_bundle(version, bundle_folder(rig, rack_file), hardware=rig.firmware.hardware)


def mcuboot(rack_file: Path, more: bytes = b"", version: str = MCUBOOT_VERSION) -> Bundle:
    """Return the good build as an MCUboot image, made and signed by imgtool; ``more`` makes it another one."""
    payload = read_image("1.5.0-good").replace(b"1.5.0-good", version.encode()) + more
    image = wrap_payload(payload, version, _IMAGE_KEY, security_counter=1, hardware=["psc-2-rev-b"])
    facts = {"format": "mcuboot", "security_counter": 1, "version": version}
    return _with_image(raw(rack_file, "1.5.0-good"), image, facts)


def another(bundle: Bundle, rack_file: Path) -> Bundle:
    """Return a bundle of the same format whose image differs."""
    if bundle.manifest.format == "mcuboot":
        return mcuboot(rack_file, b"# more\n")
    return _with_image(bundle, bundle.image + b"# more\n", {})


def padded(rack_file: Path, size_bytes: int) -> Bundle:
    """Return the good build as a raw image of a certain length."""
    bundle = raw(rack_file, "1.5.0-good")
    line = b"#" + b"x" * 998 + b"\n"
    lacking = size_bytes - len(bundle.image)
    return _with_image(bundle, bundle.image + line * (lacking // len(line)) + b"\n" * (lacking % len(line)), {})


def _with_image(bundle: Bundle, image: bytes, facts: dict[str, object]) -> Bundle:
    facts = {"sha256": hashlib.sha256(image).hexdigest(), "size_bytes": len(image), **facts}
    return Bundle(bundle.manifest.model_copy(update=facts), image)


def with_manifest(bundle: Bundle, **facts: object) -> Bundle:
    """Return a bundle whose manifest says something else."""
    return replace(bundle, manifest=bundle.manifest.model_copy(update=facts))


def damaged(bundle: Bundle) -> Bundle:
    """Return a bundle whose image changes after it was checked, as on a bad disk."""
    image = bytearray(bundle.image)
    image[40] ^= 0x01
    result = replace(bundle, image=bytes(image))
    vars(result)["facts"] = bundle.facts  # read before the damage
    return result


def _is_reset(packet: bytes) -> bool:
    """Return whether an SMP request is the reset: group 0, command 5."""
    return packet[4:6] == b"\0\0" and packet[7:8] == b"\x05"


class LossyUdp:
    """A UDP relay that drops and repeats packets in both directions; a context manager.

    Parameters
    ----------
    target
        Where packets go.
    loss, repeat
        Probabilities, for each packet.
    """

    def __init__(self, target: tuple[str, int], loss: float, repeat: float, seed: int) -> None:
        self._target, self._loss, self._repeat = target, loss, repeat
        self._random = random.Random(seed)
        self._inner: dict[tuple[str, int], socket.socket] = {}
        self._outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._outer.bind((target[0], 0))
        self._open = True
        self.dropped = 0
        self.address = f"udp://{target[0]}:{self._outer.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._forward, daemon=True)]

    def __enter__(self) -> LossyUdp:
        self._threads[0].start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._open = False
        self._outer.sendto(b"", self._outer.getsockname())
        self._threads[0].join()
        for each in self._inner.values():
            each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        for each in (self._outer, *self._inner.values()):
            each.close()

    def _copies(self) -> int:
        if self._random.random() < self._loss:
            self.dropped += 1
            return 0
        return 1 + (self._random.random() < self._repeat)

    def _forward(self) -> None:
        while True:
            packet, sender = self._outer.recvfrom(1 << 16)
            if not self._open:
                return
            inner = self._inner.get(sender) or self._connect(sender)
            copies = self._copies()
            # a controller that boots is deaf to a reset that comes twice, unless it boots in no time
            for _ in range(min(copies, 1) if _is_reset(packet) else copies):
                inner.send(packet)

    def _connect(self, sender: tuple[str, int]) -> socket.socket:
        inner = self._inner[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        inner.connect(self._target)
        self._threads.append(threading.Thread(target=self._back, args=(inner, sender), daemon=True))
        self._threads[-1].start()
        return inner

    def _back(self, inner: socket.socket, client: tuple[str, int]) -> None:
        while self._open:
            try:
                packet = inner.recv(1 << 16)
            except OSError:
                continue
            for _ in range(self._copies() if packet else 0):
                self._outer.sendto(packet, client)


class CuttingTcp:
    """A TCP relay that cuts its first connections after so many bytes from the client; a context manager."""

    def __init__(self, target: tuple[str, int], cut_after: list[int]) -> None:
        self._target = target
        self._cut_after = list(cut_after)
        self.cuts = 0
        self._listener = socket.create_server((target[0], 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> CuttingTcp:
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            threading.Thread(target=self._copy, args=(server, client, None), daemon=True).start()
            self._copy(client, server, self._cut_after.pop(0) if self._cut_after else None)

    def _copy(self, source: socket.socket, sink: socket.socket, cut_after: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(1 << 12):
                if cut_after is not None and passed + len(data) > cut_after:
                    sink.sendall(data[: cut_after - passed])
                    self.cuts += 1
                    break
                sink.sendall(data)
                passed += len(data)
        except OSError:
            pass
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
