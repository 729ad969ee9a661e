"""PyMeasure: the laser's power, right and with a wrong wavelength."""

from client import RESOURCE, report, stream_ends
from pymeasure.instruments.thorlabs import ThorlabsPM100USB

meter = ThorlabsPM100USB(RESOURCE, **stream_ends())
wavelength_nm, power_w = meter.wavelength, meter.power
meter.wavelength = 850
wrong_w = meter.power
meter.wavelength = wavelength_nm
report(
    idn=meter.id,
    sensor=meter.sensor_name,
    wavelength_nm=wavelength_nm,
    power_w=power_w,
    ratio=wrong_w / power_w,
    lowest_nm=meter.wavelength_min,
    highest_nm=meter.wavelength_max,
    power_sensor=meter.is_power_sensor,
)
meter.adapter.close()
