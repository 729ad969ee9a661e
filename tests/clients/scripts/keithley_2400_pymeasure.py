"""PyMeasure: the same source meter with its buffer, its statistics and its trigger model."""

from client import RESOURCE, report, stream_ends
from pymeasure.instruments.keithley import Keithley2400

bias = Keithley2400(RESOURCE, **stream_ends())
working_v = bias.source_voltage
bias.source_mode = "voltage"
bias.compliance_current = 1e-4
bias.source_enabled = True
bias.ramp_to_voltage(1.48, steps=4, pause=0)
forward_a = bias.current
everything = bias.measure_all()
bias.config_buffer(points=8)
bias.start_buffer()
bias.wait_for_buffer(timeout=10, interval=0.01)
readings, mean_a, spread_v = bias.buffer_data, bias.mean_current, bias.std_voltage
bias.disable_buffer()
bias.trigger_count = 1
bias.source_voltage = working_v
bias.auto_zero_once()
bias.beep(440, 0.1)
report(
    idn=bias.id,
    working_v=bias.source_voltage,
    forward_a=forward_a,
    resistance_ohm=everything["resistance"],
    status=everything["status"],
    readings=readings.size,
    mean_a=mean_a,
    spread_v=spread_v,
    enabled=bool(bias.source_enabled),
    limit_a=bias.compliance_current,
    off_state=bias.output_off_state,
    errors=len(bias.check_errors() or []),
)
bias.adapter.close()
