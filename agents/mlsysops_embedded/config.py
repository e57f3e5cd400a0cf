"""Configuration files of the engine's processes."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

__all__ = [
    "BootstrapConfig",
    "ConfigError",
    "ControlPlaneConfig",
    "KubeconfigEntry",
    "KubeletCertificate",
    "Listen",
    "Member",
    "Propagation",
    "ServerName",
    "load_config",
]

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(Exception):
    """A configuration file that is absent, unreadable or wrong; the text is one line."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="after")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        if isinstance(value, Path) and not value.is_absolute():
            raise ValueError("must be an absolute path")
        return value


class Listen(_Strict):
    """Where a server listens."""

    address: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)


class Propagation(_Strict):
    """Whether Karmada's controllers run here; workloads are templates then, and run in members alone."""

    enabled: bool = False


class Member(_Strict):
    """The control plane above, which this one joins as a pull-mode cluster."""

    cluster: str
    kubeconfig: Path


class Lease(_Strict):
    """Heartbeats: how long those of nodes and members hold here, and how this control plane's own as a member are."""

    duration: float = Field(default=40.0, gt=0)
    renew: float = Field(default=10.0, gt=0)


class ControlPlaneConfig(_Strict):
    """`controlplane --config`."""

    name: str
    data_dir: Path
    listen: Listen
    pki_dir: Path
    service_cidr: IPv4Network = IPv4Network("127.16.128.0/21")
    propagation: Propagation = Propagation()
    member: Member | None = None
    lease: Lease = Lease()


class ServerName(_Strict):
    """The server's own address and names."""

    url: str
    sans: list[str] = []


class KubeconfigEntry(_Strict):
    """A client to make."""

    path: Path
    user: str = Field(min_length=1)
    groups: list[str] = []


class KubeletCertificate(_Strict):
    """A kubelet's serving certificate to make: `kubelet.crt`, `kubelet.key` and `ca.crt` in `dir`."""

    dir: Path
    node: str = Field(min_length=1)
    sans: list[str] = []


class BootstrapConfig(_Strict):
    """`bootstrap --config`."""

    pki_dir: Path
    server: ServerName
    context: str = Field(min_length=1)
    kubeconfigs: list[KubeconfigEntry] = []
    kubelet_certs: list[KubeletCertificate] = []


def load_config(path: Path, model: type[Model]) -> Model:
    """Reads and checks a file.

    Raises:
        ConfigError: With every fault in one line.
    """
    try:
        with path.open("rb") as file:
            document = yaml.safe_load(file)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: {' '.join(str(exc).split())}") from exc
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: must be a mapping")
    try:
        return model.model_validate(document)
    except ValidationError as exc:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in exc.errors())
        raise ConfigError(f"{path}: {faults}") from exc
