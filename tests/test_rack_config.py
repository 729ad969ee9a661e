"""rack.toml: the packaged file, and every mistake at once with its path."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from qdhil.errors import ConfigurationError
from qdhil.firmware.bundle import find_bundle
from qdhil.rack.config import load_rack
from qdhil.rack.rig_bundles import remember_confirmed
from qdhil.rack.selection import bundle_folder, default_rack_file

TEXT = default_rack_file().read_text()
ONE = TEXT.partition("[rigs.sim-a2]")[0]
"""The packaged rack with its first rig only, so that each line is there once."""


def saved(folder: Path, *changes: tuple[str, str], text: str = ONE) -> Path:
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in the rack"
        text = text.replace(old, new)
    file = folder / "rack.toml"
    file.write_text(text)
    return file


def refusal(file: Path) -> dict[str, str]:
    """Refuse to load; return what was said by path."""
    with pytest.raises(ConfigurationError) as caught:
        load_rack(file)
    first, *lines = str(caught.value).splitlines()
    assert str(file) in first
    return {line.strip().partition(": ")[0]: line.strip().partition(": ")[2] for line in lines} or {"": first}


def test_packaged_rack_has_two_simulated_rigs():
    rack = load_rack(default_rack_file())
    assert list(rack.rigs) == ["sim-a1", "sim-a2"]
    for rig in rack.rigs.values():
        assert rig.kind == "simulated"
        assert rig.instruments.switch.paths.keys() == {"hbt", "hom_parallel", "hom_orthogonal", "blanked"}


def test_rigs_of_the_packaged_rack_share_no_address():
    rigs = load_rack(default_rack_file()).rigs.values()
    resources = [instrument.resource for rig in rigs for instrument in rig.instruments.by_role().values()]
    assert len(set(resources)) == len(resources) > 8


def test_all_mistakes_are_told_at_once_with_their_paths(tmp_path):
    told = refusal(
        saved(
            tmp_path,
            ("rep_rate_hz = 80e6", "rep_rate_hz = -80e6"),
            ("delay_ps = 1250", "delay_ps = 1250\ndelay_ns = 1.25"),
            ("channels = { sync = 1, a = 2, b = 3 }", "channels = { sync = 1, a = 2, b = 2 }"),
            ("temperature_band_k = [3.9, 4.3]", "temperature_band_k = [4.3, 3.9]"),
            ('resource = "TCPIP0::127.0.10.30::hislip0::INSTR"', 'resource = "10.0.0.1:5025"'),
            ('10001::SOCKET"\nterminator = { read = "\\n", write = "\\n" }', '10001::SOCKET"'),
            ('baseline = "1.4.0"', ""),
            ("seed = 20260101", "seed = -1"),
        )
    )
    rig, instruments = "rigs.sim-a1.", "rigs.sim-a1.instruments."
    assert set(told) == {
        f"{rig}calibration.rep_rate_hz",
        f"{rig}calibration.delay_ns",
        f"{instruments}tagger",
        f"{instruments}cryostat",
        f"{instruments}controller.resource",
        f"{instruments}switch",
        f"{rig}firmware.baseline",
        f"{rig}simulation.seed",
    }
    assert "each on its own input" in told[f"{instruments}tagger"]
    assert "low < high" in told[f"{instruments}cryostat"]
    assert "is a stream: terminator" in told[f"{instruments}switch"]
    assert "not a canonical VISA resource" in told[f"{instruments}controller.resource"]


PHYSICAL = (
    ('kind = "simulated"', 'kind = "physical"'),
    ('[rigs.sim-a1.simulation]\nprofile = "pillar-930"\nseed = 20260101\n', ""),
)


def test_a_physical_rig_has_no_simulation_and_a_simulated_one_has(tmp_path):
    for changes in (
        [('kind = "simulated"', 'kind = "physical"')],
        [('[rigs.sim-a1.simulation]\nprofile = "pillar-930"\nseed = 20260101\n', "")],
    ):
        assert refusal(saved(tmp_path, *changes)) == {
            "rigs.sim-a1": "Value error, a simulated rig needs [simulation], a physical rig must not have one"
        }
    physical = saved(tmp_path, *PHYSICAL, ('baseline = "1.4.0"', 'baseline = "1.4.0"\nunsigned = true'))
    assert load_rack(physical).rigs["sim-a1"].simulation is None


def test_a_physical_rig_says_whose_firmware_it_takes(tmp_path):
    assert refusal(saved(tmp_path, *PHYSICAL)) == {
        "rigs.sim-a1": "Value error, a physical rig needs firmware.trust, or firmware.unsigned = true"
    }
    signed = saved(tmp_path, *PHYSICAL, ('baseline = "1.4.0"', 'baseline = "1.4.0"\ntrust = "trust.toml"'))
    assert load_rack(signed).rigs["sim-a1"].firmware.trust == "trust.toml"
    both = saved(tmp_path, ('baseline = "1.4.0"', 'baseline = "1.4.0"\ntrust = "trust.toml"\nunsigned = true'))
    assert "keep one" in refusal(both)["rigs.sim-a1.firmware"]


@pytest.mark.parametrize(
    "resource",
    [
        "TCPIP0::10.4.1.11::hislip0::INSTR",
        "TCPIP0::10.4.1.11::hislip0,4881::INSTR",
        "TCPIP0::10.4.1.11::inst0::INSTR",
        "TCPIP0::lab-pc.local::INSTR",
        "USB0::0x1234::0x5678::SN1::INSTR",
        "GPIB0::12::INSTR",
    ],
)
def test_message_resources_need_no_terminator(tmp_path, resource):
    file = saved(tmp_path, ("TCPIP0::127.0.10.30::hislip0::INSTR", resource))
    assert load_rack(file).rigs["sim-a1"].instruments.controller.resource == resource


@pytest.mark.parametrize(
    "resource",
    ["", "controller", "TCPIP0::10.0.0.1", "TCPIP0::10.0.0.1::SOCKET", "TCPIP0::10.0.0.1::hislip0::INSTR\\n"],
)
def test_what_is_no_canonical_resource_is_refused(tmp_path, resource):
    told = refusal(saved(tmp_path, ("TCPIP0::127.0.10.30::hislip0::INSTR", resource)))
    assert "not a canonical VISA resource" in told["rigs.sim-a1.instruments.controller.resource"]


@pytest.mark.parametrize("resource", ["TCPIP0::10.0.0.1::5025::SOCKET", "ASRL/dev/ttyUSB0::INSTR"])
def test_stream_resources_need_a_terminator(tmp_path, resource):
    told = refusal(saved(tmp_path, ("TCPIP0::127.0.10.30::hislip0::INSTR", resource)))
    assert "terminator" in told["rigs.sim-a1.instruments.controller"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rep_rate_hz = 80e6", "rep_rate_hz = inf"),
        ("rep_rate_hz = 80e6", "rep_rate_hz = nan"),
        ("dead_time_ps = 20000", "dead_time_ps = 20000.5"),
        ("timeout_s = 10.0", "timeout_s = 0"),
        ("timeout_s = 10.0", "timeout_s = inf"),
        ("sync_divider = 8192", "sync_divider = 0"),
        ("channels = { sync = 1, a = 2, b = 3 }", "channels = { sync = 1, a = 2 }"),
        ("channels = { sync = 1, a = 2, b = 3 }", "channels = { sync = 1, a = 2, b = 31 }"),
        ("hbt = 1, hom", "hbt = -1, hom"),
        ("hbt = 1, hom", "hbt = 1, polariser = 7, hom"),
        ('model = "psc-2"', 'model = "psc-9"'),
        ('kind = "simulated"', 'kind = "imaginary"'),
        ("schema_version = 1", "schema_version = 2"),
        ("schema_version = 1", ""),
        ("[rigs.sim-a1]", "[rigs.Sim_A1]\n[rigs.sim-a1]"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path, old, new):
    assert refusal(saved(tmp_path, (old, new)))


def test_unknown_tables_are_refused(tmp_path):
    assert "rigs.sim-a1.instruments.laser" in refusal(
        saved(tmp_path, text=ONE + '\n[rigs.sim-a1.instruments.laser]\nmodel = "x"\n')
    )


OTHER = """
[rigs.sim-a1.instruments.others.thing]
model = "acme-7"
resource = "{resource}"
"""


def test_other_instruments_need_only_a_model_and_a_resource(tmp_path):
    for resource in ("TCPIP0::10.0.0.1::hislip0::INSTR", "tcp://10.0.0.1:5555"):
        rack = load_rack(saved(tmp_path, text=ONE + OTHER.format(resource=resource)))
        other = rack.rigs["sim-a1"].instruments.by_role()["thing"]
        assert (other.model, other.resource, other.expect_idn, other.timeout_s) == ("acme-7", resource, None, 2.0)


@pytest.mark.parametrize(
    ("resource", "more", "says"),
    [
        ("ASRLsocket://10.0.0.1:5000::INSTR", "", "terminator"),
        ("tcp://10.0.0.1", "", "not a canonical VISA resource"),
        ("tcp://10.0.0.1:5555", 'expect_idn = "ID900*"', "leave expect_idn out"),
        ("TCPIP0::10.0.0.1::hislip0::INSTR", "colour = 1", "Extra inputs"),
    ],
)
def test_mistakes_in_other_instruments(tmp_path, resource, more, says):
    told = refusal(saved(tmp_path, text=ONE + OTHER.format(resource=resource) + more))
    assert says in next(iter(told.values()))
    assert next(iter(told)).startswith("rigs.sim-a1.instruments.others.thing")


@pytest.mark.parametrize("role", ["tagger", "Laser", "2nd"])
def test_names_that_another_instrument_can_not_have(tmp_path, role):
    text = OTHER.replace("others.thing", f"others.{role}").format(resource="TCPIP0::10.0.0.1::hislip0::INSTR")
    assert refusal(saved(tmp_path, text=ONE + text))


def test_byte_order_mark_of_a_windows_editor_is_accepted(tmp_path):
    file = tmp_path / "rack.toml"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert load_rack(file) == load_rack(default_rack_file())


@pytest.mark.parametrize("content", [b"[rigs", b"\xff\xfe\x00", b"a = 1\na = 2\n"])
def test_what_is_no_toml_is_refused_in_one_message(tmp_path, content):
    file = tmp_path / "rack.toml"
    file.write_bytes(content)
    assert "not valid TOML" in refusal(file)[""]


def test_a_history_is_of_one_rig(tmp_path):
    text = TEXT.replace("hardware = ", 'history = "history.json"\nhardware = ')
    (told,) = refusal(saved(tmp_path, text=text)).values()
    assert "rigs sim-a1 and sim-a2 share the history history.json" in told
    rack = load_rack(saved(tmp_path, text=text.replace("history.json", "{rig}.history.json")))
    confirmed = find_bundle("1.4.0", bundle_folder(rack.rigs["sim-a2"], tmp_path / "rack.toml"), hardware="psc-2-rev-b")
    remember_confirmed("sim-a2", rack.rigs["sim-a2"], tmp_path / "rack.toml", confirmed)
    assert (tmp_path / "sim-a2.history.json").exists()


def test_the_lock_folder_is_the_same_wherever_a_session_starts(tmp_path, monkeypatch):
    file = saved(tmp_path, ("schema_version = 1", 'schema_version = 1\nlock_dir = "locks"'))
    monkeypatch.chdir(tmp_path)
    for named in (file, Path("rack.toml")):
        assert load_rack(named).lock_dir == str(tmp_path / "locks")


def test_missing_file_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.toml")[""]


def test_every_rig_of_the_packaged_rack_says_the_same_but_its_addresses():
    """The two rigs stand for each other in the manual's examples."""
    rigs = tomllib.loads(TEXT)["rigs"]
    first = str(rigs["sim-a1"]).replace("127.0.10.", "").replace("20260101", "")
    assert first == str(rigs["sim-a2"]).replace("127.0.11.", "").replace("20260102", "")
