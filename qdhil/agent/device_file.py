"""``agent.toml``: what a device is, whom it believes, and where it looks for the verdict of a firmware."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from qdhil.keys.secrets import may_carry_secret
from qdhil.model_files import Digest, Strict, read_toml

Text = Annotated[str, Field(min_length=1)]


class Attestations(Strict):
    """Where attestations are; a folder or a verdict endpoint."""

    folder: Text | None = None
    """Holds ``SHA256.attestation.json``, named after the image's digest."""
    url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")] | None = None
    """A ``qdhil serve``, such as ``https://gate.example.org:8023``."""
    token_file: Text | None = None
    """Holds the endpoint's token; without one it is taken from the environment variable ``QDHIL_AGENT_TOKEN``."""
    ca_file: Text | None = None
    """Certificates that the endpoint's must come from; without it, those that the system trusts."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 10
    """How long the endpoint may take for an answer."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.folder is None) == (self.url is None):
            raise ValueError("needs folder or url, and not both")
        if self.url is None and (self.token_file is not None or self.ca_file is not None):
            raise ValueError("token_file and ca_file belong to url")
        if self.url is not None and "@" in urlsplit(self.url).netloc:
            raise ValueError("no password in url: use token_file")
        return self

    @property
    def private(self) -> bool:
        """Whether a token may travel to the endpoint: encrypted, or within this machine."""
        return may_carry_secret(self.url or "")


class DeviceFile(Strict):
    """The whole file; paths in it start from its folder."""

    schema_version: Literal[1]
    hardware: Text
    """Hardware revision of the device, as the rack files of the rigs spell it."""
    ring: Text
    """Rollout ring of the device."""
    trust: Text = "trust.toml"
    """Whose signatures count."""
    policy_sha256: Digest | None = None
    """The policy that must have decided; without it, any that the trust file's requirements allow."""
    nonces: Text | None = None
    """Keeps what was accepted, so that an attestation opens once; only the device may write there."""
    attestations: Attestations | None = None
    """Without it the attestation lies beside the image, as ``IMAGE.attestation.json``."""


def load_device(file: Path) -> DeviceFile:
    """Read and check a device file.

    Raises
    ------
    ConfigurationError
        If it can't be read, with every error and its path, one a line.
    """
    return read_toml(file, DeviceFile, "device file")
