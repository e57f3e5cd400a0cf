"""What each host must have to take its part of a slice, for `preflight` to look for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_cli.render.facts import known_identities
from mlsysops_cli.render.k3s_plan import KARMADA_PORT
from mlsysops_cli.slice.layout import API_PORT, KUBELET_PORT, NORTHBOUND_PORT

if TYPE_CHECKING:
    from mlsysops_cli.slice.layout import HostLayout, SliceLayout

__all__ = ["host_needs", "host_ports", "preflight_plan"]

_MIB = 2**20
_MB = 10**6
#: Memory of a host's part, by engine and role: what its processes were measured to hold, and room for one application;
#: for k3s what its documentation asks for ("Requirements", 2 GB a server and 512 MB an agent), less what a kernel keeps.
_MEMORY = {
    "embedded": {"management": 448 * _MIB, "server": 320 * _MIB, "worker": 224 * _MIB},
    "k3s": {"management": 1700 * _MIB, "server": 1700 * _MIB, "worker": 460 * _MIB},
    "existing": {"management": 256 * _MIB, "server": 160 * _MIB, "worker": 160 * _MIB},
}
#: The environment of a host's processes, twice while it is exchanged, and the archives that it is carried in.
_ENVIRONMENT, _ARCHIVES = 500 * _MB, 100 * _MB
_STATE = 200 * _MB
#: k3s, its images and what containers write; the same source.
_RANCHER = 4000 * _MB
#: Where k3s and its images come from unless they are already here.
_RELEASES = "github.com:443"
#: k3s of several servers has etcd in it, for clients and for the other servers; the same source.
_ETCD_PORTS = (2379, 2380)


def host_ports(layout: SliceLayout, host: HostLayout) -> list[dict[str, Any]]:
    """Return the ports that a host's part listens on, each with its address and what it is for.

    Args:
        layout: The slice, placed.
        host: One of its hosts.
    """
    role, engine = host.host.role, layout.slice.engine
    ports: list[tuple[int, str]] = []
    if engine != "k3s" or role != "server" or layout.server(host.host.cluster) is host:
        ports.append((host.otlp_port, "telemetry of the agent"))
    if engine == "embedded":
        ports.append((KUBELET_PORT, "kubelet") if role == "worker" else (API_PORT, "control plane"))
    elif engine == "k3s":
        ports.append((KUBELET_PORT, "kubelet"))
        ports += [] if role == "worker" else [(API_PORT, "control plane")]
        if role == "server" and len(layout.slice.cluster(host.host.cluster).servers) > 1:
            ports += [(port, "etcd of k3s") for port in _ETCD_PORTS]
    if role == "management":
        ports.append((NORTHBOUND_PORT, "northbound API"))
        ports += [(KARMADA_PORT, "Karmada's API")] if engine == "k3s" else []
    # k3s listens on all addresses.
    address = "0.0.0.0" if engine == "k3s" else host.address
    return [{"address": address, "port": port, "what": what} for port, what in ports]


def host_needs(layout: SliceLayout, host: HostLayout) -> dict[str, Any]:
    """Return what a host needs beside its ports.

    Returns:
        ``places`` that are written and how much, ``memory`` in bytes, systemd ``units`` of ours that may hold its ports,
        and ``proxy_target``, what a proxy is asked for.
    """
    engine = layout.slice.engine
    if host.home is None:
        # Local hosts share this machine: each asks for its own state, none for the whole memory.
        return {"places": [_place(host.directory, _STATE, "state")], "memory": 0, "units": [], "proxy_target": ""}
    places = [
        _place(host.directory, _STATE, "state"),
        _place("/etc/systemd/system", 1 * _MB, "units"),
        _place("/var/tmp", _ARCHIVES, "what is carried here"),  # noqa: S108 - Ansible makes its own directory in it
        _place(host.home, _ENVIRONMENT, "the environment", programs=True),
    ]
    if engine == "k3s":
        places.append(_place("/var/lib/rancher", _RANCHER, "k3s", programs=True))
    return {
        "places": places,
        "memory": _MEMORY[engine][host.host.role],
        "units": ["k3s.service", "k3s-agent.service"] if engine == "k3s" else [],
        "proxy_target": _RELEASES if engine == "k3s" else "",
    }


def preflight_plan(layout: SliceLayout) -> dict[str, Any]:
    """Return a plan that holds what the playbook `preflight` looks at, and nothing else."""
    engine = layout.slice.engine
    return {
        "slice": layout.slice.name,
        "engine": engine,
        "identities": known_identities(layout.slice),
        "hosts": {
            name: {
                "local": host.host.local,
                "supervisor": layout.supervisor(host),
                "ports": host_ports(layout, host),
                "needs": host_needs(layout, host),
            }
            for name, host in layout.hosts.items()
            if host.host.machine  # others only stand for an API
        },
    }


def _place(path: object, amount: int, what: str, *, programs: bool = False) -> dict[str, Any]:
    return {"path": str(path), "bytes": amount, "what": what, "programs": programs}
