"""``trust.toml``: whose signatures count, how many it takes, and what a verdict must cover at least."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from qdhil.errors import ConfigurationError
from qdhil.keys.extra import PublicKey, public_key
from qdhil.model_files import Strict, read_toml

Hours = Annotated[float, Field(gt=0, le=24 * 366)]
_PLURAL = {"verdict": "verdicts", "firmware": "firmware", "audit": "heads of audit logs"}
SCHEMES = ("ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384")


class TrustedKey(Strict):
    """A public key and what its signature may be used for."""

    signs: Literal["verdict", "override", "firmware", "image", "downgrade", "audit"]
    """Verdicts, firmware manifests and MCUboot images are signed by machines, overrides by people."""
    person: Annotated[str, Field(min_length=1)] | None = None
    """Whose key it is; a person counts once, however many keys they have."""
    public: str
    """The public key in PEM."""

    @model_validator(mode="after")
    def _people_override(self) -> Self:
        if self.signs != "downgrade" and (self.signs == "override") != (self.person is not None):
            raise ValueError(
                "a key that signs overrides needs a person, one that signs verdicts, firmware or images has none"
            )
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


class FirmwareTrust(Strict):
    """What it takes to install firmware."""

    threshold: Annotated[int, Field(ge=1, le=16)] = 1
    """Different keys that must have signed a manifest."""
    downgrade_lifetime_max_h: Hours = 24
    """A permission to go back that claims to hold longer is refused."""


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
    firmware: FirmwareTrust = FirmwareTrust()
    keys: Annotated[dict[str, TrustedKey], Field(min_length=1)]

    @cached_property
    def verdict_keys(self) -> dict[str, PublicKey]:
        """Keys that sign verdicts, by name."""
        return self._keys("verdict")

    @cached_property
    def override_keys(self) -> dict[str, PublicKey]:
        """Keys that sign overrides, by name."""
        return self._keys("override")

    @cached_property
    def firmware_keys(self) -> dict[str, PublicKey]:
        """Keys that sign firmware manifests, by name."""
        return self._keys("firmware")

    @cached_property
    def image_keys(self) -> dict[str, PublicKey]:
        """Keys that sign MCUboot images, as the bootloaders know them, by name."""
        return self._keys("image")

    @cached_property
    def downgrade_keys(self) -> dict[str, PublicKey]:
        """Keys that permit to go back to older firmware, by name."""
        return self._keys("downgrade")

    @cached_property
    def audit_keys(self) -> dict[str, PublicKey]:
        """Keys that seal heads of audit logs, by name."""
        return self._keys("audit")

    def _keys(self, signs: str) -> dict[str, PublicKey]:
        return {name: _public_key(key, name) for name, key in self.keys.items() if key.signs == signs}

    def people(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the different people behind keys."""
        return tuple(dict.fromkeys(person for name in names if (person := self.keys[name].person) is not None))


def load_trust(file: Path, signs: Literal["verdict", "firmware", "audit"] = "verdict") -> Trust:
    """Read and check a trust file.

    Parameters
    ----------
    file
        The file.
    signs
        What it is read for: enough keys for that must be in it.

    Raises
    ------
    ConfigurationError
        If it can't be read, a key is unknown or there twice, or the threshold can't be reached.
    """
    trust = read_toml(file, Trust, "trust file")
    seen: dict[str, str] = {}
    for name, key in trust.keys.items():
        keyid = _public_key(key, name).keyid
        if keyid in seen:
            raise ConfigurationError(f"trust file {file}: keys {seen[keyid]} and {name} are one key")
        seen[keyid] = name
    threshold = {"verdict": trust.threshold, "firmware": trust.firmware.threshold, "audit": 1}[signs]
    found = sum(key.signs == signs for key in trust.keys.values())
    if found < threshold:
        raise ConfigurationError(
            f"trust file {file}: threshold {threshold}, but {found} keys that sign {_PLURAL[signs]}"
        )
    return trust


def _public_key(trusted: TrustedKey, name: str) -> Any:
    try:
        key = public_key(trusted.public)
    except ValueError as error:
        raise ConfigurationError(f"trust file, key {name}: not a public key in PEM") from error
    if key.scheme not in SCHEMES:
        raise ConfigurationError(f"trust file, key {name}: {key.scheme} is not among {', '.join(SCHEMES)}")
    return key
