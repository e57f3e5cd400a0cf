"""The plan of hosts that run k3s: their part of the cluster, their files, and how this machine reaches them.

It holds no secret: tokens are made on the first server of each cluster, and proxies and registries, which may hold
passwords, are read by the roles from the inventory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import InvalidInput

from mlsysops_cli.artifacts import Manifest, architecture_of, archive_architecture, host_artifacts, pinned_versions
from mlsysops_cli.artifacts.manifest import digest_of
from mlsysops_cli.render.pods import NODE_AGENT_LABEL
from mlsysops_cli.slice.layout import API_PORT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlsysops_cli.artifacts import Artifact
    from mlsysops_cli.slice.layout import HostLayout, SliceLayout

__all__ = ["KARMADA_PORT", "k3s_groups", "k3s_host", "karmada_part", "no_proxy", "own_kubeconfig", "wanted_artifacts"]

Plan = dict[str, Any]

#: The port that ``karmadactl init`` gives Karmada's API.
KARMADA_PORT = 32443
_CONFIG, _DATA = "/etc/rancher/k3s", "/var/lib/rancher/k3s"
_KARMADA = "/etc/karmada"
#: k3s' own networks where the inventory names none (https://docs.k3s.io/cli/server).
_PODS, _SERVICES = "10.42.0.0/16", "10.43.0.0/16"
#: Parts that come with k3s and that a slice has no use for: nothing of it is reached from outside through them.
_DISABLED = ["traefik", "servicelb"]


def k3s_groups(layout: SliceLayout) -> Plan:
    """Return the hosts by their part: servers that come first, servers that join them, agents, and members' servers."""
    clusters = layout.slice.clusters
    return {
        "k3s_first": [layout.slice.management, *(c.servers[0] for c in clusters)],
        "k3s_joining": [name for c in clusters for name in c.servers[1:]],
        "k3s_agents": [name for c in clusters for name in c.workers],
        "members": [c.servers[0] for c in clusters],
    }


def karmada_part(layout: SliceLayout) -> Plan:
    """Return what all hosts know of Karmada."""
    host = layout.management
    return {
        "host": host.host.name,
        "address": host.address,
        "port": KARMADA_PORT,
        "version": pinned_versions(layout.slice.k3s)[1],
        "crds": str(host.directory / "crds.tar.gz"),
        "join": layout.slice.k3s.join,
        "access": [
            {
                "from": f"{_KARMADA}/karmada-apiserver.config",
                "to": str(host.admin_kubeconfig),
                "server": f"https://{host.address}:{KARMADA_PORT}",
                "name": f"{layout.slice.name}-{layout.slice.continuum}",
            }
        ],
    }


def no_proxy(layout: SliceLayout) -> str:
    """Return what the slice's hosts reach without a proxy: each other, pods, services, and what the inventory says."""
    slice_ = layout.slice
    names = ["localhost", "127.0.0.0/8", "::1", ".svc", ".cluster.local"]
    names += [word for host in layout.hosts.values() for word in (host.address, host.host.name)]
    pairs = [(slice_.continuum_pod_cidr, slice_.continuum_service_cidr)]
    for pods, services in [*pairs, *((c.pod_cidr, c.service_cidr) for c in slice_.clusters)]:
        names += [pods or _PODS, services or _SERVICES]
    names += [word.strip() for word in slice_.k3s.no_proxy.split(",") if word.strip()]
    return ",".join(dict.fromkeys(names))


def k3s_host(layout: SliceLayout, host: HostLayout, machine: str) -> Plan:
    """Return a host's part: ``k3s`` and ``artifacts``.

    Args:
        layout: The slice, placed.
        host: The host.
        machine: Its processor, as ``uname -m`` says.

    Raises:
        InvalidInput: Nothing is released for its processor.
    """
    leader = _leader(layout, host)
    return {
        "k3s": {
            "leader": leader.host.name,
            "version": pinned_versions(layout.slice.k3s)[0],
            "url": f"https://{host.address}:{API_PORT}",
            "kubeconfig": f"{_CONFIG}/k3s.yaml",
            "config": _config(layout, host, leader),
            "access": _access(layout, host, leader),
            "ready": {
                "kubeconfig": str(own_kubeconfig(leader)),
                "wait": [{"api_version": "v1", "kind": "Node", "name": host.host.name, "condition": "Ready"}],
            },
            "member": {
                "kubeconfig": str(layout.management.admin_kubeconfig),
                "wait": [
                    {
                        "api_version": "cluster.karmada.io/v1alpha1",
                        "kind": "Cluster",
                        "name": host.host.cluster,
                        "condition": "Ready",
                    }
                ],
            },
        },
        "artifacts": _artifacts(layout, host, machine),
    }


def _leader(layout: SliceLayout, host: HostLayout) -> HostLayout:
    return host if host.host.role == "management" else layout.server(host.host.cluster)


def _config(layout: SliceLayout, host: HostLayout, leader: HostLayout) -> Plan:
    """Return k3s' configuration (https://docs.k3s.io/cli/server, https://docs.k3s.io/cli/agent)."""
    slice_, first = layout.slice, host is leader
    layer = {"management": "continuum", "server": "cluster", "worker": "node"}[host.host.role]
    labels = {"mlsysops.eu/continuumLayer": layer, "mlsysops.eu/cluster": host.host.cluster} | host.host.labels
    if host.host.role == "worker":
        labels[NODE_AGENT_LABEL] = "node"
    config: Plan = {
        "node-name": host.host.name,
        "node-ip": host.address,
        "node-label": [f"{key}={value}" for key, value in sorted(labels.items())],
    }
    if host.host.taints:
        config["node-taint"] = list(host.host.taints)
    if not first:
        config["server"] = f"https://{leader.address}:{API_PORT}"
        kind = "agent-token" if host.host.role == "worker" else "token"
        config["token-file"] = f"{_CONFIG}/join{_DATA}/server/{kind}"
    if host.host.role == "worker":
        return config
    if host.host.role == "management":
        pods, services, several = slice_.continuum_pod_cidr, slice_.continuum_service_cidr, False
    else:
        cluster = slice_.cluster(host.host.cluster)
        pods, services, several = cluster.pod_cidr, cluster.service_cidr, len(cluster.servers) > 1
    config |= {
        "advertise-address": host.address,
        "tls-san": list(dict.fromkeys([host.address, host.host.name])),
        "write-kubeconfig-mode": "0600",
        "agent-token-file": f"{_CONFIG}/agent-token" if first else f"{_CONFIG}/join{_CONFIG}/agent-token",
        "secrets-encryption": True,
        "disable": _DISABLED,
    }
    if first and several:
        config["cluster-init"] = True  # embedded etcd, which the other servers join
    config |= {key: value for key, value in (("cluster-cidr", pods), ("service-cidr", services)) if value}
    return config


def own_kubeconfig(leader: HostLayout) -> Path:
    """Return where this machine keeps the kubeconfig of the k3s that a host leads.

    On the management host the continuum's API is Karmada's, and k3s is what that runs on.
    """
    return leader.reachable(leader.kubeconfig("host" if leader.host.role == "management" else "admin"))


def _access(layout: SliceLayout, host: HostLayout, leader: HostLayout) -> list[Plan]:
    """Return the kubeconfigs of its k3s that this machine gets."""
    if host is not leader:
        return []
    suffix = "host" if host.host.role == "management" else host.host.cluster
    return [
        {
            "from": f"{_CONFIG}/k3s.yaml",
            "to": str(own_kubeconfig(host)),
            "server": f"https://{host.address}:{API_PORT}",
            "name": f"{layout.slice.name}-{suffix}",
        }
    ]


def _artifacts(layout: SliceLayout, host: HostLayout, machine: str) -> list[Plan]:
    settings, name = layout.slice.k3s, host.host.name
    architecture = architecture_of(machine)
    if not architecture:
        raise InvalidInput(f"{name}: nothing is released for processor {machine}", hint="amd64, arm64 or armhf")
    leads = _leader(layout, host) is host
    role = host.host.role if leads else "worker"
    images = settings.airgap_images or bool(settings.artifacts_dir)
    try:
        wanted = host_artifacts(settings, architecture, role, images=images)
    except InvalidInput as exc:
        raise InvalidInput(f"{name}: {exc.message}", hint=exc.hint) from exc
    if not settings.artifacts_dir:
        return [_entry(host, artifact, artifact.sha256, "") for artifact in wanted]
    directory = Path(settings.artifacts_dir)
    manifest = Manifest.load(directory)
    found = [_entry(host, one, manifest.wanted(one), str(directory / one.name)) for one in wanted]
    archives = sorted((directory / "images").glob("*.tar*"))
    fitting = [path for path in archives if archive_architecture(path.name) in ("", architecture)]
    return found + _own_images(host, fitting, directory)


def _own_images(host: HostLayout, archives: Sequence[Path], directory: Path) -> list[Plan]:
    """Return the archives of images that somebody put beside the released files: agents' images, Karmada's."""
    return [
        {
            "name": path.relative_to(directory).as_posix(),
            "path": f"{_DATA}/agent/images/{path.name}",
            "mode": "0644",
            "member": "",
            "sha256": digest_of(path),
            "sums_url": "",
            "first_use": False,
            "url": "",
            "source": str(path),
            "carried": _carried(path.name),
        }
        for path in archives
    ]


def _entry(host: HostLayout, artifact: Artifact, sha256: str, source: str) -> Plan:
    file = artifact.name.rpartition("/")[2]
    path, mode, member = {
        "k3s": ("/usr/local/bin/k3s", "0755", ""),
        "k3s-images": (f"{_DATA}/agent/images/{file}", "0644", ""),
        "karmadactl": ("/usr/local/bin/karmadactl", "0755", "karmadactl"),
        "karmada-crds": (str(host.directory / "crds.tar.gz"), "0644", ""),
    }[artifact.what]
    return {
        "name": artifact.name,
        "path": path,
        "mode": mode,
        "member": member,
        "sha256": sha256,
        "sums_url": artifact.sums_url,
        # Karmada releases no checksum of its definitions: the first one is written down, another one is refused.
        "first_use": not artifact.sums_url,
        "url": artifact.url,
        "source": source,
        "carried": _carried(file) if source else "",
    }


def _carried(file: str) -> str:
    return f"/var/tmp/.mls-artifact-{file}"  # noqa: S108 - Ansible makes it private, and its checksum is checked


def wanted_artifacts(layout: SliceLayout, machines: Mapping[str, str]) -> list[Artifact]:
    """Return every artifact that the slice's hosts need, each once.

    Args:
        layout: The slice, placed.
        machines: Processor of each host.
    """
    settings = layout.slice.k3s
    found: dict[str, Artifact] = {}
    for host in layout.hosts.values():
        architecture = architecture_of(machines.get(host.host.name, ""))
        role = host.host.role if _leader(layout, host) is host else "worker"
        if architecture:
            images = settings.airgap_images or bool(settings.artifacts_dir)
            for artifact in host_artifacts(settings, architecture, role, images=images):
                found[artifact.name] = artifact
    return list(found.values())
