"""Settings that an instrument only keeps and reports: declared in one line, checked like any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from qdhil_sim.protocol.parameters import Parameter
from qdhil_sim.protocol.scpi import command


class KeepsSettings(Protocol):
    """An instrument with a place for stored settings."""

    settings: dict[tuple[Any, ...], str]


def stored_setting(
    header: str, default: str, *fields: Parameter, selector: tuple[Parameter, ...] = ()
) -> tuple[Callable[..., None], Callable[..., str]]:
    """Return the setter and the query of a setting.

    Parameters
    ----------
    header
        The command's header, without question mark.
    default
        Answer before anything was set.
    fields
        What is set.
    selector
        Which input or output it is for, if any; it comes before the fields and in the query.
    """
    chosen = len(selector)

    @command(header, *selector, *fields)
    def set_value(self: KeepsSettings, *values: Any) -> None:
        self.settings[header, *values[:chosen]] = ",".join(map(_format, values[chosen:]))

    @command(f"{header}?", *selector)
    def get_value(self: KeepsSettings, *values: Any) -> str:
        return self.settings.get((header, *values), default)

    return set_value, get_value


def _format(value: Any) -> str:
    return f"{value:+.4f}" if isinstance(value, float) else str(value)
