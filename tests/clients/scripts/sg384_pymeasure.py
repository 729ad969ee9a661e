"""PyMeasure's driver of the SG380 series, which leaves the blank before an argument out."""

from client import RESOURCE, report, stream_ends
from pymeasure.instruments.srs import SG380

clock = SG380(RESOURCE, **stream_ends("\r\n"))
clock.frequency = 76e6
moved_hz = clock.frequency
clock.frequency = 80e6
clock.mod_type = "FM"
clock.mod_func = "SINE"
clock.fm_dev, clock.rate = 2000.0, 500.0
report(
    idn=clock.id,
    moved_hz=moved_hz,
    after_hz=clock.frequency,
    doubler=clock.has_doubler,
    deviation_hz=clock.fm_dev,
    rate_hz=clock.rate,
)
clock.adapter.close()
