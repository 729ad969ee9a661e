"""PyMeasure: the controller's output and a free one; steps, limits, sequences."""

from client import RESOURCE, report, stream_ends
from pymeasure.instruments.rohdeschwarz.hmp import HMP4040

supply = HMP4040(RESOURCE, **stream_ends())
supply.selected_channel = 1
controller_v, controller_a = supply.measured_voltage, supply.measured_current
supply.selected_channel = 3
supply.voltage_and_current = (3.3, 0.5)
supply.voltage_step = 0.5
supply.step_voltage_up()
stepped_v = supply.voltage
supply.output_enabled = True
supply.selected_channel_active = True
free_v, free_a = supply.measured_voltage, supply.measured_current
supply.sequence = [1.0, 0.1, 0.1, 2.0, 0.1, 0.1]
supply.repetitions = 3
supply.clear_sequence(3)
highest_v = supply.max_voltage
supply.selected_channel_active = False
supply.selected_channel = 1
supply.beep()
report(
    idn=supply.id,
    scpi=supply.version,
    controller_v=controller_v,
    controller_a=controller_a,
    stepped_v=stepped_v,
    free_v=free_v,
    free_a=free_a,
    highest_v=highest_v,
    repetitions=supply.repetitions,
    on=bool(supply.output_enabled),
)
supply.adapter.close()
