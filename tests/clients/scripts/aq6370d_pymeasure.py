"""PyMeasure's AQ6370D driver, which opens it as a serial port."""

from __future__ import annotations

from client import RESOURCE, report
from pymeasure.instruments.yokogawa import AQ6370D

analyser = AQ6370D(RESOURCE, visa_library="@py")
analyser.wavelength_center = 930e-9
analyser.wavelength_span = 4e-9
analyser.resolution_bandwidth = 5e-11
analyser.sensitivity = "MID"
analyser.sweep_mode = "SINGLE"
analyser.initiate_sweep()
analyser.wait_for_sweep_complete()
x, y = analyser.get_xdata(), analyser.get_ydata()
peak_nm = x[max(range(len(y)), key=y.__getitem__)] * 1e9
read = {
    "identity": analyser.id,
    "center_nm": analyser.wavelength_center * 1e9,
    "points": len(y),
    "peak_nm": peak_nm,
    "contrast_db": max(y) - sorted(y)[len(y) // 2],
    "active": analyser.active_trace,
}
report(**read)
