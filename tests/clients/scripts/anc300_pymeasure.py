"""PyMeasure: the console of the positioners behind its password; steps out and back."""

from client import RESOURCE, report
from pymeasure.instruments.attocube import ANC300Controller

controller = ANC300Controller(RESOURCE, axisnames=["x", "y", "z"], passwd="123456", query_delay=0.005)
x = controller.x
x.frequency, x.voltage = 500, 40
x.move(100, gnd=False)
mode_then = x.mode
x.move(-100)
x.pattern_up = [255 - value for value in range(256)]
capacity_nf = x.measure_capacity()
refused = False
try:
    x.move_raw(5)
except ValueError:
    refused = True
report(
    version=str(controller.version),
    serial=str(x.serial_nr),
    frequency_hz=x.frequency,
    voltage_v=x.voltage,
    mode_then=mode_then,
    mode=x.mode,
    capacity_nf=capacity_nf,
    pattern=int(x.pattern_up[0]),
    output_v=x.output_voltage,
    refused=refused,
)
controller.adapter.close()
