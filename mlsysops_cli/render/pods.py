"""The agents and the northbound API as pods, for the Kubernetes engines.

All of them use their node's network: they are reached from other clusters, at an address that the inventory or the API
names. So that one node can take all of them, each has a port of its own.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from mlsysops_cli import __version__
from mlsysops_cli.render.configs import FRAMEWORK_NAMESPACE, agent_config, northbound_config
from mlsysops_cli.render.extras import HEADERS_FILE
from mlsysops_cli.render.plugins import plugin_config
from mlsysops_cli.render.templates import dump_documents, render_objects
from mlsysops_cli.slice.layout import NORTHBOUND_PORT, OTLP_PORT

if TYPE_CHECKING:
    from mlsysops_cli.slice.layout import HostLayout, SliceLayout

__all__ = ["NODE_AGENT_LABEL", "SECRETS", "TELEMETRY_NAME", "cluster_pods", "management_pods"]

#: Label of nodes that are ours and run a node agent: one that joins changes nothing of what the others run.
NODE_AGENT_LABEL = "mlsysops.eu/node-agent"

#: Where a pod finds what it gets in a Secret: its kubeconfig, the northbound API also its token and certificate.
SECRETS = "/etc/mlsysops-secrets"
#: Secret with the headers of the user's collector, and where agents find it.
TELEMETRY_NAME = "mlsysops-telemetry"
_TELEMETRY = "/etc/mlsysops-telemetry"
_STATE = "/var/lib/mlsysops"
#: Where a pod finds the wheels of its node.
_WHEELS = "/srv/wheels"

#: Memory that a part itself may use, MiB: a node agent knows less than the others.
_OWN_MIB = {"continuum": 384, "cluster": 384, "node": 256, "northbound": 384}
#: What one policy's process may use, MiB. A container has so much beside what its agent uses: a policy that leaks meets its own
#: limit, and the container's, whose every process would end with it, is not met.
_WORKER_MIB = 512
#: What both have more where policies may have packages: these are imported, and installed before.
_PACKAGES_MIB = {"worker": 512, "container": 1024}

Object = dict[str, Any]


def management_pods(layout: SliceLayout) -> list[Object]:
    """Return the objects of Karmada's host cluster: the continuum agent and the northbound API."""
    images = layout.slice.images
    host = layout.management
    agent = _in_pod(layout, host) | {"kubeconfig": f"{SECRETS}/kubeconfig"}
    api = northbound_config(layout) | {
        "listen": {"address": _listen(layout, host), "port": NORTHBOUND_PORT},
        "kubeconfig": f"{SECRETS}/kubeconfig",
        "token_file": f"{SECRETS}/token",
        "tls": {"cert": f"{SECRETS}/tls.crt", "key": f"{SECRETS}/tls.key"},
        "state_dir": _STATE,
    }
    parts = [
        {
            "name": "continuum-agent",
            "image": images.get("agents", _image("agents")),
            "file": "agent.yaml",
            "config": dump_documents([agent]),
            "args": ["continuum", "--config", "/etc/mlsysops/agent.yaml"],
            "port_name": "otlp",
            "port": host.otlp_port,
            "limit": _limit(layout, "continuum"),
        },
        {
            "name": "northbound",
            "image": images.get("northbound", _image("northbound")),
            "file": "northbound.yaml",
            "config": dump_documents([api]),
            "args": ["--config", "/etc/mlsysops/northbound.yaml"],
            "port_name": "https",
            "port": NORTHBOUND_PORT,
            "limit": f"{_OWN_MIB['northbound']}Mi",
        },
    ]
    for part in parts:
        part["digest"] = _digest(str(part["config"]))
    return render_objects(
        "agents/management.yaml.j2",
        {
            "framework_namespace": FRAMEWORK_NAMESPACE,
            "node": host.host.node_name or host.host.name,
            "northbound_port": NORTHBOUND_PORT,
            "packages": _packages(layout),
            "parts": parts,
            "slice": layout.slice.name,
            "telemetry": _telemetry(layout),
        },
    )


def cluster_pods(layout: SliceLayout, cluster: str) -> list[Object]:
    """Return the objects of a cluster's agents."""
    slice_ = layout.slice
    server = layout.server(cluster)
    workers = slice_.cluster(cluster).workers
    configs = {
        "cluster-agent": {"agent.yaml": dump_documents([_in_pod(layout, server)])},
        "node-agent": {f"{name}.yaml": dump_documents([_in_pod(layout, layout.hosts[name])]) for name in workers},
    }
    return render_objects(
        "agents/cluster.yaml.j2",
        {
            "framework_namespace": FRAMEWORK_NAMESPACE,
            "slice": slice_.name,
            "telemetry": _telemetry(layout),
            "image": slice_.images.get("agents", _image("agents")),
            "server": server.host.node_name or server.host.name,
            "port": server.otlp_port,
            "node_port": OTLP_PORT,
            "limits": {tier: _limit(layout, tier) for tier in ("cluster", "node")},
            "packages": _packages(layout),
            "workers": workers,
            "node_label": NODE_AGENT_LABEL if slice_.engine == "k3s" else "",
            "writes": slice_.node_agent_writes,
            "configs": configs,
            # A node that joins changes no other node's configuration, so only what all share restarts them.
            "digests": {
                "cluster-agent": _digest(*configs["cluster-agent"].values()),
                "node-agent": _digest(
                    f"{server.otlp_url} {slice_.node_agent_writes}",
                    *filter(None, [slice_.export.endpoint]),
                    *_plugins(layout),
                ),
            },
        },
    )


def _in_pod(layout: SliceLayout, host: HostLayout) -> Object:
    config = agent_config(layout, host)
    listen = {"address": _listen(layout, host), "port": host.otlp_port}
    config |= {"state_dir": _STATE, "telemetry": config["telemetry"] | {"listen": listen}}
    del config["kubeconfig"]  # its ServiceAccount's
    if "headers_file" in config["telemetry"].get("export", {}):
        config["telemetry"]["export"]["headers_file"] = f"{_TELEMETRY}/{HEADERS_FILE}"
    if host.host.role == "worker" and layout.slice.node_agent_writes:
        config["host_root"] = "/host"
    worker = config.setdefault("worker", {})
    worker["memory"] = _worker_mib(layout) * 2**20
    if layout.slice.plugins.packages and layout.slice.plugins.wheelhouse:
        worker["packages"]["wheelhouse"] = _WHEELS
    return config


def _worker_mib(layout: SliceLayout) -> int:
    return _WORKER_MIB + (_PACKAGES_MIB["worker"] if layout.slice.plugins.packages else 0)


def _limit(layout: SliceLayout, tier: str) -> str:
    """Return the memory of a container: what its agent uses, and a policy that takes all it may."""
    more = _PACKAGES_MIB["container"] if layout.slice.plugins.packages else 0
    return f"{_OWN_MIB[tier] + _WORKER_MIB + more}Mi"


def _telemetry(layout: SliceLayout) -> dict[str, str]:
    """Return where agents' pods find the headers of the user's collector; empty where it wants none."""
    return {"secret": TELEMETRY_NAME, "mount": _TELEMETRY} if layout.slice.export.headers else {}


def _packages(layout: SliceLayout) -> dict[str, Any]:
    """Return what pods of agents need for packages of plug-ins: room, and the directory of their nodes that has wheels."""
    plugins = layout.slice.plugins
    return {
        "allowed": bool(plugins.packages),
        "wheelhouse": plugins.wheelhouse if plugins.packages else "",
        "mount": _WHEELS,
    }


def _plugins(layout: SliceLayout) -> list[str]:
    """Return what all agents are told of plug-ins; nothing where nothing is."""
    told = plugin_config(layout.slice.plugins, "")
    return [json.dumps([told, layout.slice.plugins.wheelhouse], sort_keys=True)] if told else []


def _listen(layout: SliceLayout, host: HostLayout) -> str:
    """Return where a pod listens: at its node's address where its API said it, else at all of them."""
    return host.address if layout.slice.engine == "existing" else "0.0.0.0"


def _image(part: str) -> str:
    return f"mlsysops-{part}:{__version__}"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
