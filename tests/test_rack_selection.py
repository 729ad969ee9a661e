"""``--rig``: by name, by tag, and what happens where nothing matches."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdhil.errors import ConfigurationError
from qdhil.rack.config import Rack, load_rack
from qdhil.rack.selection import bundle_folder, default_rack_file, select_rigs


@pytest.fixture(scope="module")
def rack() -> Rack:
    """Three rigs; the last in another ring."""
    packaged = load_rack(default_rack_file())
    other = packaged.rigs["sim-a1"].model_copy(update={"tags": {"ring": "fleet", "room": "b=2"}})
    return packaged.model_copy(update={"rigs": {**packaged.rigs, "sim-b1": other}})


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (["sim-a2"], ["sim-a2"]),
        (["sim-b1", "sim-a1"], ["sim-a1", "sim-b1"]),
        (["sim-a1", "sim-a1"], ["sim-a1"]),
        (["tag:ring=canary"], ["sim-a1", "sim-a2"]),
        (["tag:ring=fleet"], ["sim-b1"]),
        (["tag:ring=canary", "sim-a1"], ["sim-a1", "sim-a2"]),
        (["tag:kind=simulated"], ["sim-a1", "sim-a2", "sim-b1"]),
        (["tag:room=b=2"], ["sim-b1"]),
        ([], []),
    ],
)
def test_selection_keeps_the_order_of_the_rack_file(rack, wanted, names):
    assert list(select_rigs(rack, wanted)) == names


@pytest.mark.parametrize(
    "selector", ["sim-a9", "SIM-A1", "sim", "", "tag:ring=moon", "tag:colour=red", "tag:ring=", "tag:kind=physical"]
)
def test_a_selector_without_a_rig_is_refused_with_what_there_is(rack, selector):
    with pytest.raises(ConfigurationError, match="sim-a1, sim-a2, sim-b1"):
        select_rigs(rack, ["sim-a1", selector])


def test_a_tag_selector_without_a_value_is_refused(rack):
    with pytest.raises(ConfigurationError, match="tag:KEY=VALUE"):
        select_rigs(rack, ["tag:ring"])


def source(rack: Rack, bundles: str, rack_file: Path) -> Path:
    rig = rack.rigs["sim-a1"]
    firmware = rig.firmware.model_copy(update={"bundles": bundles})
    return bundle_folder(rig.model_copy(update={"firmware": firmware}), rack_file)


def test_bundles_lie_beside_the_rack_file_or_in_a_package(rack, tmp_path):
    (tmp_path / "builds").mkdir()
    assert source(rack, "builds", tmp_path / "rack.toml") == tmp_path / "builds"
    assert source(rack, str(tmp_path / "builds"), Path("elsewhere/rack.toml")) == tmp_path / "builds"
    assert (source(rack, "pkg:qdhil_sim/builds", tmp_path) / "1.4.0" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("bundles", "reason"),
    [
        ("none", "no folder"),
        ("pkg:qdhil_sim/none", "no folder"),
        ("pkg:no_such_package/builds", "not installed"),
        ("pkg:no_such_package.inner/builds", "not installed"),
        ("pkg:/builds", "not installed"),
        ("pkg:json.decoder/builds", "not installed"),
    ],
)
def test_bundles_that_are_nowhere_are_refused(rack, tmp_path, bundles, reason):
    with pytest.raises(ConfigurationError, match=reason):
        source(rack, bundles, tmp_path / "rack.toml")
