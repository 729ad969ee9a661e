"""QCoDeS: the older source meter; readings of voltage and current in one answer."""

from contextlib import closing

from client import RESOURCE, report
from qcodes.instrument_drivers.Keithley import Keithley2400

with closing(Keithley2400("bias", RESOURCE)) as bias:
    mode, output = bias.mode(), bias.output()
    working_v = bias.volt()
    bias.compliancei(1e-4)
    bias.nplci(0.1)
    bias.volt(1.48)
    forward_a, resistance_ohm = bias.curr(), bias.resistance()
    bias.volt(3.0)
    limited_a = bias.curr()
    bias.mode("CURR")
    bias.compliancev(2)
    bias.curr(1e-6)
    turn_on_v, sense = bias.volt(), bias.sense()
    bias.mode("VOLT")
    bias.volt(0.45)
    report(
        idn=bias.get_idn()["model"],
        mode=mode,
        output=output,
        working_v=working_v,
        forward_a=forward_a,
        resistance_ohm=resistance_ohm,
        limited_a=limited_a,
        turn_on_v=turn_on_v,
        sense=sense,
        after_v=bias.volt(),
        range_v=bias.rangev(),
    )
