"""Roles and identities: who may, who may not, and that no environment variable makes somebody else of anybody."""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from signing_made import ALICE, BOB

from qdhil.audit import (
    EVERYBODY,
    NO_AUDIT,
    ROLES,
    AuditLog,
    Authority,
    Entry,
    Roles,
    current_actor,
    load_roles,
    open_authority,
    verify_log,
)
from qdhil.audit.actor import Actor
from qdhil.audit.roles import RolesFile
from qdhil.errors import ConfigurationError, InfraFault, RecordFault, RefusedError

ME = f"user:{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
DOC = Path(__file__).parent.parent / "docs" / "audit.md"


def roles_file(folder: Path, **members: list[str]) -> Path:
    file = folder / "roles.toml"
    lines = [f"{role} = {identities!r}".replace("'", '"') for role, identities in members.items()]
    file.write_text("\n".join(["schema_version = 1", "[roles]", *lines]) + "\n")
    return file


def written(file: Path) -> list[Entry]:
    entries: list[Entry] = []
    assert verify_log(file, on_entry=entries.append).whole
    return entries


def test_the_account_is_the_real_user_whatever_the_environment_says(tmp_path):
    lies = {
        "USER": "eve",
        "LOGNAME": "eve",
        "USERNAME": "eve",
        "SUDO_USER": "eve",
        "GITHUB_ACTOR": "eve",
        "HOSTNAME": "x",
    }
    script = "from qdhil.audit import current_actor; print(current_actor().identity)"
    said = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **lies}, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == ME


def test_a_key_is_proved_by_signing():
    alice = current_actor(ALICE)
    assert alice.identities == (f"key:{ALICE.public_key.keyid}", ME)

    class Claimed:
        """Somebody else's public half, with a private half of one's own."""

        public_key = ALICE.public_key

        def sign(self, payload: bytes) -> object:
            return BOB.sign(payload)

    with pytest.raises(ConfigurationError, match="not those of its public half"):
        current_actor(Claimed())


@pytest.mark.parametrize(
    ("member", "identity", "allowed"),
    [
        ("user:ada@rack-1", "user:ada@rack-1", True),
        ("user:ada@rack-1", "user:ada@rack-2", False),
        ("user:ada@rack-1", "user:ad@rack-1", False),
        ("user:*@rack-1", "user:ada@rack-1", True),
        ("user:*@rack-1", "user:ada@rack-11", False),
        ("user:ada@*", "user:ada@rack-2", True),
        ("user:ada@*", "user:adam@rack-2", False),
        ("user:*@*", "user:ada@rack-2", True),
        ("*", "user:ada@rack-2", True),
        ("user:ada@corp@rack-1", "user:ada@corp@rack-1", True),
        ("user:ada@rack-1", "user:ada@corp@rack-1", False),
        ("user:a.a@rack-1", "user:aba@rack-1", False),
        ("key:" + "0" * 64, "user:ada@rack-1", False),
        ("user:*@*", "key:" + "0" * 64, False),
    ],
)
def test_wildcards_are_only_what_they_say(tmp_path, member, identity, allowed):
    known = load_roles(roles_file(tmp_path, operator=[member]))
    assert known.allows("operator", Actor(identity)) is allowed
    assert not known.allows("releaser", Actor(identity))


@pytest.mark.parametrize(
    "text",
    [
        'schema_version = 1\n[roles]\noperators = ["*"]',
        'schema_version = 2\n[roles]\noperator = ["*"]',
        'schema_version = 1\n[roles]\noperator = "*"',
        'schema_version = 1\n[roles]\noperator = ["ada"]',
        'schema_version = 1\n[roles]\noperator = ["user:a*@rack-1"]',
        'schema_version = 1\n[roles]\noperator = ["user:ada"]',
        'schema_version = 1\n[roles]\noperator = ["key:*"]',
        'schema_version = 1\n[roles]\noperator = ["key:2e81fcf282b3"]',
        'schema_version = 1\n[roles]\noperator = ["**"]',
        'schema_version = 1\n[roles]\noperator = [""]',
        "schema_version = 1",
        "[roles",
        "\x00",
    ],
)
def test_a_roles_file_that_is_not_understood_lets_nobody_do_anything(tmp_path, text):
    file = tmp_path / "roles.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="nobody may do anything"):
        load_roles(file)


def test_a_roles_file_that_is_not_there_lets_nobody_do_anything(tmp_path, monkeypatch):
    for file in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigurationError, match="nobody may do anything"):
            open_authority(file)
    monkeypatch.setenv("QDHIL_ROLES", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigurationError, match="nobody may do anything"):
        open_authority()
    with pytest.raises(ConfigurationError, match="empty"):
        open_authority("", None)


def test_without_a_roles_file_everybody_may_and_that_is_said(tmp_path):
    assert load_roles(None) is EVERYBODY
    assert all(EVERYBODY.allows(role, current_actor()) for role in ROLES)
    assert open_authority(None, tmp_path / "a").note == "no roles file: everybody may do everything"
    assert open_authority(roles_file(tmp_path), tmp_path / "a").note == ""


def test_a_role_that_is_nobodys_and_one_that_is_not(tmp_path):
    known = load_roles(roles_file(tmp_path, releaser=[ME]))
    known.require("releaser", current_actor())
    with pytest.raises(RefusedError, match=re.escape(f"{ME} is no operator")):
        known.require("operator", current_actor())
    with pytest.raises(RefusedError, match="there is no role 'admin'"):
        known.require("admin", current_actor())  # type: ignore[arg-type]


def test_a_key_gives_the_roles_of_its_account_too(tmp_path):
    key = f"key:{ALICE.public_key.keyid}"
    known = load_roles(roles_file(tmp_path, overrider=[key], operator=[ME]))
    assert [role for role in ROLES if known.allows(role, current_actor(ALICE))] == ["operator", "overrider"]
    assert not known.allows("overrider", current_actor(BOB))


def test_begin_and_end_of_an_action_are_on_record(tmp_path):
    file = tmp_path / "a"
    authority = open_authority(roles_file(tmp_path, releaser=[ME]), file)
    with authority.action("releaser", "baseline.promote", "run-1", {"by": "Ada"}) as progress:
        (begun,) = written(file)
        progress.details["golden"] = "1.5.0"
    end = written(file)[-1]
    assert (begun.outcome, begun.details) == (
        "begun",
        {"role": "releaser", "roles_sha256": authority.roles.sha256, "by": "Ada"},
    )
    assert (end.action, end.subject, end.outcome) == ("baseline.promote", "run-1", "done")
    assert end.details == {"begun": 1, "golden": "1.5.0"}


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (RefusedError("not a PASS"), "refused", "not a PASS"),
        (InfraFault("r", "i", "q", 1, "2"), "failed", "rig r, i: q: 1 (allowed: 2)"),
        (ValueError("who knows what is in here"), "failed", "ValueError"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (SystemExit(3), "interrupted", "SystemExit"),
    ],
)
def test_an_action_that_ends_badly_says_so(tmp_path, error, outcome, reason):
    authority = open_authority(None, tmp_path / "a")
    with pytest.raises(type(error)), authority.action("operator", "rig.lease", "sim-a1"):
        raise error
    end = written(tmp_path / "a")[-1]
    assert (end.outcome, end.details["reason"]) == (outcome, reason)


def test_a_refusal_is_on_record_and_nothing_is_done(tmp_path):
    authority = open_authority(roles_file(tmp_path, operator=[ME]), tmp_path / "a")
    done = []
    with pytest.raises(RefusedError), authority.action("releaser", "baseline.promote", "run-1"):
        done.append(1)
    (entry,) = written(tmp_path / "a")
    assert (entry.outcome, entry.details["role"], done) == ("refused", "releaser", [])


def test_what_cannot_be_written_down_is_not_done(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    done = []
    with pytest.raises(RecordFault, match="nothing was done"), open_authority(None, blocked).action(None, "sign", "x"):
        done.append(1)
    assert done == []
    authority = Authority(Roles(None, None, dict.fromkeys(ROLES, ())), AuditLog(blocked), current_actor())
    with pytest.raises(RefusedError), authority.action("operator", "run", "x"):
        done.append(1)
    assert done == []


def test_an_end_that_cannot_be_written_down_is_a_fault(tmp_path):
    file = tmp_path / "a"

    def spoil(authority: Authority, *, then: Exception | None) -> None:
        with authority.action(None, "sign", "x"):
            file.unlink()
            file.mkdir()
            if then is not None:
                raise then

    with pytest.raises(RecordFault, match="sign of x ended as done"):
        spoil(open_authority(None, file), then=None)
    file.rmdir()
    with pytest.raises(RefusedError, match="first"):
        spoil(open_authority(None, file), then=RefusedError("first"))


def test_the_environment_names_files_only_where_nothing_else_does(tmp_path, monkeypatch):
    monkeypatch.setenv("QDHIL_AUDIT", str(tmp_path / "elsewhere"))
    assert open_authority(None, "audit.jsonl", beside=tmp_path).audit.file == tmp_path / "audit.jsonl"
    assert open_authority().audit.file == tmp_path / "elsewhere"
    monkeypatch.setenv("QDHIL_AUDIT", "")
    assert open_authority().audit is NO_AUDIT


def test_the_example_of_the_manual_is_a_roles_file():
    (text,) = re.findall(r"```toml\n(schema_version = 1\n\n\[roles\].*?)```", DOC.read_text(), re.DOTALL)
    example = RolesFile.model_validate(tomllib.loads(text))
    assert all(getattr(example.roles, role) for role in ROLES)
