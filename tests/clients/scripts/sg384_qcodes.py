"""QCoDeS: frequency, phase and amplitude of the laser's clock."""

from contextlib import closing

from client import RESOURCE, report
from qcodes.instrument_drivers.stanford_research import SG384

with closing(SG384("clock", RESOURCE)) as clock:
    before_hz = clock.frequency()
    clock.frequency(76e6)
    moved_hz = clock.frequency()
    clock.frequency(before_hz)
    clock.phase(45)
    clock.amplitude_RF(-3.5)
    facts = {name: parameter() for name, parameter in clock.parameters.items() if name not in {"IDN", "timeout"}}
    clock.phase(0)
    clock.amplitude_RF(0)
    report(
        idn=clock.get_idn()["model"],
        before_hz=before_hz,
        moved_hz=moved_hz,
        after_hz=clock.frequency(),
        rf_dbm=facts["amplitude_RF"],
        phase_deg=facts["phase"],
        parameters=len(facts),
    )
