"""Read files into pydantic models: unknown keys are errors, and all errors come at once with their path."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qdhil.errors import ConfigurationError

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest in lower-case hexadecimal."""


class Strict(BaseModel):
    """A model that refuses what it does not know, and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_Model = TypeVar("_Model", bound=BaseModel)


def read_toml(file: Path, model: type[_Model], what: str) -> _Model:
    """Read a TOML file; ``what`` names it in messages.

    Raises
    ------
    ConfigurationError
        If it can't be read, with every error and its path, one a line.
    """
    try:
        return model.model_validate(tomllib.loads(file.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ConfigurationError(f"{what} {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{what} {file}: not valid TOML: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{what} {file}:\n{describe(error)}") from error


def read_json(file: Path, model: type[_Model], what: str) -> _Model:
    """Read a JSON file; ``what`` names it in messages.

    Raises
    ------
    ConfigurationError
        If it can't be read, with every error and its path, one a line.
    """
    try:
        return model.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{what} {file}: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{what} {file}:\n{describe(error)}") from error


def describe(error: ValidationError) -> str:
    """Return every error of a validation with its path, one a line."""
    return "\n".join(f"  {'.'.join(map(str, item['loc'])) or '(file)'}: {item['msg']}" for item in error.errors())
