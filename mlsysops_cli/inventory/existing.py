"""Reads what an inventory says of clusters that exist."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mlsysops_cli.slice.existing import ExistingSettings, KubeconfigSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlsysops_core.errors import Fault

    from mlsysops_cli.inventory.loader import RawInventory
    from mlsysops_cli.inventory.values import Reader
    from mlsysops_cli.slice.model import AgentsForm, Cluster, Engine, Host

__all__ = ["mark_machines", "read_agents_form", "read_existing"]

_ONLY_EXISTING = (
    "mls_kubeconfig",
    "mls_context",
    "mls_api_url",
    "mls_karmada_host_kubeconfig",
    "mls_karmada_host_context",
)


def read_agents_form(raw: RawInventory, read: Reader, engine: Engine, faults: list[Fault]) -> AgentsForm:
    """Return whether agents run as processes of hosts or as pods (``mls_agents``).

    Args:
        raw: The inventory.
        read: Its typed reader.
        engine: The slice's engine.
        faults: Is added to.
    """
    said = read.shared("mls_agents")
    possible = {"embedded": ("processes",), "k3s": ("pods",), "existing": ("pods", "processes")}[engine]
    if said and said not in possible:
        faults.append(
            raw.fault(
                "mls_agents",
                message=f"mls_agents is {said}, with engine {engine}",
                hint=f"one of: {', '.join(possible)}; or leave it out",
                path="mls_agents",
            )
        )
    return "processes" if (said or possible[0]) == "processes" else "pods"


def read_existing(
    raw: RawInventory,
    read: Reader,
    engine: Engine,
    form: AgentsForm,
    management: str,
    clusters: Sequence[Cluster],
    faults: list[Fault],
) -> ExistingSettings:
    """Return the kubeconfigs, adding a fault for each that is missing.

    Args:
        raw: The inventory.
        read: Its typed reader.
        engine: The slice's engine; with another than ``existing`` nothing is read.
        form: How the agents run.
        management: The management host.
        clusters: The clusters; the first server of each stands for its API.
        faults: Is added to.
    """
    if engine != "existing":
        faults.extend(
            raw.fault(
                host,
                variable,
                message=f"{variable} of host {host} means nothing with engine {engine}",
                hint="set mls_engine: existing, or remove it",
            )
            for host in raw.hosts
            for variable in _ONLY_EXISTING
            if raw.hosts[host].get(variable)
        )
        return ExistingSettings()
    apis = {}
    for host, what in [(management, "the Karmada API"), *((c.servers[0], f"cluster {c.name}") for c in clusters)]:
        source = _source(raw, read, host, "mls_kubeconfig", "mls_context")
        if source:
            apis[host] = source
        elif not raw.hosts[host].get("mls_kubeconfig"):
            faults.append(
                raw.fault(
                    host,
                    message=f"host {host} names no kubeconfig of {what}",
                    hint="set mls_kubeconfig on it to the path of one (and mls_context where its current one is not meant)",
                    path=f"{host}.mls_kubeconfig",
                )
            )
    faults.extend(
        raw.fault(
            cluster.servers[1],
            message=f"cluster {cluster.name} exists and has {len(cluster.servers)} servers in the inventory",
            hint="keep one, which stands for its API",
        )
        for cluster in clusters
        if len(cluster.servers) > 1
    )
    host_source = _source(raw, read, management, "mls_karmada_host_kubeconfig", "mls_karmada_host_context")
    if host_source and form == "processes":
        faults.append(
            raw.fault(
                management,
                "mls_karmada_host_kubeconfig",
                message="mls_karmada_host_kubeconfig is for agents that run as pods, and mls_agents is processes",
                hint="set mls_agents: pods, or remove it",
            )
        )
    return ExistingSettings(apis=apis, karmada_host=host_source)


def _source(raw: RawInventory, read: Reader, host: str, variable: str, context: str) -> KubeconfigSource | None:
    """Return the kubeconfig that a host names; paths are relative to the inventory's directory.

    A host that names a context alone means a context of the person's own kubeconfig: ``KUBECONFIG`` (its first file), or
    ``~/.kube/config``.
    """
    named = read.text(host, context)
    text = read.text(host, variable)
    if not text and named:
        text = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or "~/.kube/config"
    if not text:
        return None
    base = Path(raw.source).absolute()
    path = (base if base.is_dir() else base.parent) / Path(text).expanduser()
    return KubeconfigSource(path=str(path), context=named, server=read.text(host, "mls_api_url"))


def mark_machines(hosts: dict[str, Host], settings: ExistingSettings, form: AgentsForm, engine: Engine) -> None:
    """Note which hosts only stand for an API or a node of one, so that nothing is installed on them.

    Args:
        hosts: All hosts by name; is changed.
        settings: What the inventory says of the clusters.
        form: How the agents run.
        engine: The slice's engine.
    """
    if engine != "existing" or form == "processes":
        return
    for name, host in hosts.items():
        # Without Karmada's host cluster there is no place for pods of the continuum: it runs on its host.
        if host.role != "management" or settings.karmada_host is not None:
            hosts[name] = host.model_copy(update={"machine": False})
