"""Tokens: who may ask. Nothing here repeats one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from pathlib import Path

from qdhil.errors import ConfigurationError

VARIABLE = "QDHIL_SERVE_TOKEN"
SHORTEST = 20
"""Characters of a token; ``openssl rand -hex 24`` makes 48."""


class Tokens:
    """The tokens that open the endpoint.

    Parameters
    ----------
    file
        One token a line, read at every request, so that one can be replaced while another still holds.
        ``None`` takes the environment variable QDHIL_SERVE_TOKEN; without both, anyone may ask.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._from_environment = os.environ.get(VARIABLE, "")

    @property
    def required(self) -> bool:
        """Whether a request needs a token."""
        return self._file is not None or bool(self._from_environment)

    def check(self) -> None:
        """Refuse tokens that can't be used.

        Raises
        ------
        ConfigurationError
            If the file can't be read or holds none, or one is too short to be a secret.
        """
        if not self.required:
            return
        try:
            known = self._known()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"token file {self._file}: can't be read") from error
        where = VARIABLE if self._file is None else f"token file {self._file}"
        if not known or not all(map(_is_secret, known)):
            raise ConfigurationError(
                f"{where}: a token has at least {SHORTEST} characters, none of them blank, and there must be one"
            )

    def admit(self, authorization: bytes) -> bool:
        """Return whether an ``Authorization`` header carries a token: ``Bearer``, or ``Basic`` with it as password."""
        if not self.required:
            return True
        offered = _offered(authorization)
        try:
            known = self._known()
        except (OSError, UnicodeDecodeError):
            return False
        # every token is compared, each in a time that does not depend on where it differs
        matches = [
            hmac.compare_digest(_digest(offered), _digest(token.encode())) for token in known if _is_secret(token)
        ]
        return bool(offered) and any(matches)

    def _known(self) -> list[str]:
        text = self._from_environment if self._file is None else self._file.read_text(encoding="utf-8")
        return [line.strip() for line in text.splitlines() if line.strip()]


def _is_secret(token: str) -> bool:
    """Whether a line can be a token; a remark among them is none that anybody may guess."""
    return len(token) >= SHORTEST and len(token.split()) == 1


def _offered(authorization: bytes) -> bytes:
    scheme, _, rest = authorization.strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return rest.strip()
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
