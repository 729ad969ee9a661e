"""policy.toml: the packaged file, and every mistake at once with its path."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns_made import POLICY_TEXT

from qdhil.errors import ConfigurationError
from qdhil.gate.definitions import DEFINITIONS
from qdhil.gate.policy import default_policy_file, load_policy


def saved(folder: Path, text: str, *changes: tuple[str, str]) -> Path:
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in the policy"
        text = text.replace(old, new)
    file = folder / "policy.toml"
    file.write_text(text)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_policy(file)
    assert caught.value.exit_code == 64
    assert str(file) in str(caught.value)
    return str(caught.value)


def test_packaged_policy_asks_for_every_metric():
    policy = load_policy(default_policy_file())
    assert set(policy.metrics) == set(DEFINITIONS)
    assert 0 < policy.miss_rate <= 0.05
    assert 0 < policy.false_block_rate <= 0.05


def test_all_mistakes_are_told_at_once_with_their_paths(tmp_path):
    message = refusal(
        saved(
            tmp_path,
            POLICY_TEXT,
            ("miss_rate = 0.05", "miss_rate = 0.7"),
            ("quads_max = 3", "quads_max = 1\nquadz = 3"),
            ("window_ps = 6000", 'window_ps = "wide"'),
            ('[metrics."hom.v_unc"]\nmargin_ratio = 1.25', '[metrics."hom.v_unc"]\nmargin_ratio = 0.9'),
            ("margin_ratio = 0.97", "margin_ratio = 0.995"),
            ('[metrics."g2.pulsed.area"]', '[metrics."g2.pulsed.aera"]'),
        )
    )
    lines = message.splitlines()[1:]
    paths = [line.strip().partition(": ")[0] for line in lines]
    assert set(paths) == {
        "miss_rate",
        "campaign.quads_max",
        "campaign.quadz",
        "window.window_ps",
        "metrics.hom.v_unc",
        "metrics.brightness.detected",
        "metrics.g2.pulsed.aera",
    }
    told = dict(zip(paths, lines, strict=True))
    assert "must be below margin_ratio" in told["metrics.hom.v_unc"]
    assert "must be above margin_ratio" in told["metrics.brightness.detected"]
    assert "g2.pulsed.area" in told["metrics.g2.pulsed.aera"], "the message lists what there is"
    assert "Extra inputs" in told["campaign.quadz"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("margin_ratio = 1.5", "margin_ratio = 1.0"),  # equal to what is tolerated: nothing could be decided
        ("margin_ratio = 1.5", "margin_ratio = inf"),
        ("margin_ratio = 1.5", "margin_ratio = nan"),
        ("margin_ratio = 0.97", "margin_ratio = 0.0"),
        ("miss_rate = 0.05", "miss_rate = 0.0"),
        ("miss_rate = 0.05", "miss_rate = nan"),
        ("false_block_rate = 0.05", "false_block_rate = 0.5"),
        ("hbt = 0.1", "hbt = -1.0"),
        ("hbt = 0.1", "hbt = inf"),
        ("max_lag = 3", "max_lag = 2"),
        ("fault_budget = 2", "fault_budget = -1"),
        ("fault_budget = 2", ""),
        ("schema_version = 2", "schema_version = 3"),
    ],
)
def test_values_out_of_range_are_refused(tmp_path, old, new):
    refusal(saved(tmp_path, POLICY_TEXT, (old, new)))


def test_a_policy_that_asks_for_nothing_is_refused(tmp_path):
    assert "metrics" in refusal(saved(tmp_path, POLICY_TEXT.partition("[metrics.")[0] + "[metrics]\n"))


@pytest.mark.parametrize("content", [b"quads = \n", b"\xff\xfe\x00", b"a = 1\na = 2\n"])
def test_what_is_no_toml_is_refused_in_one_message(tmp_path, content):
    file = tmp_path / "policy.toml"
    file.write_bytes(content)
    assert "not valid TOML" in refusal(file)


def test_missing_file_and_folder_are_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.toml")
    assert "directory" in refusal(tmp_path)


def test_byte_order_mark_of_a_windows_editor_is_accepted(tmp_path):
    plain = load_policy(saved(tmp_path, POLICY_TEXT))
    (tmp_path / "bom.toml").write_bytes(b"\xef\xbb\xbf" + POLICY_TEXT.replace("\n", "\r\n").encode())
    assert load_policy(tmp_path / "bom.toml").sha256 == plain.sha256


def test_digest_is_of_the_content_not_of_the_layout(tmp_path):
    plain = load_policy(saved(tmp_path, POLICY_TEXT)).sha256
    head, *metrics = POLICY_TEXT.split("[metrics.")
    turned = "# another layout\n" + head + "".join("[metrics." + text.rstrip() + "\n" for text in reversed(metrics))
    assert load_policy(saved(tmp_path, turned)).sha256 == plain
    for change in [("margin_ratio = 0.97", "margin_ratio = 0.96"), ('name = "made"', 'name = "other"')]:
        assert load_policy(saved(tmp_path, POLICY_TEXT, change)).sha256 != plain


def test_a_file_of_version_1_is_told_what_changed(tmp_path):
    old = POLICY_TEXT.replace("schema_version = 2", "schema_version = 1")
    old = old.replace("quads_min = 3\nquads_max = 3\n", "quads = 3\n")
    assert "campaign.quads became quads_min/quads_max" in refusal(saved(tmp_path, old))
