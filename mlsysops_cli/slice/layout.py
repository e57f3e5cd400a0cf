"""Where everything of a slice lives: addresses, URLs and paths of every host, derived once from the model.

The directories of local hosts lie under the slice's state on this machine; those of hosts over SSH under
``/var/lib/mlsysops/<slice>`` there.
"""

from __future__ import annotations

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

REMOTE_STATE = Path("/var/lib/mlsysops")
REMOTE_PYTHON = "/opt/mlsysops/bin/python"


@dataclass(frozen=True, slots=True)
class HostLayout:
    """One host's place.

    Attributes:
        host: The host.
        address: Where its parts listen.
        python: Interpreter that runs our parts there.
        directory: Its own directory.
        logs: Directory of its log files.
        pod_cidr: Network of its pods, where it has one of its own.
    """

    host: Host
    address: str
    python: str
    directory: Path
    logs: Path
    pod_cidr: str | None = None

    @property
    def pki(self) -> Path:
        """Directory of the control plane's certificate authority and server certificate."""
        return self.directory / "pki"

    def kubeconfig(self, user: str) -> Path:
        """Path of a user's kubeconfig for this host's control plane."""
        return self.directory / "kubeconfigs" / f"{user}.kubeconfig"

    @property
    def api_url(self) -> str:
        """URL of the control plane on this host."""
        return f"https://{self.address}:{API_PORT}"

    @property
    def otlp_url(self) -> str:
        """Base URL of the OTLP/HTTP receiver on this host."""
        return f"http://{self.address}:{OTLP_PORT}"


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
    def northbound_url(self) -> str:
        """Base URL of the northbound API."""
        return f"http://{self.management.address}:{NORTHBOUND_PORT}"

    def supervisor(self) -> dict[str, Any]:
        """Where the process supervisor of this machine's hosts keeps its files."""
        return {"directory": str(self.directory / "supervisor"), "slice": self.slice.name}


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
        if host.local:
            place, logs, interpreter = root / "hosts" / host.name, root / "logs", local_python
        else:
            remote = REMOTE_STATE / slice_.name
            place, logs, interpreter = remote / host.name, remote / "logs", REMOTE_PYTHON
        hosts[host.name] = HostLayout(
            host=host,
            address=addresses.host(host.name) if host.local else host.address,
            python=interpreter,
            directory=place,
            logs=logs,
            pod_cidr=addresses.pod_cidr(host.name) if host.local and host.role == "worker" else None,
        )
    return SliceLayout(slice_, root, hosts, {name: addresses.service_cidr(name) for name in addresses.planes})
