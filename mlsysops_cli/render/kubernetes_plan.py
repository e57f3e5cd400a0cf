"""The plan of Kubernetes APIs that are not ours: what is applied to each from the control node, and who gets credentials.

Every kubeconfig that is named here lies on this machine, private, in the slice's directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlsysops_core.model import GROUP, KINDS, VERSION

from mlsysops_cli.render.accounts import account_of
from mlsysops_cli.render.configs import FRAMEWORK_NAMESPACE, NAMESPACE, northbound_certificate
from mlsysops_cli.render.extras import HEADERS_FILE
from mlsysops_cli.render.life import agent_lease
from mlsysops_cli.render.pods import TELEMETRY_NAME
from mlsysops_cli.render.templates import dump_documents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlsysops_cli.render.tree import RenderedTree
    from mlsysops_cli.slice.layout import HostLayout, SliceLayout

__all__ = [
    "api_of_plane",
    "credentials_of",
    "kept_files",
    "kubernetes_apis",
    "kubernetes_groups",
    "pods_plane",
    "rendered_planes",
    "unrendered_secrets",
]

Plan = dict[str, Any]
Object = dict[str, Any]

_PODS = "/50-agents.yaml"
_PROJECT = "mlsysops"


def pods_plane(host: str) -> str:
    """Return the name under which the objects of a host's pods are remembered; its API's own have the host's name."""
    return f"{host}+pods"


def _host_plane(host: str) -> str:
    """Return the name for what Karmada's host cluster gets before its pods."""
    return f"{host}+host"


def api_of_plane(layout: SliceLayout, plane: str) -> tuple[str, bool]:
    """Return the host under whose name the objects of a plane are remembered, and whether they go to Karmada's host cluster."""
    host, _, part = plane.partition("+")
    return host, bool(part) and host == layout.slice.management


def rendered_planes(layout: SliceLayout, tree: RenderedTree) -> dict[str, list[Object]]:
    """Return the objects that are applied together, in their order, by the name under which they are remembered."""
    planes: dict[str, list[Object]] = {}

    def collect(name: str, folder: str, *, pods: bool | None = None) -> None:
        planes[name] = [
            document
            for path in sorted(tree)
            if path.startswith(f"{folder}/") and (pods is None or path.endswith(_PODS) == pods)
            for document in tree[path]
        ]

    collect(layout.slice.management, "continuum")
    if layout.continuum_in_pods:
        collect(_host_plane(layout.slice.management), "management", pods=False)
        collect(pods_plane(layout.slice.management), "management", pods=True)
    for cluster in layout.slice.clusters:
        collect(cluster.servers[0], f"clusters/{cluster.name}", pods=False)
        if layout.slice.agents == "pods":
            collect(pods_plane(cluster.servers[0]), f"clusters/{cluster.name}", pods=True)
    return planes


def kubernetes_groups(layout: SliceLayout) -> dict[str, list[str]]:
    """Return the hosts that stand for an API, those whose agents are pods, and those whose processes get credentials."""
    if layout.slice.engine == "embedded":
        return {"apis": [], "pods": [], "credentials": []}
    servers = [cluster.servers[0] for cluster in layout.slice.clusters]
    apis = [layout.slice.management, *servers]
    pods = ([layout.slice.management] if layout.continuum_in_pods else []) + (
        servers if layout.slice.agents == "pods" else []
    )
    return {
        "apis": apis,
        "pods": pods,
        "credentials": [name for name, host in layout.hosts.items() if _processes(layout, host)],
    }


def kubernetes_apis(
    layout: SliceLayout,
    planes: Mapping[str, Sequence[Object]],
    objects: Path,
    prune: Mapping[str, Sequence[Mapping[str, str]]],
) -> Plan:
    """Return what is done to each API, by the host that stands for it.

    Args:
        layout: The slice, placed.
        planes: Objects by the name under which they are remembered.
        objects: Directory of the files that hold them.
        prune: What an earlier deployment applied and that is not wanted any more, by the same names.
    """
    groups = kubernetes_groups(layout)
    apis: Plan = {}
    for name in groups["apis"]:
        host = layout.hosts[name]
        apis[name] = {
            "cluster": host.host.cluster,
            "kubeconfig": str(host.admin_kubeconfig),
            "objects": [_apply(name, str(host.admin_kubeconfig), objects, prune)],
            "pods": [],
            "secrets": [],
            "certificate": {},
            "telemetry": {},
            "ready": {},
            "life": {"kubeconfig": str(host.admin_kubeconfig), "leases": []},
            "export": _export(continuum=host.host.role == "management"),
        }
        if name in groups["pods"]:
            plane = pods_plane(name)
            kubeconfig = str(host.host_kubeconfig if host.host.role == "management" else host.admin_kubeconfig)
            rollouts = [
                {"kind": obj["kind"], "namespace": obj["metadata"]["namespace"], "name": obj["metadata"]["name"]}
                for obj in planes[plane]
                if obj["kind"] in ("Deployment", "DaemonSet")
            ]
            apis[name]["pods"] = [_apply(plane, kubeconfig, objects, prune) | {"rollouts": rollouts}]
            apis[name]["telemetry"] = _telemetry(layout, kubeconfig)
            workers = layout.slice.cluster(host.host.cluster).workers if host.host.role == "server" else []
            apis[name]["life"]["leases"] = [agent_lease(layout, layout.hosts[one]) for one in (name, *workers)]
    management = apis.get(layout.slice.management)
    if management is not None:
        management["objects"][0]["members"] = [cluster.name for cluster in layout.slice.clusters]
        management["ready"] = _ready(layout)
        if layout.continuum_in_pods:
            plane = _host_plane(layout.slice.management)
            management["objects"].append(_apply(plane, str(layout.management.host_kubeconfig), objects, prune))
            management |= _continuum_secrets(layout)
    return apis


def kept_files(layout: SliceLayout) -> list[str]:
    """Return what of the slice's directory on this machine a backup holds: keys that no host and no API has."""
    if layout.slice.engine == "embedded" or not layout.continuum_in_pods:
        return []
    return [str((layout.management.access / "northbound").relative_to(layout.directory))]


def _export(*, continuum: bool) -> list[Plan]:
    """Return which objects of an API that exists a backup holds: what people made, and deploying does not make again."""
    people = f"app.kubernetes.io/part-of={_PROJECT},app.kubernetes.io/managed-by!=mls"
    kinds = [
        _listed("v1", plural, namespace, people)
        for plural in ("configmaps", "secrets")
        for namespace in (NAMESPACE, FRAMEWORK_NAMESPACE)
    ]
    if continuum:  # in a member they are what Karmada brought there
        kinds += [_listed(f"{GROUP}/{VERSION}", kind.plural, NAMESPACE) for kind in KINDS.values()]
        policies = "policy.karmada.io/v1alpha1"
        kinds += [_listed(policies, plural, NAMESPACE) for plural in ("propagationpolicies", "overridepolicies")]
        of_clusters = ("clusterpropagationpolicies", "clusteroverridepolicies")
        kinds += [_listed(policies, plural, "", f"app.kubernetes.io/part-of={_PROJECT}") for plural in of_clusters]
    return kinds


def _listed(version: str, plural: str, namespace: str, selector: str = "") -> Plan:
    return {"api_version": version, "plural": plural, "namespace": namespace, "selector": selector}


def credentials_of(layout: SliceLayout, host: HostLayout) -> list[Plan]:
    """Return the kubeconfigs that a host's processes get."""
    if not _processes(layout, host):
        return []
    lead = host if host.host.role != "worker" else layout.server(host.host.cluster)
    users = {
        "management": {"continuum-agent": "mlsysops-continuum-agent", "northbound": "mlsysops-northbound"},
        "server": {"cluster-agent": account_of(layout, host)},
        "worker": {"node-agent": account_of(layout, host)},
    }[host.host.role]
    return [
        _credential(layout, lead, account) | {"file": str(host.kubeconfig(user).relative_to(host.directory))}
        for user, account in users.items()
    ]


def _processes(layout: SliceLayout, host: HostLayout) -> bool:
    """Whether an agent of ours is a process of a host that no control plane of ours gives credentials to."""
    if layout.slice.engine == "embedded" or not host.host.machine:
        return False
    return not layout.continuum_in_pods if host.host.role == "management" else layout.slice.agents == "processes"


def _credential(layout: SliceLayout, api: HostLayout, account: str) -> Plan:
    source = layout.slice.existing.apis.get(api.host.name)
    return {
        "kubeconfig": str(api.admin_kubeconfig),
        "server": source.server if source else "",
        "namespace": FRAMEWORK_NAMESPACE,
        "account": account,
        "file": "kubeconfig",
    }


def _apply(plane: str, kubeconfig: str, objects: Path, prune: Mapping[str, Sequence[Mapping[str, str]]]) -> Plan:
    return {
        "plane": plane,
        "kubeconfig": kubeconfig,
        "objects": str(objects / f"{plane}.json"),
        # What an upgrade that is not well goes back to.
        "settled": str(objects.with_name("settled") / f"{plane}.json"),
        "prune": list(prune.get(plane, ())),
    }


def _continuum_secrets(layout: SliceLayout) -> Plan:
    """Return the Secrets of the continuum's pods, and the certificate that the northbound API shows."""
    host = layout.management
    target = {"kubeconfig": str(host.host_kubeconfig), "namespace": FRAMEWORK_NAMESPACE}
    pki, token = host.access / "northbound" / "pki", host.reachable(host.token_file)
    files = {"token": str(token), "tls.crt": str(pki / "server.crt"), "tls.key": str(pki / "server.key")}
    return {
        "secrets": [
            _credential(layout, host, f"mlsysops-{part}")
            | {
                "secret": target | {"name": f"mlsysops-{part}-kubeconfig"},
                "files": files if part == "northbound" else {},
            }
            for part in ("continuum-agent", "northbound")
        ],
        "certificate": {
            "path": str(host.access / "northbound" / "certificate.yaml"),
            "content": dump_documents([northbound_certificate(pki, host)]),
            "token_file": str(token),
        },
    }


def unrendered_secrets(layout: SliceLayout) -> dict[str, list[Object]]:
    """Return the Secrets that are written beside the rendered objects, without their data, by the plane they go with."""
    names: dict[str, list[str]] = {name: [] for name in kubernetes_groups(layout)["pods"]}
    if layout.slice.engine != "embedded" and layout.continuum_in_pods:
        names[layout.slice.management] += [entry["secret"]["name"] for entry in _continuum_secrets(layout)["secrets"]]
    if layout.slice.export.headers:
        for of_api in names.values():
            of_api.append(TELEMETRY_NAME)
    return {
        pods_plane(host): [
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": FRAMEWORK_NAMESPACE, "name": name}}
            for name in of_api
        ]
        for host, of_api in names.items()
        if of_api
    }


def _telemetry(layout: SliceLayout, kubeconfig: str) -> Plan:
    """Return the Secret with the headers of the user's collector, which only a play knows; empty where it wants none."""
    if not layout.slice.export.headers:
        return {}
    return {
        "kubeconfig": kubeconfig,
        "namespace": FRAMEWORK_NAMESPACE,
        "name": TELEMETRY_NAME,
        "file": HEADERS_FILE,
    }


def _ready(layout: SliceLayout) -> Plan:
    return {
        "kubeconfig": str(layout.management.admin_kubeconfig),
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
