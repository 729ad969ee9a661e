"""Libraries that only some formats need, imported when such a file is met."""

from __future__ import annotations

import importlib
from typing import Any

from qdhil.errors import ConfigurationError


def optional(module: str, extra: str, what: str) -> Any:
    """Import a library of an optional extra.

    Parameters
    ----------
    module
        Its name, such as ``"h5py"``.
    extra
        The extra of the qdhil distribution that brings it.
    what
        What needs it, for the message.

    Raises
    ------
    ConfigurationError
        If it isn't installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"{what} takes {module}, which isn't installed: pip install 'qdhil[{extra}]'"
        ) from error
