"""Sources shipped with the simulator: they load, say where their numbers come from, and shine.

Published numbers are compared with only where they were read in the publication (tag V).
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from qdhil.errors import ConfigurationError
from qdhil_sim.light import LightStream, PulseControls
from qdhil_sim.light.cascade import CascadeSetup, PairStream, pair_quality
from qdhil_sim.light.closed_form import predict
from qdhil_sim.light.continuous import ContinuousSetup, ContinuousStream
from qdhil_sim.light.demultiplexer import ArraySetup, ArrayStream
from qdhil_sim.light.presets import facts, load_source, source_names
from qdhil_sim.light.setup import Setup
from qdhil_sim.light.wave_plates import ANALYSERS

ROOT = Path(__file__).resolve().parent.parent
NAMES = source_names()
WITHOUT_PUBLICATION = {"pillar-930"}
PUBLISHED = sorted(set(NAMES) - WITHOUT_PUBLICATION)
PULSE = re.compile(r"pulses of ([\d.]+) ps")
PREDICTED = {"g2", "overlap", "fidelity", "concurrence"}
"""Published measures that the closed forms of a profile predict."""


def read(source):
    """Return the published measures that are facts, by name."""
    return {fact.name: fact for fact in facts(source) if fact.tag == "V" and fact.published is not None}


def predicted(source):
    """Return the closed forms of a source under the names of published measures."""
    if isinstance(source, CascadeSetup):
        quality = pair_quality(source.emitter)
        return {"fidelity": quality.fidelity, "concurrence": quality.concurrence}
    if not isinstance(source, Setup):
        return {}
    entry = source.provenance.get("emitter.leak_photons")
    pulse = PULSE.search(entry.source if entry else "")
    expected = predict(source, PulseControls(pulse_fwhm_ps=float(pulse[1]) if pulse else 10.0))
    return {"g2": expected.g2, "overlap": expected.overlap_signal}


def shine(source, seed=1):
    """Return a short acquisition."""
    if isinstance(source, CascadeSetup):
        return PairStream(source, ANALYSERS["H"], ANALYSERS["H"], seed=seed).take(10**10)
    if isinstance(source, ContinuousSetup):
        return ContinuousStream(source, seed=seed).take(10**10)
    if isinstance(source, ArraySetup):
        return ArrayStream(source, seed=seed).take(10**10)
    return LightStream(source, PulseControls(pulse_fwhm_ps=2.0), "hbt", seed=seed).take(10**10)


def test_every_kind_is_there():
    assert set(NAMES.values()) == {"pulsed", "cascade", "continuous", "array"}
    for kind in ("micropillar", "waveguide", "open-cavity", "led", "telecom", "array"):
        assert any(name.startswith(kind) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_and_shines(name):
    source = load_source(name)
    words = shine(source)
    assert np.all(np.diff(words) >= 0)
    assert words.size > 20
    np.testing.assert_array_equal(shine(source), words)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_number_says_where_it_comes_from(name):
    for fact in facts(load_source(name)):
        assert fact.source, fact.name
        assert fact.tag in {"V", "D", "S", "M", "unknown"}
        if fact.tag == "V":
            assert fact.value is not None or re.match(r"[<>]?\d", fact.source), fact.name
        if fact.tag == "M":
            assert "memory" in fact.source or fact.value is None, fact.name


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_measures_what_was_read_in_its_publication(name):
    """Within two published standard errors, or 5 % (of 1 - x above one half) where none is published."""
    source = load_source(name)
    expected = predicted(source)
    for measure, fact in read(source).items():
        if measure not in expected:
            continue
        assert fact.tag == "V"
        slack = 2 * fact.error if fact.error else 0.05 * min(fact.published, 1 - fact.published)
        assert expected[measure] == pytest.approx(fact.published, abs=slack), measure


def test_something_is_compared():
    compared = {(name, m) for name in PUBLISHED for m in set(read(load_source(name))) & PREDICTED}
    assert len(compared) >= 12


def test_a_wandering_line_costs_what_was_published():
    """At the longest delay there is, 13.5 µs, the memory of 0.7 µs is as gone as at the published 14.7 µs."""
    source = load_source("micropillar-wang-2016")
    fact = read(source)["overlap_14.7us"]
    far = source.model_copy(update={"interferometer": source.interferometer.model_copy(update={"delay_periods": 1024})})
    assert predicted(far)["overlap"] == pytest.approx(fact.published, abs=2 * fact.error)


def test_what_is_from_memory_is_never_a_fact():
    """Numbers from memory are listed as such, and :func:`read` leaves all of them out."""
    recalled = {(n, fact.name) for n in PUBLISHED for fact in facts(load_source(n)) if fact.tag == "M"}
    assert ("micropillar-somaschi-2016", "g2") in recalled
    assert not recalled & {(name, measure) for name in PUBLISHED for measure in read(load_source(name))}


def test_published_numbers_are_read_with_their_errors():
    by_name = {fact.name: fact for fact in facts(load_source("open-cavity-ding-2025"))}
    assert by_name["g2"][2:5] == (0.0205, pytest.approx(6e-4), "V")
    assert by_name["overlap"][2:4] == (0.9856, pytest.approx(0.0013))
    assert by_name["transmission"].value == 0.712
    tiny = {fact.name: fact for fact in facts(load_source("two-photon-schweickert-2018"))}["g2"]
    assert tiny[2:4] == (pytest.approx(7.5e-5), pytest.approx(1.6e-5))
    bound = {fact.name: fact for fact in facts(load_source("bullseye-rickert-2025"))}["g2"]
    assert (bound.published, bound.tag) == (None, "V")


def test_errors(tmp_path):
    with pytest.raises(ConfigurationError, match="pairs-ordinary"):
        load_source("nonesuch")
    file = tmp_path / "x.toml"
    file.write_text('kind = "lamp"')
    with pytest.raises(ConfigurationError, match="'lamp' is not one of"):
        load_source(file)
    file.write_text('kind = "array"\nextinction = 2')
    with pytest.raises(ConfigurationError, match="extinction") as caught:
        load_source(file)
    assert "rep_rate_hz" in str(caught.value)
    file.write_text("kind = ")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        load_source(file)
    with pytest.raises(ConfigurationError):
        load_source(tmp_path / "absent.toml")


def test_the_page_of_sources_is_up_to_date():
    spec = importlib.util.spec_from_file_location("sources_table", ROOT / "docs" / "sources_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "sources.md").read_text(encoding="utf-8") == module.page()
