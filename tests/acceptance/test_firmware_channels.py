"""A whole small campaign with the firmware going over each channel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from channels_made import RIGS, write_channel_rack

from acceptance.session import quick_policy, run

pytest.importorskip("cbor2")
pytest.importorskip("smpclient")


@pytest.mark.parametrize(
    "channel",
    ["scpi-url", "smp-udp", *(pytest.param(it, marks=pytest.mark.slow) for it in ("scpi-block", "smp-serial"))],
)
def test_a_campaign_over_each_channel(tmp_path: Path, channel: str) -> None:
    rack_file, rig = write_channel_rack(tmp_path), RIGS[channel]
    session = run(rack_file, "--rig", rig, "--rig-policy", str(quick_policy(tmp_path)), "--candidate", "1.5.0-good")
    assert session.code in (0, 20), session.output  # two quads seldom decide, and never to its harm
    lines = [json.loads(line) for line in (session.folder / rig / "blocks.jsonl").read_text().splitlines()]
    assert {line["arm"] for line in lines if line["kind"] == "block"} == {"baseline", "candidate"}
    assert not [line for line in lines if line["kind"] == "fault"]
