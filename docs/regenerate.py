"""Rewrite what the documentation quotes: command output, file contents, JSON schemas, and the example run.

``python docs/regenerate.py`` fills every code block that follows a comment ``output of: COMMAND`` or
``content of: FILE``, and the schemas; with ``--example-run`` it also measures the example run again and
signs it, with ``--example-attestation`` it signs it only.
``tests/test_docs.py`` fails where something is out of date.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from qdhil.cli.schema import SchemaName

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "docs" / "example-run"
HISTOGRAM = ROOT / "docs" / "example-histogram.txt"
ATTESTATION = ROOT / "docs" / "example-attestation"
SIGNED = "1.5.0-good.attestation.json"
SCHEMAS = ROOT / "docs" / "schemas"
SEED = "20261123"
_BLOCK = re.compile(r"<!-- (output|content) of: (.+?) -->\n```(\w*)\n(.*?)```\n", re.DOTALL)


def pages() -> list[Path]:
    """Return every page that may quote something."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def quoted(kind: str, what: str) -> str | None:
    """Return what a block must hold, or ``None`` where its input is not on this machine."""
    if kind == "content":
        return (ROOT / what).read_text()
    words = what.split()
    if any(word.startswith("../") and not (ROOT / word).exists() for word in words):
        return None
    program = Path(sys.executable).with_name(words[0])
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    done = subprocess.run(
        [str(program), *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.strip("\n").splitlines())


def filled(page: Path) -> str:
    """Return a page with every quoted block up to date."""

    def fill(match: re.Match[str]) -> str:
        kind, what, language, before = match.groups()
        text = quoted(kind, what)
        return f"<!-- {kind} of: {what} -->\n```{language}\n{before if text is None else text}```\n"

    return _BLOCK.sub(fill, page.read_text())


def schema(name: str) -> str:
    """Return a JSON schema as ``qdhil schema`` prints it."""
    text = quoted("output", f"qdhil schema {name}")
    if not text:
        raise RuntimeError(f"qdhil schema {name} printed nothing")
    return text


def measure_example() -> None:
    """Measure the example run: a seeded canary on sim-a1, kept without what a reader does not need."""
    runs = ROOT / "runs" / "example"
    shutil.rmtree(runs, ignore_errors=True)
    subprocess.run([str(ROOT / "ci" / "canary"), "--seed", SEED, "--runs", str(runs)], check=True)
    (run,) = runs.iterdir()
    shutil.rmtree(EXAMPLE, ignore_errors=True)
    shutil.copytree(run, EXAMPLE, ignore=shutil.ignore_patterns("*.log", "hom_*"))
    histogram = json.loads((EXAMPLE / "sim-a1" / "hbt.json").read_text())
    centres = range(histogram["first_ps"] + histogram["bin_ps"] // 2, -histogram["first_ps"], histogram["bin_ps"])
    lines = (f"{tau_ps} {count}\n" for tau_ps, count in zip(centres, histogram["counts"]["baseline"], strict=True))
    HISTOGRAM.write_text("# tau_ps counts: HBT coincidences of the baseline in docs/example-run\n" + "".join(lines))


def sign_example() -> None:
    """Sign the example run with two keys that are thrown away; the example has expired when you read it.

    What signing, verifying and promoting said at that time is kept as ``session.txt``.
    """
    from securesystemslib.signer import CryptoSigner

    shutil.rmtree(ATTESTATION, ignore_errors=True)
    ATTESTATION.mkdir()
    program = str(Path(sys.executable).with_name("qdhil"))
    trust = 'schema_version = 1\nthreshold = 2\nlifetime_max_h = 24\n\n[require]\nmetrics = ["g2.pulsed.area"]\n'
    with tempfile.TemporaryDirectory() as folder:
        options = []
        shutil.copytree(EXAMPLE, Path(folder) / "run")
        for name in ("ci", "rack"):
            key = Path(folder) / f"{name}.pem"
            key.write_bytes(CryptoSigner.generate_ed25519().private_bytes)
            options += ["--key", key.name]
            public = subprocess.run(
                [program, "key", str(key), "--name", name], check=True, capture_output=True, text=True
            )
            trust += f"\n{public.stdout}"
        (Path(folder) / "trust.toml").write_text(trust)
        candidate = json.loads((EXAMPLE / "verdict.json").read_text())["candidate"]["sha256"]
        device = ("--hardware", "psc-2-rev-b", "--ring", "canary")
        commands = (
            ["sign", "run", *options, "--ring", "canary", "-o", SIGNED],
            ["verify", SIGNED, "--trust", "trust.toml", "--firmware", candidate, *device],
            ["baseline", "promote", "run", "--attestation", SIGNED, "--trust", "trust.toml", "--by", "Ada Lovelace"],
        )
        said = [transcript(program, command, Path(folder)) for command in commands]
        (ATTESTATION / "session.txt").write_text("\n".join(said))
        for name in (SIGNED, "trust.toml"):
            shutil.copy(Path(folder) / name, ATTESTATION / name)
    (ATTESTATION / "served.json").write_text(served(candidate))


def served(candidate: str) -> str:
    """Return what ``qdhil serve`` answered about the example at the moment it was signed."""
    from qdhil.gate.attestation import authenticate
    from qdhil.keys.trust import load_trust
    from qdhil.keys.validity import moment
    from qdhil.serve.answer import Question
    from qdhil.serve.folder import AttestationFolder

    trust = ATTESTATION / "trust.toml"
    issued = moment(authenticate((ATTESTATION / SIGNED).read_bytes(), load_trust(trust)).claim.issued)
    question = Question(candidate, "psc-2-rev-b", "canary")
    answer = AttestationFolder(ATTESTATION, trust, lambda: issued).answer(question)
    return json.dumps(answer.record(question), indent=1, ensure_ascii=False) + "\n"


def transcript(program: str, command: list[str], folder: Path) -> str:
    """Run a command that must succeed, and return it with what it said, as in a terminal."""
    done = subprocess.run([program, *command], cwd=folder, check=True, capture_output=True, text=True)
    return f"$ {shlex.join(['qdhil', *command])}\n{done.stdout}"


def main() -> None:
    """Rewrite what is out of date."""
    if "--example-run" in sys.argv[1:]:
        measure_example()
    if "--example-run" in sys.argv[1:] or "--example-attestation" in sys.argv[1:]:
        sign_example()
    SCHEMAS.mkdir(exist_ok=True)
    for name in SchemaName:
        (SCHEMAS / f"{name}.schema.json").write_text(schema(name))
    for page in pages():
        page.write_text(filled(page))


if __name__ == "__main__":
    main()
