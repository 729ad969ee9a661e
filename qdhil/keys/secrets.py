"""Keep secrets out of what is written and sent: private keys, PINs, and whatever the environment calls a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from qdhil.errors import ConfigurationError

WITHHELD = "[withheld]"
_LONG = 8
"""From this length on a secret is looked for inside words as well: below, a digest could hold it by chance."""
_NAMES = re.compile(
    r"(^|_)(PIN|PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)$",
    re.IGNORECASE,
)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_BARE_KEY = re.compile(
    r"(?:MC4CAQAwBQYDK2Vw|MI[GH][0-9A-Za-z]AgE[AB]|MII[A-J][0-9A-Za-z]{2}IBA|M[HI][a-z]CAQEE)[0-9A-Za-z+/=\s]{20,}"
)
"""A private key in PEM (PKCS#8 or SEC 1) that has lost its first and last line."""
_PIN_VALUE = re.compile(r"(pin-value=)[^&;\s\"']*", re.IGNORECASE)
_USER_OF_URL = re.compile(r"(?<=://)[^/\s@]+@")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def withheld(text: str) -> str:
    """Return a text with every secret in it replaced by ``[withheld]``.

    Secrets are private keys in PEM, a PIN in a PKCS#11 URI, user and password of a URL, and the value of every
    environment variable whose name ends with PIN, PASSWORD, TOKEN, SECRET or the like.
    """
    for pattern in (_PEM, _BARE_KEY):
        text = pattern.sub(WITHHELD, text)
    text = _PIN_VALUE.sub(rf"\1{WITHHELD}", text)
    text = _USER_OF_URL.sub(f"{WITHHELD}@", text)
    for secret, _ in _from_environment():
        text = _pattern(secret).sub(WITHHELD, text)
    return text


def secret_in(text: str) -> str | None:
    """Return what kind of secret a text holds, or ``None``; short values of the environment are not looked for."""
    if _PEM.search(text) or _BARE_KEY.search(text):
        return "a private key"
    if _PIN_VALUE.search(text):
        return "a PIN"
    for secret, name in _from_environment():
        if len(secret) >= _LONG and secret in text:
            return f"the value of the environment variable {name}"
    return None


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Refuse a command line that holds a secret, before anything can repeat it.

    Raises
    ------
    ConfigurationError
        If an argument holds one; it is not repeated.
    """
    for argument in arguments:
        if (what := secret_in(argument)) is not None:
            raise ConfigurationError(
                f"{what} in a command line is no secret; name a file that holds it, "
                "a PIN's by pin-source=, or leave it in the environment"
            )


def may_carry_secret(url: str) -> bool:
    """Return whether a password or a token may travel to a URL: encrypted, or within this machine."""
    place = urlsplit(url)
    return place.scheme == "https" or place.hostname in _LOOPBACK


def _pattern(secret: str) -> re.Pattern[str]:
    escaped = re.escape(secret)
    return re.compile(escaped if len(secret) >= _LONG else rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])")


def _from_environment() -> list[tuple[str, str]]:
    """Return the environment's secrets and the variables that they are in, the longest first: one may hold another."""
    found = [
        (line.strip(), name)
        for name, value in os.environ.items()
        if _NAMES.search(name) and not _is_path(value)
        for line in value.splitlines()
        if line.strip()
    ]
    return sorted(found, key=lambda item: len(item[0]), reverse=True)


def _is_path(value: str) -> bool:
    """Whether a variable names the file that the secret is in."""
    return value.startswith("/") and len(value) < 1000 and Path(value).exists()
