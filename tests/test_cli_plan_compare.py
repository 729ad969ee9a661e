"""``qdhil plan`` and ``qdhil compare``: exit codes, what they say, and the real pump-power series."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings_made
from typer.testing import CliRunner

from qdhil.cli.main import app
from qdhil.gate.policy import default_policy_file

SPS = Path("/work/shared/data/sps-quality")
ROOT = Path(__file__).resolve().parent.parent
REAL = pytest.mark.skipif(not SPS.is_dir(), reason="reference recordings are not on this machine")
WEAK = ("2p5uW_4000cps_day1", "2p5uW_4000cps_day2_part1", "2p5uW_4000cps_day2_part2")


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def compared(baseline: list[Path], candidate: list[Path], *options: object) -> tuple[int, dict[str, Any]]:
    named = [word for file in candidate for word in ("--candidate", file)]
    done = run("compare", *baseline, *named, "--json", *options)
    return done.exit_code, json.loads(done.stdout)


def recorded(*names: str) -> list[Path]:
    return [SPS / f"{name}.txt" for name in names]


@REAL
def test_real_series_of_one_pump_power_never_blocks():
    weak = recorded(*WEAK)
    for a, b in itertools.permutations(weak, 2):
        code, _ = compared([a], [b])
        assert code in (0, 20), (a.name, b.name)
    day1, *day2 = weak
    for baseline, candidate in (([day1], day2), (day2, [day1])):
        assert compared(baseline, candidate)[0] in (0, 20)


@REAL
@pytest.mark.parametrize("strong", ["8uW_5100cps", "20uW_7000cps"])
@pytest.mark.parametrize("baseline", [WEAK[:1], WEAK[1:], WEAK])
def test_real_series_of_a_stronger_pump_blocks(strong, baseline):
    code, found = compared(recorded(*baseline), recorded(strong))
    assert code == 10
    assert found["verdict"] == "BLOCK"
    assert found["metric"] == "g2.pulsed.window_ratio"
    assert not found["interleaved"]
    assert any("drift between them is not controlled" in reason for reason in found["reasons"])


PERIOD, ZERO = 12_500.0, 61_000.0


def made_series(folder: Path, name: str, g: float, seed: int, *, level: float = 150.0, snapshots: int = 40) -> Path:
    """A series of snapshots: comb of 1 ns decays on a floor, the antibunched peak at 61 ns."""
    axis_ns = np.arange(1000) * 0.256
    tau = axis_ns * 1000 + 128 - ZERO
    lags = np.rint(tau / PERIOD)
    comb = np.exp(-np.abs(tau - lags * PERIOD) / 1000) * np.where(lags == 0, g, 1.0)
    rng = np.random.default_rng(seed)
    counts = rng.poisson(level / snapshots * (0.05 + comb), (snapshots, 1000))
    file = folder / f"{name}.txt"
    np.savetxt(file, np.column_stack([axis_ns, counts.T]), fmt="%g", delimiter="\t")
    return file


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("series")
    return {
        name: made_series(folder, name, g, seed)
        for seed, (name, g) in enumerate([("base", 0.2), ("same", 0.2), ("worse", 0.4), ("better", 0.05)])
    }


def test_made_series_get_their_verdicts(made):
    """Some 600 central counts: twice the g2 and a quarter of it are both beyond 8 sigma."""
    assert compared([made["base"]], [made["worse"]])[0] == 10
    assert compared([made["base"]], [made["better"]])[0] == 0
    assert compared([made["base"]], [made["same"]])[0] in (0, 20)
    code, found = compared([made["base"]], [made["worse"]], "--drift-allowance", "3")
    assert code == 20
    assert found["tolerated"] == 3.0


def test_a_policy_that_asks_more_than_files_tell_is_never_passed(made):
    code, found = compared([made["base"]], [made["better"]], "--policy", default_policy_file())
    assert code == 20
    assert any("brightness.detected can't be told from files" in reason for reason in found["reasons"])
    assert compared([made["base"]], [made["worse"]], "--policy", default_policy_file())[0] == 10


def test_single_histograms_tell_no_scatter_and_pass_nothing(made, tmp_path):
    summed = []
    for name in ("base", "better"):
        rows = np.loadtxt(made[name], delimiter="\t")
        file = tmp_path / f"{name}.txt"
        np.savetxt(
            file,
            np.column_stack([rows[:, 0] * 1000, rows[:, 1:].sum(axis=1)]),
            fmt="%d",
            header="tau_ps counts",
        )
        summed.append(file)
    code, found = compared([summed[0]], [summed[1]])
    assert code == 20
    assert any("how blocks scatter" in reason for reason in found["reasons"])


def test_scatter_weakens_the_proof(made, tmp_path):
    """Counts all times 9 scatter by 9 and prove no more than they did."""
    again = []
    for name in ("base", "worse"):
        rows = np.loadtxt(made[name], delimiter="\t")
        rows[:, 1:] *= 9
        rows[::3, 1] += 1  # else all are multiples, which the reader refuses
        file = tmp_path / f"{name}.txt"
        np.savetxt(file, rows, fmt="%g", delimiter="\t")
        again.append(file)
    plain = compared([made["base"]], [made["worse"]])[1]
    wild = compared([again[0]], [again[1]])[1]
    assert wild["phi"] == pytest.approx(9 * plain["phi"], rel=0.2)
    assert wild["p_harm"] > plain["p_harm"] / 1e3


def test_files_that_can_not_be_compared_end_in_64(made, tmp_path):
    flat = tmp_path / "flat.txt"
    rng = np.random.default_rng(1)
    np.savetxt(flat, np.column_stack([np.arange(1000) * 256, rng.poisson(30, 1000)]), fmt="%d")
    shifted = made_series(tmp_path, "narrow", 0.2, 9)
    rows = np.loadtxt(shifted, delimiter="\t")
    rows[:, 1:] = np.roll(rows[:, 1:], 20, axis=0)
    np.savetxt(shifted, rows, fmt="%g", delimiter="\t")
    for baseline, candidate, options in (
        (flat, made["same"], ()),
        (made["base"], shifted, ()),
        (made["base"], tmp_path / "nowhere.txt", ()),
        (made["base"], made["same"], ("--drift-allowance", "0.5")),
        (made["base"], made["same"], ("--policy", tmp_path / "none.toml")),
        (made["base"], made["same"], ("--window-ps", "90000")),
    ):
        done = run("compare", baseline, "--candidate", candidate, *options)
        assert done.exit_code == 64 or done.exception.exit_code == 64, (done.stdout, options)
    assert run("compare", made["base"]).exit_code == 2, "usage: no candidate"


def test_table_says_what_is_compared(made):
    done = run("compare", made["base"], "-c", made["worse"])
    assert done.exit_code == 10
    for words in (
        "window ratio around 6",
        "verdict: BLOCK (exit 10)",
        "not interleaved",
        "variance over mean",
    ):
        assert words in done.stdout


def planned(*words: object) -> tuple[int, dict[str, Any]]:
    done = run("plan", *words, "--campaigns", 20, "--json")
    return done.exit_code, json.loads(done.stdout)


def test_plan_from_a_run_folder():
    code, found = planned("--rig", "sim-a1", "--runs", ROOT / "docs")
    assert code == 0
    assert found["rates"].endswith("example-run/sim-a1")
    assert {entry["metric"] for entry in found["metrics"]} == {
        "g2.pulsed.area",
        "hom.v_unc",
        "hom.v_co_cross",
        "brightness.detected",
    }
    assert all(entry["p_pass_unchanged"] >= 0.9 for entry in found["metrics"])
    assert found["worst_s"] == pytest.approx(found["worst_quads"] * found["quad_s"])
    assert 3 <= found["expected_quads"] <= found["worst_quads"] == 16


def test_plan_of_a_dim_source_says_that_the_budget_is_too_small():
    code, found = planned("--clicks", 0.002)
    assert code == 64
    assert any("g2(0)" in problem and "16 quads" in problem for problem in found["problems"])
    brighter, _ = planned("--clicks", 0.05)
    assert brighter == 0


@pytest.mark.parametrize("words", [("--runs", "/nowhere"), ("--clicks", "-1"), ("--rig", "sim-b7")])
def test_plans_without_rates_end_in_64(words):
    done = run("plan", *words)
    assert done.exception is not None
    assert done.exception.exit_code == 64


def tagged(folder: Path, name: str, g2: float, seed: int) -> Path:
    """Tags of two detectors, 3 million pulses with 2 % clicks: some 1200 g2 central coincidences."""
    t_a, t_b = recordings_made.antibunched_tags(g2=g2, seed=seed)
    times, channel = recordings_made.merged(t_a, t_b, (1, 2))
    file = folder / f"{name}.bin"
    file.write_bytes(recordings_made.qutag(times, channel))
    return file


def test_time_tags_are_compared_too(tmp_path):
    """240 central coincidences against 480: beyond 8 sigma; the drift allowance takes one of them."""
    base, worse, better = (tagged(tmp_path, f"t{seed}", g2, seed) for seed, g2 in ((1, 0.2), (2, 0.4), (3, 0.05)))
    code, found = compared([base], [worse])
    assert code == 10
    assert found["delay_ps"] == pytest.approx(23_000, abs=300)
    assert found["baseline"][0] == pytest.approx(0.2, abs=0.06)
    assert compared([base], [better])[0] in (0, 20)
    done = run("compare", base, "-c", worse, "--channels", "1,7")
    assert done.exception.exit_code == 64
