"""The ledger over real git remotes: what is handed in is read by all, and damage is named."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns_made import Light, write_run
from ledger_made import bare, clone, entry, git

from qdhil.errors import ConfigurationError, RecordFault, RefusedError
from qdhil.record import ledger_compactor
from qdhil.record.ledger import Ledger
from qdhil.record.ledger_compactor import compact
from qdhil.record.ledger_entry import LedgerEntry, entries_of, parse_entry
from qdhil.record.ledger_repository import LedgerRepository


@pytest.fixture
def remote(tmp_path) -> Path:
    return bare(tmp_path / "remote.git")


@pytest.fixture
def ledger(remote, tmp_path) -> Iterator[Ledger]:
    with Ledger(clone(remote, tmp_path / "rig-host")) as opened:
        yield opened


def hand_in(ledger: Ledger, *entries: LedgerEntry) -> None:
    for one in entries:
        ledger.put(one)
    assert ledger.send() == len(entries)


def refs(remote: Path) -> list[str]:
    return [name for name in git(remote, "for-each-ref", "--format=%(refname)").split() if "main" not in name]


def test_a_run_is_one_reference_and_every_clone_reads_it(remote, ledger, tmp_path):
    records = [entry(1), entry(2, "sim-a2"), entry(3)]
    hand_in(ledger, *records)
    assert refs(remote) == sorted(f"refs/qdhil/runs/{it.rig}/{it.id}" for it in records)
    assert ledger.unsent() == []
    with Ledger(clone(remote, tmp_path / "desk")) as desk:
        contents = desk.sync()
        assert (contents.entries, contents.problems) == (records, [])
    assert git(remote, "show", f"refs/qdhil/runs/sim-a1/{records[0].id}:{records[0].path}") == (
        records[0].content.decode().strip()
    )


def test_folding_keeps_all_and_leaves_no_reference_but_the_ledger(remote, ledger):
    records = [entry(number) for number in range(5)]
    hand_in(ledger, *records[:3])
    assert compact(ledger).runs == 3
    hand_in(ledger, *records[3:])
    folded = compact(ledger)
    assert (folded.runs, folded.problems, folded.retries) == (2, [], 0)
    assert compact(ledger).runs == 0
    assert refs(remote) == ["refs/qdhil/ledger"]
    assert git(remote, "rev-list", "--count", "refs/qdhil/ledger") == "2"
    assert ledger.sync().entries == records
    assert list(ledger.repository.local_refs()) == ["refs/qdhil/ledger"]


def test_handing_in_twice_is_once_before_and_after_folding(remote, ledger):
    for _ in range(2):
        hand_in(ledger, entry(1))
        hand_in(ledger, entry(1))
        compact(ledger)
        assert ledger.sync().entries == [entry(1)]
    assert refs(remote) == ["refs/qdhil/ledger"]


def test_more_runs_than_one_push_folds(remote, ledger, monkeypatch):
    monkeypatch.setattr(ledger_compactor, "_BATCH", 2)
    hand_in(ledger, *(entry(number) for number in range(5)))
    assert compact(ledger).runs == 5
    assert len(ledger.sync().entries) == 5
    assert git(remote, "rev-list", "--count", "refs/qdhil/ledger") == "3"


def test_a_shallow_single_branch_clone_reads_all(remote, ledger, tmp_path):
    hand_in(ledger, entry(1), entry(2))
    compact(ledger)
    hand_in(ledger, entry(3))
    checkout = clone(remote, tmp_path / "ci", "--depth", "1", "--single-branch")
    assert git(checkout, "for-each-ref", "refs/qdhil") == "", "a checkout fetches no references of ours by itself"
    with Ledger(checkout) as ci:
        assert ci.sync().entries == [entry(1), entry(2), entry(3)]
        hand_in(ci, entry(4))
        assert compact(ci).runs == 2
    assert git(checkout, "rev-parse", "--is-shallow-repository") == "true"
    assert len(ledger.sync().entries) == 4


def refuse_own_refs(remote: Path) -> None:
    hook = remote / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/*) exit 0;; esac\necho "only branches here" >&2\nexit 1\n')
    hook.chmod(0o755)


@pytest.mark.parametrize("how", ["hook", "hidden", "unseen"])
def test_branches_take_the_place_where_a_forge_refuses_other_references(remote, ledger, tmp_path, how):
    if how == "hook":
        refuse_own_refs(remote)
    else:
        git(remote, "config", {"hidden": "transfer", "unseen": "uploadpack"}[how] + ".hideRefs", "refs/qdhil")
    hand_in(ledger, entry(1), entry(2))
    assert git(remote, "for-each-ref", "--format=%(refname)", "refs/heads/qdhil-runs").count("\n") == 1
    assert git(tmp_path / "rig-host", "config", "qdhil.origin.layout") == "branches"
    assert compact(ledger).runs == 2
    hand_in(ledger, entry(3))
    assert [name for name in refs(remote) if name.startswith("refs/heads/")] == [
        "refs/heads/qdhil-ledger",
        f"refs/heads/qdhil-runs/sim-a1/{entry(3).id}",
    ]
    with Ledger(clone(remote, tmp_path / "desk")) as desk:
        assert desk.sync().entries == [entry(1), entry(2), entry(3)]
        assert git(tmp_path / "desk", "config", "qdhil.origin.layout") == "branches", "seen, not probed"


def test_the_probe_leaves_nothing_and_is_remembered(remote, ledger, tmp_path):
    hand_in(ledger, entry(1))
    assert len(refs(remote)) == 1
    assert git(tmp_path / "rig-host", "config", "qdhil.origin.layout") == "refs"
    git(tmp_path / "rig-host", "config", "qdhil.origin.layout", "notes")
    with pytest.raises(ConfigurationError, match="must be refs or branches"):
        ledger.sync()


def test_what_a_remote_refuses_stays_in_the_outbox_and_is_sent_later(remote, ledger):
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'read only today' >&2\nexit 1\n")
    hook.chmod(0o755)
    ledger.put(entry(1))
    with pytest.raises(RecordFault, match="declined") as caught:
        ledger.send()
    assert caught.value.exit_code == 30
    assert len(ledger.unsent()) == 1
    hook.unlink()
    assert ledger.sync().entries == [entry(1)]
    assert ledger.unsent() == []


def test_an_empty_remote_is_an_empty_ledger(ledger, remote):
    assert ledger.sync().entries == []
    assert compact(ledger).runs == 0
    assert refs(remote) == []


def test_no_repository_and_no_remote_are_told(tmp_path, remote):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="in no git repository"):
        LedgerRepository(tmp_path / "empty")
    with pytest.raises(ConfigurationError, match="no remote 'forge'; it has origin"):
        LedgerRepository(clone(remote, tmp_path / "clone"), "forge")


def test_an_unreachable_remote_is_infra_without_its_password(ledger, tmp_path):
    git(tmp_path / "rig-host", "remote", "set-url", "origin", "http://bot:s3cret@127.0.0.1:9/x.git")
    with pytest.raises(RecordFault) as caught:
        ledger.sync()
    assert "127.0.0.1" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_rewritten_ledger_is_refused_and_a_lost_one_restored(remote, ledger):
    hand_in(ledger, entry(1))
    compact(ledger)
    before = git(remote, "rev-parse", "refs/qdhil/ledger")
    git(remote, "update-ref", "refs/qdhil/ledger", git(remote, "rev-parse", "refs/heads/main"))
    with pytest.raises(RecordFault, match=r"refs/qdhil/ledger|rejected"):
        ledger.sync()
    assert ledger.read().entries == [entry(1)]
    git(remote, "update-ref", "-d", "refs/qdhil/ledger")
    hand_in(ledger, entry(2))
    compact(ledger)
    assert git(remote, "rev-parse", "refs/qdhil/ledger^") == before
    assert ledger.sync().entries == [entry(1), entry(2)]


def forged(remote: Path, path: str, content: bytes) -> str:
    """A commit at the remote with one file in it."""
    file = remote / "forged"
    file.write_bytes(content)
    blob = git(remote, "hash-object", "-w", str(file))
    git(remote, "read-tree", "--empty")
    git(remote, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
    return git(remote, "commit-tree", git(remote, "write-tree"), "-m", "forged")


def damaged() -> dict[str, tuple[str, bytes]]:
    good = entry(7)
    other = json.dumps({"schema_version": 1}).encode()
    named = hashlib.sha256(other).hexdigest()
    future = good.content.replace(b'"schema_version":1', b'"schema_version":9')
    late = hashlib.sha256(future).hexdigest()
    return {
        "changed": (good.path, good.content.replace(b"1.4.0", b"1.4.1")),
        "cut": (good.path, good.content[:100]),
        "empty": (good.path, b""),
        "elsewhere": ("notes/readme.json", good.content),
        "no record": (f"records/{named[:2]}/{named}.json", other),
        "other version": (f"records/{late[:2]}/{late}.json", future),
    }


@pytest.mark.parametrize("kind", damaged())
def test_a_damaged_record_is_named_skipped_and_never_folded(remote, ledger, kind):
    hand_in(ledger, entry(1))
    git(remote, "update-ref", "refs/qdhil/runs/sim-a9/forged", forged(remote, *damaged()[kind]))
    contents = ledger.sync()
    assert contents.entries == [entry(1)]
    (problem,) = contents.problems
    assert problem.startswith("refs/qdhil/runs/sim-a9/forged: ")
    folded = compact(ledger)
    assert (folded.runs, len(folded.problems)) == (1, 1)
    assert refs(remote) == ["refs/qdhil/ledger", "refs/qdhil/runs/sim-a9/forged"]


def test_damage_inside_the_ledger_is_named_too(remote, ledger, tmp_path):
    hand_in(ledger, entry(1))
    git(remote, "update-ref", "refs/qdhil/ledger", forged(remote, *damaged()["changed"]))
    compact(ledger)
    with Ledger(clone(remote, tmp_path / "desk")) as desk:
        contents = desk.sync()
    assert contents.entries == [entry(1)]
    assert re.match(r"refs/qdhil/ledger: records/.*its content has sha256", contents.problems[0])


def test_a_missing_object_is_named(ledger, tmp_path):
    hand_in(ledger, entry(1), entry(2))
    ledger.sync()
    blob = git(tmp_path / "rig-host", "rev-parse", f"refs/qdhil/runs/sim-a1/{entry(1).id}:{entry(1).path}")
    for file in (tmp_path / "rig-host" / ".git" / "objects").glob("pack/*"):
        file.unlink()
    loose = tmp_path / "rig-host" / ".git" / "objects" / blob[:2] / blob[2:]
    loose.unlink()
    contents = ledger.read()
    assert contents.entries == [entry(2)]
    assert "can't be read" in contents.problems[0]


def test_a_damaged_file_of_the_outbox_is_named_and_the_others_are_sent(ledger):
    damaged = ledger.put(entry(1))
    damaged.write_bytes(damaged.read_bytes()[:50])
    renamed = ledger.put(entry(2))
    renamed.rename(renamed.with_name("x.json"))
    ledger.put(entry(3))
    with pytest.raises(RecordFault, match=r"were not sent: .*1\.5\.0-.*\.json.*x\.json"):
        ledger.send()
    assert len(ledger.unsent()) == 2
    for file in ledger.unsent():
        file.unlink()
    assert ledger.sync().entries == [entry(3)]


def test_a_push_never_forces(ledger):
    with pytest.raises(ValueError, match="never pushed by force"):
        ledger.repository.push("+HEAD:refs/qdhil/ledger")


def test_records_are_made_from_a_run_folder(tmp_path):
    central = {"hbt": 60.0, "hom_parallel": 150.0, "hom_orthogonal": 400.0}
    light = {rig: Light(3, central=central) for rig in ("sim-a1", "sim-a2")}
    run = write_run(tmp_path / "20260101T000000Z-1.5.0+x", light)
    first, second = entries_of(run)
    assert (first.rig, second.rig, first.run) == ("sim-a1", "sim-a2", "20260101T000000Z-1.5.0-x")
    assert (first.hardware, first.candidate.version, len(first.metrics)) == ("psc-2-rev-b", "1.5.0", 4)
    for name, digest in first.evidence.items():
        assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest
    assert set(first.evidence) == {
        "verdict.json", "policy.toml", "rack.toml", "sim-a1/run.json", "sim-a1/blocks.jsonl",
    }  # fmt: skip
    assert parse_entry(first.path, first.content) == first
    (run / "rack.toml").write_text((run / "rack.toml").read_text().replace("sim-a2", "sim-a3"))
    with pytest.raises(RefusedError, match="has a rig sim-a2"):
        entries_of(run)
