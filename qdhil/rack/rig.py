"""One rig, open: its instruments, checked, and the few verbs that a campaign needs of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from qdhil.errors import InfraFault
from qdhil.firmware import FirmwareChannel
from qdhil.firmware.channels import open_channel
from qdhil.instruments import DiConGP600, LakeShore336, PhotonSourceController, Session, TimeTagger
from qdhil.rack import config
from qdhil.tags.acquisition import Acquisition, Configuration


class Rig:
    """The instruments of one quantum-dot source under test.

    Parameters
    ----------
    name
        Name in the rack file.
    description
        Its entry there.
    gone
        Whether it is known by now that the rig never comes back.
    """

    def __init__(self, name: str, description: config.Rig, gone: Callable[[], bool] = lambda: False) -> None:
        self.name = name
        self.description = description
        instruments, backend = description.instruments, description.backend
        self.controller = PhotonSourceController(
            Session(name, "controller", instruments.controller, backend), instruments.controller, gone
        )
        self.tagger = TimeTagger(Session(name, "tagger", instruments.tagger, backend), instruments.tagger)
        self.cryostat = LakeShore336(Session(name, "cryostat", instruments.cryostat, backend), instruments.cryostat)
        self.switch = DiConGP600(Session(name, "switch", instruments.switch, backend), instruments.switch)
        self.others = {
            role: Session(name, role, other, backend) for role, other in instruments.others.items() if other.is_visa
        }
        self._firmware = open_channel(self.controller, description.firmware.channel_settings)

    @property
    def firmware(self) -> FirmwareChannel:
        """The way to switch the controller's firmware."""
        return self._firmware

    @property
    def identities(self) -> dict[str, str]:
        """What each instrument answered to ``*IDN?`` when it was opened last, by role."""
        return {session.role: session.identity for session in self._sessions if session.identity is not None}

    @property
    def _sessions(self) -> tuple[Session, ...]:
        needed = (self.controller.session, self.tagger.session, self.cryostat.session, self.switch.session)
        return (*needed, *self.others.values())

    def open(self) -> None:
        """Connect to every instrument that names an identity and check it, or raise InfraFault.

        Other instruments without ``expect_idn`` are connected to when they are first spoken to.
        """
        for session in self._sessions:
            if session.expects_identity:
                session.open()

    def close(self) -> None:
        """Close every session."""
        self._firmware.close()
        for session in self._sessions:
            session.close()

    def settle(self) -> None:
        """Wait after a boot until the controller's feedback loops have locked."""
        self.controller.wait_for_lock()

    def check_health(self) -> dict[str, float]:
        """Return the rig's readings, or raise InfraFault if one is out of its band."""
        return {**self.cryostat.check(), **self.controller.check()}

    def acquire(self, path: Configuration, dwell_s: float) -> Acquisition:
        """Route the light, count it, and check that the counts can be those of a working rig.

        Raises
        ------
        InfraFault
            If the tags are damaged, a detector is dark on a lit path or bright on the blanked one,
            or the laser's repetition rate is off.
        """
        self.switch.select(path)
        acquisition = self.tagger.acquire(dwell_s)
        self._check_rates(path, acquisition)
        self._check_sync(acquisition)
        return acquisition

    def _check_rates(self, path: Configuration, acquisition: Acquisition) -> None:
        calibration = self.description.calibration
        for detector, tags in (("a", acquisition.t_a_ps), ("b", acquisition.t_b_ps)):
            rate_hz = tags.size / acquisition.dwell_s
            if path == "blanked":
                if rate_hz > calibration.dark_rate_max_hz:
                    raise InfraFault(
                        self.name,
                        f"detector {detector}",
                        "dark count rate",
                        f"{rate_hz:.0f} /s",
                        f"at most {calibration.dark_rate_max_hz:g} /s",
                        "look for stray light",
                    )
            elif rate_hz < calibration.count_rate_min_hz:
                raise InfraFault(
                    self.name,
                    f"detector {detector}",
                    f"count rate on {path}",
                    f"{rate_hz:.0f} /s",
                    f"at least {calibration.count_rate_min_hz:g} /s",
                    "check laser, fibres and detector bias",
                )

    def _check_sync(self, acquisition: Acquisition) -> None:
        calibration, sync = self.description.calibration, acquisition.sync_ps
        expected_hz = calibration.rep_rate_hz
        rate_hz = 0.0
        if sync.size > 1:
            pulses = (sync.size - 1) * self.description.instruments.tagger.sync_divider
            rate_hz = pulses / (float(sync[-1] - sync[0]) * 1e-12)
        if abs(rate_hz / expected_hz - 1) > calibration.rep_rate_tolerance:
            raise InfraFault(
                self.name,
                "tagger",
                "repetition rate of the laser sync",
                f"{rate_hz:.6g} Hz",
                f"{expected_hz:.6g} Hz within {calibration.rep_rate_tolerance:g}",
                "check the sync cable and its divider",
            )


@contextmanager
def opened(name: str, description: config.Rig, gone: Callable[[], bool] = lambda: False) -> Iterator[Rig]:
    """Open a rig and close it when the block ends; ``gone`` as :class:`Rig` takes it."""
    rig = Rig(name, description, gone)
    with ExitStack() as stack:
        stack.callback(rig.close)
        rig.open()
        yield rig
