"""The GitHub workflow, run by act on this machine: promoted only on a verified PASS of the image in the checkout.

``ci/canary`` is a stand-in that ends with the code a test wants and leaves the run folder of the example;
``qdhil`` is the real one, but where a test wants an attestation that ``qdhil sign`` would not make.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from securesystemslib.signer import CryptoSigner
from signing_made import trust_text

from qdhil.keys.signers import public_pem
from rollout.vectors import Vector, attestation, load, now_times

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "ci" / "workflows" / "github-canary.yml"
ACT = ROOT / ".venv-rollout" / "bin" / "act"
IMAGE = ROOT / "sim" / "qdhil_sim" / "builds" / "1.5.0-good" / "image.toml"
QDHIL = Path(sys.executable).with_name("qdhil")


@pytest.fixture(autouse=True)
def act(request: pytest.FixtureRequest) -> None:
    """Without act these tests are skipped, or fail where they were asked for."""
    if not ACT.exists():
        why = "ci/rollout has not made .venv-rollout"
        pytest.fail(why) if request.config.getoption("--rollout", default=False) else pytest.skip(why)


class Ran(NamedTuple):
    code: int
    log: str

    @property
    def promoted(self) -> bool:
        return f"promoted {hashlib.sha256(IMAGE.read_bytes()).hexdigest()}" in self.log

    def job(self, name: str) -> str:
        """``success``, ``failure``, or nothing where the job did not run."""
        found = re.findall(rf"\[canary/{name}[^\]]*\].*Job (succeeded|failed)", self.log)
        return {"succeeded": "success", "failed": "failure"}[found[-1]] if found else ""


def script(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/usr/bin/env bash\n{text}\n")
    file.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with the workflow, an image and a trust file."""
    root = tmp_path / "firmware"
    workflow = root / ".github" / "workflows" / "canary.yml"
    workflow.parent.mkdir(parents=True)
    shutil.copy(WORKFLOW, workflow)
    shutil.copytree(IMAGE.parent, root / "bundles" / "candidate")
    script(root / ".venv" / "bin" / "qdhil", f'exec "{QDHIL}" "$@"')
    (root / "ci").mkdir()
    return root


def run_act(checkout: Path, secret: str = "") -> Ran:
    home = checkout.parent / "home"
    (home / ".config" / "act").mkdir(parents=True, exist_ok=True)
    (home / ".config" / "act" / "actrc").write_text("")  # or act asks for an image at the terminal
    (home / "event.json").write_text(json.dumps({"ref": "refs/tags/v1.5.0"}))
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "-fA"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], cwd=checkout, check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "ACT"))}
    environment |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "QDHIL_SIGNING_KEY": secret}
    environment |= {"XDG_CACHE_HOME": str(home / ".cache"), "DOCKER_HOST": f"unix://{home}/no-docker"}
    # only the checkout's own qdhil, as on a runner: not that of the environment which runs these tests
    folders = environment["PATH"].split(os.pathsep)
    environment["PATH"] = os.pathsep.join(folder for folder in folders if not (Path(folder) / "qdhil").exists())
    options = ["-P", "self-hosted=-self-hosted", "-e", str(home / "event.json")]
    options += ["-s", "QDHIL_SIGNING_KEY"] if secret else []
    done = subprocess.run(
        [str(ACT), "push", *options],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )
    return Ran(done.returncode, done.stdout + done.stderr)


def signing_key(checkout: Path) -> str:
    """Make the signing key and the trust file that knows it; return the key."""
    signer = CryptoSigner.generate_ed25519()
    lines = ["schema_version = 1", "threshold = 1", "lifetime_max_h = 24", "[keys.ci]", 'signs = "verdict"']
    lines += [f'public = """\n{public_pem(signer)}"""', ""]
    (checkout / "ci" / "trust.toml").write_text("\n".join(lines))
    return str(signer.private_bytes.decode())


def canary(checkout: Path, code: int, *, then: str = "", leave_run: bool = True) -> None:
    """Put a stand-in for ``ci/canary`` into the checkout."""
    copy = f'cp -r "{ROOT}/docs/example-run" "$6/run"' if leave_run else ":"
    expects = '[ "$1 $3 $5" = "--rig --candidate --runs" ] || exit 99'
    script(checkout / "ci" / "canary", f'{expects}\nmkdir -p "$6"\n{copy}\n{then}\nexit {code}')


def instead_of_sign(checkout: Path, data: bytes, code: int) -> None:
    """Let ``qdhil sign`` hand over another file; every other verb is the real one."""
    (checkout / "ci" / "made.attestation.json").write_bytes(data)
    script(
        checkout / ".venv" / "bin" / "qdhil",
        f'if [ "$1" = sign ]; then cp ci/made.attestation.json "${{@: -1}}"; exit {code}; fi\nexec "{QDHIL}" "$@"',
    )


@pytest.mark.parametrize("code", [0, 1, 3, 4, 10, 20, 30, 40, 64, 70])
def test_promoted_only_on_exit_code_0(checkout: Path, code: int) -> None:
    """The run that is signed says PASS; what the campaign ended with must say so as well."""
    key = signing_key(checkout)
    canary(checkout, code)
    ran = run_act(checkout, key)
    passed = code == 0
    assert ran.promoted == passed, ran.log
    assert (ran.job("promote"), ran.code == 0) == ("success" if passed else "failure", passed), ran.log
    assert key.splitlines()[1] not in ran.log


@pytest.mark.parametrize(
    "vector",
    [v for v in load() if v.transport == "ok" and (v.verdict == "pass" or v.signature == "good")],
    ids=lambda v: v.name,
)
def test_the_table(checkout: Path, vector: Vector) -> None:
    digest = hashlib.sha256(IMAGE.read_bytes()).hexdigest()
    changes: dict[str, Any] = now_times() | {"candidate": {"version": "1.5.0-good", "sha256": digest}}
    data = attestation(vector, **changes)
    assert data is not None
    (checkout / "ci" / "trust.toml").write_text(trust_text())
    canary(checkout, 0)
    instead_of_sign(checkout, data, 0)  # whoever forges an attestation says that it passed
    ran = run_act(checkout)
    ends = "success" if vector.answer.promoted else "failure"
    assert (ran.promoted, ran.job("promote")) == (vector.answer.promoted, ends), ran.log


def _no_run(checkout: Path) -> None:
    canary(checkout, 0, leave_run=False)


def _two_runs(checkout: Path) -> None:
    canary(checkout, 0, then='cp -r "$6/run" "$6/another"')


def _changed_run(checkout: Path) -> None:
    canary(checkout, 0, then="""sed -i 's/"version": "1.5.0-good"/"version": "1.5.0-evil"/' "$6/run/verdict.json\"""")


def _empty(checkout: Path) -> None:
    canary(checkout, 0)
    instead_of_sign(checkout, b"", 0)


def _no_file(checkout: Path) -> None:
    canary(checkout, 0)
    script(checkout / ".venv" / "bin" / "qdhil", f'[ "$1" = sign ] && exit 0\nexec "{QDHIL}" "$@"')


def _other_image(checkout: Path) -> None:
    canary(checkout, 0)
    (checkout / "bundles" / "candidate" / "image.toml").write_text("another")


def _no_trust(checkout: Path) -> None:
    canary(checkout, 0)
    (checkout / "ci" / "trust.toml").unlink()


def _no_qdhil(checkout: Path) -> None:
    canary(checkout, 0)
    (checkout / ".venv" / "bin" / "qdhil").unlink()


@pytest.mark.parametrize(
    "broken", [_no_run, _two_runs, _changed_run, _empty, _no_file, _other_image, _no_trust, _no_qdhil]
)
def test_not_promoted_when_something_is_missing_or_changed(checkout: Path, broken: Callable[[Path], None]) -> None:
    key = signing_key(checkout)
    broken(checkout)
    ran = run_act(checkout, key)
    assert not re.search(r"promoted [0-9a-f]{64}", ran.log), ran.log
    assert (ran.job("promote"), ran.code != 0) == ("failure", True), ran.log


def test_not_promoted_without_the_key(checkout: Path) -> None:
    signing_key(checkout)
    canary(checkout, 0)
    ran = run_act(checkout, "")
    assert (ran.promoted, ran.job("promote")) == (False, "failure"), ran.log


@pytest.mark.parametrize(("candidate", "code"), [("1.5.0-good", 0), ("1.5.0-pulse20", 10)])
def test_a_real_campaign(checkout: Path, rack_file: Path, candidate: str, code: int) -> None:
    """Nothing stands in: the campaign measures on a simulated rig, and its verdict is signed and verified."""
    key = signing_key(checkout)
    bundle = checkout / "bundles" / "candidate"
    shutil.rmtree(bundle)
    shutil.copytree(IMAGE.parents[1] / candidate, bundle)
    options = f'--rack "{rack_file}" -c "{ROOT}/ci/canary.ini" -p no:cacheprovider --noconftest --rootdir "$PWD"'
    program = f'exec "{QDHIL.parent}/pytest" --pyargs qdhil_suites {options}'
    script(checkout / "ci" / "canary", f'{program} --rig "$2" --candidate "$4" --rig-runs "$6" --rig-seed 3')
    ran = run_act(checkout, key)
    digest = hashlib.sha256((bundle / "image.toml").read_bytes()).hexdigest()
    assert f"(exit {code})" in ran.log, ran.log
    assert (f"promoted {digest}" in ran.log) == (code == 0), ran.log
    assert ran.job("promote") == ("success" if code == 0 else "failure"), ran.log
