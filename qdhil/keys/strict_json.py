"""JSON that says one thing only: no doubled key, no trailing data, no NaN, one model for every field."""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from qdhil.errors import RefusedError
from qdhil.model_files import describe

SIZE_MAX_BYTES = 1 << 20
"""Signed statements are a few kilobytes; what is larger is not one."""

_Model = TypeVar("_Model", bound=BaseModel)


def parse_json(data: bytes, what: str) -> Any:
    """Return the value of a JSON document.

    Parameters
    ----------
    data
        UTF-8 without a byte order mark.
    what
        Names the document in messages.

    Raises
    ------
    RefusedError
        If two readers could understand it differently, or it is no JSON at all.
    """
    if len(data) > SIZE_MAX_BYTES:
        raise RefusedError(f"{what}: larger than {SIZE_MAX_BYTES} bytes")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{what}: not plain JSON ({type(error).__name__})") from error


def as_model(value: Any, model: type[_Model], what: str) -> _Model:
    """Read a parsed value into a model, without turning one type into another.

    Raises
    ------
    RefusedError
        If a field is missing, unknown, or of another type.
    """
    try:
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise RefusedError(f"{what}: {describe(error).strip()}".replace("\n", ";")) from error
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{what}: not plain JSON ({type(error).__name__})") from error


def to_json(value: Any) -> bytes:
    """Return the one byte sequence that stands for a value here: sorted keys, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key twice in one object")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
