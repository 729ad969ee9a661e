"""However a campaign is killed: no rig on candidate firmware unnoticed, no lost record, and the next one runs.

Candidate and baseline emit the same light; the margin is a factor of 4 in g2(0), more than ten standard errors away
after three quads, so that a campaign that is left alone passes within nine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from acceptance.killed_bench import Bench, bench
from acceptance.kills import KINDS, kill_one, summary

KILLS = 100
SEED = 20261123


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("kills"), SEED) as made:
        yield made


@pytest.mark.parametrize("kind", ["group", "runner and guardian", "rack", "power"])
def test_a_killed_campaign(made: Bench, kind: str) -> None:
    kill_one(made, kind)


@pytest.mark.slow
def test_a_hundred_killed_campaigns(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = request.config.get_terminal_writer()
    with bench(tmp_path, SEED + 1) as made:
        for number in range(KILLS):
            result = kill_one(made, KINDS[number % len(KINDS)])
            with capsys.disabled():
                terminal.line(f"{number} {json.dumps(asdict(result))}")
                terminal.flush()
        with capsys.disabled():
            terminal.line(summary(made))
        trials = [row for row in made.killed if "on trial" in row.running]
        assert len(trials) > KILLS / 10, "the candidate hardly ever ran when something was killed"
        assert {row.again for row in made.killed} == {"PASS"}
