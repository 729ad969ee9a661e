"""The documentation quotes only what the programs really print, and its examples are valid files."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from qdhil.cli.schema import SchemaName
from qdhil.rack.config import load_rack
from qdhil.record.recheck import recheck

ROOT = Path(__file__).resolve().parent.parent


def regenerate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("regenerate", ROOT / "docs" / "regenerate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REGENERATE = regenerate()


@pytest.mark.parametrize("page", REGENERATE.pages(), ids=lambda page: page.name)
def test_quoted_output_is_what_the_program_prints(page: Path) -> None:
    assert page.read_text() == REGENERATE.filled(page), "run: python docs/regenerate.py"


@pytest.mark.parametrize("name", SchemaName)
def test_shipped_schemas_are_those_of_the_models(name: str) -> None:
    assert (REGENERATE.SCHEMAS / f"{name}.schema.json").read_text() == REGENERATE.schema(name)


def test_the_example_run_recomputes() -> None:
    assert recheck(ROOT / "docs" / "example-run").verdict == "PASS"


def test_the_rack_example_is_a_valid_rack(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "rack.md").read_text(), re.DOTALL)
    (tmp_path / "rack.toml").write_text(blocks[0])
    rack = load_rack(tmp_path / "rack.toml")
    assert rack.rigs["lab-a1"].kind == "physical"
    assert "[rigs.sim-a1.simulation]" in blocks[1]


def test_links_between_pages_lead_somewhere() -> None:
    for page in REGENERATE.pages():
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
