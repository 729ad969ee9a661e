"""Run every command of docs/tag-to-rollout.md in a temporary folder, and rewrite what they print there.

``python docs/tag_to_rollout.py`` takes the commands (lines that begin with ``$``, continued by ``>``) of the blocks
behind a comment ``session: NAME``, in their order and in one shell, and the files of the blocks behind ``file: PATH``.
``--check`` writes nothing. Either way it fails where a command ends with another exit code than the page says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).resolve().parent / "tag-to-rollout.md"
LIMIT_S = 900
SHOWN_FOLDER = "~/psc2"
_SESSION = re.compile(r"<!-- session: (\S+) -->\n```console\n(.*?)```\n", re.DOTALL)
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w*\n(.*?)```\n", re.DOTALL)
_MARK = "\x01"
_SHOWN_NETWORK = "127.0.1"
_VERDICTS = ("qdhil", "pytest")
"""Programs whose exit code is shown even if it is 0."""


class Done(NamedTuple):
    """A command, what it printed, and its exit code."""

    command: str
    printed: str
    code: int

    @property
    def text(self) -> str:
        """The command and what it printed, as in a terminal."""
        first, *more = self.command.split("\n")
        lines = [f"$ {first}", *(f"> {line}".rstrip() for line in more), *self.printed.splitlines()]
        if self.code or first.startswith(_VERDICTS):
            lines.append(f"exit {self.code}")
        return "".join(f"{line.rstrip()}\n" for line in lines)

    @property
    def is_silent(self) -> bool:
        """Whether it leaves nothing in the terminal."""
        return self.text.count("\n") == 1


def sessions(page: str) -> dict[str, list[str]]:
    """Return the commands of each session of a page."""
    return {name: _commands(block) for name, block in _SESSION.findall(page)}


def files(page: str) -> dict[str, str]:
    """Return the files that a page shows, by path."""
    return dict(_FILE.findall(page))


def exit_codes(page: str) -> dict[str, list[int]]:
    """Return the exit codes that a page shows, by session."""
    return {name: [int(code) for code in re.findall(r"^exit (\d+)$", block, re.M)] for name, block in
            _SESSION.findall(page)}  # fmt: skip


def rewritten(page: str) -> str:
    """Run all sessions of a page, and return it with what they print now."""
    commands = sessions(page)
    done = _run(files(page), [command for each in commands.values() for command in each])
    texts = {name: _terminal([done.pop(0) for _ in each]) for name, each in commands.items()}
    return _SESSION.sub(lambda match: f"<!-- session: {match[1]} -->\n```console\n{texts[match[1]]}```\n", page)


def _terminal(done: list[Done]) -> str:
    return "".join(each.text if each.is_silent else f"{each.text}\n" for each in done).rstrip("\n") + "\n"


def _commands(block: str) -> list[str]:
    # what a program prints may begin with ">" too, but a command goes on right below its first line
    found = re.findall(r"^\$ (.*(?:\n>(?: .*)?$)*)", block, re.M)
    return [re.sub(r"\n> ?", "\n", command) for command in found]


def _run(texts: dict[str, str], commands: list[str]) -> list[Done]:
    # addresses of its own, that the tests of this machine leave alone as well
    network = f"127.{192 + os.getpid() % 8}.1"
    with tempfile.TemporaryDirectory() as temporary:
        folder, runtime = Path(temporary, "work"), Path(temporary, "runtime")
        folder.mkdir()
        runtime.mkdir()
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        own = f"sed -i 's/{re.escape(_SHOWN_NETWORK)}/{network}/' rack.toml"
        lines = [f"{command}\nprintf '{_MARK}%s{_MARK}\\n' $?\n[ ! -e rack.toml ] || {own}\n" for command in commands]
        (runtime / "all.sh").write_text("".join(lines))
        environment = _environment(runtime)
        try:
            printed = subprocess.run(
                ["bash", str(runtime / "all.sh")],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LIMIT_S,
                check=False,
            ).stdout
        finally:
            subprocess.run(["qdhil-sim", "down", "--all"], env=environment, check=False, capture_output=True)
        shown = printed.replace(str(folder), SHOWN_FOLDER).replace(network, _SHOWN_NETWORK)
    parts = re.split(rf"{_MARK}(\d+){_MARK}\n", shown)
    if len(parts) != 2 * len(commands) + 1:
        raise RuntimeError(f"the shell ended early:\n{shown}")
    return [
        Done(command, text, int(code))
        for command, text, code in zip(commands, parts[::2], parts[1::2], strict=False)
    ]  # fmt: skip


def _environment(runtime: Path) -> dict[str, str]:
    here = str(Path(sys.executable).parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QDHIL_", "PYTEST_", "GIT_"))}
    person = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
              for what, value in (("NAME", "Ada Lovelace"), ("EMAIL", "ada@lab.example"))}  # fmt: skip
    return {
        **kept,
        **person,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",
        "XDG_RUNTIME_DIR": str(runtime),
        "COLUMNS": "110",
        "TERM": "dumb",
        "NO_COLOR": "1",
    }


def main() -> None:
    """Rewrite the page, or check it."""
    before = PAGE.read_text()
    after = rewritten(before)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(after)
    known, now = exit_codes(before), exit_codes(after)
    if changed := [f"{name}: {known[name]} before, {now[name]} now" for name in now if known[name] != now[name]]:
        sys.exit(f"exit codes of {PAGE.name} have changed:\n" + "\n".join(changed) + f"\n\n{after}")


if __name__ == "__main__":
    main()
