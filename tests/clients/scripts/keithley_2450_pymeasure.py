"""PyMeasure: voltage source with compliance, current source, statistics of the buffer that readings go to."""

from client import RESOURCE, report, stream_ends
from pymeasure.instruments.keithley import Keithley2450

bias = Keithley2450(RESOURCE, **stream_ends())
working_v = bias.source_voltage
bias.apply_voltage(voltage_range=2, compliance_current=1e-4)
bias.measure_current(nplc=1, current=1e-4, auto_range=True)
bias.source_voltage = 1.48
bias.enable_source()
forward_a = bias.current
bias.source_voltage = -1.0
reverse_a = bias.current
mean_a = bias.means
bias.apply_current(current_range=1e-5, compliance_voltage=2)
bias.measure_voltage(nplc=1, voltage=2, auto_range=True)
bias.source_current = 1e-6
turn_on_v = bias.voltage
bias.apply_voltage(voltage_range=2, compliance_current=1e-4)
bias.source_voltage = working_v
bias.measure_current(auto_range=True)
bias.beep(440, 0.1)
report(
    idn=bias.id,
    working_v=bias.source_voltage,
    forward_a=forward_a,
    reverse_a=reverse_a,
    mean_a=mean_a,
    turn_on_v=turn_on_v,
    enabled=bool(bias.source_enabled),
    mode=bias.source_mode,
    compliance_a=bias.compliance_current,
    errors=len(bias.check_errors() or []),
)
bias.adapter.close()
