"""No message, however odd, makes a SCPI instrument fail: it answers, or it queues an error."""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections.abc import Callable

import pytest

from qdhil_sim.clock import Clock
from qdhil_sim.devices.cryostat import Cryostat
from qdhil_sim.devices.power_meter import PowerMeter
from qdhil_sim.devices.pulse_generator import PulseGenerator
from qdhil_sim.devices.signal_generator import SignalGenerator
from qdhil_sim.devices.source_meter import SourceMeter
from qdhil_sim.devices.supply import Supply
from qdhil_sim.devices.switch import Switch
from qdhil_sim.devices.voltage_source import VoltageSource
from qdhil_sim.environment import Environment
from qdhil_sim.protocol.instrument import Instrument

ODD = [
    b"", b"0", b"1", b"-1", b"2.5", b"1e300", b"-1e300", b"1e-300", b"MIN", b"MAX", b"DEF", b"UP", b"DOWN", b"INF",
    b"NINF", b"NAN", b"ON", b"OFF", b"A", b"'x'", b"'", b"#10", b"#11x", b"(@1)", b"(", b"1 DBM", b"9e9 DBM", b"1 VRMS",
    b"1 MOHM", b"\xff", b"VOLT", b"CURR", b"4,4", b"1,1,1", b"1,2,3,4,5,6,7,8", b"A,1,2", b"VOLATILE,1,2", b"'x',20",
]  # fmt: skip
SEQUENCES = 400
MESSAGES = 40


def made(device: Callable[..., Instrument]) -> Instrument:
    if device is Cryostat:
        return Cryostat("SIM1", Clock("turbo"), threading.RLock(), Environment())
    if device is Switch:
        return Switch("SIM1", 4, Clock("turbo"), threading.RLock())
    return device("SIM1", Environment(), Clock("turbo"), threading.RLock())


def headers(device: type) -> list[bytes]:
    members = [getattr(device, name) for name in dir(device)]
    patterns = {found.pattern for member in members for found in getattr(member, "scpi_commands", [])}
    number = re.compile(r"<(\d+|n)(-\d+)?>")
    return sorted(re.sub(r"[\[\]]", "", number.sub("1", pattern)).encode() for pattern in patterns)


@pytest.mark.parametrize(
    "device",
    [SourceMeter, SignalGenerator, PulseGenerator, PowerMeter, Supply, VoltageSource, Cryostat, Switch],
)
def test_no_message_breaks_the_instrument(device: type[Instrument]) -> None:
    known = headers(device)
    instrument = made(device)
    for header, argument in itertools.product(known, ODD):
        instrument.respond(header + b" " + argument)
    assert instrument.undefined_headers == 0
    rng = random.Random(20260101)
    for _ in range(SEQUENCES):
        instrument = made(device)
        units = (rng.choice(known) + b" " + rng.choice(ODD) for _ in range(MESSAGES))
        for message in units:
            instrument.respond(message)
        assert b"".join(bytes(part) for part in instrument.respond(b"*CLS;*IDN?")).startswith(
            instrument.identity.encode()
        )
