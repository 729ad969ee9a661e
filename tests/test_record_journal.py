"""The run folder: what was measured survives a kill, and damage is refused."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from campaigns_made import ScriptedBench, campaign, counts, fault

from qdhil.errors import ConfigurationError, RecordFault
from qdhil.gate.blocks import Block
from qdhil.record.run_folder import (
    BLOCKS_NAME,
    BlockJournal,
    create_run_folder,
    read_blocks,
    read_visits,
    write_bytes,
    write_json,
)


def block(quad: int, position: int = 0, configuration: str = "hbt") -> Block:
    return Block(quad, position, "baseline", configuration, counts(5, [9, 8, 7, 6]), {"temperature_k": 4.0}, "now")


def reasons(folder: Path) -> list[str | None]:
    return [block.excluded for block in read_blocks(folder)]


def lines(folder: Path) -> list[str]:
    return (folder / BLOCKS_NAME).read_text().splitlines()


def written(folder: Path, *quads: int, unfinished: int | None = None) -> BlockJournal:
    journal = BlockJournal(folder)
    for quad in quads:
        journal.block(block(quad))
        journal.complete(quad)
    if unfinished is not None:
        journal.block(block(unfinished))
    return journal


def test_blocks_come_back_as_they_were(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        read_blocks(tmp_path)
    written(tmp_path, 0, 1).close()
    assert read_blocks(tmp_path) == [block(0), block(1)]


def test_a_campaign_with_faults_is_read_back_as_it_counted(tmp_path):
    journal = BlockJournal(tmp_path)
    bench = ScriptedBench(measure={3: fault("tags dropped"), 9: fault("temperature")})
    measured = campaign(bench, ("hbt", "hom_parallel"), journal=journal)
    counted = [*measured.blocks("hbt"), *measured.blocks("hom_parallel")]
    measured.dark_rates_hz()
    journal.close()
    read = read_blocks(tmp_path)
    kept = [block for block in read if block.excluded is None and block.configuration != "blanked"]
    assert sorted(kept, key=str) == sorted(counted, key=str)
    dropped = [block.excluded for block in read if block.excluded is not None]
    assert len(dropped) > 1
    assert {"tags dropped" in reason or "temperature" in reason for reason in dropped} == {True}
    assert [block.excluded for block in read if block.configuration == "blanked"] == [None]
    visits, faults = read_visits(tmp_path)
    for arm in ("baseline", "candidate"):
        assert faults[arm] == measured.faults.faults[arm]
        assert 0 <= measured.faults.visits[arm] - visits[arm] <= faults[arm]


def test_exclusion_reaches_back_not_forward(tmp_path):
    journal = written(tmp_path, unfinished=0)
    journal.block(block(1))
    journal.exclude(0, "cryostat warm")
    journal.block(block(0))
    journal.complete(0)
    journal.complete(1)
    journal.close()
    assert reasons(tmp_path) == ["cryostat warm", None, None]


def test_a_quad_that_was_never_completed_does_not_count(tmp_path):
    written(tmp_path, 0, unfinished=1).close()
    assert reasons(tmp_path) == [None, "its quad was not completed"]


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_last_line_that_a_kill_cut_off_is_left_out(tmp_path, cut):
    written(tmp_path, 0, unfinished=1).close()
    file = tmp_path / BLOCKS_NAME
    file.write_bytes(file.read_bytes()[:-cut])
    assert read_blocks(tmp_path) == [block(0)]


@pytest.mark.parametrize(
    "damage",
    [
        b'{"kind":"blo',
        b"[1, 2]",
        b"7",
        b"\xff\xfe",
        b'{"kind":"exlude","quad":0,"reason":"a slip of the pen"}',
        b'{"quad":0}',
        b'{"kind":"complete"}',
        b'{"kind":"complete","quad":[0]}',
        b'{"kind":"exclude","quad":0}',
        b'{"kind":"block","quad":0}',
        b'{"kind":"block","counts":5}',
    ],
)
def test_damage_in_the_middle_is_refused(tmp_path, damage):
    written(tmp_path, 0, 1).close()
    file = tmp_path / BLOCKS_NAME
    first, *rest = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([first, damage, *rest]))
    with pytest.raises(ConfigurationError, match=re.escape(str(file))) as caught:
        read_blocks(tmp_path)
    assert caught.value.exit_code == 64


def test_each_line_is_on_the_disk_before_the_next_block(tmp_path):
    journal = BlockJournal(tmp_path)
    for number in range(3):
        journal.block(block(number))
        assert len(lines(tmp_path)) == number + 1
    journal.fault("candidate", 2, fault())
    assert json.loads(lines(tmp_path)[-1]) == {"kind": "fault", "arm": "candidate", "quad": 2, **fault().record()}
    journal.close()


def test_a_killed_process_loses_nothing_that_was_measured(tmp_path):
    script = (
        "import os, signal, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from campaigns_made import ScriptedBench, campaign\n"
        "from qdhil.record.run_folder import BlockJournal\n"
        "class Killed(ScriptedBench):\n"
        "    def measure(self, *arguments):\n"
        "        if len(self.called('measure')) == 6: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().measure(*arguments)\n"
        "campaign(Killed(), journal=BlockJournal(Path(sys.argv[1]))).blocks('hbt')\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)], timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert reasons(tmp_path) == [None] * 4 + ["its quad was not completed"] * 2


def test_json_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "verdict.json"
    write_json(file, {"verdict": "PASS"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(file, {"verdict": float("nan")})
    assert json.loads(file.read_text()) == {"verdict": "PASS"}
    write_bytes(file, b"{}")
    assert file.read_bytes() == b"{}"
    assert [entry.name for entry in tmp_path.iterdir()] == ["verdict.json"], "nothing is left beside it"


def test_run_folders_of_the_same_second_are_apart(tmp_path):
    folders = {create_run_folder(tmp_path / "runs", "1.5.0") for _ in range(5)}
    assert len(folders) == 5
    assert all(re.fullmatch(r"\d{8}T\d{6}Z-1\.5\.0(-\d+)?", folder.name) for folder in folders)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="run folder"):
        create_run_folder(tmp_path / "file", "1.5.0")


def test_two_campaigns_can_not_share_a_journal(tmp_path):
    written(tmp_path, 0).close()
    with pytest.raises(RecordFault, match="can't be begun: File exists"):
        BlockJournal(tmp_path)
    assert reasons(tmp_path) == [None]
