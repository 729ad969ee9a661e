"""The source's controller PSC-2, the device under test: two firmware slots and what they make of the light.

It reports the nominal pulse settings whatever runs: a firmware's regression shows in the light, not here.
A reboot closes every connection and refuses new ones until it is done; the feedback loops then need
time to lock, and there is no light before.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

from qdhil_sim.clock import Clock
from qdhil_sim.devices.firmware import HARDWARE, FirmwareSlots
from qdhil_sim.devices.slot_writer import SlotWriter
from qdhil_sim.environment import Environment
from qdhil_sim.light.controls import PulseControls
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.instrument import Instrument
from qdhil_sim.protocol.parameters import block, integer, text
from qdhil_sim.protocol.scpi import command

BOOT_S = 20.0
LOCK_S = 5.0
BOARD_TEMPERATURE_C = 38.5
_NOMINAL = PulseControls()


class Controller(Instrument):
    """The controller of one rig.

    Parameters
    ----------
    serial
        Third field of ``*IDN?``.
    baseline
        Bytes of the image that slot 0 holds, confirmed and running.
    seed
        Seeds what firmware makes random.
    environment
        Says whether the supply feeds the controller; a power cycle is a reset.
    """

    def __init__(
        self,
        serial: str,
        baseline: bytes,
        seed: Sequence[int],
        environment: Environment,
        clock: Clock,
        lock: threading.RLock,
    ) -> None:
        super().__init__("", clock, lock)
        self.slipped = False
        self._environment = environment
        self._powered = environment.controller_powered
        self.slots = FirmwareSlots.holding(baseline)
        self._serial = serial
        self._random = random.Random(repr(tuple(seed)))
        self._fixed_identity = False
        self._booted_s = self._locked_s = clock.now_s
        self._writer = SlotWriter(self.slots, clock)
        self._rename()

    def accepts_connections(self) -> bool:
        """Refuse connections without power and while booting; in turbo the attempt sees the boot done."""
        return self._powered and self.clock.finish(self._booted_s)

    def answers(self) -> bool:
        """Whether the running firmware answers the next query."""
        return self._random.random() >= self.slots.image.behaviour.mute_probability

    def pending_until_s(self) -> float:
        """End of an upload or of locking."""
        return max(self._locked_s, self._writer.end_s)

    @property
    def lit(self) -> bool:
        """Whether the source makes light now: powered, booted and locked."""
        return self._powered and self.clock.now_s >= self._locked_s

    @property
    def delay_error_ps(self) -> float:
        """Mismatch of the interferometer that the running firmware makes since this boot."""
        outputs = self.slots.image.outputs
        return outputs.delay_error_ps + (outputs.clock_slip_ps if self.slipped else 0.0)

    def notice_power(self) -> None:
        """Go down with the supply, or come back as after a reset."""
        if self._environment.controller_powered != self._powered:
            self._powered = self._environment.controller_powered
            self.reboot()

    def inject(self, fault: str, value: object) -> None:
        """Switch a fault on; a wrong identity outlives a reboot."""
        super().inject(fault, value)
        self._fixed_identity |= fault == "wrong_identity"

    def _rename(self) -> None:
        if not self._fixed_identity:
            self.identity = f"QDHIL,PSC-2,{self._serial},{self.slots.image.image.version}"

    # Firmware.

    @command("SYSTem:FIRMware:VERSion?")
    def get_version(self) -> str:
        """Return the version of the running image."""
        return self.slots.image.image.version

    @command("SYSTem:FIRMware:HASH?")
    def get_hash(self) -> str:
        """Return the SHA-256 of the running image."""
        return self.slots.running_slot.sha256

    @command("SYSTem:FIRMware:FPGA?")
    def get_fpga_build(self) -> str:
        """Return the FPGA build of the running image."""
        return self.slots.image.image.fpga_build

    @command("SYSTem:FIRMware:HARDware?")
    def get_hardware(self) -> str:
        """Return the hardware revision."""
        return HARDWARE

    @command("SYSTem:FIRMware:SLOT?")
    def get_slot(self) -> int:
        """Return the running slot."""
        return self.slots.running

    @command("SYSTem:FIRMware:CONFirmed?")
    def get_confirmed(self) -> int:
        """Return 1 if the running image is the confirmed one."""
        return int(self.slots.running == self.slots.confirmed)

    @command("SYSTem:FIRMware:SLOT:VERSion?", integer(0, 1))
    def get_slot_version(self, slot: int) -> str:
        """Return the version in a slot; empty if there is none."""
        stored = self.slots.contents[slot]
        return stored.image.image.version if stored else '""'

    @command("SYSTem:FIRMware:SLOT:HASH?", integer(0, 1))
    def get_slot_hash(self, slot: int) -> str:
        """Return the SHA-256 of a slot's image; empty if there is none."""
        stored = self.slots.contents[slot]
        return stored.sha256 if stored else '""'

    @command("SYSTem:FIRMware:UPLoad", block)
    def upload(self, data: bytes) -> None:
        """Write an image to the inactive slot."""
        self._writer.take(data)

    @command("SYSTem:FIRMware:UPDate", text)
    def update(self, url: str) -> None:
        """Fetch an image over HTTP and write it to the inactive slot."""
        self._writer.fetch(url)

    @command("SYSTem:FIRMware:STATe?")
    def get_state(self) -> str:
        """Return how an upload goes: IDLE, BUSY, UPDATING, COMPLETE or ERROR."""
        return self._writer.state()

    @command("SYSTem:FIRMware:TEST")
    def test(self) -> None:
        """Boot the inactive slot once, at the next reset."""
        self._writer.check_idle()
        if self.slots.contents[self.slots.inactive] is None:
            raise ScpiError(-221, "the inactive slot is empty")
        self.slots.trial = self.slots.inactive

    @command("SYSTem:FIRMware:CONFirm")
    def confirm(self) -> None:
        """Make the running image permanent."""
        self.slots.confirmed = self.slots.running

    @command("SYSTem:FIRMware:REVert")
    def revert(self) -> None:
        """Boot the confirmed image at the next reset."""
        self.slots.trial = None

    @command("SYSTem:REBoot")
    def reboot(self) -> None:
        """Reset: every connection ends; an upload that is not done is lost."""
        self._writer.abandon()
        self.slots.reset()
        self.slipped = self._random.random() < self.slots.image.outputs.clock_slip_probability
        self._booted_s = self.clock.now_s + BOOT_S
        self._locked_s = self._booted_s + LOCK_S
        self._rename()
        self.power_on_status()
        self.disconnect()

    # Health.

    @command("SYSTem:UPTime?")
    def get_uptime(self) -> str:
        """Return the time since the last boot in s."""
        return f"{self.clock.now_s - self._booted_s:.3f}"

    @command("SYSTem:SELFtest?")
    def get_selftest(self) -> int:
        """Return 0: passed."""
        return 0

    @command("SYSTem:TEMPerature?")
    def get_temperature(self) -> str:
        """Return the board's temperature in degrees Celsius."""
        return f"{BOARD_TEMPERATURE_C:.2f}"

    # The source.

    @command("SOURce:LOCK?")
    def get_lock(self) -> int:
        """Return 1 when the feedback loops have locked."""
        return int(self.clock.finish(self._locked_s))

    @command("SOURce:PULSe:WIDTh?")
    def get_pulse_width(self) -> str:
        """Return the configured pulse length in s."""
        return f"{_NOMINAL.pulse_fwhm_ps * 1e-12:.4E}"

    @command("SOURce:PULSe:AREA?")
    def get_pulse_area(self) -> str:
        """Return the configured pulse area in units of pi."""
        return f"{_NOMINAL.pulse_area_pi:.4f}"
