"""A rack file for any number of simulated rigs, each with every instrument there is."""

from __future__ import annotations

import json

from qdhil.errors import ConfigurationError
from qdhil.instruments.firmware_settings import ChannelName
from qdhil_sim.catalogue import CORE, MODELS, packaged_others

MOST_RIGS = 128
_FIRST_NETWORK = 10
_FIRST_SEED = 20260101

_HEAD = """\
# {rigs} simulated rigs, as `qdhil-sim rack --rigs {rigs}{option}` prints them.
# A physical rig has the same tables with other resource strings and no [simulation].
schema_version = 1
"""
_RIG = """
[rigs.{name}]
kind = "simulated"
tags = {{ dot = "inas-930", source = "micropillar", ring = "canary" }}

[rigs.{name}.simulation]
profile = "pillar-930"
seed = {seed}

[rigs.{name}.calibration]
rep_rate_hz = 80e6
delay_ps = 1250
dead_time_ps = 20000

[rigs.{name}.firmware]
baseline = "1.4.0"
candidate = "1.5.0-good"
bundles = "pkg:qdhil_sim/builds"
hardware = "psc-2-rev-b"
"""
_CHANNELS: dict[ChannelName, str] = {
    "scpi-block": "",
    "scpi-url": 'channel = "scpi-url"\nscpi_url = {{ serve = "{network}.1:0" }}\n',
    "smp": 'channel = "smp"\nsmp = {{ address = "udp://{network}.30:1337" }}\n',
}
"""Keys of the firmware table, for each way to the controller."""
_KEYS_OF_ROLES = {
    "tagger": "channels = { sync = 1, a = 2, b = 3 }\nsync_divider = 8192\ntimeout_s = 10.0\n",
    "cryostat": "temperature_band_k = [3.9, 4.3]\n",
    "switch": "paths = { hbt = 1, hom_parallel = 2, hom_orthogonal = 3, blanked = 4 }\n",
}


def rack_text(rigs: int, channel: ChannelName = "scpi-block") -> str:
    """Return the text of a rack file: rigs sim-a1, sim-a2, ... at 127.0.10.x, 127.0.11.x, ...

    Parameters
    ----------
    rigs
        How many.
    channel
        The way in which they take firmware.

    Raises
    ------
    ConfigurationError
        If there are to be fewer than 1 or more than 128.
    """
    if not 1 <= rigs <= MOST_RIGS:
        raise ConfigurationError(f"{rigs} rigs: from 1 to {MOST_RIGS} can be simulated")
    option = "" if channel == "scpi-block" else f" --channel {channel}"
    return _HEAD.format(rigs=rigs, option=option) + "".join(_rig(number, channel) for number in range(rigs))


def _rig(number: int, channel: ChannelName) -> str:
    name = f"sim-a{number + 1}"
    network = f"127.0.{_FIRST_NETWORK + number}"
    text = _RIG.format(name=name, seed=_FIRST_SEED + number) + _CHANNELS[channel].format(network=network)
    instruments = [_instrument(name, model, network) for model in (*CORE, *packaged_others())]
    return text + "".join(instruments)


def _instrument(rig: str, name: str, network: str) -> str:
    model = MODELS[name]
    table = model.role if name in CORE else f"others.{model.role}"
    lines = [f"\n[rigs.{rig}.instruments.{table}]\n", f'model = "{name}"\n']
    lines.append(f'resource = "{model.resource.format(host=f"{network}.{model.host}")}"\n')
    if model.reply_end is not None:
        read, write = json.dumps(model.reply_end), json.dumps(model.write_end)
        lines.append(f"terminator = {{ read = {read}, write = {write} }}\n")
    if model.expect_idn is not None:
        lines.append(f'expect_idn = "{model.expect_idn}"\n')
    return "".join(lines) + _KEYS_OF_ROLES.get(model.role, "")
