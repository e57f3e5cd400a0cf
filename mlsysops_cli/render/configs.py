"""Config files of the embedded engine's processes, the agents and the northbound API, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_cli.render.extras import export_config
from mlsysops_cli.render.plugins import plugin_config
from mlsysops_cli.slice.layout import API_PORT, KUBELET_PORT, NORTHBOUND_PORT

if TYPE_CHECKING:
    from pathlib import Path

    from mlsysops_cli.slice.layout import HostLayout, SliceLayout

__all__ = [
    "FRAMEWORK_NAMESPACE",
    "NAMESPACE",
    "TEST_IMAGE",
    "agent_config",
    "host_configs",
    "northbound_certificate",
    "northbound_config",
]

NAMESPACE = "mlsysops"
FRAMEWORK_NAMESPACE = "mlsysops-framework"
TEST_IMAGE = "harbor.nbfc.io/mlsysops/test-app"

#: What Kubernetes' and Karmada's parts hold by themselves.
_LEASE_SECONDS = 40

Config = dict[str, Any]


def host_configs(layout: SliceLayout, name: str) -> dict[str, Config]:
    """Return the config files of a host's processes, by file name.

    Args:
        layout: The slice.
        name: The host.
    """
    host = layout.hosts[name]
    role = host.host.role
    if layout.slice.engine != "embedded":  # others serve the APIs
        configs = {"agent.yaml": agent_config(layout, host)}
        if role == "management":
            configs["northbound.yaml"] = northbound_config(layout)
            if not host.loopback:
                configs["certificate.yaml"] = northbound_certificate(host.pki, host)
        return configs
    if role == "management":
        return {
            "bootstrap.yaml": _bootstrap_continuum(layout),
            "controlplane.yaml": _controlplane(layout, host, layout.slice.continuum, ""),
            "agent.yaml": agent_config(layout, host),
            "northbound.yaml": northbound_config(layout),
        }
    if role == "server":
        return {
            "bootstrap.yaml": _bootstrap_cluster(layout, host),
            "controlplane.yaml": _controlplane(layout, host, host.host.cluster, host.host.cluster),
            "agent.yaml": agent_config(layout, host),
        }
    return {
        "kubelet.yaml": _kubelet(layout, host),
        "runtime.yaml": _runtime(host),
        "agent.yaml": agent_config(layout, host),
    }


def agent_config(layout: SliceLayout, host: HostLayout) -> Config:
    """Return the config of the agent that runs on a host."""
    tier, user, upstream = {
        "management": ("continuum", "continuum-agent", None),
        "server": ("cluster", "cluster-agent", layout.management.otlp_url),
        "worker": ("node", "node-agent", None),
    }[host.host.role]
    name = host.host.name
    if tier == "continuum":
        name = layout.slice.continuum
    elif tier == "cluster":
        name = host.host.cluster
        if layout.management.loopback and not host.loopback:
            upstream = None  # a continuum agent on somebody's laptop, which the cluster cannot reach
    else:
        upstream = layout.server(host.host.cluster).otlp_url
    return {
        "tier": tier,
        "name": name,
        "slice": layout.slice.name,
        "kubeconfig": str(host.kubeconfig(user)),
        "namespace": NAMESPACE,
        "framework_namespace": FRAMEWORK_NAMESPACE,
        "state_dir": str(host.directory / "agent"),
        "telemetry": {
            "listen": {"address": host.address, "port": host.otlp_port},
            "upstream": upstream,
            "interval": 5.0,
            **export_config(layout, host),
        },
        "plugin_dirs": [],
        "lease": {"duration": layout.slice.lease_seconds, "renew": layout.slice.lease_seconds // 4},
        **plugin_config(layout.slice.plugins, host.host.name),
    } | ({"placement": host.host.placement} if host.host.placement else {})


def northbound_config(layout: SliceLayout) -> Config:
    """Return the config of the northbound API: TLS wherever it listens beyond loopback."""
    host = layout.management
    tls = None if host.loopback else {"cert": str(host.pki / "server.crt"), "key": str(host.pki / "server.key")}
    return {
        "slice": layout.slice.name,
        "listen": {"address": host.address, "port": NORTHBOUND_PORT},
        "kubeconfig": str(host.kubeconfig("northbound")),
        "namespace": NAMESPACE,
        "framework_namespace": FRAMEWORK_NAMESPACE,
        "token_file": str(host.token_file),
        "tls": tls,
        "state_dir": str(host.directory / "northbound"),
    }


def northbound_certificate(pki: Path, host: HostLayout) -> Config:
    """Return the config that makes an authority and the northbound API's certificate where no control plane of ours does.

    Args:
        pki: Directory for them.
        host: The management host.
    """
    url = f"https://{host.address}:{NORTHBOUND_PORT}"
    names = list(dict.fromkeys([host.address, "localhost", host.host.name]))
    return {"pki_dir": str(pki), "server": {"url": url, "sans": names}, "context": "northbound"}


def _controlplane(layout: SliceLayout, host: HostLayout, name: str, plane: str) -> Config:
    config: Config = {
        "name": name,
        "data_dir": str(host.directory / "controlplane"),
        "listen": {"address": host.address, "port": API_PORT},
        "pki_dir": str(host.pki),
        "service_cidr": layout.service_cidrs[plane],
        "propagation": {"enabled": not plane},
    }
    if layout.slice.lease_seconds != _LEASE_SECONDS:
        config["lease"] = {"duration": layout.slice.lease_seconds, "renew": layout.slice.lease_seconds // 4}
    if plane:
        config["member"] = {"cluster": plane, "kubeconfig": str(host.kubeconfig("continuum"))}
    return config


def _server(host: HostLayout) -> Config:
    names = [host.address, "localhost", host.host.name]
    return {"url": host.api_url, "sans": list(dict.fromkeys(names))}


def _kubeconfig(path: Path, user: str, *groups: str) -> Config:
    return {"path": str(path), "user": user, "groups": list(groups)}


def _bootstrap_continuum(layout: SliceLayout) -> Config:
    host = layout.management
    members = [
        _kubeconfig(layout.server(c.name).kubeconfig("continuum"), f"karmada:agent:{c.name}", "karmada:agents")
        for c in layout.slice.clusters
    ]
    return {
        "pki_dir": str(host.pki),
        "server": _server(host),
        "context": f"{layout.slice.name}-{layout.slice.continuum}",
        "kubeconfigs": [
            _kubeconfig(host.kubeconfig("admin"), "kubernetes-admin", "system:masters"),
            _kubeconfig(host.kubeconfig("continuum-agent"), "mlsysops:continuum-agent", "mlsysops:agents"),
            _kubeconfig(host.kubeconfig("northbound"), "mlsysops:northbound"),
            *members,
        ],
    }


def _bootstrap_cluster(layout: SliceLayout, host: HostLayout) -> Config:
    cluster = layout.slice.cluster(host.host.cluster)
    workers = [layout.hosts[name] for name in cluster.workers]
    kubeconfigs = [
        _kubeconfig(host.kubeconfig("admin"), "kubernetes-admin", "system:masters"),
        _kubeconfig(host.kubeconfig("cluster-agent"), "mlsysops:cluster-agent", "mlsysops:agents"),
    ]
    for worker in workers:
        name = worker.host.name
        kubeconfigs += [
            _kubeconfig(worker.kubeconfig("node-agent"), f"mlsysops:node-agent:{name}", "mlsysops:agents"),
            _kubeconfig(worker.kubeconfig("kubelet"), f"system:node:{name}", "system:nodes"),
        ]
    return {
        "pki_dir": str(host.pki),
        "server": _server(host),
        "context": f"{layout.slice.name}-{cluster.name}",
        "kubeconfigs": kubeconfigs,
        "kubelet_certs": [
            {
                "dir": str(worker.directory / "kubelet-pki"),
                "node": worker.host.name,
                "sans": list(dict.fromkeys([worker.address, worker.host.name, "localhost"])),
            }
            for worker in workers
        ],
    }


def _kubelet(layout: SliceLayout, host: HostLayout) -> Config:
    config: Config = {
        "node": host.host.name,
        "kubeconfig": str(host.kubeconfig("kubelet")),
        "data_dir": str(host.directory / "kubelet"),
        "address": host.address,
        "listen": {"port": KUBELET_PORT},
        "pki_dir": str(host.directory / "kubelet-pki"),
        "labels": {"mlsysops.eu/continuumLayer": "node", "mlsysops.eu/cluster": host.host.cluster} | host.host.labels,
        "taints": [],
        "max_pods": 110,
        "runtime_config": str(host.directory / "runtime.yaml"),
    }
    if host.pod_cidr:
        config["pod_cidr"] = host.pod_cidr
    if layout.slice.lease_seconds != _LEASE_SECONDS:
        config["lease_duration"] = layout.slice.lease_seconds
        config["lease_renew"] = layout.slice.lease_seconds // 4
    return config


def _runtime(host: HostLayout) -> Config:
    return {"images": [{"image": f"{TEST_IMAGE}:*", "exec": [host.python, "-m", "mlsysops_testapp"]}]}
