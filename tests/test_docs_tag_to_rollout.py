"""The page docs/tag-to-rollout.md holds together: its sessions, the commands in them, the files it shows.

What the commands print is checked by tests/rollout/test_tag_to_rollout.py, which runs them all.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

from qdhil.cli.main import app
from qdhil.gate.policy import default_policy_file, load_policy
from qdhil.rollout.plan import load_plan
from qdhil_sim.cli import app as sim_app
from qdhil_sim.devices.firmware import parse_image

ROOT = Path(__file__).resolve().parent.parent
SESSIONS = {
    "tag": [],
    "keys": [0],
    "trust": [],
    "roles": [0],
    "build": [0],
    "verify": [0, 40],
    "rack": [0],
    "up": [0, 0],
    "canary": [0],
    "sign": [0, 40, 0, 0],
    "plan": [0],
    "start": [40, 20, 0],
    "fleet": [0, 0, 0],
    "promote": [0, 0, 0],
    "audit": [0, 0, 40, 0],
    "bad": [10],
    "blocked": [10, 10, 0, 0],
    "changed": [40, 40, 0, 0, 0],
}
"""Every session of the page, with the exit codes of the programs that decide something."""


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tag_to_rollout", ROOT / "docs" / "tag_to_rollout.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = script()
PAGE = SCRIPT.PAGE.read_text()
FILES = SCRIPT.files(PAGE)
SHELL = [command for commands in SCRIPT.sessions(PAGE).values() for command in commands] + [FILES["bundle.sh"]]
USED = sorted(
    {used for text in SHELL for used in re.findall(r"\b(qdhil(?:-sim)? [^|;)\"]*)", text.replace("\\\n", " "))}
)


def test_every_session_is_there_with_its_exit_codes() -> None:
    assert SCRIPT.exit_codes(PAGE) == SESSIONS


@pytest.mark.parametrize("used", USED)
def test_every_command_and_option_is_one_that_there_is(used: str) -> None:
    program, *words = shlex.split(used.replace("$(image 1.5.0", "DIGEST"), comments=True)
    command: Any = typer.main.get_command({"qdhil": app, "qdhil-sim": sim_app}[program])
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands") or command.invoke_without_command, f"{used}: no such command"
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_the_files_it_shows_are_valid(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        if name.endswith(".toml"):
            tomllib.loads(text)
    assert parse_image(FILES["firmware/psc2.toml"].encode()).image.version == "1.4.0"
    plan = load_plan(tmp_path / "rollout.toml")
    assert [ring.name for ring in plan.rings] == ["canary", "fleet"]
    assert plan.policy_sha256 == load_policy(default_policy_file()).sha256


def test_a_page_is_rewritten_with_what_its_commands_print() -> None:
    block = "```console\n$ cat <<END && (exit 3)\n> old\n>\n> END\nnew\n> no command\nexit 4\n$ true\n```\n"
    page = f"# Page\n<!-- session: one -->\n{block}"
    assert SCRIPT.sessions(page) == {"one": ["cat <<END && (exit 3)\nold\n\nEND", "true"]}
    assert SCRIPT.exit_codes(page) == {"one": [4]}
    assert SCRIPT.rewritten(page) == page.replace("new\n> no command\nexit 4\n", "old\n\nexit 3\n\n")
