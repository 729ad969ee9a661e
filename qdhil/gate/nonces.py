"""Attestations that were used once and open nothing again."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock, Timeout

from qdhil.errors import ConfigurationError, RefusedError

_LOCK_TIMEOUT_S = 30.0


class NonceStore:
    """A file with a nonce a line, made at first use.

    Parameters
    ----------
    file
        Where it is; on the device that installs, out of reach of whoever delivers attestations.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def use(self, nonce: str, what: str) -> None:
        """Keep a nonce, on the disk before this returns.

        Parameters
        ----------
        nonce
            What came with the statement.
        what
            Names the statement in messages.

        Raises
        ------
        RefusedError
            If it was used before.
        ConfigurationError
            If the file can't be read or written; nothing may be installed then.
        """
        try:
            with FileLock(f"{self._file}.lock", timeout=_LOCK_TIMEOUT_S):
                self._add(nonce, what)
        except Timeout as error:
            raise ConfigurationError(f"nonce store {self._file}: locked by another process") from error
        except OSError as error:
            raise ConfigurationError(f"nonce store {self._file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"nonce store {self._file}: damaged") from error

    def _add(self, nonce: str, what: str) -> None:
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+", encoding="ascii") as stream:
            text = stream.read()
            if nonce in text.split():
                raise RefusedError(f"{what}: used before; it opens nothing twice")
            # a line that a crash cut off must not swallow this one
            stream.write(("" if text.endswith("\n") or not text else "\n") + nonce + "\n")
            stream.flush()
            os.fsync(stream.fileno())
