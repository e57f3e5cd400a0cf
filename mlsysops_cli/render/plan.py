"""The deployment plan: what Ansible's roles do on each host, as one variable, ``mls_plan``.

Everything is decided here and in plain view (``$SLICE/plan.json``), so that the roles only carry it out. It
holds no secret: tokens and keys are made on the host that needs them.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysops_cli import __version__
from mlsysops_cli.render.configs import NAMESPACE
from mlsysops_cli.render.extras import gateways, host_extras
from mlsysops_cli.render.facts import known_identities
from mlsysops_cli.render.k3s_plan import k3s_groups, k3s_host, karmada_part, no_proxy
from mlsysops_cli.render.kubernetes_plan import (
    credentials_of,
    kept_files,
    kubernetes_apis,
    kubernetes_groups,
    rendered_planes,
)
from mlsysops_cli.render.life import continuum_access, farewell_request, host_life
from mlsysops_cli.render.needs import host_needs, host_ports
from mlsysops_cli.render.templates import dump_documents
from mlsysops_cli.slice.layout import OTLP_PORT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlsysops_cli.render.tree import RenderedTree
    from mlsysops_cli.slice.layout import HostLayout, SliceLayout

__all__ = ["deployment_plan", "remote_temporary", "take_ownership"]

Plan = dict[str, Any]

#: Modules that must be importable on a host, by role.
_REQUIRED = {
    "management": ["mlsysops_embedded", "mlsysops_agents", "mlsysops_northbound"],
    "server": ["mlsysops_embedded", "mlsysops_agents"],
    "worker": ["mlsysops_embedded", "mlsysops_agents"],
}


def deployment_plan(
    layout: SliceLayout,
    tree: RenderedTree,
    rendered: Path,
    environments: Mapping[str, Sequence[tuple[Path, str]]] | None = None,
    prune: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
    machines: Mapping[str, str] | None = None,
) -> Plan:
    """Return the plan of a slice.

    Args:
        layout: The slice, placed.
        tree: What was rendered.
        rendered: Where it was written.
        environments: Archives (path and digest) that each host over SSH gets unpacked.
        prune: Objects of each control plane, by its host, that an earlier deployment applied and that are not wanted.
        machines: Processor of each host that gets k3s, as ``uname -m`` says.
    """
    planes = rendered_planes(layout, tree)
    hosts = {name: _host(layout, tree, rendered, host) for name, host in layout.hosts.items() if host.host.machine}
    for name, archives in (environments or {}).items():
        hosts[name]["archives"] = [
            {"path": str(path), "digest": digest, "file": f"/var/tmp/mls-{digest}.tar.gz"}  # noqa: S108 - private, by mode
            for path, digest in archives
        ]
    embedded = layout.slice.engine == "embedded"
    for name, superfluous in (prune or {}).items() if embedded else ():
        hosts[name]["controlplane"]["apply"]["prune"] = list(superfluous)
    k3s = layout.slice.engine == "k3s"
    for name in hosts if k3s else ():
        hosts[name] |= k3s_host(layout, layout.hosts[name], (machines or {})[name])
    by_role = {role: [n for n in hosts if layout.hosts[n].host.role == role] for role in _REQUIRED}
    return {
        "slice": layout.slice.name,
        "engine": layout.slice.engine,
        "version": __version__,
        "directory": str(layout.directory),
        "keep": kept_files(layout),
        # Private like the facts they lie beside: programs derive their own secrets from a machine's id.
        "identities": known_identities(layout.slice),
        # On one machine a host that cannot take its part stops the run before anything is done.
        "all_or_nothing": layout.slice.local,
        "groups": {
            "management": by_role["management"],
            "servers": [c.servers[0] for c in layout.slice.clusters if c.servers[0] in hosts],
            "workers": by_role["worker"],
            "gateways": [name for name in gateways(layout) if name in hosts],
            # Where these are processes; they may be pods.
            "agents": [name for name, part in hosts.items() if part["agents"].get("programs")],
            "northbound": [name for name, part in hosts.items() if part["northbound"].get("programs")],
            **kubernetes_groups(layout),
            **(k3s_groups(layout) if k3s else {}),
        },
        **({"karmada": karmada_part(layout), "no_proxy": no_proxy(layout)} if k3s else {}),
        "apis": kubernetes_apis(layout, planes, rendered.parent / "objects", prune or {}),
        "continuum": continuum_access(layout, rendered),
        "farewell": farewell_request(),
        "hosts": hosts,
    }


def take_ownership(plan: Plan) -> None:
    """Let the roles take over what others made under names of ours.

    Args:
        plan: The deployment plan; is changed.
    """
    parts = [part for api in plan["apis"].values() for part in (*api["objects"], *api["pods"])]
    parts += [entry["secret"] for api in plan["apis"].values() for entry in api["secrets"]]
    parts += [api["telemetry"] for api in plan["apis"].values() if api["telemetry"]]
    parts += [host["controlplane"]["apply"] for host in plan["hosts"].values() if host["controlplane"].get("apply")]
    for part in parts:
        part["take_ownership"] = True


def _host(layout: SliceLayout, tree: RenderedTree, rendered: Path, host: HostLayout) -> Plan:
    name, role = host.host.name, host.host.role
    configs = {
        path.rpartition("/")[2]: dump_documents(documents)
        for path, documents in tree.items()
        if path.startswith(f"hosts/{name}/")
    }
    plan: Plan = {
        "role": role,
        "cluster": host.host.cluster,
        "address": host.address,
        "python": host.python,
        "local": host.host.local,
        "directory": str(host.directory),
        "logs": str(host.logs),
        "supervisor": layout.supervisor(host),
        "home": str(host.home or ""),
        "archives": [],
        "carry": _carry(layout, host),
        "access": _access(layout, host),
        "remove": _remove(layout, host),
        # Where agents are pods, nothing of ours runs as a process.
        "imports": []
        if layout.slice.engine == "k3s" and layout.slice.agents == "pods"
        else [*_REQUIRED[role], *(["supervisor"] if host.host.local else [])],
        "ports": host_ports(layout, host),
        "needs": host_needs(layout, host),
        **host_extras(layout, host),
        "life": host_life(layout, host, rendered),
        "controlplane": {},
        "kubelet": {},
        "agents": {},
        "northbound": {},
    }
    if layout.slice.engine != "embedded":
        plan["credentials"] = credentials_of(layout, host)
        plan["agents"] = {"programs": [_agent(host, configs)] if plan["credentials"] else []}
        if role == "management" and plan["credentials"]:
            plan["northbound"] = _northbound_part(layout, host, configs)
        return plan
    if role in ("management", "server"):
        plane = "continuum" if role == "management" else f"clusters/{host.host.cluster}"
        plan["controlplane"] = {
            "bootstrap": {"path": str(host.directory / "bootstrap.yaml"), "content": configs["bootstrap.yaml"]},
            "programs": [_controlplane(host, configs)],
            "apply": {
                "kubeconfig": str(host.kubeconfig("admin")),
                "manifests": str(rendered / plane) if host.host.local else "",
                # Hosts over SSH get the objects themselves.
                "objects": "" if host.host.local else str(rendered.parent / "objects" / f"{name}.json"),
                "prune": [],
            },
        }
    else:
        plan["kubelet"] = {"data": str(host.directory / "kubelet"), "programs": [_kubelet(host, configs)]}
    plan["agents"] = {"programs": [_agent(host, configs)]}
    if role == "management":
        plan["northbound"] = _northbound_part(layout, host, configs)
        plan["ready"] = {
            "kubeconfig": str(host.kubeconfig("admin")),
            "wait": [
                {
                    "api_version": "mlsysops.eu/v1",
                    "kind": "MLSysOpsContinuum",
                    "name": layout.slice.continuum,
                    "namespace": NAMESPACE,
                    "condition": "Ready",
                }
            ],
        }
    return plan


def _northbound_part(layout: SliceLayout, host: HostLayout, configs: dict[str, str]) -> Plan:
    """What the management host does for the northbound API; on other engines than ours its certificate is ours to make."""
    certificate = configs.get("certificate.yaml")
    return {
        "token_file": str(host.token_file),
        "certificate": {"path": str(host.directory / "certificate.yaml"), "content": certificate}
        if certificate
        else {},
        "programs": [_northbound(layout, host, configs)],
    }


def _carry(layout: SliceLayout, host: HostLayout) -> Plan:
    """Which private files a host over SSH gets, and from which: the one whose authority signed them."""
    if host.host.local or host.host.role == "management" or layout.slice.engine != "embedded":
        return {}
    if host.host.role == "server":
        source, paths = layout.management, [host.kubeconfig("continuum")]
    else:
        source = layout.server(host.host.cluster)
        paths = [host.kubeconfig("kubelet"), host.kubeconfig("node-agent")]
        paths += [host.directory / "kubelet-pki" / name for name in ("ca.crt", "kubelet.crt", "kubelet.key")]
    root = host.directory.parent
    return {"from": source.host.name, "root": str(root), "files": [str(path.relative_to(root)) for path in paths]}


def _access(layout: SliceLayout, host: HostLayout) -> Plan:
    """Which private files this machine gets, to reach the APIs of a host over SSH."""
    if host.host.local or host.host.role == "worker" or layout.slice.engine == "k3s":
        return {}
    paths = [host.pki / "ca.crt"]
    if layout.slice.engine == "embedded":
        paths.insert(0, host.kubeconfig("admin"))
    elif host.host.role == "server":
        return {}  # its API is not ours to give access to
    if host.host.role == "management":
        paths.append(host.token_file)
    files = [str(path.relative_to(host.directory)) for path in paths]
    return {"from": str(host.directory), "to": str(host.access), "files": files}


def _remove(layout: SliceLayout, host: HostLayout) -> Plan:
    """What goes with the slice: everything at these paths, and their parents where nothing else is in them."""
    if host.home is None:
        return {"paths": [str(host.directory)], "parents": []}
    return {
        "paths": [str(host.directory.parent), str(host.home), remote_temporary(layout.slice.name)],
        "parents": [str(host.directory.parent.parent), str(host.home.parent)],
    }


def remote_temporary(slice_name: str, *, check: bool = False) -> str:
    """Return Ansible's directory for temporary files on hosts over SSH.

    Args:
        slice_name: Name of the slice.
        check: Nothing may be left, not even that directory, which Ansible makes and never removes.
    """
    if check:
        return "/tmp"  # noqa: S108 - what Ansible makes there is private, and goes
    return f"/var/tmp/.mls-{slice_name}"  # noqa: S108 - Ansible makes it private


@cache
def code_digest(package: str) -> str:
    """Return a digest of a package's source and of the core's, so that new code restarts what runs the old one."""
    digest = hashlib.sha256(__version__.encode())
    for name in ("mlsysops_core", package):
        spec = importlib.util.find_spec(name)
        for place in (spec.submodule_search_locations if spec else None) or []:
            for path in sorted(Path(place).rglob("*.py")):
                digest.update(path.relative_to(place).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _program(host: HostLayout, process: str, command: list[str], files: dict[str, str], **more: Any) -> Plan:
    name = f"{host.host.name}-{process}"
    paths = [{"path": str(host.directory / file), "content": text} for file, text in files.items()]
    # Changed config files or code change the program, and so restart it.
    digest = hashlib.sha256("\0".join([code_digest(command[0]), *(p["content"] for p in paths)]).encode()).hexdigest()[
        :16
    ]
    return {
        "name": name,
        "command": [host.python, "-m", *command],
        "directory": str(host.directory),
        "log": str(host.logs / f"{name}.log"),
        "environment": {"MLS_CONFIG_DIGEST": digest},
        "files": paths,
        **more,
    }


def _controlplane(host: HostLayout, configs: dict[str, str]) -> Plan:
    path = str(host.directory / "controlplane.yaml")
    return _program(
        host,
        "controlplane",
        ["mlsysops_embedded", "controlplane", "--config", path],
        {"controlplane.yaml": configs["controlplane.yaml"]},
        probe={"url": f"{host.api_url}/readyz", "ca_file": str(host.pki / "ca.crt")},
    )


def _kubelet(host: HostLayout, configs: dict[str, str]) -> Plan:
    path = str(host.directory / "kubelet.yaml")
    return _program(
        host,
        "kubelet",
        ["mlsysops_embedded", "kubelet", "--config", path],
        {"kubelet.yaml": configs["kubelet.yaml"], "runtime.yaml": configs["runtime.yaml"]},
        keeps_children=True,
    )


def _agent(host: HostLayout, configs: dict[str, str]) -> Plan:
    tier = {"management": "continuum", "server": "cluster", "worker": "node"}[host.host.role]
    path = str(host.directory / "agent.yaml")
    return _program(
        host,
        f"{tier}-agent",
        ["mlsysops_agents", tier, "--config", path],
        {"agent.yaml": configs["agent.yaml"]},
        probe={"tcp": f"{host.address}:{OTLP_PORT}"},
    )


def _northbound(layout: SliceLayout, host: HostLayout, configs: dict[str, str]) -> Plan:
    path = str(host.directory / "northbound.yaml")
    return _program(
        host,
        "northbound",
        ["mlsysops_northbound", "--config", path],
        {"northbound.yaml": configs["northbound.yaml"]},
        probe={"tcp": layout.northbound_url.partition("://")[2]},
    )
