"""PyMeasure: a probe laser, its power in both units, a continuous sweep with its logged wavelengths."""

from client import RESOURCE, report, stream_ends
from pymeasure.instruments.keysight import KeysightN7776C

laser = KeysightN7776C(RESOURCE, **stream_ends())
laser.locked = False
laser.wavelength = 1549.5
tuned_nm = laser.wavelength
laser.output_power_mW = 2.0
power_dbm, power_mw = laser.output_power_dBm, laser.output_power_mW
laser.output_enabled = True
laser.sweep_wl_start, laser.sweep_wl_stop = 1550, 1551
laser.sweep_step, laser.sweep_speed, laser.sweep_mode = 0.01, 1, "CONT"
laser.trigger_out, laser.wl_logging = "STF", True
valid = laser.valid_sweep_params()
laser.sweep_state = 1
points = laser.sweep_points
logged_nm = laser.get_wl_data() * 1e9
laser.sweep_wl_stop = 1549
report(
    idn=laser.id,
    tuned_nm=tuned_nm,
    power_dbm=power_dbm,
    power_mw=power_mw,
    points=int(points),
    first_nm=logged_nm[0],
    last_nm=logged_nm[-1],
    state=int(laser.sweep_state),
    ended_nm=laser.wavelength,
    valid=valid,
    refused=not laser.valid_sweep_params(),
    enabled=bool(laser.output_enabled),
)
laser.adapter.close()
