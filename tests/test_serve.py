"""The verdict endpoint answers every known state with 200, and a hook with yes only where a verdict says so."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rollout.vectors import Vector, attestation, load, now_times
from serving_made import HARDWARE, QUERY, RING, VERDICT, Served, emptied, endpoint, now_attested, serving
from signing_made import CANDIDATE, POLICY, attested, edited, trust_text, write_trust

from qdhil.errors import ConfigurationError
from qdhil.gate.attestation import authenticate
from qdhil.keys.trust import load_trust
from qdhil.keys.validity import moment
from qdhil.serve import AttestationFolder, Question, Tokens
from qdhil.serve.github_settings import load_github
from qdhil.serve.server import listen

ROOT = Path(__file__).resolve().parents[1]
server = pytest.fixture(scope="module")(endpoint)
served = pytest.fixture(emptied)


# what is answered


@pytest.mark.parametrize("vector", [v for v in load() if v.transport in ("ok", "pending")], ids=lambda v: v.name)
def test_every_known_state_is_an_answer(served: Served, vector: Vector) -> None:
    data = attestation(vector, **now_times())
    if data is not None:
        served.put(data)
    answer = served.ask()
    assert answer.status == 200
    said = answer.json
    good = vector.transport == "ok" and vector.signature in ("good", "replayed")
    if vector.transport == "pending" or vector.signature == "other-firmware":
        expected = "pending"
    else:
        expected = vector.verdict if good else "refused"
    assert (said["verdict"], said["verified"]) == (expected, good), said
    assert said["reason"]


def test_the_answer_says_what_it_stands_on(served: Served) -> None:
    times = now_times()
    served.put(attested(**times))
    said = served.ask(f"{VERDICT}&policy={POLICY}").json
    assert said.pop("statement_sha256")
    assert said == {
        "schema_version": 1,
        "verdict": "pass",
        "verified": True,
        "reason": "as measured",
        "firmware_sha256": CANDIDATE,
        "hardware": HARDWARE,
        "ring": RING,
        "policy_sha256": POLICY,
        "version": "1.5.0",
        "measured": times["measured"],
        "expires": times["expires"],
        "keys": ["ci", "rack"],
    }


def test_another_policy_is_refused(served: Served) -> None:
    served.put(now_attested())
    assert served.ask(f"{VERDICT}&policy={'0' * 64}").json["verdict"] == "refused"


def test_a_verdict_expires_and_an_attestation_goes_while_the_server_runs(served: Served) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=4)
    file = served.put(now_attested(expires=f"{soon:%Y-%m-%dT%H:%M:%SZ}"))
    assert served.ask().json["verdict"] == "pass"
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()))
    assert served.ask().json["verdict"] == "refused"
    file.unlink()
    assert served.ask().json["verdict"] == "pending"


def test_harm_stands_and_otherwise_the_latest_measurement_speaks(served: Served) -> None:
    def measured(minutes_ago: int) -> str:
        return f"{datetime.now(UTC) - timedelta(minutes=minutes_ago):%Y-%m-%dT%H:%M:%SZ}"

    served.put(now_attested("INFRA", measured=measured(30)), "1.attestation.json")
    assert served.ask().json["verdict"] == "infra"
    served.put(now_attested("PASS", measured=measured(20)), "2.attestation.json")
    assert served.ask().json["verdict"] == "pass"
    served.put(now_attested("INCONCLUSIVE", measured=measured(20)), "3.attestation.json")
    assert served.ask().json["verdict"] == "inconclusive", "of two at one time the worse one speaks"
    served.put(now_attested("BLOCK", measured=measured(40)), "4.attestation.json")
    assert served.ask().json["verdict"] == "block"


def test_a_forgery_neither_hides_a_verdict_nor_takes_its_place(served: Served) -> None:
    served.put(now_attested("PASS"), "good.attestation.json")
    forged = edited(now_attested("BLOCK"), lambda said: said["predicate"]["qdhil"].update(reasons=["forged"]))
    served.put(forged, "forged.attestation.json")
    assert served.ask().json["verdict"] == "pass"
    (served.folder / "good.attestation.json").unlink()
    said = served.ask().json
    assert said["verdict"] == "refused"
    assert "forged" not in said["reason"]


@pytest.mark.parametrize("content", [b"", b"null", b"<html>", b"[]", b'{"payload": 3}', b"\xff" * 100, b"[" * 100000])
def test_other_files_say_nothing(served: Served, content: bytes) -> None:
    served.put(content)
    served.put(now_attested(), "a.override.json")
    assert served.ask().json["verdict"] == "pending"


def test_large_files_pipes_and_ways_out_of_the_folder_are_not_read(served: Served, tmp_path: Path) -> None:
    (tmp_path / "outside.attestation.json").write_bytes(now_attested())
    (served.folder / "link.attestation.json").symlink_to(tmp_path / "outside.attestation.json")
    (served.folder / "loop.attestation.json").symlink_to("loop.attestation.json")
    os.mkfifo(served.folder / "pipe.attestation.json")
    (served.folder / "folder.attestation.json").mkdir()
    served.put(b" " * (1 << 21) + now_attested(), "large.attestation.json")
    assert served.ask().json["verdict"] == "pending"


def test_a_mounted_config_map_is_read(served: Served) -> None:
    """Kubernetes mounts files as links to ..data/NAME, and swaps ..data."""
    (served.folder / "..2026").mkdir()
    (served.folder / "..2026" / "1.attestation.json").write_bytes(now_attested())
    (served.folder / "..data").symlink_to("..2026")
    (served.folder / "1.attestation.json").symlink_to("..data/1.attestation.json")
    assert served.ask().json["verdict"] == "pass"


def test_trouble_of_the_server_is_an_unverified_infra(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.put(now_attested())
        (tmp_path / "trust.toml").write_text("schema_version = 9")
        assert served.ask().json == served.ask().json
        said = served.ask()
        assert (said.status, said.json["verdict"], said.json["verified"]) == (200, "infra", False)
        (tmp_path / "trust.toml").write_text(trust_text(threshold=1))
        assert served.ask().json["verdict"] == "pass"
        served.folder.rename(tmp_path / "elsewhere")
        said = served.ask()
        assert (said.status, said.json["verdict"], said.json["verified"]) == (200, "infra", False)
        (tmp_path / "elsewhere").rename(served.folder)


def test_a_folder_that_does_not_answer_in_time_is_an_infra(tmp_path: Path) -> None:
    def slow() -> datetime:
        time.sleep(0.5)
        return datetime.now(UTC)

    (tmp_path / "1.attestation.json").write_bytes(now_attested())
    folder = AttestationFolder(tmp_path, write_trust(tmp_path), slow)
    question = Question(CANDIDATE, HARDWARE, RING)
    assert asyncio.run(folder.ask(question)).verdict == "pass"
    said = asyncio.run(folder.ask(question, within_s=0.05))
    assert (said.verdict, said.verified, said.passed) == ("infra", False, False)


def test_agents_get_the_file_that_speaks(served: Served) -> None:
    data = now_attested("BLOCK")
    served.put(data)
    answer = served.ask(f"/v1/attestation/{CANDIDATE}?{QUERY}")
    assert (answer.status, answer.body) == (200, data)
    missing = served.ask(f"/v1/attestation/{'9' * 64}?{QUERY}")
    assert (missing.status, missing.json["verdict"]) == (404, "pending")


@pytest.mark.parametrize("address", [VERDICT, f"/v1/attestation/{CANDIDATE}?{QUERY}"])
def test_etags(served: Served, address: str) -> None:
    served.put(now_attested())
    first = served.ask(address)
    again = served.ask(address, If_None_Match=first.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    served.put(now_attested("BLOCK"))
    assert served.ask(address, If_None_Match=first.headers["ETag"]).status == 200


def test_head_and_health(served: Served) -> None:
    assert served.ask("/healthz").json == {"status": "ok"}
    head = served.ask(method="HEAD")
    assert (head.status, head.body, int(head.headers["Content-Length"]) > 100) == (200, b"", True)


# Flagger's hooks


@pytest.mark.parametrize("vector", [v for v in load() if v.transport in ("ok", "pending")], ids=lambda v: v.name)
def test_flagger_hooks(served: Served, vector: Vector) -> None:
    data = attestation(vector, **now_times())
    if data is not None:
        served.put(data)
    hook = {
        "name": "laser-controller",
        "namespace": "lab",
        "phase": "WaitingPromotion",
        "checksum": "85d557f47b",
        "metadata": {"firmware": CANDIDATE, "hardware": HARDWARE, "ring": RING},
    }
    body = json.dumps(hook).encode()
    confirm = served.ask("/v1/flagger/confirm", method="POST", body=body)
    rollback = served.ask("/v1/flagger/rollback", method="POST", body=body)
    assert (confirm.status, rollback.status) == (vector.answer.flagger_confirm, vector.answer.flagger_rollback)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"metadata": null}',
        b'{"metadata": {"firmware": 3}}',
        b'{"metadata": {}}',
        b"{" * 9,
    ],
)
def test_hooks_that_ask_nothing_are_answered_with_neither_yes(served: Served, body: bytes) -> None:
    served.put(now_attested())
    for address in ("/v1/flagger/confirm", "/v1/flagger/rollback"):
        assert served.ask(address, method="POST", body=body).status == 400


# what the manual says


def test_the_answer_in_the_manual_is_what_is_served() -> None:
    folder = ROOT / "docs" / "example-attestation"
    said = json.loads((folder / "served.json").read_text())
    question = Question(said["firmware_sha256"], said["hardware"], said["ring"])
    (file,) = folder.glob("*.attestation.json")
    issued = moment(authenticate(file.read_bytes(), load_trust(folder / "trust.toml")).claim.issued)
    assert AttestationFolder(folder, folder / "trust.toml", lambda: issued).answer(question).record(question) == said


def test_the_github_settings_in_the_manual_are_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "serve.md").read_text(), re.DOTALL)
    (tmp_path / "github.toml").write_text(block)
    assert load_github(tmp_path / "github.toml").bundle_trust == tmp_path / "trust.toml"


def test_more_files_than_are_read_leave_none_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is left out might be the BLOCK."""
    monkeypatch.setattr("qdhil.serve.folder.FILES_MAX", 2)
    folder, question = AttestationFolder(tmp_path, write_trust(tmp_path)), Question(CANDIDATE, HARDWARE, RING)
    (tmp_path / "1.attestation.json").write_bytes(now_attested())
    (tmp_path / "2.attestation.json").write_bytes(b"")
    assert folder.answer(question).passed
    (tmp_path / "3.attestation.json").write_bytes(now_attested("BLOCK"))
    said = folder.answer(question)
    assert (said.verdict, said.verified) == ("infra", False)
    assert "more than 2" in said.reason


def test_a_block_that_can_not_be_read_now_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dying disk, or no file descriptor left: nothing is served, and afterwards the BLOCK is."""
    from qdhil.serve import folder as module

    folder, question = AttestationFolder(tmp_path, write_trust(tmp_path)), Question(CANDIDATE, HARDWARE, RING)
    (tmp_path / "1.attestation.json").write_bytes(now_attested())
    (tmp_path / "2.attestation.json").write_bytes(now_attested("BLOCK"))
    with monkeypatch.context() as patched:

        def fail(file: Path) -> bytes:
            if file.name.startswith("2"):
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))
            return file.read_bytes()

        patched.setattr(module, "_read", fail)
        said = folder.answer(question)
        assert (said.verdict, said.verified) == ("infra", False)
    assert folder.answer(question).harmful


def test_a_remark_among_the_tokens_is_none(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# tokens of the rollout controllers\n" + "t" * 48 + "\n")
    with pytest.raises(ConfigurationError, match="none of them blank") as caught:
        Tokens(file).check()
    assert "t" * 48 not in str(caught.value)
    file.write_text("t" * 48 + "\n")
    tokens = Tokens(file)
    tokens.check()
    file.write_text("# tokens of the rollout controllers\nshort\n" + "t" * 48 + "\n")  # edited meanwhile
    assert tokens.admit(b"Bearer " + b"t" * 48)
    assert not tokens.admit(b"Bearer # tokens of the rollout controllers")
    assert not tokens.admit(b"Bearer short")


def test_a_host_that_is_no_name() -> None:
    with pytest.raises(ConfigurationError, match="can't listen"):
        listen("a" * 300 + ".example", 0)
