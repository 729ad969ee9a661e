"""Toptica's own SDK against the DLC pro."""

from __future__ import annotations

from client import HOST, PORT, report
from toptica.lasersdk.client import DecopError
from toptica.lasersdk.dlcpro.v3_2_0 import DLCpro, NetworkConnection

MONITORING_PORT = 1999

with DLCpro(NetworkConnection(HOST, PORT, MONITORING_PORT)) as dlc:
    read = {
        "type": dlc.system_type.get(),
        "serial": dlc.serial_number.get(),
        "firmware": dlc.fw_ver.get(),
        "uptime": dlc.uptime.get(),
        "emission": dlc.emission.get(),
    }
    dlc.laser1.ctl.wavelength_set.set(931.25)
    while dlc.laser1.busy.get():
        pass
    read["wavelength_nm"] = dlc.laser1.ctl.wavelength_act.get()
    dlc.laser1.dl.cc.current_set.set(100.0)
    read["current_ma"] = dlc.laser1.dl.cc.current_act.get()
    dlc.laser1.dl.cc.enabled.set(False)
    read["emission_off"] = dlc.emission.get()
    dlc.laser1.dl.cc.enabled.set(True)
    try:
        dlc.laser1.ctl.wavelength_set.set(2000.0)
        read["refused"] = False
    except DecopError:
        read["refused"] = True
    seen: list[float] = []
    with dlc.laser1.dl.cc.current_set.subscribe(lambda _subscription, _time, value: seen.append(value.get())):
        dlc.run(timeout=0.5)
        dlc.laser1.dl.cc.current_set.set(80.0)
        dlc.run(timeout=0.5)
    read["monitored"] = seen == [100.0, 80.0]
    dlc.laser1.ctl.wavelength_set.set(930.0)
report(**read)
