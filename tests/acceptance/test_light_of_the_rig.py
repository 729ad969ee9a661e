"""The whole chain at high statistics: simulated light, tags over VISA, counts, estimates, against exact clicks.

Each of four estimates is compared with what click detectors must see at 4 standard errors: a false alarm has odds of
6e-5 each. The source's coupling is held still, so that counting is the only error.
"""

from __future__ import annotations

import re
from functools import reduce
from operator import add
from pathlib import Path

import pytest

from conftest import serve, stop, write_rack
from qdhil.metrics import Estimate, PeakCounts, at_detector, count_block, g2_area, v_co_cross, v_unc
from qdhil.rack.config import load_rack
from qdhil.rack.rig import Rig, opened
from qdhil_sim.light.clicks import predict_clicks
from qdhil_sim.light.controls import PulseControls
from qdhil_sim.light.setup import load_setup

PROFILES = Path(__file__).resolve().parents[2] / "sim" / "qdhil_sim" / "profiles"
SIGMAS_OF_INTERVAL = 2 * 1.959964
WHOLE_PEAK_PS = 12_000
EXCLUDE_LAGS = 2
"""One pulse of the interferometer and one of the dead time: together they raise the peak at lag 2 by 0.5 %."""


def counted(rig: Rig, path: str, seconds: int) -> PeakCounts:
    blocks = []
    for _ in range(seconds):
        tags = rig.acquire(path, 1.0)
        blocks.append(
            count_block(
                *(tags.t_a_ps, tags.t_b_ps, tags.sync_ps),
                sync_divider=rig.description.instruments.tagger.sync_divider,
                delay_ps=rig.description.calibration.delay_ps,
                window_ps=WHOLE_PEAK_PS,
                max_lag=12,
                dwell_s=1.0,
            )
        )
    return reduce(add, blocks)


def agrees(estimate: Estimate, expected: float) -> None:
    sigma = (estimate.high - estimate.low) / SIGMAS_OF_INTERVAL
    assert abs(estimate.value - expected) < 4 * sigma, (estimate, expected)


@pytest.mark.parametrize("seconds", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_estimates_agree_with_the_exact_clicks(tmp_path: Path, seconds: int) -> None:
    profile = re.sub(r"(coupling_sd\s*=\s*)\S+", r"\g<1>0.0", (PROFILES / "pillar-930.toml").read_text())
    (tmp_path / "still.toml").write_text(profile)
    setup = load_setup(tmp_path / "still.toml")
    assert setup.drift.coupling_sd == 0.0
    rack = serve(write_rack(tmp_path, **{'"pillar-930"': '"still.toml"'}))
    with opened("sim-a1", load_rack(rack.file).rigs["sim-a1"]) as rig:
        hbt, parallel, orthogonal = (counted(rig, path, seconds) for path in ("hbt", "hom_parallel", "hom_orthogonal"))
    stop(rack)
    expected = predict_clicks(setup, PulseControls(), window_ps=WHOLE_PEAK_PS)
    agrees(g2_area(hbt, exclude_lags=EXCLUDE_LAGS), expected.g2)
    agrees(v_unc(parallel, exclude_lags=EXCLUDE_LAGS), expected.visibility_unc)
    agrees(v_co_cross(parallel, orthogonal, exclude_lags=EXCLUDE_LAGS), expected.visibility_cross)
    agrees(at_detector(hbt), expected.brightness)
