"""The contributed QCoDeS driver against the WebSQ, whose port for counts, 12345, is fixed."""

from __future__ import annotations

import time

from client import HOST, PORT, report
from qcodes_contrib_drivers.drivers.SingleQuantum.SingleQuantum import WebSQControlqcode

driver = WebSQControlqcode("websq", HOST, PORT)
driver.measurement_periode(20)
driver.npts(3)
count = driver.number_of_detectors()
before_ua = list(driver.bias_current())
driver.bias_current([15.0] * count)
time.sleep(0.3)
after_ua = list(driver.bias_current())
counts = driver.counters()
read = {
    "detectors": count,
    "before_ua": before_ua[0],
    "after_ua": max(after_ua),
    "period_ms": driver.measurement_periode(),
    "columns": counts.shape[0],
    "points": counts.shape[1],
    "least": counts[1:].min(),
}
driver.bias_current(before_ua)
time.sleep(0.2)
report(**read)
