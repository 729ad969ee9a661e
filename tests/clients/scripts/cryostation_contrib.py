"""QCoDeS contrib: messages behind their length; a change of setpoint, a warm-up and a cool-down."""

from contextlib import closing

from client import HOST, PORT, report
from qcodes_contrib_drivers.drivers.MontanaInstruments.cryostation import MontanaInstruments_Cryostation

with closing(MontanaInstruments_Cryostation("cryostation", HOST, PORT)) as cryostation:
    cold_k = cryostation.temp_sample()
    cryostation.temp_setpoint(5.0)
    cryostation.wait_stability(0.01)
    stable_k, heater_w = cryostation.temp_platform(), cryostation.power_heater_platform()
    cryostation.start_warmup()
    warm_k = cryostation.temp_stage2()
    cryostation.start_cooldown()
    cryostation.temp_setpoint(4.0)
    report(
        cold_k=cold_k,
        stable_k=stable_k,
        heater_w=heater_w,
        warm_k=warm_k,
        setpoint_k=cryostation.temp_setpoint(),
        after_k=cryostation.temp_sample(),
        stability_k=cryostation.temp_stability(),
        stage_k=cryostation.temp_stage1(),
    )
