"""PyMeasure: the same source, and a ramp by its program."""

from client import RESOURCE, report, stream_ends
from pymeasure.instruments.yokogawa import YokogawaGS200

source = YokogawaGS200(RESOURCE, **stream_ends())
working_v = source.source_level
source.source_range = 10
source.trigger_ramp_to_level(1.2, 1.0)
ramped_v = source.source_level
source.source_level = working_v
report(
    idn=source.id,
    working_v=working_v,
    ramped_v=ramped_v,
    after_v=source.source_level,
    mode=source.source_mode,
    range_v=source.source_range,
    enabled=bool(source.source_enabled),
)
source.adapter.close()
