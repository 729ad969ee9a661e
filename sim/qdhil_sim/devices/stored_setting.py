"""Settings that an instrument only keeps and reports: one line declares command, query, fields and first answer.

Beside :class:`~qdhil_sim.devices.setting.Setting`, whose one value has limits that the client may ask for and acts
on the bench; here any number of fields is answered in the instrument's own words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from qdhil_sim.protocol.parameters import Parameter
from qdhil_sim.protocol.scpi import Command, declared_command, suffix_count


class KeepsAnswers(Protocol):
    """An instrument with a place for answers, by header and then by suffixes and selectors."""

    values: dict[tuple[Any, ...], str]


def signed(value: Any) -> str:
    """Return a field as Lake Shore's controllers write it: numbers with sign and four decimals."""
    return f"{value:+.4f}" if isinstance(value, float) else str(value)


class StoredSetting:
    """A setting that is answered as it was set; in the device ``self.threshold[2]`` is the answer for input 2.

    Parameters
    ----------
    header
        The command's header, without question mark.
    default
        Answer before anything was set.
    fields
        What is set.
    selector
        Which input or output it is for, where a suffix of the header does not say; it comes before the fields
        and in the query.
    form
        How a field is written in answers.
    """

    def __init__(
        self,
        header: str,
        default: str,
        *fields: Parameter,
        selector: tuple[Parameter, ...] = (),
        form: Callable[[Any], str] = signed,
    ) -> None:
        self._header, self._default, self._form = header, default, form
        self._keyed = suffix_count(header) + len(selector)
        self.scpi_commands: list[Command] = [
            declared_command(header, self._set, *selector, *fields),
            declared_command(f"{header}?", self.answer, *selector),
        ]

    def __get__(self, instrument: Any, owner: type | None = None) -> Any:
        return self if instrument is None else _Answers(self, instrument)

    def answer(self, instrument: KeepsAnswers, *key: Any) -> str:
        """Return what the query is answered with."""
        return instrument.values.get((self._header, *key), self._default)

    def _set(self, instrument: KeepsAnswers, *written: Any) -> None:
        fields = written[self._keyed :]
        instrument.values[self._header, *written[: self._keyed]] = ",".join(map(self._form, fields))


class _Answers:
    """The answers of one instrument."""

    def __init__(self, setting: StoredSetting, instrument: KeepsAnswers) -> None:
        self._setting, self._instrument = setting, instrument

    def __getitem__(self, key: Any) -> str:
        return self._setting.answer(self._instrument, *(key if isinstance(key, tuple) else (key,)))
