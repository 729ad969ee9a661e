"""The firmware table of a rack file: which channel, and its settings."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from qdhil.instruments.firmware_settings import ScpiBlock, ScpiUrl, Smp, host_and_port
from qdhil.rack.config import Rack
from qdhil_sim.rack_text import rack_text


def rack(generated: str = "scpi-block", /, rigs: int = 1, **firmware: Any) -> Rack:
    data = tomllib.loads(rack_text(rigs, generated))  # type: ignore[arg-type]
    for rig in data["rigs"].values():
        rig["firmware"].update(firmware)
    return Rack.model_validate(data)


def test_each_channel_has_its_settings() -> None:
    found = [rack(name).rigs["sim-a1"].firmware.channel_settings for name in ("scpi-block", "scpi-url", "smp")]
    assert [type(settings) for settings in found] == [ScpiBlock, ScpiUrl, Smp]
    assert found[1].serve == "127.0.10.1:0"  # type: ignore[union-attr]
    assert found[2].udp == ("127.0.10.30", 1337)  # type: ignore[union-attr]
    assert rack(scpi_block={"attempts": 1}).rigs["sim-a1"].firmware.channel_settings.attempts == 1
    serial = rack(channel="smp", smp={"address": "/dev/ttyACM0"}).rigs["sim-a1"].firmware.channel_settings
    assert serial.udp is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("firmware", "says"),
    [
        ({"channel": "jtag"}, "channel"),
        ({"channel": "smp"}, "needs the table firmware.smp"),
        ({"channel": "scpi-url"}, "needs the table firmware.scpi_url"),
        ({"smp": {"address": "udp://10.4.1.30:1337"}}, "smp has settings of a channel that is not used"),
        ({"channel": "smp", "smp": {"address": "udp://h:1"}, "scpi_block": {}}, "scpi_block has settings"),
        ({"channel": "smp", "smp": {}}, "address"),
        ({"channel": "smp", "smp": {"address": "udp://10.4.1.30"}}, "not host:port"),
        ({"channel": "smp", "smp": {"address": "udp://10.4.1.30:65536"}}, "not host:port"),
        ({"channel": "smp", "smp": {"address": "COM3"}}, "neither udp://host:port nor"),
        ({"channel": "smp", "smp": {"address": "/dev/ttyACM0", "slot": 1}}, "slot"),
        ({"channel": "scpi-url", "scpi_url": {"serve": "0.0.0.0:8000"}}, "every address of the host"),
        ({"channel": "scpi-url", "scpi_url": {"serve": "10.4.1.2"}}, "not host:port"),
        ({"channel": "scpi-url", "scpi_url": {"serve": "10.4.1.2:0", "reached_as": "here"}}, "not host:port"),
        ({"scpi_block": {"upload_timeout_s": 0}}, "upload_timeout_s"),
    ],
)
def test_what_does_not_go_together_is_refused(firmware: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        rack(**firmware)
    assert says in str(caught.value)


def test_two_rigs_are_not_managed_at_one_address() -> None:
    with pytest.raises(ValidationError, match=r"share udp://10.4.1.30:1337"):
        rack(rigs=2, channel="smp", smp={"address": "udp://10.4.1.30:1337"})


def test_addresses() -> None:
    assert host_and_port("[::1]:80") == ("::1", 80)
    assert host_and_port("lab-pc:0") == ("lab-pc", 0)


def test_roles_and_audit_are_files_of_the_rack() -> None:
    data = tomllib.loads(rack_text(1))
    assert (Rack.model_validate(data).roles, Rack.model_validate(data).audit) == (None, None)
    assert Rack.model_validate(data | {"roles": "roles.toml", "audit": "audit.jsonl"}).roles == "roles.toml"


def test_without_smpclient_it_is_said_what_to_install() -> None:
    code = """
import sys
sys.modules["smpclient"] = None
from test_firmware_channel_settings import rack
from qdhil.rack.rig import Rig
Rig("sim-a1", rack("scpi-url").rigs["sim-a1"])
Rig("sim-a1", rack("smp").rigs["sim-a1"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=Path(__file__).parent
    )
    assert "ConfigurationError: firmware over SMP takes smpclient" in done.stderr
    assert "pip install 'qdhil[firmware]'" in done.stderr
    assert "scpi-url" not in done.stderr


def test_a_rig_without_smp_loads_neither_client_nor_server() -> None:
    code = """
import sys
from test_firmware_channel_settings import rack
from qdhil.rack.rig import Rig
Rig("sim-a1", rack().rigs["sim-a1"])
print([name for name in ("smpclient", "cbor2", "serial") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=Path(__file__).parent
    )
    assert done.stdout.strip() == "[]", done.stderr
