"""Physical faults and firmware regressions by their signature in the light of a rig: what moves, and what does not.

Half a second of light a path: 1e6 clicks a detector, 25000 coincidences a side peak. Bands are at least
five standard errors wide on either side of what is expected, and what must move moves by more.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt
import pytest

from qdhil.rack.config import load_rack
from qdhil_sim.builds import read_image
from qdhil_sim.light import LightStream
from qdhil_sim.scenario import LIGHT_FAULTS, Fault
from qdhil_sim.world import RigWorld

DWELL_PS = 5 * 10**11
PERIOD_PS = 12_500
PULSES = DWELL_PS // PERIOD_PS + 4
DELAY_B_PS = 1250
Marks = npt.NDArray[np.bool_]


def make_world() -> RigWorld:
    with resources.as_file(resources.files("qdhil.rack") / "default_rack.toml") as file:
        return RigWorld("sim-a1", load_rack(file).rigs["sim-a1"], file)


def run_firmware(world: RigWorld, version: str) -> None:
    image = read_image(version)
    world.controller.respond(f"SYST:FIRM:UPL #{len(str(len(image)))}{len(image)}".encode() + image)
    world.controller.respond(b"SYST:FIRM:STAT?;TEST;:SYST:REB")
    world.controller.accepts_connections()
    assert world.controller.respond(b"SOUR:LOCK?;:SYST:FIRM:VERS?")[0] == b"1"
    assert world.controller.slots.image.image.version == version


@dataclass
class Light:
    """What half a second on one path holds."""

    rate_hz: float
    a: Marks
    b: Marks
    edge_ps: float
    """Between the quantiles 0.5 % and 10 % of the time since the pulse."""
    late: float
    """Share of the clicks more than 4 ns after the pulse."""
    shortest_gap_ps: int
    sync: int

    def pairs(self, lag: int) -> int:
        if lag < 0:
            return int(np.count_nonzero(self.a[-lag:] & self.b[:lag]))
        return int(np.count_nonzero(self.a[: self.a.size - lag] & self.b[lag:]))

    @property
    def g2(self) -> float:
        return self.pairs(0) / np.mean([self.pairs(lag) for lag in (3, 5, -3, -5)])


def draw(world: RigWorld, path: str, delay_periods: int = 1) -> Light:
    light = world.bench_light()
    assert light.lit
    assert world.controller.lit
    mzi = light.setup.interferometer.model_copy(update={"delay_periods": delay_periods})
    setup = light.setup.model_copy(update={"interferometer": mzi})
    tags = LightStream(setup, light.controls, path, seed=20261123, channels=world.channels).take(DWELL_PS)
    times_ps, channel = tags >> 5, tags & 31
    a_ps, b_ps = times_ps[channel == 2], times_ps[channel == 3] - DELAY_B_PS
    since_ps = (a_ps + 500) % PERIOD_PS - 500

    def marks(clicks_ps: npt.NDArray[np.int64]) -> Marks:
        found = np.zeros(PULSES, bool)
        found[np.clip((clicks_ps + 500) // PERIOD_PS, 0, PULSES - 1)] = True
        return found

    low, high = np.quantile(since_ps, [0.005, 0.1])
    return Light(
        (a_ps.size + b_ps.size) / (DWELL_PS * 1e-12),
        marks(a_ps),
        marks(b_ps),
        float(high - low),
        float(np.mean(since_ps > 4000)),
        int(np.diff(a_ps).min()),
        int((channel == 1).sum()),
    )


def visibility(world: RigWorld, delay_periods: int = 1) -> float:
    """Return 1 - A0(parallel) / A0(orthogonal)."""
    parallel, orthogonal = (draw(world, f"hom_{kind}", delay_periods) for kind in ("parallel", "orthogonal"))
    return 1 - parallel.pairs(0) / orthogonal.pairs(0)


@pytest.fixture(scope="module")
def healthy() -> tuple[Light, float]:
    world = make_world()
    return draw(world, "hbt"), visibility(world)


def faulty(kind: str, severity: float = 0.5) -> RigWorld:
    world = make_world()
    world.faults.add(Fault(rig="sim-a1", kind=kind, severity=severity))
    if kind == "cryostat_warming":
        world.update_bench()
        world.clock.finish(world.clock.now_s + 1000)
    return world


UNCHANGED = {"rate": 1.0, "g2": 1.0, "v": 0.0, "edge": 1.0}
BAND = {"rate": 0.01, "g2": 0.35, "v": 0.04, "edge": 0.05}


@pytest.mark.parametrize(
    ("kind", "moved"),
    [
        ("coupling_loss", {"rate": (0.5, 0.6)}),
        ("spectral_drift", {"rate": (0.2, 0.85), "g2": (1.0, 5.0), "v": (-0.1, 0.05)}),
        ("charge_noise", {}),
        ("laser_leak", {"rate": (1.02, 1.10), "g2": (4, 9), "v": (-0.35, -0.1), "edge": (0.6, 1.0)}),
        ("background", {"rate": (1.02, 1.10), "g2": (1.0, 9), "v": (-0.35, 0.0), "edge": (0, 99)}),
        ("detector_saturation", {"rate": (0.6, 0.85), "g2": (0.5, 1.6)}),
        ("laser_jitter", {"v": (-0.3, -0.1), "edge": (1.2, 3)}),
        ("electronics_jitter", {"edge": (1.2, 3)}),
        ("blinking", {"rate": (0.6, 0.7), "g2": (0.5, 1.35)}),
        ("cryostat_warming", {"rate": (0.85, 0.99), "v": (-0.3, -0.01)}),
    ],
)
def test_signature(healthy: tuple[Light, float], kind: str, moved: dict[str, tuple[float, float]]) -> None:
    before, before_v = healthy
    world = faulty(kind)
    light = draw(world, "hbt")
    found = {
        "rate": light.rate_hz / before.rate_hz,
        "g2": light.g2 / before.g2,
        "v": visibility(world) - before_v,
        "edge": light.edge_ps / before.edge_ps,
    }
    for name, value in found.items():
        low, high = moved.get(name, (UNCHANGED[name] - BAND[name], UNCHANGED[name] + BAND[name]))
        assert low < value < high, (name, found)
    assert light.sync == before.sync


def test_every_fault_of_the_light_does_something() -> None:
    untouched = make_world().bench_light()
    for kind in LIGHT_FAULTS:
        assert faulty(kind).bench_light() != untouched, kind


def test_spectral_drift_moves_the_line() -> None:
    assert faulty("spectral_drift").line_nm() - make_world().line_nm() == pytest.approx(0.0577, rel=0.01)


def test_charge_noise_shows_at_a_long_delay() -> None:
    """The mean of the visibility falls by 0.07 once the line has forgotten itself."""
    assert visibility(faulty("charge_noise"), 1000) < visibility(make_world(), 1000) - 0.04


def test_background_fills_the_time_between_pulses(healthy: tuple[Light, float]) -> None:
    before, _ = healthy
    assert draw(faulty("background"), "hbt").late > 10 * before.late
    assert draw(faulty("laser_leak"), "hbt").late < 2 * before.late


def test_saturated_detectors_leave_a_hole(healthy: tuple[Light, float]) -> None:
    assert healthy[0].shortest_gap_ps < 50_000
    assert draw(faulty("detector_saturation"), "hbt").shortest_gap_ps >= 220_000


def test_blinking_bunches_side_peaks() -> None:
    """Coincidences one pulse apart over those 5 us apart: 1 / on-fraction = 1.54 for a correlation of 1 us."""
    light = draw(faulty("blinking"), "hbt")
    assert 1.3 < light.pairs(2) / light.pairs(400) < 1.7


def test_a_warm_cryostat_is_seen_by_its_thermometer_too() -> None:
    world = faulty("cryostat_warming")
    assert float(bytes(world.cryostat.respond(b"KRDG? B")[0])) > 6
    assert world.environment.temperature_k > 6


# Firmware.


@pytest.fixture
def world() -> RigWorld:
    return make_world()


def test_a_doubled_area_leaves_hardly_any_light_and_bunched(world: RigWorld, healthy: tuple[Light, float]) -> None:
    run_firmware(world, "1.5.0-area200")
    light = draw(world, "hbt")
    assert light.rate_hz < 0.15 * healthy[0].rate_hz
    assert light.g2 > 1


def test_a_wrong_delay_table(world: RigWorld, healthy: tuple[Light, float]) -> None:
    """20 ps over a lifetime of 200 ps: the overlap falls to exp(-0.1), by 0.09."""
    run_firmware(world, "1.5.0-delay20")
    assert world.bench_light().setup.interferometer.delay_error_ps == 20
    assert -0.14 < visibility(world) - healthy[1] < -0.04


def test_a_rippling_bias(world: RigWorld, healthy: tuple[Light, float]) -> None:
    run_firmware(world, "1.5.0-ripple200")
    assert -0.10 < visibility(world) - healthy[1] < -0.02


def test_a_slipping_clock_differs_from_boot_to_boot(world: RigWorld) -> None:
    """Four boots in five slip: 20 boots alike have odds of 0.8^20 = 1 %, with this seed both kinds come."""
    run_firmware(world, "1.5.0-clockslip")
    world.controller.confirm()
    found = set()
    for _ in range(20):
        world.controller.reboot()
        found.add(world.bench_light().setup.interferometer.delay_error_ps)
    assert found == {0.0, 2500.0}


def test_a_limit_cycle_swings_the_rate_and_lowers_its_mean(world: RigWorld) -> None:
    run_firmware(world, "1.5.0-limitcycle")
    world.switch.respond(b"X1 CH 1 1;X1 CH 1?")
    rates = []
    for _ in range(30):
        rates.append(sum(world.count_rates_hz()))
        world.clock.finish(world.clock.now_s + 0.1)
    # sin^2 of the area at 0.7 to 1.3 of the power: down to 0.94 twice a period; a gate's own noise is 1.1 %
    assert 0.90 < min(rates) / max(rates) < 0.97


def test_a_divided_sync_is_a_fault_of_the_tools(world: RigWorld, healthy: tuple[Light, float]) -> None:
    run_firmware(world, "1.5.0-divider")
    light = draw(world, "hbt")
    assert light.sync == pytest.approx(healthy[0].sync / 2, abs=2)
    assert light.rate_hz == pytest.approx(healthy[0].rate_hz, rel=0.01)
