"""Quarantine: a (rig, metric) that may not decide, never a metric that nobody decides."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from qdhil.errors import ConfigurationError
from qdhil.gate.quarantine import QuarantineEntry, add_entry, load_quarantine, quarantine_effect
from qdhil.gate.verdict import Verdict

TODAY = date(2026, 11, 23)


def entry(rig="sim-a1", metric="hom.v_unc", until=TODAY, reason="stage slips") -> QuarantineEntry:
    return QuarantineEntry(rig=rig, metric=metric, reason=reason, link="https://example.org/17", until=until)


def test_an_entry_excuses_its_rig_and_metric_until_its_last_day():
    effect = quarantine_effect([entry()], ["g2.pulsed.area", "hom.v_unc"], ["sim-a1", "sim-a2"], TODAY)
    assert effect.excuses("sim-a1", "hom.v_unc")
    assert not effect.excuses("sim-a2", "hom.v_unc")
    assert not effect.excuses("sim-a1", "g2.pulsed.area")
    assert effect.findings == ()
    assert "https://example.org/17" in effect.notes[0]


def test_an_expired_entry_excuses_nothing_and_is_said():
    late = quarantine_effect([entry()], ["hom.v_unc"], ["sim-a1"], date(2026, 11, 24))
    assert not late.excuses("sim-a1", "hom.v_unc")
    assert (late.excused, late.findings) == ((), ())
    assert "and decides" in late.notes[0]


@pytest.mark.parametrize("rigs", [["sim-a1"], ["sim-a1", "sim-a2"]])
def test_a_metric_in_quarantine_everywhere_is_never_pass(rigs):
    effect = quarantine_effect([entry(rig) for rig in rigs], ["hom.v_unc"], rigs, TODAY)
    ((verdict, reason),) = effect.findings
    assert verdict is Verdict.INCONCLUSIVE
    assert "hom.v_unc" in reason


def test_entries_of_other_rigs_and_metrics_are_left_out():
    effect = quarantine_effect([entry("lab-b1"), entry(metric="g3")], ["hom.v_unc"], ["sim-a1"], TODAY)
    assert effect.excused == effect.notes == effect.findings == ()


def test_what_is_added_is_read_again_and_the_rest_stays(tmp_path):
    file = tmp_path / "quarantine.toml"
    file.write_text("# kept by the lab\nschema_version = 1\n")
    nasty = 'a "quoted" \\ reason\nwith a line break, \x7f, é and \U0001f4a1'
    add_entry(file, entry(reason=nasty))
    add_entry(file, entry("sim-a2"))
    assert file.read_text().startswith("# kept by the lab\n")
    assert load_quarantine(file) == (entry(reason=nasty), entry("sim-a2"))
    with pytest.raises(ConfigurationError, match=f"{file}.*twice"):
        add_entry(file, entry("sim-a2"))
    assert len(load_quarantine(file)) == 2
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "schema_version = 2",
        'schema_version = 1\n[[quarantined]]\nrig = "a"\nmetric = "m"\nreason = "r"\nlink = "no"\nuntil = 2026-01-01',
        'schema_version = 1\n[[quarantined]]\nrig = "a"\nmetric = "m"\nreason = "r"\nlink = "https://x.org"',
    ],
)
def test_a_file_that_cant_be_read_is_no_empty_quarantine(tmp_path, text):
    file = tmp_path / "quarantine.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match="quarantine file"):
        load_quarantine(file)


def test_the_example_is_a_valid_file():
    (example,) = load_quarantine(Path(__file__).parent.parent / "docs" / "example-quarantine.toml")
    assert (example.rig, example.metric) == ("sim-a1", "hom.v_unc")
