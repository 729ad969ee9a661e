"""PyMeasure: a controller that answers settings as well, taken to 4.5 K and back."""

from client import RESOURCE, report
from pymeasure.instruments.oxfordinstruments import MercuryiTC

controller = MercuryiTC(RESOURCE)
controller.add_temperature_sensor("DB6.T1")
sensor, heater = controller.TS_MB, controller.HTR_MB
cold_k, gain = sensor.temperature, sensor.control_loop_P
sensor.control_loop_temperature_setpoint = 4.5
warm_k, sample_k, power_w = sensor.temperature, controller.TS["DB6.T1"].temperature, heater.power
heater.voltage_limit = 12
sensor.control_loop_ramp_rate = 2.5
sensor.control_loop_temperature_setpoint = 4.0
report(
    identity=":".join(str(part) for part in controller.identity)
    if isinstance(controller.identity, list)
    else controller.identity,
    cold_k=cold_k,
    gain=gain,
    warm_k=warm_k,
    sample_k=sample_k,
    power_w=power_w,
    limit_v=heater.voltage_limit,
    ramp=sensor.control_loop_ramp_rate,
    closed=sensor.control_loop_PID_enabled,
    after_k=sensor.temperature,
    largest_w=heater.max_power,
)
controller.adapter.close()
