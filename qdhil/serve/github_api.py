"""Calls to GitHub's REST API: to one host, with a token that appears nowhere else, following no redirect."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from qdhil import __version__
from qdhil.errors import ConfigurationError

if TYPE_CHECKING:
    from qdhil.serve.github_settings import GithubSettings

TOKEN_VARIABLE = "QDHIL_GITHUB_TOKEN"
_TIMEOUT_S = 10.0
_ANSWER_MAX_BYTES = 1 << 20
_TOKEN_HOLDS_S = 50 * 60.0
"""Installation tokens hold for an hour."""


class GithubFault(Exception):  # noqa: N818 -- a fault is the field's word
    """A call that did not succeed; the message holds no secret."""


def secret_of(file: Path | None, variable: str, what: str) -> str:
    """Return a secret from a file or the environment.

    Raises
    ------
    ConfigurationError
        If there is none.
    """
    try:
        secret = os.environ.get(variable, "") if file is None else file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{what}: {file} can't be read") from error
    if not secret:
        raise ConfigurationError(f"{what}: neither a file with it nor {variable}")
    return secret


class GithubApi:
    """Calls to one API, as the settings say.

    Parameters
    ----------
    settings
        Where it is, and whose token to use.
    """

    def __init__(self, settings: GithubSettings) -> None:
        self._settings = settings
        self._made: dict[int, tuple[float, str]] = {}
        self._lock = threading.Lock()

    def check(self) -> None:
        """Refuse settings without a token or a key.

        Raises
        ------
        ConfigurationError
            With the reason.
        """
        if self._settings.app is not None:
            self._app_token()
        else:
            self._token(None)

    def post(self, url: str, body: dict[str, Any], installation: int | None = None) -> dict[str, Any]:
        """Send a JSON object and return what is answered.

        Raises
        ------
        GithubFault
            If the URL is not of this API, or it did not answer with 2xx in time.
        """
        try:
            token = self._token(installation)
        except ConfigurationError as error:
            raise GithubFault(str(error)) from None
        return self._send(url, body, token)

    def _send(self, url: str, body: dict[str, Any] | None, token: str) -> dict[str, Any]:
        target, api = urlsplit(url), urlsplit(self._settings.api)
        if (target.scheme, target.netloc) != (api.scheme, api.netloc):
            raise GithubFault("a call to another host than the API was refused")
        connection: http.client.HTTPConnection
        if target.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                target.hostname or "", target.port, timeout=_TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=_TIMEOUT_S)
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "User-Agent": f"qdhil/{__version__}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        try:
            connection.request("POST", target.path, json.dumps(body or {}).encode(), headers)
            answer = connection.getresponse()
            text = answer.read(_ANSWER_MAX_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise GithubFault(f"the API did not answer ({type(error).__name__})") from None
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise GithubFault(f"the API answered {answer.status}")
        try:
            value = json.loads(text) if text else {}
        except ValueError:
            value = {}
        return value if isinstance(value, dict) else {}

    def _token(self, installation: int | None) -> str:
        if self._settings.app is None:
            return secret_of(self._settings.token_file, TOKEN_VARIABLE, "GitHub token")
        if installation is None:
            raise ConfigurationError("the webhook names no installation of the app")
        with self._lock:
            until, token = self._made.get(installation, (0.0, ""))
            if until <= time.monotonic():
                url = f"{self._settings.api}/app/installations/{installation}/access_tokens"
                token = str(self._send(url, None, self._app_token()).get("token", ""))
                if not token:
                    raise ConfigurationError("the API gave no installation token")
                self._made[installation] = (time.monotonic() + _TOKEN_HOLDS_S, token)
        return token

    def _app_token(self) -> str:
        """Return a JSON web token (RFC 7519, RS256) by which the app proves itself for nine minutes."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        app = self._settings.app
        if app is None:
            raise ConfigurationError("no GitHub App in the settings")
        try:
            key = load_pem_private_key(app.key_file.read_bytes(), None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigurationError("the private key of the GitHub App can't be read") from error
        if not isinstance(key, RSAPrivateKey):
            raise ConfigurationError("the private key of the GitHub App is no RSA key")
        now = int(time.time())
        claims = {"iat": now - 60, "exp": now + 540, "iss": app.id}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
        return (signed + b"." + _base64url(key.sign(signed, PKCS1v15(), SHA256()))).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
