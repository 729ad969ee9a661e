"""The ThorlabsPM100 package, which spells the whole tree of the manual in long form."""

import pyvisa
from client import RESOURCE, report, stream_ends
from ThorlabsPM100 import ThorlabsPM100

resource = pyvisa.ResourceManager("@py").open_resource(RESOURCE, **stream_ends())
meter = ThorlabsPM100(inst=resource)
meter.configure.scalar.power()
meter.sense.average.count = 100
meter.sense.correction.wavelength = 930
meter.sense.power.dc.range.auto = 1
report(
    power_w=meter.read,
    fetched_w=meter.fetch,
    configuration=meter.getconfigure,
    wavelength_nm=meter.sense.correction.wavelength,
    average=meter.sense.average.count,
    range_w=meter.sense.power.dc.range.upper,
    largest_w=meter.sense.power.dc.range.maximum_upper,
    beam_mm=meter.sense.correction.beamdiameter,
    unit=meter.sense.power.dc.unit,
    sensor=meter.system.sensor.idn,
    questionable=meter.status.questionable.condition,
    auxiliary=meter.status.auxillary.condition,
    calibration=meter.calibration.string,
    line_hz=meter.system.lfrequency,
)
resource.close()
