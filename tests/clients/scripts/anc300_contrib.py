"""QCoDeS contrib: the same positioners at the serial port that a device server offers."""

from contextlib import closing

from client import HOST, report
from qcodes_contrib_drivers.drivers.Attocube.ANC300 import ANC300

SERIAL_PORT = 4001

with closing(ANC300("positioners", f"ASRLsocket://{HOST}:{SERIAL_PORT}::INSTR")) as positioners:
    axis = positioners.axis2
    axis.mode("stp")
    axis.frequency(200)
    axis.amplitude(35.5)
    axis.move(20)
    axis.waitMove(wait=0.01, timeout=5)
    axis.move(-20)
    axis.mode("gnd")
    positioners.trigger1.state("on")
    report(
        identity=positioners.idn,
        axes=len(positioners.axis_channels),
        frequency_hz=axis.frequency(),
        amplitude_v=axis.amplitude(),
        mode=axis.mode(),
        filter=axis.filter(),
    )
