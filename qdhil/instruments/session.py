"""One open VISA session to one instrument, whose every failure names the rig and the instrument."""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from qdhil.errors import InfraFault

if TYPE_CHECKING:
    from pyvisa.resources import MessageBasedResource

    from qdhil.instruments.config import Addressed

_T = TypeVar("_T")
_CHUNK_BYTES = 1 << 20
_MAX_BLOCK_DIGITS = 9
_PATIENCE = 5
"""An exchange may take this many time-outs in all."""


def _resource_manager(backend: str) -> Any:
    """Return PyVISA's manager of a backend; PyVISA keeps one, and makes another if somebody closed it."""
    import pyvisa

    # every failure becomes an InfraFault; PyVISA's own log would only repeat it, with tracebacks
    pyvisa.logger.setLevel(logging.CRITICAL)
    return pyvisa.ResourceManager(backend)


class Session:
    """A VISA session that can be closed and opened again under the same handle.

    Parameters
    ----------
    rig, role
        Names for messages, such as ``"sim-a1"`` and ``"cryostat"``.
    instrument
        Resource string, terminators, time-out and expected identity.
    backend
        PyVISA backend such as ``"@py"``.
    """

    def __init__(self, rig: str, role: str, instrument: Addressed, backend: str) -> None:
        self.rig = rig
        self.role = role
        self._instrument = instrument
        self._backend = backend
        self._resource: MessageBasedResource | None = None
        self.identity: str | None = None
        """Last answer to ``*IDN?``; ``None`` before the first."""

    def open(self, *, identify: bool = True) -> None:
        """Connect and check the identity; an open session is left as it is.

        Parameters
        ----------
        identify
            Whether ``*IDN?`` is asked where an identity is expected; without it a mute instrument can
            still be told to reset.

        Raises
        ------
        InfraFault
            If nothing answers, or something else than expected.
        """
        if self._resource is not None:
            return
        with self._faults(f"connection to {self._instrument.resource}", "open", _REACH):
            resource = _resource_manager(self._backend).open_resource(
                self._instrument.resource, open_timeout=int(1000 * self._instrument.timeout_s)
            )
            resource.timeout = 1000 * self._instrument.timeout_s
            resource.chunk_size = _CHUNK_BYTES
            if self._instrument.terminator is not None:
                resource.read_termination = self._instrument.terminator.read
                resource.write_termination = self._instrument.terminator.write
        self._resource = resource
        if identify and self._instrument.expect_idn is not None:
            try:
                self._check_identity(self._instrument.expect_idn)
            except InfraFault:
                self.close()
                raise

    @property
    def expects_identity(self) -> bool:
        """Whether the rack file says what ``*IDN?`` must answer."""
        return self._instrument.expect_idn is not None

    def close(self) -> None:
        """Close the session; an unreachable instrument is no reason to fail."""
        resource, self._resource = self._resource, None
        if resource is not None:
            import pyvisa

            with contextlib.suppress(pyvisa.Error, OSError):
                resource.close()

    def close_when_dropped(self) -> bool:
        """Close once the instrument has dropped the connection, or after the time-out if it never does.

        Returns whether an open connection was dropped.

        After a reset this is what tells the old connection from the new: to connect at once could reach
        the instrument before it has read the command.
        """
        import pyvisa
        from pyvisa.constants import StatusCode

        dropped = False
        if self._resource is not None:
            try:
                self._resource.read_raw(1)
            except (pyvisa.Error, OSError, RuntimeError) as error:
                dropped = getattr(error, "error_code", None) != StatusCode.error_timeout
        self.close()
        return dropped

    def write(self, command: str, *, shown: str | None = None) -> None:
        """Send a command that has no answer; a message says ``shown`` instead of one that must not be read."""
        with self._faults(f"sending {shown or command}", "accepted", _REACH):
            self._open_resource().write(command)

    def write_block(self, command: str, payload: bytes) -> None:
        """Send a command followed by an IEEE-488.2 definite-length block."""
        size = str(len(payload))
        with self._faults(f"sending {command}", "accepted", _REACH):
            resource = self._open_resource()
            end = (resource.write_termination or "\n").encode()
            resource.write_raw(f"{command} #{len(size)}{size}".encode() + payload + end)

    def query(self, command: str) -> str:
        """Send a query and return its answer without line ending."""
        with self._faults(f"answer to {command}", f"within {self._instrument.timeout_s:g} s", _REACH):
            return str(self._open_resource().query(command)).strip()

    def query_block(self, command: str) -> memoryview:
        """Send a query and return the payload of its IEEE-488.2 definite-length block.

        Reads by exact length with TERMCHAR off: with it on, PyVISA-py splits a binary answer at
        every 0x0A byte, which is thirty times slower on a raw socket.
        """
        import pyvisa

        termchar = pyvisa.constants.ResourceAttribute.termchar_enabled
        with self._faults(f"answer to {command}", f"a whole block within {self._instrument.timeout_s:g} s", _REACH):
            resource = self._open_resource()
            resource.write(command)
            enabled = resource.get_visa_attribute(termchar)
            resource.set_visa_attribute(termchar, False)
            try:
                return self._read_block(resource)
            finally:
                resource.set_visa_attribute(termchar, enabled)

    def query_as(self, command: str, parse: Callable[[str], _T], quantity: str, band: str) -> _T:
        """Send a query and parse its answer; an answer that can't be parsed is a fault of the rig."""
        answer = self.query(command)
        try:
            return parse(answer)
        except ValueError as error:
            raise self.fault(quantity, repr(answer), band, "check firmware and cabling") from error

    def fault(self, quantity: str, last_value: object, band: str, advice: str = "") -> InfraFault:
        """Return (not raise) a fault of this instrument."""
        return InfraFault(self.rig, self.role, quantity, last_value, band, advice)

    def _open_resource(self) -> MessageBasedResource:
        if self._resource is None:
            self.open()
        if self._resource is None:
            raise self.fault("connection", "closed", "open")
        return self._resource

    def _check_identity(self, expected: str) -> None:
        self.identity = self.query("*IDN?")
        if not fnmatch.fnmatchcase(self.identity, expected):
            raise self.fault(
                "identity (*IDN?)",
                repr(self.identity),
                repr(expected),
                "check the resource string and what is plugged in",
            )

    def _read_block(self, resource: MessageBasedResource) -> memoryview:
        start = resource.read_bytes(2)
        if start[:1] != b"#" or not start[1:2].isdigit():
            raise self.fault("start of a block", repr(start), "'#' and the number of length digits")
        digits = int(start[1:2])
        if not 1 <= digits <= _MAX_BLOCK_DIGITS:
            raise self.fault("length digits of a block", digits, f"1 to {_MAX_BLOCK_DIGITS}")
        length = resource.read_bytes(digits)
        if not length.isdigit():
            raise self.fault("length of a block", repr(length), f"{digits} digits")
        size = int(length)
        return memoryview(_read_exactly(resource, size + 1))[:size]  # with the line feed that ends the message

    @contextmanager
    def _faults(self, quantity: str, band: str, advice: str) -> Iterator[None]:
        import pyvisa

        # VISA's time-out starts anew with every byte: an instrument that babbles on needs an end of its own
        patience_s = _PATIENCE * self._instrument.timeout_s
        lost_patience = threading.Event()
        watch = threading.Timer(patience_s, self._hang_up, (lost_patience,))
        watch.daemon = True
        watch.start()
        try:
            yield
        except (pyvisa.Error, OSError, ValueError, RuntimeError) as error:
            if lost_patience.is_set():
                last_value = f"bytes without an end for {patience_s:g} s"
                raise self.fault(quantity, last_value, band, "check baud rate, terminators and protocol") from error
            self.close()
            raise self.fault(quantity, _said_plainly(error), band, advice) from error
        finally:
            watch.cancel()

    def _hang_up(self, lost_patience: threading.Event) -> None:
        """Close the connection under a read that does not end."""
        lost_patience.set()
        self.close()


def _read_exactly(resource: MessageBasedResource, size: int) -> bytes | bytearray:
    """Read ``size`` bytes into one piece, where the backend gives them in one without another copy.

    PyVISA's ``read_bytes`` copies what it reads twice, which halves the rate of large blocks.
    """
    from pyvisa.constants import StatusCode

    with resource.ignore_warning(StatusCode.success_device_not_present, StatusCode.success_max_count_read):
        data: bytes | bytearray = resource.visalib.read(resource.session, size)[0]
    while len(data) < size:
        data += resource.read_bytes(min(size - len(data), _CHUNK_BYTES))
    return data


def _said_plainly(error: Exception) -> str:
    """Return what a VISA status means to the person at the rig."""
    from pyvisa.constants import StatusCode

    plain = {
        StatusCode.error_timeout: "none",
        StatusCode.error_resource_not_found: "refused, or not this protocol",
        StatusCode.error_connection_lost: "connection lost",
    }
    text = plain.get(getattr(error, "error_code", None))
    return text or " ".join(str(error).split()) or type(error).__name__


_REACH = "check power, network and the resource string in the rack file"
