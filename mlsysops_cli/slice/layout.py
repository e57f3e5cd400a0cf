"""Where everything of a slice lives: addresses, URLs and paths of every host, derived once from the model.

The directories of local hosts lie under the slice's state on this machine; those of hosts over SSH under
``/var/lib/mlsysops/<slice>`` there.
"""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_cli.slice.state import slice_directory

if TYPE_CHECKING:
    from mlsysops_cli.slice.addresses import Addresses
    from mlsysops_cli.slice.model import Host, Slice

__all__ = ["API_PORT", "KUBELET_PORT", "NORTHBOUND_PORT", "OTLP_PORT", "HostLayout", "SliceLayout", "plan_layout"]

API_PORT = 6443
KUBELET_PORT = 10250
OTLP_PORT = 43170
NORTHBOUND_PORT = 8000

#: Agents that are pods use their node's network; one node can take one of each tier.
_POD_OTLP_PORTS = {"worker": OTLP_PORT, "server": OTLP_PORT + 1, "management": OTLP_PORT + 2}

REMOTE_STATE = Path("/var/lib/mlsysops")
REMOTE_HOME = Path("/opt/mlsysops")


@dataclass(frozen=True, slots=True)
class HostLayout:
    """One host's place.

    Attributes:
        host: The host.
        address: Where its parts listen.
        python: Interpreter that runs our parts there.
        directory: Its own directory.
        logs: Directory of its log files.
        access: Where this machine keeps what it needs to reach the host's APIs: the host's own directory where the
            host is this machine.
        home: Where the environment of our processes is installed; None where it is this one.
        pod_cidr: Network of its pods, where it has one of its own.
        otlp_port: Where its agent's OTLP/HTTP receiver listens.
        apis: Where this machine keeps kubeconfigs of an API that exists, apart from the host's own files, which go before
            what is ours has gone from the API; None on other engines.
    """

    host: Host
    address: str
    python: str
    directory: Path
    logs: Path
    access: Path
    home: Path | None = None
    pod_cidr: str | None = None
    otlp_port: int = OTLP_PORT
    apis: Path | None = None

    @property
    def pki(self) -> Path:
        """Directory of the control plane's certificate authority and server certificate."""
        return self.directory / "pki"

    def kubeconfig(self, user: str) -> Path:
        """Path of a user's kubeconfig for this host's control plane."""
        return self.directory / "kubeconfigs" / f"{user}.kubeconfig"

    def reachable(self, path: Path) -> Path:
        """Return where a file of the host's directory is on this machine, once it was deployed."""
        return self.access / path.relative_to(self.directory)

    @property
    def admin_kubeconfig(self) -> Path:
        """The administrator's kubeconfig of the API that this host serves or stands for, on this machine."""
        return self._kubeconfig_here("admin")

    @property
    def host_kubeconfig(self) -> Path:
        """The administrator's kubeconfig, on this machine, of the cluster on which this host's Karmada runs."""
        return self._kubeconfig_here("host")

    def _kubeconfig_here(self, user: str) -> Path:
        return self.apis / f"{user}.kubeconfig" if self.apis else self.reachable(self.kubeconfig(user))

    @property
    def token_file(self) -> Path:
        """File of the northbound API's bearer token, on the host."""
        return self.directory / "northbound" / "token"

    @property
    def loopback(self) -> bool:
        """Whether its address is for this machine alone."""
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return self.address == "localhost"

    @property
    def api_url(self) -> str:
        """URL of the control plane on this host."""
        return f"https://{self.address}:{API_PORT}"

    @property
    def otlp_url(self) -> str:
        """Base URL of the OTLP/HTTP receiver on this host."""
        return f"http://{self.address}:{self.otlp_port}"


@dataclass(frozen=True, slots=True)
class SliceLayout:
    """A slice with everything placed.

    Attributes:
        slice: The slice.
        directory: Its state on this machine.
        hosts: Layout of each host by name.
        service_cidrs: Network of services of each control plane; the continuum's has the empty name.
    """

    slice: Slice
    directory: Path
    hosts: dict[str, HostLayout]
    service_cidrs: dict[str, str] = field(default_factory=dict)

    @property
    def management(self) -> HostLayout:
        """The management host."""
        return self.hosts[self.slice.management]

    def server(self, cluster: str) -> HostLayout:
        """Return the host that leads a cluster's control plane."""
        return self.hosts[self.slice.cluster(cluster).servers[0]]

    @property
    def continuum_in_pods(self) -> bool:
        """Whether the continuum agent and the northbound API are pods of Karmada's host cluster."""
        if self.slice.agents != "pods":
            return False
        return self.slice.engine == "k3s" or self.slice.existing.karmada_host is not None

    @property
    def northbound_url(self) -> str:
        """Base URL of the northbound API."""
        scheme = "https" if self.northbound_authority else "http"
        return f"{scheme}://{self.management.address}:{NORTHBOUND_PORT}"

    @property
    def northbound_authority(self) -> Path | None:
        """Certificate of the authority of the northbound API, on this machine; None where it speaks plain HTTP."""
        if self.continuum_in_pods:
            return self.management.access / "northbound" / "pki" / "ca.crt"
        return None if self.management.loopback else self.management.reachable(self.management.pki / "ca.crt")

    def supervisor(self, host: HostLayout) -> dict[str, Any]:
        """What keeps a host's processes: a supervisor of our own on this machine, systemd on the others."""
        if host.host.local:
            return {"kind": "supervisord", "directory": str(self.directory / "supervisor"), "slice": self.slice.name}
        return {"kind": "systemd", "directory": str(host.directory), "slice": self.slice.name}


def _address(addresses: Addresses, host: Host) -> str:
    """Return where a host's parts listen: local hosts have addresses that we give them, but for nodes that exist."""
    if not host.local or not host.machine:
        return host.address
    return host.address if host.node_name else addresses.host(host.name)


def _is_pod(slice_: Slice, host: Host) -> bool:
    """Whether a host's agent is a pod."""
    if slice_.agents != "pods":
        return False
    return slice_.engine == "k3s" or not host.machine


def plan_layout(
    slice_: Slice, addresses: Addresses, *, directory: Path | None = None, python: str | None = None
) -> SliceLayout:
    """Place every part of a slice.

    Args:
        slice_: The slice.
        addresses: Its loopback numbers.
        directory: Its state on this machine; the usual place where None.
        python: Interpreter of local hosts; this one where None.
    """
    root = directory or slice_directory(slice_.name)
    local_python = python or sys.executable
    hosts = {}
    for host in slice_.hosts.values():
        if host.local or not host.machine:
            place, logs, interpreter, home = root / "hosts" / host.name, root / "logs", local_python, None
            access = place
        else:
            remote, home = REMOTE_STATE / slice_.name, REMOTE_HOME / slice_.name
            place, logs, interpreter = remote / host.name, remote / "logs", str(home / "venv" / "bin" / "python")
            access = root / "access" / host.name
        hosts[host.name] = HostLayout(
            host=host,
            address=_address(addresses, host),
            python=interpreter,
            directory=place,
            logs=logs,
            access=access,
            home=home,
            pod_cidr=addresses.pod_cidr(host.name) if host.local and host.role == "worker" else None,
            apis=root / "apis" / host.name if slice_.engine == "existing" else None,
            otlp_port=_POD_OTLP_PORTS[host.role] if _is_pod(slice_, host) else OTLP_PORT,
        )
    return SliceLayout(slice_, root, hosts, {name: addresses.service_cidr(name) for name in addresses.planes})
