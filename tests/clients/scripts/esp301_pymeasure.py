"""PyMeasure's ESP300 driver."""

from __future__ import annotations

from client import RESOURCE, report
from pymeasure.instruments.newport import ESP300

stage = ESP300(RESOURCE, visa_library="@py", read_termination="\r\n", write_termination="\r")
stage.clear_errors()
stage.x.enable()
start_mm = stage.x.position
stage.x.position = start_mm + 1.5
stage.x.wait_for_stop()
moved_mm = stage.x.position
stage.x.position = 1000
errors = [str(error) for error in stage.errors]
stage.x.position = start_mm
stage.x.wait_for_stop()
read = {
    "start_mm": start_mm,
    "moved_mm": moved_mm,
    "back_mm": stage.x.position,
    "units": stage.x.units,
    "enabled": stage.x.enabled,
    "lowest_mm": stage.x.left_limit,
    "highest_mm": stage.x.right_limit,
    "errors": len(errors),
    "error": errors[0],
    "left": stage.error,
}
report(**read)
