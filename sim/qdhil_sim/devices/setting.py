"""Settings of a SCPI instrument: one line declares the command, its query, limits, units and reset value.

A numeric setting understands ``MIN``, ``MAX`` and ``DEF`` in the command and in the query, and ``UP`` and
``DOWN`` where it has a step. The setting is read in the device as an attribute: ``self.frequency_hz``, or
``self.voltage_v[channel]`` where a header has numeric suffixes or selectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Protocol

from qdhil_sim.protocol.errors import ScpiError
from qdhil_sim.protocol.parameters import Parameter, optional
from qdhil_sim.protocol.scpi import Command, declared_command, suffix_count

Key = tuple[Any, ...]
Form = Callable[[Any], str]


class HoldsSettings(Protocol):
    """An instrument with settings."""

    values: dict[tuple[Any, ...], Any]

    def apply(self) -> None:
        """Act on the world as the settings now say."""


class Step(Enum):
    """A setting moved by its step."""

    UP = 1
    DOWN = -1


def plain(value: Any) -> str:
    """Return a value as most instruments write it: numbers in scientific notation, booleans as 0 and 1."""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.6E}" if isinstance(value, float) else str(value)


def quoted(value: Any) -> str:
    """Return a string in double quotes."""
    return '"' + str(value).replace('"', '""') + '"'


class Setting:
    """One setting.

    Parameters
    ----------
    headers
        The header as in the manual, and further ones that mean the same.
    parameter
        What may be set; its default is the value after a reset.
    reset
        The value after a reset where the parameter has no default of its own.
    form
        How the value is written in answers.
    selector
        Parameters before the value that choose which one is meant (not suffixes of the header).
    chosen
        Returns the key of the one that is meant, for instruments that select it by another command.
    step
        Returns the step of ``UP`` and ``DOWN``.
    check
        Called with instrument and value before it is set; raises what the instrument would queue.
    read, write
        For a quantity that follows from others: called with instrument and key, and with the new value.
    """

    def __init__(
        self,
        *headers: str,
        parameter: Parameter,
        reset: Any = None,
        form: Form = plain,
        selector: tuple[Parameter, ...] = (),
        chosen: Callable[[Any], Key] | None = None,
        step: Callable[[Any], float] | None = None,
        check: Callable[[Any, Any], None] | None = None,
        read: Callable[[Any, Key], Any] | None = None,
        write: Callable[[Any, Key, Any], None] | None = None,
    ) -> None:
        self.name = headers[0]
        self.parameter = parameter
        self.reset = parameter.default if reset is None else reset
        self._form, self._chosen, self._step, self._check = form, chosen, step, check
        self._read, self._write = read, write
        self._keyed = suffix_count(headers[0]) + len(selector)
        value = _steppable(parameter) if step else parameter
        self.scpi_commands: list[Command] = []
        for header in headers:
            asked = [optional(Parameter(self._keyword), None)] if parameter.keywords else []
            self.scpi_commands += [
                declared_command(header, self._set, *selector, value),
                declared_command(f"{header}?", self._get, *selector, *asked),
            ]

    def __get__(self, instrument: Any, owner: type | None = None) -> Any:
        if instrument is None:
            return self
        if self._keyed or self._chosen:
            return _Keyed(self, instrument)
        return self.value(instrument, ())

    def __set__(self, instrument: Any, value: Any) -> None:
        self.change(instrument, (), value)

    def value(self, instrument: HoldsSettings, key: Key) -> Any:
        """Return the value now."""
        if self._read is not None:
            return self._read(instrument, key)
        return instrument.values.get((self.name, *key), self.reset)

    def _key(self, instrument: HoldsSettings, written: tuple[Any, ...]) -> Key:
        return self._chosen(instrument) if self._chosen else written[: self._keyed]

    def _set(self, instrument: HoldsSettings, *written: Any) -> None:
        key, value = self._key(instrument, written), written[-1]
        if isinstance(value, Step) and self._step is not None:
            value = self.value(instrument, key) + value.value * self._step(instrument)
            if not self.parameter.keywords["MIN"] <= value <= self.parameter.keywords["MAX"]:
                raise ScpiError(-222, f"{value:g}")
        if self._check is not None:
            self._check(instrument, value)
        self.change(instrument, key, value)
        instrument.apply()

    def change(self, instrument: HoldsSettings, key: Key, value: Any) -> None:
        """Give the setting a value that was checked."""
        if self._write is not None:
            self._write(instrument, key, value)
        else:
            instrument.values[(self.name, *key)] = value

    def _get(self, instrument: HoldsSettings, *written: Any) -> str:
        extreme = written[-1] if self.parameter.keywords else None
        return self._form(self.value(instrument, self._key(instrument, written)) if extreme is None else extreme)

    def _keyword(self, data: bytes) -> float:
        word = data.strip().upper().decode("latin-1")
        if word not in self.parameter.keywords:
            raise ScpiError(-224, word)
        return self.parameter.keywords[word]


class _Keyed:
    """The values of a setting that there are several of."""

    def __init__(self, setting: Setting, instrument: Any) -> None:
        self._setting, self._instrument = setting, instrument

    def __getitem__(self, key: Any) -> Any:
        return self._setting.value(self._instrument, key if isinstance(key, tuple) else (key,))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._setting.change(self._instrument, key if isinstance(key, tuple) else (key,), value)


def _steppable(parameter: Parameter) -> Parameter:
    words = {"UP": Step.UP, "DOWN": Step.DOWN}

    def convert(data: bytes) -> Any:
        word = data.strip().upper().decode("latin-1")
        return words[word] if word in words else parameter.convert(data)

    return Parameter(convert, keywords=parameter.keywords, default=parameter.default)


class Family:
    """The same setting for several functions: ``SOURce:{}:RANGe`` for voltage and for current.

    Parameters
    ----------
    template
        The header with ``{}`` for the function.
    parameters
        The parameter of each function, by the function as it stands in the header, ``VOLTage[:DC]``.

    In the device ``self.source_range["VOLT"]`` is the value; the key is the function's short form.
    """

    def __init__(self, template: str, parameters: Mapping[str, Parameter], **options: Any) -> None:
        self._settings = {
            short_form(function): Setting(template.format(function), parameter=parameter, **options)
            for function, parameter in parameters.items()
        }
        self.scpi_commands = [found for setting in self._settings.values() for found in setting.scpi_commands]

    def __get__(self, instrument: Any, owner: type | None = None) -> Any:
        return self if instrument is None else _Members(self._settings, instrument)


class _Members:
    """The values of a family."""

    def __init__(self, settings: Mapping[str, Setting], instrument: Any) -> None:
        self._settings, self._instrument = settings, instrument

    def __getitem__(self, function: str) -> Any:
        return self._settings[function].value(self._instrument, ())

    def __setitem__(self, function: str, value: Any) -> None:
        self._settings[function].__set__(self._instrument, value)


def short_form(name: str) -> str:
    """Return the short form of a mnemonic as a manual writes it: ``VOLTage[:DC]`` is ``VOLT``."""
    return "".join(letter for letter in name.partition("[")[0] if not letter.islower())
