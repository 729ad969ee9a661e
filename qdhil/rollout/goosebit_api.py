"""The REST interface of a goosebit server (0.2), as far as a rollout needs it.

Neither the password nor the token it buys ever stands in a message.
"""

from __future__ import annotations

import json
import secrets
import stat
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request

from qdhil.direct_http import direct_opener
from qdhil.errors import ConfigurationError, InfraFault
from qdhil.keys.secrets import may_carry_secret

_ANSWER_MAX_BYTES = 64 << 20
_FIELDS = {
    "devices": {"id", "feed", "force_update", "hardware", "last_state", "polling", "sw_version", "update_mode"},
    "rollouts": {"id", "feed", "paused", "software"},
    "software": {"id", "compatibility", "hash", "size"},
}


class GoosebitApi:
    """A goosebit server, spoken to as one of its users.

    Parameters
    ----------
    url
        Such as ``https://goosebit.example.org``.
    credentials
        File with the user's name and password, a line each.
    timeout_s
        How long an answer may take.
    """

    def __init__(self, url: str, credentials: Path, timeout_s: float) -> None:
        self._url = url.rstrip("/")
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._token = ""
        self._opener = direct_opener()
        if not may_carry_secret(url):
            raise ConfigurationError("goosebit: a password must not travel in clear; use https")
        if "@" in urlsplit(url).netloc:
            raise ConfigurationError("goosebit: no password in url; name a credentials file")

    def devices(self) -> list[dict[str, Any]]:
        """Return every device that ever polled, or was set up."""
        return self._listed("devices")

    def rollouts(self) -> list[dict[str, Any]]:
        """Return every rollout, of any feed."""
        return self._listed("rollouts")

    def software(self) -> list[dict[str, Any]]:
        """Return every file that can be rolled out."""
        return self._listed("software")

    def move(self, device: str, feed: str, *, force: bool) -> None:
        """Put a device into a feed; ``force`` has one that reported an error try again."""
        self._call("PATCH", "devices", {"devices": [device], "feed": feed, "force_update": force})

    def start_rollout(self, name: str, feed: str, software: int) -> None:
        """Offer a file to the devices of a feed."""
        self._call("PUT", "rollouts", {"name": name, "feed": feed, "software_id": software})

    def pause(self, rollouts: list[int], *, paused: bool) -> None:
        """Stop offering, or go on."""
        self._call("PATCH", "rollouts", {"ids": rollouts, "paused": paused})

    def upload(self, name: str, data: bytes) -> int:
        """Put a file on the server and return its number there.

        Raises
        ------
        ConfigurationError
            If the server does not take it.
        """
        edge = secrets.token_hex(16)
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        body = f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + data + f"\r\n--{edge}--\r\n".encode()
        try:
            answer = self._send("PUT", "/api/v1/software", body, f"multipart/form-data; boundary={edge}")
            return int(json.loads(answer)["id"])
        except HTTPError as error:
            with error:
                if error.code in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
                    other = "has another file of this version" if error.code == HTTPStatus.CONFLICT else "can't read it"
                    raise ConfigurationError(f"goosebit does not take {name}: it {other}") from None
                raise _fault("upload", f"status {error.code}") from None
        except (ValueError, LookupError, TypeError):
            raise _fault("upload", "an answer that is not goosebit's") from None

    def download(self, software: int, size_bytes: int) -> bytes:
        """Return a file as devices get it, up to a byte more than it should have."""
        try:
            return self._send("GET", f"/api/v1/download/{software}", answer_max_bytes=size_bytes + 1)
        except HTTPError as error:
            with error:
                raise _fault("download", f"status {error.code}") from None

    def _listed(self, what: str) -> list[dict[str, Any]]:
        answer = self._call("GET", what)
        found = answer.get(what) if isinstance(answer, dict) else None
        if not isinstance(found, list) or not all(
            isinstance(entry, dict) and entry.keys() >= _FIELDS[what] for entry in found
        ):
            raise _fault(what, "an answer that is not goosebit's")
        return found

    def _call(self, method: str, what: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        try:
            return json.loads(self._send(method, f"/api/v1/{quote(what)}", data))
        except HTTPError as error:
            with error:
                raise _fault(what, f"status {error.code}") from None
        except ValueError:
            raise _fault(what, "an answer that is not JSON") from None

    def _send(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        content: str = "application/json",
        answer_max_bytes: int = _ANSWER_MAX_BYTES,
    ) -> bytes:
        """Send a request, with a new token where the server has forgotten the old one."""
        for attempt in ("known token", "new token"):
            token = self._token or self._log_in()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": content}
            try:
                return self._exchange(Request(f"{self._url}{path}", data, headers, method=method), answer_max_bytes)
            except HTTPError as error:
                if error.code != HTTPStatus.UNAUTHORIZED or attempt == "new token":
                    raise
                error.close()
                self._token = ""
        raise _fault(path, "no answer")

    def _log_in(self) -> str:
        name, password = self._user()
        form = urlencode({"username": name, "password": password}).encode()
        try:
            answer = json.loads(self._exchange(Request(f"{self._url}/login", form, method="POST")))
            self._token = str(answer["access_token"])
        except HTTPError as error:
            with error:
                if error.code == HTTPStatus.UNAUTHORIZED:
                    raise ConfigurationError(f"goosebit: the user of {self._credentials} may not log in") from None
                raise _fault("login", f"status {error.code}") from None
        except (ValueError, LookupError, TypeError):
            raise _fault("login", "an answer that is not goosebit's") from None
        return self._token

    def _user(self) -> tuple[str, str]:
        try:
            if stat.S_IMODE(self._credentials.stat().st_mode) & 0o077:
                raise ConfigurationError(f"credentials {self._credentials}: others may read it; chmod 600")
            name, password = self._credentials.read_text(encoding="utf-8").split("\n")[:2]
        except (OSError, ValueError):
            raise ConfigurationError(
                f"credentials {self._credentials}: needs a name and a password, a line each"
            ) from None
        return name.strip(), password.strip()

    def _exchange(self, request: Request, answer_max_bytes: int = _ANSWER_MAX_BYTES) -> bytes:
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return bytes(answer.read(answer_max_bytes))
        except HTTPError:
            raise
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise _fault("answer", f"none ({type(reason).__name__})") from None


def _fault(quantity: str, last_value: str) -> InfraFault:
    return InfraFault("the fleet", "goosebit", quantity, last_value, "an answer")
