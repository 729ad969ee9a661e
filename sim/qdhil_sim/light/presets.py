"""Sources to simulate by name, of every kind, and where their numbers come from.

A profile says of each of its numbers how it is known: read in the publication (V), derived for this
project (D), simulated (S), from memory (M), or filled in because nobody says (unknown). It also carries
what was published of the source under the measure's own name; only a V is a fact to compare with.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from qdhil.errors import ConfigurationError
from qdhil.model_files import describe
from qdhil_sim.light.cascade import CascadeSetup
from qdhil_sim.light.continuous import ContinuousSetup
from qdhil_sim.light.demultiplexer import ArraySetup
from qdhil_sim.light.setup import Setup

Source = Setup | CascadeSetup | ContinuousSetup | ArraySetup
KINDS: Mapping[str, type[Setup] | type[CascadeSetup] | type[ContinuousSetup] | type[ArraySetup]] = {
    "pulsed": Setup,
    "cascade": CascadeSetup,
    "continuous": ContinuousSetup,
    "array": ArraySetup,
}
_NUMBER = re.compile(r"([<>]?)(\d+(?:\.\d+)?)(e-?\d+)?(?:\((\d+(?:\.\d+)?)\))?")
_BARE = {"schema_version", "title", "kind", "provenance"}


class Fact(NamedTuple):
    """One number of a profile, or one published measure of its source.

    Parameters
    ----------
    name
        Path of the field in the profile, or name of the measure.
    value
        Its value in the profile; ``None`` for a measure.
    published
        Published value; ``None`` where none is known, or the profile's own value is all there is.
    error
        Published standard deviation.
    tag, source
        How it is known, and from where.
    """

    name: str
    value: float | str | bool | None
    published: float | None
    error: float | None
    tag: str
    source: str


def source_names() -> dict[str, str]:
    """Return the kind of every source shipped with the simulator, by name."""
    root = resources.files("qdhil_sim.profiles")
    folders = {kind: root if kind == "pulsed" else root / kind for kind in KINDS}
    found = {_name(item): kind for kind, folder in folders.items() for item in folder.iterdir() if _is_toml(item)}
    return dict(sorted(found.items()))


def load_source(name_or_path: str | Path) -> Source:
    """Read a source of any kind, by name or as a TOML file; the file's ``kind`` decides, ``pulsed`` by default.

    Raises
    ------
    ConfigurationError
        With every error of the file and its path, one a line; or, for an unknown name, with the names there are.
    """
    label, text = _read(name_or_path)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{label}: not valid TOML: {error}") from error
    kind = table.get("kind", "pulsed")
    if kind not in KINDS:
        raise ConfigurationError(f"{label}: kind {kind!r} is not one of {', '.join(KINDS)}")
    try:
        return KINDS[kind].model_validate(table)
    except ValidationError as error:
        raise ConfigurationError(f"{label}:\n{describe(error)}") from error


def facts(source: Source) -> list[Fact]:
    """Return every number that the profile sets, then the published measures, with their provenance."""
    values = dict(_leaves(source, ""))
    known = source.provenance
    listed = []
    for name, value in values.items():
        entry = known.get(_covering(name, set(known)) or "")
        tag, text = (entry.tag, entry.source) if entry else ("unknown", "")
        listed.append(Fact(name, value, None, None, tag, text))
    for name, entry in known.items():
        if not any(leaf == name or leaf.startswith(f"{name}.") for leaf in values):
            listed.append(Fact(name, None, *_number(entry.source), entry.tag, entry.source))
    return listed


def _number(text: str) -> tuple[float | None, float | None]:
    match = _NUMBER.match(text)
    if match is None:
        return None, None
    bound, digits, power, error = match.groups()
    if bound:
        return None, None
    scale = float(f"1{power}") if power else 1.0
    if error is None:
        return float(digits) * scale, None
    decimals = len(digits.partition(".")[2])
    step = 1.0 if "." in error else 10.0**-decimals
    return float(digits) * scale, float(error) * step * scale


def _covering(name: str, known: set[str]) -> str | None:
    """Return the entry for a field itself or for the nearest table around it."""
    while name not in known:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return name


def _leaves(model: BaseModel, prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for field in type(model).model_fields:
        if field not in model.model_fields_set or (not prefix and field in _BARE):
            continue
        value = getattr(model, field)
        if isinstance(value, BaseModel):
            found += _leaves(value, f"{prefix}{field}.")
        elif isinstance(value, tuple):
            for place, item in enumerate(value):
                found += _leaves(item, f"{prefix}{field}.{place}.")
        else:
            found.append((f"{prefix}{field}", value))
    return found


def _read(name_or_path: str | Path) -> tuple[str, str]:
    name = str(name_or_path)
    try:
        if isinstance(name_or_path, Path) or "/" in name or name.endswith(".toml"):
            return f"profile file {name}", Path(name_or_path).read_text(encoding="utf-8-sig")
        kinds = source_names()
        if name not in kinds:
            raise ConfigurationError(f"source {name!r} is not known; there are: {', '.join(kinds)}")
        root = resources.files("qdhil_sim.profiles")
        folder = root if kinds[name] == "pulsed" else root / kinds[name]
        return f"source {name}", (folder / f"{name}.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"profile file {name}: {error}") from error


def _is_toml(item: Traversable) -> bool:
    return item.name.endswith(".toml")


def _name(item: Traversable) -> str:
    return item.name.removesuffix(".toml")
