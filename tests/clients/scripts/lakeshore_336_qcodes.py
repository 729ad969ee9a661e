"""QCoDeS on the cold finger: readings, loop settings, and a wait until it has settled elsewhere."""

from contextlib import closing

from client import RESOURCE, report
from qcodes.instrument_drivers.Lakeshore import LakeshoreModel336

with closing(LakeshoreModel336("cryostat", RESOURCE)) as cryostat:
    channel, loop = cryostat.A, cryostat.output_1
    before_k = channel.temperature()
    loop.range_limits([1, 100, 400])
    loop.wait_equilibration_time(0.3)
    loop.blocking_t(4.5)
    hot_k, output = channel.temperature(), loop.output()
    loop.blocking_t(4.0)
    report(
        idn=cryostat.get_idn()["model"],
        before_k=before_k,
        hot_k=hot_k,
        after_k=channel.temperature(),
        status=channel.sensor_status(),
        sensor=channel.sensor_type(),
        name=channel.sensor_name(),
        limit_k=channel.t_limit(),
        mode=loop.mode(),
        output_range=loop.output_range(),
        output_percent=output,
        gain=loop.P(),
        sample_k=cryostat.B.temperature(),
    )
