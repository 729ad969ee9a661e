"""QCoDeS: a voltage source with a monitor, ranges and limits."""

from contextlib import closing

from client import RESOURCE, report
from qcodes.instrument_drivers.yokogawa import YokogawaGS200

with closing(YokogawaGS200("source", RESOURCE)) as source:
    working_v, mode, range_v = source.voltage(), source.source_mode(), source.voltage_range()
    source.on()
    source.voltage_range(10)
    source.current_limit(0.01)
    source.measure.on()
    source.voltage(1.45)
    current_a = source.measure.measure()
    source.ramp_voltage(working_v, 0.5, 0.01)
    source.measure.off()
    report(
        idn=source.get_idn()["model"],
        working_v=working_v,
        mode=mode,
        range_v=range_v,
        current_a=current_a,
        after_v=source.voltage(),
        output=source.output(),
        limit_a=source.current_limit(),
    )
