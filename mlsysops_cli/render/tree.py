"""The rendered tree of a slice: every object and config file, by path, always the same for the same input."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import tempfile
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mlsysops_core.errors import InvalidInput, MlsError
from mlsysops_core.model import GROUP, KINDS, VERSION, from_resource, to_document, to_resource

from mlsysops_cli.ansible_plugins.module_utils.mls_ownership import SLICE_LABEL
from mlsysops_cli.assets import asset
from mlsysops_cli.render.accounts import continuum_accounts, continuum_rbac, member_accounts, member_rbac
from mlsysops_cli.render.configs import FRAMEWORK_NAMESPACE, NAMESPACE, host_configs
from mlsysops_cli.render.descriptions import describe_clusters, describe_continuum, describe_nodes
from mlsysops_cli.render.pods import cluster_pods, management_pods
from mlsysops_cli.render.templates import compile_templates, dump_documents, load_documents, render_objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlsysops_core.model import Description

    from mlsysops_cli.slice.layout import SliceLayout

__all__ = ["RenderedTree", "begin_rendering", "render_slice", "write_tree"]

#: File path (POSIX, relative) to the documents in it.
RenderedTree = dict[str, list[dict[str, Any]]]

CONTINUUM = "continuum"


def render_slice(layout: SliceLayout, facts: Mapping[str, Mapping[str, Any]]) -> RenderedTree:
    """Render everything that a slice needs.

    ``continuum/`` and ``clusters/<name>/`` hold Kubernetes objects in the order in which they are applied,
    ``management/`` those of Karmada's host cluster, ``descriptions/`` the descriptions as people write them,
    ``hosts/<host>/`` config files of processes.

    Args:
        layout: The slice, placed.
        facts: Facts of its hosts, by name.

    Raises:
        InvalidInput: What the inventory says of a node does not validate.
        MlsError: A template makes something invalid.
    """
    slice_ = layout.slice
    tree: RenderedTree = {}
    namespaces = [NAMESPACE, FRAMEWORK_NAMESPACE]
    privileged = [FRAMEWORK_NAMESPACE] if slice_.agents == "pods" else []
    ours = {"namespaces": namespaces, "privileged": privileged, "continuum": False}
    karmada = ["karmada-cluster", *(f"karmada-es-{cluster.name}" for cluster in slice_.clusters)]
    embedded = slice_.engine == "embedded"
    tree["continuum/00-namespaces.yaml"] = render_objects(
        "kubernetes/namespaces.yaml.j2",
        {**ours, "namespaces": namespaces + (karmada if embedded else []), "continuum": True},
    )
    crds = copy.deepcopy(_definitions())
    for name, crd in crds.items():
        tree[f"continuum/10-crds/{name}.yaml"] = [crd]
    if not embedded:
        tree["continuum/15-accounts.yaml"] = render_objects("kubernetes/accounts.yaml.j2", continuum_accounts())
    tree["continuum/20-rbac.yaml"] = render_objects("kubernetes/rbac-continuum.yaml.j2", continuum_rbac(layout))
    tree["continuum/30-policies.yaml"] = render_objects(
        "karmada/policies.yaml.j2",
        {
            "crds": [crd["metadata"]["name"] for crd in crds.values()],
            "namespaces": namespaces,
            "namespace": NAMESPACE,
            "framework_namespace": FRAMEWORK_NAMESPACE,
            "clusters": [cluster.name for cluster in slice_.clusters],
            "api_version": f"{GROUP}/{VERSION}",
        },
    )
    _add_descriptions(tree, layout, facts)
    for cluster in slice_.clusters:
        base = f"clusters/{cluster.name}"
        tree[f"{base}/00-namespaces.yaml"] = render_objects("kubernetes/namespaces.yaml.j2", ours)
        if not embedded and slice_.agents == "processes":
            accounts = member_accounts(layout, cluster.name)
            tree[f"{base}/15-accounts.yaml"] = render_objects("kubernetes/accounts.yaml.j2", accounts)
        tree[f"{base}/20-rbac.yaml"] = render_objects(
            "kubernetes/rbac-member.yaml.j2", member_rbac(layout, cluster.name)
        )
        if slice_.agents == "pods":
            tree[f"{base}/50-agents.yaml"] = cluster_pods(layout, cluster.name)
    if layout.continuum_in_pods:
        tree["management/00-namespaces.yaml"] = render_objects(
            "kubernetes/namespaces.yaml.j2", {**ours, "namespaces": [FRAMEWORK_NAMESPACE]}
        )
        tree["management/50-agents.yaml"] = management_pods(layout)
    for host in layout.hosts.values():
        if host.host.machine and (embedded or slice_.engine == "existing"):
            for name, config in host_configs(layout, host.host.name).items():
                tree[f"hosts/{host.host.name}/{name}"] = [config]
    _say_whose(tree, slice_.name)
    _check(tree)
    return dict(sorted(tree.items()))


def write_tree(tree: RenderedTree, directory: Path) -> list[str]:
    """Write a tree; files of an earlier one that are no longer in it go, anything else in there stays.

    Only files that differ are written, each in one step. A file that is still as it was written, of objects that are still
    the same, is not even made anew: with a thousand nodes that is what a run that changes nothing would spend its time on.

    Returns:
        Relative paths of what was written or removed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    marker = directory / ".mls-rendered"
    earlier = _read_marker(marker)
    changed, lines = [], []
    for name, documents in tree.items():
        path = directory / name
        source = _digest(json.dumps(documents, ensure_ascii=False).encode())
        there = path.read_bytes() if path.is_file() else None
        written = _digest(there) if there is not None else ""
        if earlier.get(name) != (source, written):
            content = dump_documents(documents).encode()
            written = _digest(content)
            if content != there:
                _replace(path, content)
                changed.append(name)
        lines.append(f"{name}\t{source}\t{written}\n")
    for name in sorted(set(earlier) - set(tree)):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            continue  # a marker that somebody else wrote must not lead us out of the directory
        (directory / name).unlink(missing_ok=True)
        changed.append(name)
    _replace(marker, "".join(lines).encode())
    return changed


def _read_marker(marker: Path) -> dict[str, tuple[str, ...]]:
    """Return what an earlier run wrote: file names, each with the digests of its objects and of its bytes, if they are known."""
    if not marker.is_file():
        return {}
    rows = (line.split("\t") for line in marker.read_text(encoding="utf-8").splitlines())
    return {name: tuple(digests) for name, *digests in rows}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)


def begin_rendering() -> None:
    """Read now what every rendering needs, whatever the slice."""
    compile_templates()
    _definitions()


@cache
def _definitions() -> dict[str, dict[str, Any]]:
    """Return the custom resource definitions of our group, by file stem; whoever changes them copies them first."""
    crds = {}
    for path in sorted(asset("templates", "crds").glob("*.yaml")):
        for document in load_documents(path.read_text(encoding="utf-8")):
            # Whoever applies the file by hand has a definition that is not ours to remove.
            document["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "mls"
            crds[path.stem] = document
    if {crd["spec"]["names"]["kind"] for crd in crds.values()} != set(KINDS):
        raise MlsError(
            f"{asset('templates', 'crds')} lacks definitions of some kinds", hint="install mlsysops-cli again"
        )
    return crds


def _add_descriptions(tree: RenderedTree, layout: SliceLayout, facts: Mapping[str, Mapping[str, Any]]) -> None:
    slice_ = layout.slice
    described: list[tuple[str, str, Description, dict[str, str]]] = [
        ("continuum", slice_.continuum, describe_continuum(slice_), {}),
        *(("clusters", c.cluster_id, c, {"mlsysops.eu/cluster": c.cluster_id}) for c in describe_clusters(slice_)),
        *(("nodes", n.name, n, {"mlsysops.eu/cluster": str(n.cluster_id)}) for n in describe_nodes(slice_, facts)),
    ]
    for folder, name, description, labels in described:
        resource = to_resource(description, namespace=NAMESPACE)
        resource["metadata"]["labels"] = {
            **resource["metadata"].get("labels", {}),
            "app.kubernetes.io/part-of": "mlsysops",
            "app.kubernetes.io/managed-by": "mls",
            **labels,
        }
        tree[f"descriptions/{folder}/{name}.yaml"] = [to_document(description)]
        tree[f"continuum/40-descriptions/{folder}-{name}.yaml"] = [resource]


def _say_whose(tree: RenderedTree, name: str) -> None:
    """Label objects with the slice, so that another slice on the same clusters, whose objects have the same names, sees it."""
    for path, documents in tree.items():
        if not path.startswith(("continuum/", "clusters/", "management/")):
            continue
        for document in documents:
            kind, version = document["kind"], document["apiVersion"]
            if kind not in ("Namespace", "CustomResourceDefinition") and not version.startswith(f"{GROUP}/"):
                document["metadata"].setdefault("labels", {})[SLICE_LABEL] = name


def _check(tree: RenderedTree) -> None:
    """Check that no object is rendered twice for one API and that objects of our kinds are valid descriptions."""
    seen: dict[tuple[str, ...], str] = {}
    for path, documents in tree.items():
        api = path.split("/40-", 1)[0].rpartition("/")[0] if "/" in path else path
        if not path.startswith((CONTINUUM, "clusters/", "management/")):
            continue
        for document in documents:
            metadata = document["metadata"]
            key = (
                CONTINUUM if path.startswith(CONTINUUM) else api,
                document["apiVersion"],
                document["kind"],
                metadata.get("namespace", ""),
                metadata["name"],
            )
            if key in seen:
                raise InvalidInput(
                    f"{document['kind']} {metadata['name']} is rendered twice, in {seen[key]} and {path}"
                )
            seen[key] = path
            if document["apiVersion"].startswith(f"{GROUP}/"):
                from_resource(document)
