"""Requests of the Simple Management Protocol, over UDP or a serial port, by the ``smpclient`` package.

Each attempt has a socket of its own, so that the late answer to one can't be taken for the answer to the next.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, TypeVar

from qdhil.errors import ConfigurationError, InfraFault
from qdhil.firmware.channels.image_upload import ImageRefused
from qdhil.instruments.firmware_settings import Smp

_T = TypeVar("_T")
_REACH = "check power, network and firmware.smp.address in the rack file"
_SECOND = 1.0


def smp_client(*, serial: bool) -> Any:
    """Return what is used of smpclient.

    Raises
    ------
    ConfigurationError
        If it, or what it needs for a serial port, isn't installed.
    """
    try:
        package = importlib.import_module("smpclient")
        found = SimpleNamespace(
            SMPClient=package.SMPClient,
            SMPUploadError=importlib.import_module("smpclient.exceptions").SMPUploadError,
            error=importlib.import_module("smpclient.generics").error,
            image=importlib.import_module("smpclient.requests.image_management"),
            os=importlib.import_module("smpclient.requests.os_management"),
            SMPUDPTransport=importlib.import_module("smpclient.transport.udp").SMPUDPTransport,
        )
        if serial:
            found.SMPSerialTransport = importlib.import_module("smpclient.transport.serial").SMPSerialTransport
    except ImportError as error:
        raise ConfigurationError(
            "firmware over SMP takes smpclient, which isn't installed: pip install 'qdhil[firmware]'"
        ) from error
    # every failure becomes an InfraFault; the package's own log would only repeat it, with tracebacks
    logging.getLogger("smpclient").setLevel(logging.CRITICAL)
    return found


class SmpLink:
    """The management server of one controller.

    Parameters
    ----------
    rig
        Name for messages.
    settings
        Its address and time-outs.
    client
        What :func:`smp_client` gives.
    """

    def __init__(self, rig: str, settings: Smp, client: Any) -> None:
        self._rig = rig
        self._settings = settings
        self._client = client

    def call(self, request: Callable[[Any], Any], what: str, *, attempts: int | None = None) -> Any:
        """Send a request until it is answered, and return the answer, which may be an error of the server's.

        Parameters
        ----------
        request
            Makes the request from :func:`smp_client`'s names.
        what
            What it asks for, for the message.
        attempts
            Instead of those of the settings.

        Raises
        ------
        InfraFault
            If there is no answer.
        """

        async def once() -> Any:
            async with self._connection() as (transport, address, connection):
                await transport.connect(address, self._settings.timeout_s)
                return await connection.request(request(self._client))

        last: Exception | None = None
        for _ in range(attempts or self._settings.attempts):
            try:
                return asyncio.run(_within(once(), 2 * self._settings.timeout_s + _SECOND))
            except Exception as error:  # whatever a third party's transport may raise
                last = error
        raise self.fault(f"answer over SMP to {what}", last, f"within {self._settings.timeout_s:g} s") from last

    def upload(self, image: bytes) -> None:
        """Send an image; what breaks off goes on where the server has got to.

        Raises
        ------
        ImageRefused
            If the server does not take it.
        InfraFault
            If it gets no further, or not in time.
        """
        at = [0]

        async def once() -> None:
            async with self._connection() as (_, _, connection):
                await connection.connect()  # asks how much the server takes at once
                # slot 0 is the first image, whose second slot the server writes to
                async for at[0] in connection.upload(
                    image, slot=0, upgrade=False, first_timeout_s=self._settings.erase_timeout_s
                ):
                    pass

        patience_s = self._settings.upload_timeout_s
        try:
            asyncio.run(_within(self._resumed(once, at), patience_s))
        except TimeoutError as error:
            last = f"{at[0]} of {len(image)} bytes"
            raise self.fault("firmware upload over SMP", last, f"done within {patience_s:g} s") from error

    async def _resumed(self, once: Callable[[], Coroutine[Any, Any, None]], at: list[int]) -> None:
        """Start the upload again and again; an attempt counts only if it got no further than those before."""
        failures, furthest = 0, 0
        while True:
            try:
                return await once()
            except self._client.SMPUploadError as error:
                raise self._refusal(error) from error
            except Exception as error:
                if at[0] > furthest:
                    failures, furthest = 0, at[0]
                failures += 1
                if failures >= self._settings.attempts:
                    last = f"stopped at byte {at[0]}: {_plain(error)}"
                    raise self.fault("firmware upload over SMP", last, "whole") from error

    def fault(self, quantity: str, last: object, band: str, advice: str = _REACH) -> InfraFault:
        """Return (not raise) a fault of the controller; an exception stands as what it says."""
        said = _plain(last) if isinstance(last, Exception) else last
        return InfraFault(self._rig, "controller", quantity, said, band, advice)

    def _refusal(self, error: Exception) -> InfraFault:
        answer = error.args[0] if error.args else None
        said = error_text(answer, self._client) if hasattr(answer, "RESPONSE_TYPE") else str(answer)
        advice = "check that the image is whole and for this hardware"
        return ImageRefused(self._rig, "controller", "firmware upload over SMP", said, "taken", advice)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[Any, str, Any]]:
        """Give a transport, the address to connect it to, and the client over it; disconnect in the end."""
        settings = self._settings
        if settings.udp is None:
            transport, address = self._client.SMPSerialTransport(baudrate=settings.baud_rate), settings.address
        else:
            address, port = settings.udp
            transport = _at_port(self._client.SMPUDPTransport, port)(mtu=settings.mtu_bytes)
        connection = self._client.SMPClient(transport, address, settings.timeout_s)
        try:
            yield transport, address, connection
        finally:
            with suppress(Exception):
                await connection.disconnect()


def error_text(answer: Any, client: Any) -> str | None:
    """Return what an error answer says, such as ``error NO_FREE_SLOT``; ``None`` for a success."""
    if not client.error(answer):
        return None
    detail = getattr(answer, "err", None)
    code = getattr(detail, "rc", getattr(answer, "rc", "unknown"))
    return f"error {getattr(code, 'name', code)}"


def _at_port(transport: Any, port: int) -> Any:
    """Return the UDP transport with another port than its own 1337, which its ``connect`` takes by default."""

    class AtPort(transport):  # type: ignore[misc]
        async def connect(self, address: str, timeout_s: float) -> None:
            await super().connect(address, timeout_s, port)

    return AtPort


async def _within(work: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
    async with asyncio.timeout(timeout_s):
        return await work


def _plain(error: Exception | None) -> str:
    if isinstance(error, TimeoutError):
        return "none"
    return " ".join(str(error).split()) or type(error).__name__
