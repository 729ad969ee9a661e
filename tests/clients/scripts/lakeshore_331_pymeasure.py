"""PyMeasure's driver of an older model on the same command set."""

from client import RESOURCE, report, stream_ends
from pymeasure.instruments.lakeshore import LakeShore331

cryostat = LakeShore331(RESOURCE, **stream_ends("\r\n"))
cryostat.output_1.setpoint = 4.0
report(
    idn=cryostat.id,
    finger_k=cryostat.input_A.kelvin,
    sample_k=cryostat.input_B.kelvin,
    setpoint_k=cryostat.output_1.setpoint,
    heater_range=cryostat.output_1.range,
    output_percent=cryostat.output_1.output,
)
cryostat.adapter.close()
