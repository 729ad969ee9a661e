"""What can go wrong, said to the person who must act, with the exit code each failure carries.

Three kinds are kept apart because they call for three different people: a fault of the rig
(:class:`InfraFault`: the lab), a wrong file or option (:class:`ConfigurationError`: the caller) and a
check that refused (:class:`RefusedError`: the releaser). A rig's fault is never a firmware's fault.
"""

from __future__ import annotations

from typing import Any, Self

from qdhil.exit_codes import ExitCode


class QdhilError(Exception):
    """Base of every error that qdhil raises on purpose; ``exit_code`` is what the process ends with."""

    exit_code = ExitCode.INTERNAL


class ConfigurationError(QdhilError):
    """A file, option or argument that can't be used; the message says which, and what would do."""

    exit_code = ExitCode.USAGE


class UndecidedError(QdhilError):
    """The counts don't allow a decision; the message says which are missing."""

    exit_code = ExitCode.INCONCLUSIVE


class RecordFault(QdhilError):
    """Evidence that can't be written or would be written twice: what is not on record supports no verdict."""

    exit_code = ExitCode.INFRA


class FormatError(ConfigurationError):
    """A recording that can't be read; the message says why in one line."""


class RefusedError(QdhilError):
    """A digest, hardware or record check failed: nothing was installed or decided."""

    exit_code = ExitCode.REFUSED


class TagFault(QdhilError):
    """A block of tags that can't be trusted: bad magic, CRC, sequence, order, or tags dropped.

    Raised by the pure wire decoder, which knows no rig; the tagger's driver turns it into an
    :class:`InfraFault`.

    Parameters
    ----------
    quantity
        What was checked, such as ``"payload CRC"``.
    last_value
        What came, as text.
    band
        What would have been right, as text.
    """

    exit_code = ExitCode.INFRA

    def __init__(self, quantity: str, last_value: object, band: str) -> None:
        self.quantity = quantity
        self.last_value = str(last_value)
        self.band = band
        super().__init__(f"{quantity}: {last_value} (allowed: {band})")


class InfraFault(QdhilError):
    """The rig or the tools failed, which says nothing about the firmware.

    Parameters
    ----------
    rig, instrument
        Where it happened.
    quantity
        What was measured or asked.
    last_value
        The last value seen (``None`` where there was none).
    band
        The allowed values, as text with units.
    advice
        What the person at the rig should do.
    """

    exit_code = ExitCode.INFRA

    def __init__(
        self, rig: str, instrument: str, quantity: str, last_value: object, band: str, advice: str = ""
    ) -> None:
        self.rig = rig
        self.instrument = instrument
        self.quantity = quantity
        self.last_value = "none" if last_value is None else str(last_value)
        self.band = band
        self.advice = advice
        message = f"rig {rig}, {instrument}: {quantity}: {self.last_value} (allowed: {band})"
        super().__init__(f"{message}; {advice}" if advice else message)

    def __reduce__(self) -> tuple[type[Self], tuple[str, ...]]:
        """Pickle by the six facts, so that the fault survives a process boundary."""
        return type(self), (
            self.rig,
            self.instrument,
            self.quantity,
            self.last_value,
            self.band,
            self.advice,
        )

    def record(self) -> dict[str, Any]:
        """Return the facts as plain data for a run folder or a report."""
        return {
            "rig": self.rig,
            "instrument": self.instrument,
            "quantity": self.quantity,
            "last_value": self.last_value,
            "band": self.band,
            "advice": self.advice,
        }
