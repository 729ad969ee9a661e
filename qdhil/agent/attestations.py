"""Get the attestation of one firmware: from a file, a folder, or a verdict endpoint. Nothing is believed here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from qdhil.errors import ConfigurationError, QdhilError, RefusedError, UndecidedError
from qdhil.exit_codes import ExitCode
from qdhil.gate.attestation import FILE_SUFFIX
from qdhil.keys.strict_json import SIZE_MAX_BYTES, parse_json
from qdhil.regular_files import read_regular

if TYPE_CHECKING:
    import ssl
    from urllib.request import OpenerDirector, Request

    from qdhil.agent.device_file import Attestations
    from qdhil.gate.attestation import Wanted

TOKEN_VARIABLE = "QDHIL_AGENT_TOKEN"
_REASON_S = 5.0


class GateFault(QdhilError):  # noqa: N818 -- a fault is the field's word
    """The verdict can't be had now, which says nothing about the firmware: ask again later."""

    exit_code = ExitCode.INFRA


def read_attestation(file: Path) -> bytes:
    """Return what lies in a file.

    Raises
    ------
    ConfigurationError
        If it can't be read.
    """
    try:
        with file.open("rb") as stream:
            return stream.read(SIZE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"attestation {file}: {error.strerror}") from error


def found_beside(image: Path) -> bytes:
    """Return the attestation that lies beside an image, as ``IMAGE.attestation.json``."""
    return _at_rest(image.with_name(image.name + FILE_SUFFIX))


def from_folder(folder: Path, firmware_sha256: str) -> bytes:
    """Return the attestation of a firmware from ``FOLDER/SHA256.attestation.json``."""
    return _at_rest(folder / f"{firmware_sha256}{FILE_SUFFIX}")


def _at_rest(file: Path) -> bytes:
    try:
        return read_regular(file, SIZE_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"attestation {file}: {error.strerror}") from error


@dataclass(frozen=True)
class Endpoint:
    """A ``qdhil serve`` somewhere.

    Parameters
    ----------
    settings
        Where, and how long to wait.
    folder
        What relative paths in the settings start from.
    """

    settings: Attestations
    folder: Path

    def attestation(self, wanted: Wanted) -> bytes:
        """Ask for the attestation of a firmware on a kind of hardware in a ring.

        Raises
        ------
        GateFault
            If there is no answer, or one that says nothing about the firmware.
        UndecidedError
            If nothing is known of it yet.
        RefusedError
            If the endpoint has an attestation that does not hold.
        ConfigurationError
            If the token or the certificates can't be used.
        """
        from urllib.request import HTTPSHandler, Request

        from qdhil.direct_http import direct_opener, within

        is_encrypted = (self.settings.url or "").startswith("https:")
        opener = direct_opener(HTTPSHandler(context=self._tls())) if is_encrypted else direct_opener()
        request = Request(self._address(wanted), headers=self._headers())
        try:
            return within(self.settings.timeout_s, lambda: self._answered(opener, request))
        except (OSError, ValueError, HTTPException) as error:
            # a URLError has the cause as its reason
            reason = getattr(error, "reason", None) or error
            raise GateFault(f"gate {self.settings.url}: no answer ({type(reason).__name__})") from None

    def _answered(self, opener: OpenerDirector, request: Request) -> bytes:
        from urllib.error import HTTPError

        try:
            with opener.open(request, timeout=self.settings.timeout_s) as answer:
                return _body(answer, monotonic() + self.settings.timeout_s)
        except HTTPError as error:
            with error:
                raise _without_attestation(error.code, error) from None

    def _address(self, wanted: Wanted) -> str:
        from urllib.parse import urlencode

        asked = {"hardware": wanted.hardware, "ring": wanted.ring}
        if wanted.policy_sha256 is not None:
            asked["policy"] = wanted.policy_sha256
        base = (self.settings.url or "").rstrip("/")
        return f"{base}/v1/attestation/{wanted.firmware_sha256}?{urlencode(asked)}"

    def _headers(self) -> dict[str, str]:
        token = self._token()
        if not token:
            return {}
        if not self.settings.private:
            raise ConfigurationError(f"gate {self.settings.url}: a token must not travel in clear; use https")
        return {"Authorization": f"Bearer {token}"}

    def _token(self) -> str:
        if self.settings.token_file is None:
            token = os.environ.get(TOKEN_VARIABLE, "").strip()
        else:
            try:
                token = (self.folder / self.settings.token_file).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError):
                raise ConfigurationError(
                    f"token file {self.folder / self.settings.token_file}: can't be read"
                ) from None
        if not token.isprintable() or not token.isascii() or " " in token:
            raise ConfigurationError("the token for the gate is no token: one word of printable characters")
        return token

    def _tls(self) -> ssl.SSLContext:
        import ssl

        ca_file = self.settings.ca_file
        try:
            return ssl.create_default_context(cafile=None if ca_file is None else str(self.folder / ca_file))
        except OSError as error:
            raise ConfigurationError(f"certificates {ca_file}: can't be used") from error


def _body(answer: Any, until: float) -> bytes:
    """Read an answer in the time for it, however slowly its bytes come."""
    body = bytearray()
    while len(body) <= SIZE_MAX_BYTES:
        if monotonic() > until:
            raise TimeoutError
        part = answer.read1(SIZE_MAX_BYTES)
        if not part:
            break
        body += part
    if len(body) <= SIZE_MAX_BYTES and answer.length:
        raise ConnectionError  # cut off: ask again, rather than refuse what is left of it
    return bytes(body)


def _without_attestation(status: int, answer: Any) -> QdhilError:
    """Return what an answer without an attestation means; none of them installs anything."""
    word = None
    if status == HTTPStatus.NOT_FOUND:
        try:
            said = parse_json(_body(answer, monotonic() + _REASON_S), "answer")
        except (RefusedError, OSError, HTTPException):
            said = None
        word = said.get("verdict") if isinstance(said, dict) else None
    if word == "pending":
        return UndecidedError("gate: there is no attestation of this firmware yet")
    if word == "refused":
        return RefusedError("gate: the attestation of this firmware does not hold")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return GateFault(f"gate: status {status}: it wants another token than this one")
    return GateFault(f"gate: status {status}: it can't tell now")
