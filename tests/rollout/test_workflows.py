"""What can be checked of the shipped workflow files without the systems that run them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from qdhil.exit_codes import ExitCode

WORKFLOWS = Path(__file__).resolve().parents[2] / "ci" / "workflows"
GITHUB = yaml.safe_load((WORKFLOWS / "github-canary.yml").read_text())
GITLAB = yaml.safe_load((WORKFLOWS / "gitlab-canary.yml").read_text())
FLAGGER = yaml.safe_load((WORKFLOWS / "flagger-canary.yaml").read_text())


def github_steps() -> dict[str, dict[str, Any]]:
    return {step["name"]: step for job in GITHUB["jobs"].values() for step in job["steps"] if "run" in step}


def bash(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as both systems do: stop at the first command that fails."""
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def stand_in(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/usr/bin/env bash\n{text}\n")
    file.chmod(0o755)


def test_promote_always_runs_and_asks_for_everything() -> None:
    promote = GITHUB["jobs"]["promote"]
    assert (promote["if"], promote["needs"]) == ("always()", "canary")
    names = [step.get("name") for step in promote["steps"]]
    assert names.index("Verify") < names.index("Promote")
    assert not any("continue-on-error" in step for job in GITHUB["jobs"].values() for step in job["steps"])
    assert all("if" not in step for step in promote["steps"])


def test_no_expression_stands_in_a_script() -> None:
    """What comes from outside reaches a script through the environment, never as part of its text."""
    for name, step in github_steps().items():
        assert "${{" not in step["run"], name


def test_every_script_is_valid_bash(tmp_path: Path) -> None:
    scripts = [step["run"] for step in github_steps().values()]
    scripts += ["\n".join(job["script"]) for job in GITLAB.values() if isinstance(job, dict) and "script" in job]
    assert len(scripts) == 9
    for script in scripts:
        done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("0", "success"),
        ("10", "failure"),
        ("20", "pending"),
        *((code, "error") for code in ("30", "40", "1", "64", "")),
    ],
)
def test_commit_status(tmp_path: Path, code: str, state: str) -> None:
    stand_in(tmp_path / "bin" / "gh", 'printf "%s\\n" "$@"')
    done = bash(
        github_steps()["Say it at the commit"]["run"],
        tmp_path,
        PATH=f"{tmp_path}/bin:{os.environ['PATH']}",
        CODE=code,
        GITHUB_REPOSITORY="lab/firmware",
        GITHUB_SHA="c0ffee",
    )
    assert f"state={state}" in done.stdout.splitlines()
    assert "repos/lab/firmware/statuses/c0ffee" in done.stdout.splitlines()


def test_gitlab_lets_only_the_undecided_through_as_orange() -> None:
    undecided = {"exit_codes": [int(ExitCode.INCONCLUSIVE), int(ExitCode.INFRA)]}
    assert GITLAB["canary"]["allow_failure"] == undecided
    assert GITLAB["promote:on-pass"]["allow_failure"] == undecided
    (rule,) = GITLAB["promote:by-people"]["rules"]
    assert (rule["when"], rule["allow_failure"]) == ("manual", True)
    for name, job in GITLAB.items():
        if name.startswith("promote"):
            assert job["stage"] in GITLAB["stages"]
            assert [need["job"] for need in job["needs"]] == ["canary"]
            lines = job["script"]
            verify = next(number for number, line in enumerate(lines) if "qdhil verify" in line)
            assert verify < next(number for number, line in enumerate(lines) if line.startswith("echo"))


@pytest.mark.parametrize(
    ("measured", "signed", "ends"),
    [
        *((code, code, code) for code in (0, 10, 20, 30)),
        *((measured, signed, 70) for measured, signed in ((0, 10), (20, 0), (0, 40), (0, 64))),
        *((code, 0, code) for code in (1, 3, 4, 40, 64, 70)),
    ],
)
def test_gitlab_canary_ends_with_its_verdict(tmp_path: Path, measured: int, signed: int, ends: int) -> None:
    stand_in(tmp_path / "ci" / "canary", f"mkdir -p canary-runs/run; exit {measured}")
    stand_in(tmp_path / ".venv" / "bin" / "qdhil", f"exit {signed}")
    variables = {name: str(value) for name, value in GITLAB["variables"].items()}
    variables |= {"CI_PROJECT_DIR": str(tmp_path), "QDHIL_SIGNING_KEY": "key"}
    done = bash("\n".join(GITLAB["canary"]["script"]), tmp_path, **variables)
    assert done.returncode == ends, done.stdout + done.stderr


@pytest.mark.parametrize("verified", [0, 1, 10, 20, 30, 40, 64, 70])
@pytest.mark.parametrize("job", ["promote:on-pass", "promote:by-people"])
def test_gitlab_promotes_after_a_verified_pass_only(tmp_path: Path, job: str, verified: int) -> None:
    stand_in(tmp_path / ".venv" / "bin" / "qdhil", f'[ "$1" = verify ] && exit {verified}\nexit 99')
    variables = {name: str(value) for name, value in GITLAB["variables"].items()}
    (tmp_path / "image").write_text("image")
    done = bash("\n".join(GITLAB[job]["script"]), tmp_path, **variables | {"IMAGE": "image"})
    assert (done.returncode, bool(re.search("promoted [0-9a-f]{64}", done.stdout))) == (verified, verified == 0)


def test_flagger_uses_hooks_that_wait_and_none_that_counts() -> None:
    hooks = FLAGGER["spec"]["analysis"]["webhooks"]
    kinds = {hook["type"]: hook["url"].rpartition("/")[2] for hook in hooks}
    assert kinds == {"confirm-rollout": "confirm", "confirm-promotion": "confirm", "rollback": "rollback"}
    for hook in hooks:
        assert set(hook["metadata"]) == {"firmware", "hardware", "ring"}
        assert re.fullmatch(r"[0-9a-f]{64}", hook["metadata"]["firmware"])


class _Once(yaml.SafeLoader):
    """PyYAML takes the last of two keys in silence."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(set(keys)) == len(keys), f"a key twice: {keys}"
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_Once.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


@pytest.mark.parametrize("name", ["github-canary.yml", "gitlab-canary.yml", "argo-analysis-template.yaml"])
def test_no_key_stands_twice(name: str) -> None:
    assert yaml.load((WORKFLOWS / name).read_text(), _Once)
