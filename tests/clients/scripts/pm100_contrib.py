"""qcodes-contrib-drivers: power and wavelength; this driver sleeps 6 s when it connects."""

from client import RESOURCE, report
from qcodes_contrib_drivers.drivers.Thorlabs.PM100D import Thorlab_PM100D

meter = Thorlab_PM100D("meter", RESOURCE)
report(
    idn=meter.get_idn()["model"],
    power_w=meter.power(),
    averages=meter.averaging(),
    loss_db=meter.attenuation(),
)
meter.close()
