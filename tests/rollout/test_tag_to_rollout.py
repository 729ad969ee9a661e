"""The journey of docs/tag-to-rollout.md, every command of it, from a git tag to a whole fleet.

Two campaigns decide in it: a harmless build is not passed, or a harmful one not blocked, with a chance below 1e-5.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "tag_to_rollout.py"


def test_every_command_ends_as_the_page_says(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--rollout"):
        pytest.skip("takes two minutes: runs with --rollout only")
    spec = importlib.util.spec_from_file_location("tag_to_rollout", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.PAGE.read_text()
    now = script.rewritten(page)
    assert script.exit_codes(now) == script.exit_codes(page), now
    assert script.sessions(now) == script.sessions(page)
    for said in (
        r"verdict: PASS \(exit 0\)",
        r"rollout 1\.5\.0: done: 4 of 4 devices run the candidate",
        r"TAMPERED: forged\.jsonl, line \d+",
        r"verdict: BLOCK \(exit 10\)",
        r"rollout 1\.5\.1: rolled back",
        r"Exit: firmware bundle bundles/copy: image has sha256",
    ):
        assert re.search(said, now), said
