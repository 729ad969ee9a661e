"""QCoDeS: the diode's current at two voltages, in compliance, in a sweep, and in buffers."""

from contextlib import closing

from client import RESOURCE, report
from qcodes.instrument_drivers.Keithley import Keithley2450

with closing(Keithley2450("bias", RESOURCE)) as bias:
    bias.source.function("voltage")
    bias.sense.function("current")
    bias.sense.nplc(1.0)
    working_v = bias.source.voltage()
    bias.source.limit(1e-4)
    with bias.output_enabled.set_to(True):
        bias.source.voltage(1.4)
        low_a = bias.sense.current()
        bias.source.voltage(1.48)
        high_a = bias.sense.current()
        bias.source.voltage(2.5)
        limited_a, tripped = bias.sense.current(), bias.source.limit_tripped()
        with bias.buffer("curve", 200) as buffer:
            buffer.elements(["measurement", "source_value"])
            bias.source.sweep_setup(0.0, 1.5, 16, buffer_name=buffer.buffer_name)
            bias.sense.auto_range(True)
            bias.source.sweep_start()
            readings = buffer.get_data(1, buffer.number_of_readings(), readings_only=False)
            swept = buffer.number_of_readings()
        bias.source.voltage(working_v)
    report(
        working_v=working_v,
        ratio=high_a / low_a,
        limited_a=limited_a,
        tripped=bool(tripped),
        swept=swept,
        elements=len(readings),
        line_hz=bias.line_frequency(),
        terminals=bias.terminals(),
        idn=bias.get_idn()["model"],
        range_a=bias.sense.range(),
        four_wire=bool(bias.sense.four_wire_measurement()),
        output=bool(bias.output_enabled()),
    )
    bias.output_enabled(True)
