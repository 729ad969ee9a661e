"""The maker's driver: delays between edges, outputs, single shots, over its own socket."""

from client import HOST, PORT, report
from srsinst.dg645 import DG645

delays = DG645("tcpip", HOST, PORT)
delays.trigger.trigger_source = "internal"
delays.trigger.trigger_rate = 1e6
delays.delays.delay["A"]["T0"] = 100e-9
delays.delays.delay["B"]["A"] = 12.5e-9
reference, delay_s = delays.delays.delay["B"]
delays.outputs.amplitude["AB"] = 3.5
delays.outputs.polarity["AB"] = False
delays.burst.burst_count = 12
delays.trigger.trigger_source = "single shot"
delays.trigger_now()
report(
    identity=delays.interface.id_string,
    source=delays.trigger.trigger_source,
    rate_hz=delays.trigger.trigger_rate,
    reference=reference,
    delay_s=delay_s,
    amplitude_v=delays.outputs.amplitude["AB"],
    polarity=bool(delays.outputs.polarity["AB"]),
    bursts=delays.burst.burst_count,
    status=delays.status.instrument_status,
    mac=delays.network.mac_address,
    errors=len(delays.status.drain_errors()),
)
delays.disconnect()
