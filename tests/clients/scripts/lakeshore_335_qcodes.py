"""The driver of the smaller model on the same command set."""

from contextlib import closing

from client import RESOURCE, report
from qcodes.instrument_drivers.Lakeshore import LakeshoreModel335

with closing(LakeshoreModel335("cryostat", RESOURCE)) as cryostat:
    loop = cryostat.output_1
    loop.range_limits([1, 100, 400])
    loop.wait_equilibration_time(0.3)
    loop.blocking_t(4.2)
    hot_k = cryostat.A.temperature()
    loop.blocking_t(4.0)
    report(
        hot_k=hot_k,
        after_k=cryostat.A.temperature(),
        sample_k=cryostat.B.temperature(),
        gain=loop.P(),
        mode=loop.mode(),
    )
