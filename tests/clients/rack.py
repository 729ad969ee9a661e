"""Where the instruments of the rig under test are, by their model."""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from conftest import ServedRack
from qdhil_sim.catalogue import FURTHER_MODELS, find_model
from qdhil_sim.rack_text import rack_text


def write_other_lab(folder: Path) -> Path:
    """Write the rack of a lab with other instruments: a rig's core, and the models the packaged racks leave out."""
    network = f"127.{64 + os.getpid() % 128}.250"
    core = rack_text(1).partition("[rigs.sim-a1.instruments.others.")[0].replace("127.0.10", network)
    core = core.replace("schema_version = 1", f'schema_version = 1\nlock_dir = "{folder}/locks"', 1)
    others = []
    for name, model in FURTHER_MODELS.items():
        resource = model.resource.format(host=f"{network}.{model.host}")
        others.append(f'[rigs.sim-a1.instruments.others.{model.role}]\nmodel = "{name}"\nresource = "{resource}"\n')
        if model.reply_end is not None:
            read, write = json.dumps(model.reply_end), json.dumps(model.write_end)
            others.append(f"terminator = {{ read = {read}, write = {write} }}\n")
    file = folder / "rack.toml"
    file.write_text("\n".join([core, *others]))
    return file


@dataclass(frozen=True)
class Instruments:
    """The instruments of one served rig: where they are, and what they met that they do not know."""

    rack: ServedRack
    rig: str
    hosts: dict[str, str]
    roles: dict[str, str]

    @classmethod
    def of(cls, rack: ServedRack, rig: str) -> Instruments:
        tables = dict(tomllib.loads(rack.file.read_text())["rigs"][rig]["instruments"])
        tables |= tables.pop("others", {})
        hosts = {table["model"]: _host(table["resource"]) for table in tables.values()}
        return cls(rack, rig, hosts, {table["model"]: role for role, table in tables.items()})

    def undefined_headers(self, model: str) -> int:
        answer = self.rack.control_port(verb="undefined", rig=self.rig)
        return int(answer["undefined_headers"][self.roles[model]])

    def address(self, model: str) -> tuple[str, int]:
        return self.hosts[model], find_model(model, model).port

    def resource(self, model: str, transport: str) -> str:
        host, port = self.address(model)
        if transport == "hislip":
            return f"TCPIP0::{host}::hislip0::INSTR"
        if transport == "asrlsocket":
            return f"ASRLsocket://{host}:{port}::INSTR"
        return f"TCPIP0::{host}::{port}::SOCKET"


def _host(resource: str) -> str:
    return resource.split("//")[-1].split(":")[0] if "//" in resource else resource.split("::")[1]
