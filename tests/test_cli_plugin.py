"""Loading qdhil costs nothing, and a pytest session without ``--rig`` is as if it were not there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from campaigns_made import Light, decide, made_policy, row

from qdhil.gate.faults import FaultTally

HEAVY = ("numba", "pyvisa", "pyvisa_py", "scipy", "matplotlib")
TELL = f"import sys, json; print(json.dumps([name for name in {HEAVY!r} + ('pydantic',) if name in sys.modules]))"
LOADED = {
    "import qdhil": [],
    "import qdhil.errors, qdhil.plugin, qdhil.plugin.newhooks, qdhil_fixtures": [],
    "import qdhil.metrics, qdhil.tags, qdhil.statistics": [],
    "import qdhil.cli.main": [],
    "import qdhil.gate.campaign, qdhil.gate.conclusion, qdhil.record.recheck, qdhil.rack.selection": ["pydantic"],
}
HELP = """
import sys
sys.argv = ["qdhil", "--help"]
from qdhil.cli.main import run
try:
    run()
except SystemExit as ended:
    assert ended.code == 0, ended.code
"""


class Ended(NamedTuple):
    code: int
    out: str


def finished(processes: Mapping[str, subprocess.Popen[str]]) -> dict[str, Ended]:
    """Wait for processes that run side by side."""
    found = {}
    for name, process in processes.items():
        out, _ = process.communicate(timeout=120)
        found[name] = Ended(process.returncode, out)
    return found


def python(*arguments: str, folder: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


SESSIONS = """
import contextlib, os, pathlib, sys
import pytest
for line in sys.stdin:
    folder, name, *arguments = line.split()
    os.chdir(folder)
    with pathlib.Path(f"{name}.out").open("w") as stream, contextlib.redirect_stdout(stream):
        code = pytest.main(["-p", "no:cacheprovider", "--import-mode=importlib", "-v", *arguments])
        print("exit", int(code))
    for module, loaded in list(sys.modules.items()):
        if str(getattr(loaded, "__file__", "")).startswith(folder):
            del sys.modules[module]
"""


def pytest_sessions(sessions: Mapping[str, tuple[Path, str]], processes: int) -> dict[str, Ended]:
    """Run pytest by name in a folder with arguments; few processes, because starting one costs the most."""
    started = []
    lines = [f"{folder} {name} {arguments}\n" for name, (folder, arguments) in sessions.items()]
    for first in range(processes):
        process = subprocess.Popen(
            [sys.executable, "-c", SESSIONS], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        process.stdin.write("".join(lines[first::processes]))
        process.stdin.close()
        process.stdin = None
        started.append(process)
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    found = {}
    for name, (folder, _) in sessions.items():
        out, _, code = (folder / f"{name}.out").read_text().rpartition("exit ")
        found[name] = Ended(int(code), out)
    return found


def test_imports_and_help_load_nothing_heavy():
    scripts = {**{script: f"{script}\n{TELL}" for script in LOADED}, "--help": f"{HELP}\n{TELL}"}
    found = finished({name: python("-c", script) for name, script in scripts.items()})
    for name, ended in found.items():
        assert ended.code == 0, ended.out
        assert json.loads(ended.out.splitlines()[-1]) == LOADED.get(name, []), name


SOMEBODYS_TESTS = """
import pytest

@pytest.fixture
def rig():
    return "mine"

@pytest.mark.parametrize("campaign", [1, 2])
def test_own_fixtures(rig, campaign):
    assert rig == "mine"

def test_plain():
    pass

@pytest.mark.skip(reason="somebody's")
def test_skipped():
    pass
"""
CONFTEST = f"""
def pytest_unconfigure():
    import pathlib, sys
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    pathlib.Path("loaded.txt").write_text(" ".join(loaded) or "nothing")
"""
WITHOUT = "-p no:qdhil -p no:qdhil_fixtures"


@pytest.fixture(scope="module")
def sessions(tmp_path_factory) -> dict[str, Ended]:
    """Somebody's pytest sessions, with the plugin loaded and without it."""
    folder = tmp_path_factory.mktemp("somebody")
    (folder / "conftest.py").write_text(CONFTEST.replace("loaded.txt", str(folder / "loaded.txt")))
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    (folder / "test_mine.py").write_text(SOMEBODYS_TESTS)
    (folder / "test_failing.py").write_text("def test_failing():\n    assert 0\n")
    (folder / "test_needy.py").write_text("def test_needy(comparison):\n    pass\n")
    sessions = {
        "with": "test_mine.py",
        "failing": "test_failing.py",
        "usage": "no_such_file.py",
        "nothing": "test_mine.py -k nothing",
        "needy": "test_needy.py",
    }
    found = pytest_sessions({name: (folder, arguments) for name, arguments in sessions.items()}, 1)
    found |= pytest_sessions({"without": (folder, f"{WITHOUT} test_mine.py")}, 1)
    found["loaded"] = Ended(0, (folder / "loaded.txt").read_text())
    found["left"] = Ended(0, " ".join(sorted(path.name for path in folder.iterdir())))
    return found


def test_a_session_without_a_rig_is_as_if_the_plugin_were_not_there(sessions):
    def said(name: str) -> list[str]:
        text = re.sub(r"in \d+\.\d+s", "", sessions[name].out)
        return [line for line in text.splitlines() if not line.startswith("plugins:")]

    assert sessions["with"].code == sessions["without"].code == 0, sessions["with"].out
    assert said("with") == said("without")
    assert "3 passed, 1 skipped" in sessions["with"].out


def test_a_session_without_a_rig_keeps_pytests_exit_codes_and_imports_nothing_heavy(sessions):
    assert [sessions[name].code for name in ("failing", "usage", "nothing")] == [1, 4, 5]
    assert sessions["loaded"].out == "nothing"
    assert "runs" not in sessions["left"].out.split()


def test_a_test_that_needs_a_rig_says_what_to_give(sessions):
    assert sessions["needy"].code == 1
    assert "give --rig NAME" in sessions["needy"].out


GATE_CONFTEST = """
import json, pathlib, pytest
from qdhil.plugin.session import PAYLOAD

@pytest.fixture(scope="session")
def rig(request):
    return request.param

@pytest.fixture
def comparison(request, rig):
    payload = json.loads((pathlib.Path(__file__).parent / "payloads.json").read_text())
    request.node.stash[PAYLOAD] = decided = payload[request.node.get_closest_marker("metric").args[0]]
    return decided["comparison"]
"""


def gate_test(metric: str, body: str = "pass") -> str:
    name = metric.replace(".", "_")
    return (
        f"import pytest\n@pytest.mark.metric({metric!r})\ndef test_{name}(comparison):\n"
        f"    assert comparison['verdict'] == 'PASS'\n    {body}\n"
    )


def payloads(light: Light) -> dict[str, object]:
    blocks = row(light, ("hbt", "hom_parallel", "hom_orthogonal"), 4)
    return {
        comparison.definition: {
            "comparison": comparison.record(),
            "summary": comparison.summary,
            "dark_rate_hz": [100.0, 110.0],
            "faults": FaultTally().record(),
        }
        for comparison in decide(made_policy(), blocks, rig="sim-a1")
    }


@pytest.fixture(scope="module")
def gates(tmp_path_factory) -> dict[str, tuple[Ended, dict[str, object] | None]]:
    """Sessions with ``--rig`` whose tests replay decided comparisons; no rig is started."""
    good, bad = payloads(Light(seed=41)), payloads(Light(seed=42, worse={"hbt": 3.0}))
    pure = payloads(Light(seed=43, central={"hbt": 0.0, "hom_parallel": 250.0, "hom_orthogonal": 3000.0}))
    metrics = list(good)
    files = {metric: gate_test(metric) for metric in metrics}
    first = metrics[0]
    cases: dict[str, tuple[dict[str, object], dict[str, str]]] = {
        "passed": (good, files),
        "harmed": (bad, files),
        "own check": (good, {**files, first: gate_test(first, "assert 2 + 2 == 5, 'a check of its own'")}),
        "not run": (good, {metric: text for metric, text in files.items() if metric != first}),
        "skipped": (good, {**files, first: "import pytest\n@pytest.mark.skip\n" + gate_test(first)[14:]}),
        "broken": (good, {**files, first: gate_test(first, "1 / 0")}),
        "not collected": (good, {**files, "x": "import no_such_module\n"}),
        "pure": (pure, files),
    }
    folders = {}
    for name, (replayed, tests) in cases.items():
        folder = folders[name] = tmp_path_factory.mktemp(name.replace(" ", "_"))
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "conftest.py").write_text(GATE_CONFTEST)
        (folder / "payloads.json").write_text(json.dumps(replayed))
        for metric, text in tests.items():
            (folder / f"test_{metric.replace('.', '_')}.py").write_text(text)
    found = pytest_sessions({name.replace(" ", "_"): (folders[name], "--rig sim-a1") for name in cases}, 1)
    return {name: (found[name.replace(" ", "_")], verdict_of(folders[name])) for name in cases}


def verdict_of(folder: Path) -> dict[str, object] | None:
    files = list(folder.glob("runs/*/verdict.json"))
    return json.loads(files[0].read_text()) if len(files) == 1 else None


@pytest.mark.parametrize(
    ("name", "verdict", "code", "reason"),
    [
        ("passed", "INFRA", 30, "run.json: No such file"),
        ("harmed", "BLOCK", 10, "g2(0) on sim-a1"),
        ("own check", "INCONCLUSIVE", 20, "a check of its own"),
        ("not run", "INCONCLUSIVE", 20, "was not measured"),
        ("skipped", "INCONCLUSIVE", 20, "was skipped"),
        ("broken", "INFRA", 30, "ZeroDivisionError"),
        ("not collected", "INFRA", 30, "no_such_module"),
        ("pure", "INCONCLUSIVE", 20, "undefined"),
    ],
)
def test_a_session_with_a_rig_ends_with_its_verdict(gates, name, verdict, code, reason):
    ended, record = gates[name]
    assert ended.code == code, ended.out
    assert record is not None, ended.out
    assert (record["verdict"], record["exit_code"]) == (verdict, code)
    assert reason in record["reasons"][0]
    assert f"verdict: {verdict} (exit {code})" in ended.out
