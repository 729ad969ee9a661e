"""PyMeasure: the pulse that opens the modulator, on both channels."""

from client import RESOURCE, report, stream_ends
from pymeasure.instruments.keysight import Keysight81160A

pulser = Keysight81160A(RESOURCE, **stream_ends())
gate, second = pulser.ch_1, pulser.ch_2
before_hz, before_width_s = gate.frequency, gate.pulse_width
gate.shape = "PULS"
gate.frequency = 40e6
gate.pulse_width = 4e-9
gate.voltage_high = 1.5
gate.voltage_low = 0
moved = {"hz": gate.frequency, "width_s": gate.pulse_width, "amplitude_v": gate.amplitude, "offset_v": gate.offset}
gate.voltage_high = 1.0
gate.frequency = before_hz
gate.pulse_width = before_width_s
second.apply_sin(1e6, 1.0, 0.0)
second.burst_ncycles = 5
second.limit_high = 2.0
if RESOURCE.endswith("INSTR"):  # on a raw socket the driver leaves a block without its terminator
    second.save_waveform([0, 100, 500, 1000, 500, 100], "RISE")
    assert second.waveforms == "RISE", second.waveforms
    second.delete_waveform("RISE")
report(
    idn=pulser.id,
    before_hz=before_hz,
    before_width_s=before_width_s,
    moved_hz=moved["hz"],
    moved_width_s=moved["width_s"],
    amplitude_v=moved["amplitude_v"],
    offset_v=moved["offset_v"],
    shape=second.shape,
    second_hz=second.frequency,
    cycles=second.burst_ncycles,
    limit_v=second.limit_high,
    free=second.free_memory_slots,
    duty=gate.pulse_dutycycle,
    edge_s=gate.pulse_transition,
    errors=len(pulser.check_errors() or []),
)
pulser.adapter.close()
