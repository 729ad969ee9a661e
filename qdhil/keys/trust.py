"""``trust.toml``: whose signatures count, how many it takes, and what a verdict must cover at least."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from qdhil.errors import ConfigurationError
from qdhil.keys.extra import PublicKey, signing
from qdhil.model_files import Strict, read_toml

Hours = Annotated[float, Field(gt=0, le=24 * 366)]
SCHEMES = ("ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384")


class TrustedKey(Strict):
    """A public key and what its signature may be used for."""

    signs: Literal["verdict", "override"]
    """Verdicts are signed by machines, overrides by people."""
    person: Annotated[str, Field(min_length=1)] | None = None
    """Whose key it is; a person counts once, however many keys they have."""
    public: str
    """The public key in PEM."""

    @model_validator(mode="after")
    def _people_override(self) -> Self:
        if (self.signs == "override") != (self.person is not None):
            raise ValueError("a key that signs overrides needs a person, a key that signs verdicts has none")
        return self


class Required(Strict):
    """What a PASS must cover, whatever the policy of the run asked for."""

    metrics: tuple[str, ...] = ()
    """Definitions that must have passed on every rig."""
    rigs: Annotated[int, Field(ge=1)] = 1
    """Number of rigs at least."""
    physical: bool = False
    """Only rigs of the real kind count."""


class OverridePolicy(Strict):
    """The ceiling of every override."""

    rings: tuple[str, ...]
    """Rings that may be opened by people at all."""
    lifetime_max_h: Hours
    """Longest time from request to expiry."""


class Trust(Strict):
    """The whole file."""

    schema_version: Literal[1]
    threshold: Annotated[int, Field(ge=1, le=16)]
    """Different keys that must have signed a verdict."""
    clock_skew_s: Annotated[float, Field(ge=0, le=3600)] = 60
    """A statement may come from this far in the future; expiry has no grace."""
    lifetime_max_h: Hours
    """A verdict that claims to hold longer is refused."""
    require: Required = Required()
    override: OverridePolicy | None = None
    """Without it no override is accepted."""
    keys: Annotated[dict[str, TrustedKey], Field(min_length=1)]

    @cached_property
    def verdict_keys(self) -> dict[str, PublicKey]:
        """Keys that sign verdicts, by name."""
        return {name: _public_key(key, name) for name, key in self.keys.items() if key.signs == "verdict"}

    @cached_property
    def override_keys(self) -> dict[str, PublicKey]:
        """Keys that sign overrides, by name."""
        return {name: _public_key(key, name) for name, key in self.keys.items() if key.signs == "override"}

    def people(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the different people behind keys."""
        return tuple(dict.fromkeys(person for name in names if (person := self.keys[name].person) is not None))


def load_trust(file: Path) -> Trust:
    """Read and check a trust file.

    Raises
    ------
    ConfigurationError
        If it can't be read, a key is unknown or there twice, or the threshold can't be reached.
    """
    trust = read_toml(file, Trust, "trust file")
    seen: dict[str, str] = {}
    for name, key in (trust.verdict_keys | trust.override_keys).items():
        if key.keyid in seen:
            raise ConfigurationError(f"trust file {file}: keys {seen[key.keyid]} and {name} are one key")
        seen[key.keyid] = name
    if len(trust.verdict_keys) < trust.threshold:
        raise ConfigurationError(
            f"trust file {file}: threshold {trust.threshold}, but {len(trust.verdict_keys)} keys that sign verdicts"
        )
    return trust


def _public_key(trusted: TrustedKey, name: str) -> Any:
    library = signing()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = library.SSlibKey.from_crypto(load_pem_public_key(trusted.public.encode()))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"trust file, key {name}: not a public key in PEM") from error
    if key.scheme not in SCHEMES:
        raise ConfigurationError(f"trust file, key {name}: {key.scheme} is not among {', '.join(SCHEMES)}")
    return key
