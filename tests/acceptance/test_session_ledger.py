"""A session hands itself in to a ledger over a real git remote; the ledger never decides how it ends."""

from __future__ import annotations

import shutil

from ledger_made import bare, clone, git

from acceptance.session import quick_policy, run
from qdhil.record.ledger import Ledger


def test_a_session_is_in_the_ledger_whether_or_not_the_remote_is_there(rack_file, tmp_path):
    remote = bare(tmp_path / "remote.git")
    checkout = clone(remote, tmp_path / "checkout")
    options = ("--rig", "sim-a1", "--candidate", "1.5.0-good", "--rig-policy", quick_policy(tmp_path))
    first = run(rack_file, *map(str, options), "--rig-ledger", str(checkout))
    assert "ledger: 1 record(s) handed in, 1 sent" in first.output
    assert len(git(remote, "for-each-ref", "refs/qdhil/runs/sim-a1").splitlines()) == 1

    away = remote.with_name("away.git")
    shutil.move(remote, away)
    second = run(rack_file, *map(str, options), "--rig-ledger", str(checkout), "--rig-seed", "5")
    assert second.code == second.verdict["exit_code"]
    assert "ledger: " in second.output
    assert "the run folder has it all" in second.output
    with Ledger(checkout) as ledger:
        assert len(ledger.unsent()) == 1

    shutil.move(away, remote)
    with Ledger(checkout) as ledger:
        found = ledger.sync()
    assert {entry.run for entry in found.entries} == {first.folder.name, second.folder.name}
    assert not found.problems


def test_a_ledger_that_is_no_checkout_is_a_usage_error_before_anything_is_touched(rack_file, tmp_path):
    found = run(rack_file, "--rig", "sim-a1", "--candidate", "1.5.0-good", "--rig-ledger", str(tmp_path))
    assert found.code == 64
    assert not (rack_file.parent / "runs").exists()
