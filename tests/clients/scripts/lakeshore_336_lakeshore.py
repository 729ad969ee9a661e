"""The maker's own driver on its plain socket; it appends ``*ESR?`` to everything and checks it."""

from client import HOST, PORT, report
from lakeshore import Model336

cryostat = Model336(ip_address=HOST, tcp_port=PORT)
cryostat.set_control_setpoint(1, 4.0)
cryostat.set_heater_pid(1, 60, 25, 0)
heater = cryostat.get_heater_pid(1)
cryostat.set_heater_pid(1, 50, 20, 0)
readings = cryostat.get_all_kelvin_reading()
report(
    idn=",".join(cryostat.query("*IDN?").split(",")[:2]),
    finger_k=cryostat.get_kelvin_reading("A"),
    sample_k=readings[1],
    inputs=len(readings),
    setpoint_k=cryostat.get_control_setpoint(1),
    output_percent=cryostat.get_heater_output(1),
    range=int(cryostat.get_heater_range(1)),
    gain=heater["gain"],
    invalid=cryostat.get_input_reading_status("A").invalid_reading,
    mode=int(cryostat.get_heater_output_mode(1)["mode"]),
    celsius=cryostat.get_celsius_reading("A"),
    sensor_ohm=cryostat.get_sensor_reading("A"),
)
