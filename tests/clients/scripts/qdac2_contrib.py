"""QCoDeS contrib: gates, a sweep at an internal trigger, a list sent as a binary block, current sensors."""

from contextlib import closing

from client import RESOURCE, report
from qcodes_contrib_drivers.drivers.QDevil.QDAC2 import QDac2

with closing(QDac2("gates", RESOURCE)) as gates:
    dot, gate = gates.channel(1), gates.channel(7)
    working_v = dot.dc_constant_V()
    dot.measurement_range("low")
    reverse_a = dot.read_current_A()[0]
    gate.output_range("low")
    gate.output_filter("med")
    gate.dc_slew_rate_V_per_s(20.0)
    gate.dc_constant_V(1.5)
    sweep = gate.dc_sweep(start_V=-1, stop_V=1, points=21, dwell_s=1e-3)
    start = gates.allocate_trigger()
    sweep.start_on(start)
    gates.trigger(start)
    gate_list = gates.channel(8).dc_list([0.25, 0.5, 0.75], dwell_s=1e-3)
    gate_list.start()
    sensor = gates.channel(7).measurement(repetitions=4, nplc=1)
    sensor.start()
    wave = gates.channel(9).sine_wave(frequency_Hz=1000, span_V=0.1)
    wave.start()
    running = wave.cycles_remaining()
    wave.abort()
    report(
        model=gates.get_idn()["model"],
        channels=gates.n_channels(),
        working_v=working_v,
        reverse_a=reverse_a,
        highest_v=gate.output_low_range_maximum_V(),
        swept_v=gate.dc_last_V(),
        sweep_s=sweep.time_s(),
        listed=gate_list.points(),
        listed_v=gates.channel(8).dc_last_V(),
        gathered=len(sensor.available_A()),
        running=running,
        mac=gates.mac(),
        error=gates.error(),
    )
