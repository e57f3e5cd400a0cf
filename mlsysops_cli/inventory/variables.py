"""Every inventory variable of ours: the reference is made of this table, and a name that is not in it is a fault.

All of them begin with ``mls_``; what else an inventory holds is Ansible's or its author's.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlsysops_core.errors import Fault

    from mlsysops_cli.inventory.loader import RawInventory

__all__ = ["FOREIGN", "VARIABLES", "check_variables", "reference"]

_PREFIX = "mls_"

#: Variables by topic: name, whose they are (``slice``: all hosts agree), and what they say.
VARIABLES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "The slice": (
        ("mls_slice", "slice", "its name; the management host's by default"),
        ("mls_engine", "slice", "`embedded`, `k3s` or `existing`; by default `embedded` where all hosts are this machine, else `k3s`"),
        ("mls_loopback_block", "slice", "pins the loopback addresses of a slice on this machine: 127.N.0.0/16, N from 16 to 119"),
        ("mls_lease_seconds", "slice", "how long whoever is silent counts as there: 8 to 3600, 40 by default"),
        ("mls_placement", "management, server", "how the host's agent places components: weights and limits"),
    ),
    "Hosts": (
        ("mls_cluster", "host", "its cluster; wins over the groups, and must not contradict `k3s_cluster_name`"),
        ("mls_role", "host", "`management`, `server`, `worker` or `far_edge`, whatever its groups say"),
        ("mls_address", "host", "where its parts listen and others reach it, where that is not `ansible_host`"),
        ("mls_labels", "worker", "labels of its node, as `labels`"),
        ("mls_taints", "worker", "taints of its node, `key=value:Effect`, as `taints`"),
        ("mls_sysctl", "host", "kernel parameters; whole numbers are least values"),
        ("mls_packages", "host", "Debian packages"),
        ("mls_time_sync", "host", "`false` leaves the clock alone"),
        ("mls_gateway", "far_edge", "the worker that the device is behind"),
    ),
    "Nodes' descriptions": (
        ("mls_continuum_layer", "worker, far_edge", "`cloud`, `edge_infrastructure`, `edge` or `far_edge`"),
        ("mls_environment", "worker, far_edge", "member `environment` of the description"),
        ("mls_hardware", "worker, far_edge", "member `hardware`; wins over what the host says of itself"),
        ("mls_node", "worker, far_edge", "any other members"),
    ),
    "Agents": (
        ("mls_agents", "slice", "`pods` or `processes`, where the engine leaves the choice"),
        ("mls_agents_image", "slice", "image of agents that are pods"),
        ("mls_northbound_image", "slice", "image of the northbound API, where it is a pod"),
        ("mls_node_agent_privileged", "slice", "`true`: node agents that are pods may turn knobs of their hosts"),
        ("mls_otlp_endpoint", "slice", "collector that metrics and traces go to, OTLP over HTTP"),
        ("mls_otlp_headers", "slice", "headers for it; keep them in a vault"),
        ("mls_plugin_dirs", "host", "directories of the host with policies and mechanisms"),
        ("mls_policy_digests", "slice", "digests of the policies that agents run"),
        ("mls_policy_signers", "slice", "public keys whose signature lets a policy run"),
        ("mls_policy_packages", "slice", "Python packages that policies may have installed"),
        ("mls_policy_index", "slice", "package index that they come from"),
        ("mls_policy_proxy", "slice", "proxy on the way there"),
        ("mls_policy_wheelhouse", "slice", "directory of the hosts from which alone they are installed"),
        ("mls_policy_dataframe", "slice", "`true` where policies look at data frames"),
    ),
    "k3s and Karmada": (
        ("mls_k3s_version", "slice", "version of k3s"),
        ("mls_karmada_version", "slice", "version of Karmada"),
        ("mls_karmada_join", "slice", "`pull` (default) or `push`"),
        ("mls_karmada_registry", "slice", "registry of Karmada's images"),
        ("mls_karmada_agent_image", "slice", "image of its agent in clusters that pull"),
        ("mls_artifacts_dir", "slice", "directory of released files on this machine, relative to the inventory"),
        ("mls_artifacts_mirror", "slice", "base URL of a mirror that is laid out like it"),
        ("mls_k3s_url", "slice", "base URL of k3s' releases"),
        ("mls_karmada_url", "slice", "base URL of Karmada's releases"),
        ("mls_airgap_images", "slice", "`true`: hosts get k3s' images as an archive; always with `mls_artifacts_dir`"),
        ("mls_https_proxy", "slice", "proxy of downloads and of k3s"),
        ("mls_http_proxy", "slice", "the same for plain HTTP"),
        ("mls_no_proxy", "slice", "what is reached without it, beside the slice itself"),
        ("mls_registries", "host", "k3s' `registries.yaml`"),
    ),
    "Clusters that exist": (
        ("mls_kubeconfig", "management, server", "kubeconfig of the API that the host stands for, relative to the inventory"),
        ("mls_context", "management, server", "its context"),
        ("mls_api_url", "management, server", "URL at which agents outside the cluster reach it"),
        ("mls_karmada_host_kubeconfig", "management", "kubeconfig of the cluster on which Karmada runs"),
        ("mls_karmada_host_context", "management", "its context"),
    ),
    "Patience": (
        ("mls_health_seconds", "slice", "how long `upgrade` and `add-node` wait until a host or API is well"),
        ("mls_rollout_seconds", "slice", "how long an upgrade that goes back waits for the pods of before; 300 by default"),
    ),
}  # fmt: skip

#: Variables without our prefix that inventories of testbeds have, and that mean something here.
FOREIGN = ("k3s_cluster_name", "pod_cidr", "service_cidr", "labels", "taints")


def check_variables(raw: RawInventory, faults: list[Fault], hosts: Iterable[str]) -> None:
    """Add a fault for each variable of ours that there is not, once, however many hosts have it.

    Args:
        raw: The inventory.
        faults: Is added to.
        hosts: The hosts of the slice.
    """
    known = [name for rows in VARIABLES.values() for name, _, _ in rows]
    found: dict[str, str] = {}
    for host in hosts:
        for name in raw.hosts[host]:
            if name.startswith(_PREFIX) and name not in known:
                found.setdefault(name, host)
    for name, host in found.items():
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "those of a slice are listed in docs/reference/inventory.md"
        message = f"unknown variable {name} of host {host}"
        faults.append(raw.fault(name, message=message, hint=hint, path=name))


def reference() -> str:
    """Return the page of the reference."""
    head = (
        "# Variables of an inventory\n\n"
        "<!-- Generated from mlsysops_cli by `python -m mlsysops_cli.reference`; edits here are lost. -->\n\n"
        "Beside Ansible's own variables and groups, which [Write an inventory](../how-to/write-an-inventory.md) explains, these mean\n"
        "something. Another one that begins with `mls_` is a fault. *slice* is a variable on which all hosts that have it agree: set it\n"
        f"once, for all. Without prefix are {', '.join(f'`{name}`' for name in FOREIGN)}, as inventories of testbeds have them.\n"
    )
    parts = [head]
    for topic, rows in VARIABLES.items():
        lines = "".join(f"| `{name}` | {whose} | {what} |\n" for name, whose, what in rows)
        parts.append(f"\n## {topic}\n\n| variable | of | is |\n|---|---|---|\n{lines}")
    return "".join(parts)
