"""PI's own library against the C-863."""

from __future__ import annotations

from client import HOST, PORT, report
from pipython import GCSDevice, GCSError, pitools
from pipython.pidevice.interfaces.pisocket import PISocket

with PISocket(HOST, PORT) as gateway:
    device = GCSDevice(gateway=gateway)
    read = {"identity": device.qIDN().strip(), "axes": len(device.axes), "stage": device.qCST()["1"]}
    pitools.startup(device, refmodes="FRF")
    device.MOV("1", 7.501)
    pitools.waitontarget(device)
    read["position_mm"] = device.qPOS("1")["1"]
    read["lowest_mm"], read["highest_mm"] = device.qTMN()["1"], device.qTMX()["1"]
    device.VEL("1", 1.0)
    read["velocity_mm_per_s"] = device.qVEL("1")["1"]
    try:
        device.MOV("1", 99)
        read["refused"] = 0
    except GCSError as error:
        read["refused"] = error.val
    device.MOV("1", 7.5)
    pitools.waitontarget(device)
    read["moving"] = device.IsMoving()["1"]
report(**read)
