"""Configuration of an agent process: one YAML file, checked as a whole before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from mlsysops_core.contracts import AgentIdentity
from mlsysops_core.errors import Fault, InvalidInput
from mlsysops_core.settings import PlacementSettings
from pydantic import AfterValidator, AnyHttpUrl, BaseModel, ConfigDict, Field, ValidationError, model_validator

from .signers import read_signer

__all__ = [
    "AgentConfig",
    "ExportConfig",
    "LeaseConfig",
    "ListenConfig",
    "PackagesConfig",
    "TelemetryConfig",
    "WorkerConfig",
    "load_config",
]

_MAX_BYTES = 1024 * 1024


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path: agents do not depend on the directory they start in")
    return path


def _without_credentials(url: AnyHttpUrl) -> AnyHttpUrl:
    if url.username or url.password:
        raise ValueError("must have no user and password in it: it is seen in the list of processes")
    return url


def _secure(url: AnyHttpUrl) -> AnyHttpUrl:
    if url.scheme != "https" and url.host not in ("localhost", "127.0.0.1", "[::1]"):
        raise ValueError("must be https: pip believes no other host, unless it is this one")
    return url


def _public_key(line: str) -> str:
    read_signer(line)
    return line


PublicKey = Annotated[str, AfterValidator(_public_key)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
#: DNS-1123 label, as object names need it.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=200)]
Port = Annotated[int, Field(ge=0, le=65535, strict=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ListenConfig(_Strict):
    """Where a server listens.

    Attributes:
        address: IP address.
        port: Port; 0 takes a free one (tests).
    """

    address: str = "0.0.0.0"
    port: Port = 43170


class ExportConfig(_Strict):
    """A collector of the user's that gets telemetry, too.

    Attributes:
        endpoint: Base URL of its OTLP/HTTP receiver; ``/v1/metrics`` and ``/v1/traces`` are added.
        headers_file: File with HTTP headers it wants, ``Name: value``, a line each; read again when it changes.
        metrics: Whether it gets the metrics that reach this agent.
        traces: Whether it gets traces of this agent's decisions.
        interval: Seconds between pushes of metrics.
    """

    endpoint: AnyHttpUrl
    headers_file: AbsolutePath | None = None
    metrics: bool = True
    traces: bool = True
    interval: Annotated[float, Field(gt=0, le=3600)] = 15.0


class TelemetryConfig(_Strict):
    """Telemetry in and out.

    Attributes:
        listen: Where the OTLP receiver listens.
        upstream: Base URL of the receiver of the tier above; None where there is none.
        interval: Seconds between pushes to it, and between measurements of the host.
        export: A collector outside the slice; None where there is none.
        max_series: Most series kept.
        max_points: Most values kept of each.
    """

    listen: ListenConfig = ListenConfig()
    upstream: AnyHttpUrl | None = None
    interval: Annotated[float, Field(gt=0, le=3600, strict=True)] = 5.0
    export: ExportConfig | None = None
    max_series: Annotated[int, Field(ge=1, strict=True)] = 2000
    max_points: Annotated[int, Field(ge=1, strict=True)] = 360


class LeaseConfig(_Strict):
    """Heartbeat of the agent.

    Attributes:
        duration: Seconds after which a silent agent counts as lost.
        renew: Seconds between renewals.
    """

    duration: Annotated[float, Field(gt=0, strict=True)] = 40.0
    renew: Annotated[float, Field(gt=0, strict=True)] = 10.0

    @model_validator(mode="after")
    def _renew_in_time(self) -> LeaseConfig:
        if self.renew >= self.duration:
            raise ValueError("renew must be less than duration")
        return self


class PackagesConfig(_Strict):
    """What plug-ins may have installed for themselves.

    Attributes:
        allowed: Names of Python packages; ``*`` for any, none where empty.
        plugins: Requirements by name of the plug-in that has them without saying so.
        wheelhouse: Directory with wheels, from which alone is installed.
        timeout: Longest time of one installation in seconds.
        index: URL of the package index; where pip is set up for one, that is taken by default.
        proxy: URL of the proxy on the way to it.
    """

    allowed: tuple[str, ...] = ()
    plugins: dict[str, tuple[str, ...]] = {}
    wheelhouse: AbsolutePath | None = None
    timeout: Annotated[float, Field(gt=0, le=3600)] = 300.0
    index: Annotated[AnyHttpUrl, AfterValidator(_without_credentials), AfterValidator(_secure)] | None = None
    proxy: Annotated[AnyHttpUrl, AfterValidator(_without_credentials)] | None = None


class WorkerConfig(_Strict):
    """Limits of a process that runs a user's plug-in.

    Attributes:
        memory: Address space in bytes.
        cpu_seconds: Processor time of one call.
        packages: What plug-ins may have installed for themselves.
    """

    memory: Annotated[int, Field(ge=128 * 2**20, strict=True)] = 2**30
    cpu_seconds: Annotated[float, Field(gt=0, le=3600)] = 30.0
    packages: PackagesConfig = PackagesConfig()


class AgentConfig(_Strict):
    """One agent process.

    Attributes:
        tier: Which tier the agent serves.
        name: Continuum id, cluster id or node name.
        slice: Name of the slice.
        kubeconfig: Its own control plane; None uses the pod's service account.
        namespace: Where applications and descriptions live.
        framework_namespace: Where the framework's own objects live.
        state_dir: Directory for what the agent remembers.
        telemetry: Telemetry in and out.
        plugin_dirs: Directories with module plug-ins.
        policy_digests: SHA-256 digests of the policies that may be sent to this agent.
        policy_signers: Public keys (``ssh-ed25519 AAAA… comment``) of those whose policies may be sent to it; any policy may
            where neither is given.
        worker: What the process of a user's policy may use.
        host_root: Where the host's root directory is; a container has it mounted somewhere.
        lease: Heartbeat.
        placement: How components are placed.
        log_level: Least level logged.
    """

    tier: Literal["continuum", "cluster", "node"]
    name: Name
    slice: Name
    kubeconfig: AbsolutePath | None = None
    namespace: Name = "mlsysops"
    framework_namespace: Name = "mlsysops-framework"
    state_dir: AbsolutePath
    telemetry: TelemetryConfig = TelemetryConfig()
    plugin_dirs: tuple[AbsolutePath, ...] = ()
    policy_digests: tuple[Annotated[str, Field(pattern=r"^(sha256:)?[0-9a-f]{64}$")], ...] | None = None
    policy_signers: tuple[PublicKey, ...] | None = None
    worker: WorkerConfig = WorkerConfig()
    host_root: AbsolutePath = Path("/")
    lease: LeaseConfig = LeaseConfig()
    placement: PlacementSettings = PlacementSettings()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def identity(self) -> AgentIdentity:
        """Who the agent is."""
        return AgentIdentity(self.tier, self.name, self.namespace, self.framework_namespace)


def load_config(path: Path, *, tier: str) -> AgentConfig:
    """Read and check a configuration file.

    Args:
        path: The file.
        tier: The tier the command line names; the file must agree.

    Raises:
        InvalidInput: The file cannot be read or does not validate; its message is one line.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InvalidInput(f"{path}: {exc.strerror or exc}") from exc
    if len(data) > _MAX_BYTES:
        raise InvalidInput(f"{path}: larger than {_MAX_BYTES} bytes")
    try:
        value = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{path}: not YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(value, dict):
        raise InvalidInput(f"{path}: must be a mapping")
    try:
        config = AgentConfig.model_validate(value)
    except ValidationError as exc:
        faults = [
            Fault(
                source=str(path),
                path=".".join(map(str, error["loc"])),
                message=error["msg"].removeprefix("Value error, "),
            )
            for error in exc.errors(include_url=False)
        ]
        raise InvalidInput("; ".join(map(str, faults)), faults=faults) from exc
    if config.tier != tier:
        raise InvalidInput(f"{path}: tier: is {config.tier!r}, but the command starts a {tier!r} agent")
    return config
