"""Settings of an instrument with many like channels, chosen by a suffix or by a channel list at the end.

``SOURce3:FILTer HIGH`` and ``SOURce:FILTer HIGH,(@1,3:5)`` set the same setting; a query with a list answers
with one value for each channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qdhil_sim.devices.setting import plain
from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import Parameter, channel_list, optional
from qdhil_sim.protocol.scpi import Command, declared_command


class ChannelSettings:
    """Settings by header, all of them for every channel.

    Parameters
    ----------
    prefix
        The first node with the suffix's limits: ``SOURce<1-24>``.
    rows
        The parameter of each header below it; its default is the value after a reset.
    channels
        How many channels there are.

    In the device ``self.source["FILTer", 3]`` is the value of channel 3.
    """

    def __init__(self, prefix: str, rows: Mapping[str, Parameter], channels: int) -> None:
        self._prefix, self._rows = prefix, rows
        self.scpi_commands: list[Command] = []
        listed = optional(channel_list(1, channels), None)
        for header, parameter in rows.items():
            pattern = f"{prefix}:{header}"
            asked = Parameter(_keyword_or_list(parameter, channels), required=False)
            self.scpi_commands.append(declared_command(pattern, self._setter(header), parameter, listed))
            self.scpi_commands.append(declared_command(f"{pattern}?", self._getter(header), asked))

    def __get__(self, instrument: Any, owner: type | None = None) -> Any:
        return self if instrument is None else _Values(self, instrument)

    def value(self, instrument: Any, header: str, channel: int) -> Any:
        """Return the value of one channel."""
        return instrument.values.get((self._prefix, header, channel), self._rows[header].default)

    def change(self, instrument: Any, header: str, channel: int, value: Any) -> None:
        """Give one channel a value that was checked."""
        instrument.values[(self._prefix, header, channel)] = value

    def _setter(self, header: str) -> Callable[..., None]:
        def set_value(instrument: Any, channel: int, value: Any, listed: list[int] | None) -> None:
            for each in listed or [channel]:
                self.change(instrument, header, each, value)
            instrument.apply()

        return set_value

    def _getter(self, header: str) -> Callable[..., str]:
        def get_value(instrument: Any, channel: int, asked: Any) -> str:
            if isinstance(asked, float):
                return plain(asked)
            return ",".join(plain(self.value(instrument, header, each)) for each in asked or [channel])

        return get_value


class _Values:
    """The values of the settings of one instrument."""

    def __init__(self, settings: ChannelSettings, instrument: Any) -> None:
        self._settings, self._instrument = settings, instrument

    def __getitem__(self, key: tuple[str, int]) -> Any:
        return self._settings.value(self._instrument, *key)

    def __setitem__(self, key: tuple[str, int], value: Any) -> None:
        self._settings.change(self._instrument, *key, value)


def _keyword_or_list(parameter: Parameter, channels: int) -> Callable[[bytes], Any]:
    listed = channel_list(1, channels)

    def convert(data: bytes) -> Any:
        if data.strip().startswith(b"("):
            return listed.convert(data)
        word = data.strip().upper().decode("latin-1")
        if word not in parameter.keywords:
            raise ScpiError(-224, word)
        return float(parameter.keywords[word])

    return convert
