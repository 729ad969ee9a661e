"""``github.toml``: which deployments are decided, and by what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from qdhil.keys.secrets import may_carry_secret
from qdhil.model_files import Digest, Strict, read_toml

_REPOSITORY = r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}"


class Environment(Strict):
    """What an environment of the repository deploys to."""

    hardware: Annotated[str, Field(min_length=1)]
    ring: Annotated[str, Field(min_length=1)]
    policy_sha256: Digest | None = None


class GithubApp(Strict):
    """The GitHub App that calls back with tokens of its own making."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,40}$")]
    """App id or client id."""
    key_file: Path
    """Private key of the app, PEM."""


class GithubSettings(Strict):
    """``github.toml``; paths are relative to it."""

    schema_version: Literal[1]
    api: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9/._-]+)?$")] = "https://api.github.com"
    """Where callbacks go, and nowhere else."""
    repositories: Annotated[tuple[Annotated[str, Field(pattern=f"^{_REPOSITORY}$")], ...], Field(min_length=1)]
    environments: Annotated[dict[str, Environment], Field(min_length=1)]
    bundles: Path
    """Folder of firmware bundles: their manifests say which firmware a commit is."""
    bundle_trust: Path | None = None
    """Trust file that names whose signatures on a bundle count."""
    unsigned_bundles: bool = False
    """Take a bundle at its word; only where nobody else can write to the folder."""
    webhook_secret_file: Path | None = None
    """Without it the environment variable QDHIL_GITHUB_WEBHOOK_SECRET."""
    token_file: Path | None = None
    """Installation token that something else keeps fresh; without it and without an app, QDHIL_GITHUB_TOKEN."""
    app: GithubApp | None = None

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.app is not None and self.token_file is not None:
            raise ValueError("either app or token_file")
        if (self.bundle_trust is None) != self.unsigned_bundles:
            raise ValueError("either bundle_trust or unsigned_bundles = true")
        if not may_carry_secret(self.api):
            raise ValueError("api: plain http only to this machine; a token travels with it")
        return self


def load_github(file: Path) -> GithubSettings:
    """Read ``github.toml``.

    Raises
    ------
    ConfigurationError
        With every mistake.
    """
    settings = read_toml(file, GithubSettings, "GitHub settings")
    base = file.resolve().parent
    app = settings.app and settings.app.model_copy(update={"key_file": base / settings.app.key_file})
    paths = {
        name: base / path
        for name in ("bundles", "bundle_trust", "webhook_secret_file", "token_file")
        if (path := getattr(settings, name)) is not None
    }
    return settings.model_copy(update={**paths, "app": app})
