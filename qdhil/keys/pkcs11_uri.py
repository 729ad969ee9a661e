"""PKCS#11 URIs (RFC 7512): which token and key, which library, and where the PIN is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from qdhil.errors import ConfigurationError

PIN_VARIABLE = "QDHIL_PIN"
MODULE_VARIABLE = "PYKCS11LIB"
_PATH = ("token", "id", "object", "type")
_QUERY = ("module-path", "pin-source")


@dataclass(frozen=True)
class TokenKey:
    """A key inside a token.

    Parameters
    ----------
    token
        Label of the token.
    key_id
        The key's CKA_ID.
    module
        The token's PKCS#11 library.
    pin_file
        File that holds the PIN; without one it is in the environment variable ``QDHIL_PIN``.
    """

    token: str
    key_id: bytes
    module: str
    pin_file: Path | None

    @classmethod
    def parse(cls, uri: str, what: str) -> TokenKey:
        """Read a URI such as ``pkcs11:token=qdhil;id=%01?module-path=/usr/lib/softhsm/libsofthsm2.so``.

        Raises
        ------
        ConfigurationError
            If an attribute is missing, unknown, or a secret; the URI itself is never repeated.
        """
        path, _, query = uri.removeprefix("pkcs11:").partition("?")
        fields = _attributes(path, ";", _PATH, what) | _attributes(query, "&", _QUERY, what)
        module = unquote(fields.get("module-path", "")) or os.environ.get(MODULE_VARIABLE, "")
        if not fields.get("token") or not fields.get("id"):
            raise ConfigurationError(f"{what}: a PKCS#11 URI needs token= and id=")
        if not module:
            raise ConfigurationError(f"{what}: a PKCS#11 URI needs ?module-path=, or {MODULE_VARIABLE} be set")
        source = unquote(fields.get("pin-source", "")).removeprefix("file:")
        return cls(unquote(fields["token"]), unquote_to_bytes(fields["id"]), module, Path(source) if source else None)

    def pin(self, what: str) -> str:
        """Return the PIN.

        Raises
        ------
        ConfigurationError
            If there is none.
        """
        if self.pin_file is None:
            pin = os.environ.get(PIN_VARIABLE, "")
        else:
            try:
                pin = self.pin_file.read_text().strip()
            except (OSError, ValueError):
                pin = ""
        if not pin:
            raise ConfigurationError(f"{what}: no PIN; set {PIN_VARIABLE}, or name a file by ?pin-source=file:PATH")
        return pin


def _attributes(text: str, separator: str, known: tuple[str, ...], what: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise ConfigurationError(f"{what}: a PIN in a command line is no secret; use pin-source or {PIN_VARIABLE}")
        if not equals or name not in known or name in fields:
            raise ConfigurationError(f"{what}: a PKCS#11 URI takes {', '.join(_PATH)} and ?{', '.join(_QUERY)}, once")
        fields[name] = value
    return fields
