"""Secrets pasted where a name belongs: stopped before anything can repeat them."""

from __future__ import annotations

from collections.abc import Sequence

from qdhil.errors import ConfigurationError

_MARKS = ("PRIVATE KEY-----", "pin-value=")


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Refuse a command line that holds a private key or a PIN, without repeating it.

    Raises
    ------
    ConfigurationError
        If an argument is one.
    """
    if any(mark in argument for argument in arguments for mark in _MARKS):
        raise ConfigurationError(
            "a private key or PIN in a command line is no secret; name the key's file, or the PIN's by pin-source="
        )
