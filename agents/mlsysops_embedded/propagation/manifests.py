"""Turns a template into the manifest for one cluster: stripped of what belongs to the control plane, overridden, marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import copy
from mlsysops_embedded.propagation import names
from mlsysops_embedded.propagation.overriders import apply_overriders
from mlsysops_embedded.propagation.selection import cluster_matches, match_rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlsysops_embedded.client import Object

__all__ = ["make_manifest", "override", "strip"]

_METADATA = ("name", "namespace", "labels", "annotations")
#: Claims of policies mean nothing in a member.
_CLAIMS = {
    names.POLICY_ID,
    names.CLUSTER_POLICY_ID,
    names.POLICY_NAMESPACE,
    names.POLICY_NAME,
    names.CLUSTER_POLICY_NAME,
    "kubectl.kubernetes.io/last-applied-configuration",
}


def strip(template: Object) -> Object:
    """A template without identity, status and what a control plane assigns."""
    result = copy(template)
    metadata = {key: value for key, value in result["metadata"].items() if key in _METADATA}
    for field in ("labels", "annotations"):
        kept = {key: value for key, value in (metadata.get(field) or {}).items() if key not in _CLAIMS}
        metadata.pop(field, None)
        if kept:
            metadata[field] = kept
    result["metadata"] = metadata
    result.pop("status", None)
    kind, spec = result["kind"], result.get("spec")
    if kind == "Service" and isinstance(spec, dict) and spec.get("clusterIP") != "None":
        for field in ("clusterIP", "clusterIPs"):
            spec.pop(field, None)
    elif kind == "ServiceAccount":
        result.pop("secrets", None)
    elif kind == "Namespace":
        result.pop("spec", None)
        (metadata.get("labels") or {}).pop("kubernetes.io/metadata.name", None)
    elif kind == "Pod" and isinstance(spec, dict):
        spec.pop("nodeName", None)
    return result


def override(manifest: Object, cluster: Object, policies: Iterable[Object]) -> Object:
    """Apply the rules of override policies (in the given order) that hold for a cluster.

    Raises:
        ValueError: A rule does not fit the manifest.
    """
    result = copy(manifest)
    for policy in policies:
        selectors = policy["spec"].get("resourceSelectors")
        namespace = policy["metadata"].get("namespace")
        if selectors and not match_rank(selectors, manifest, namespace=namespace):
            continue
        if not selectors and namespace and manifest["metadata"].get("namespace") != namespace:
            continue
        for rule in policy["spec"].get("overrideRules") or ():
            if not cluster_matches(rule.get("targetCluster"), cluster):
                continue
            try:
                apply_overriders(result, rule.get("overriders") or {})
            except ValueError as exc:
                raise ValueError(f"override policy {policy['metadata']['name']}: {exc}") from exc
    return result


def make_manifest(
    template: Object,
    cluster: Object,
    replicas: int | None,
    overrides: Sequence[Object],
    work: tuple[str, str],
    conflict: str,
) -> Object:
    """The manifest of a Work.

    Args:
        template: The template.
        cluster: The target.
        replicas: What the target gets, where the template has replicas.
        overrides: Override policies, cluster-wide ones first.
        work: Namespace and name of the Work.
        conflict: ``Abort`` or ``Overwrite``.

    Raises:
        ValueError: An override does not fit.
    """
    manifest = strip(template)
    if replicas is not None and isinstance(manifest.get("spec"), dict):
        manifest["spec"]["replicas"] = replicas
    manifest = override(manifest, cluster, overrides)
    metadata = manifest["metadata"]
    metadata["labels"] = {**(metadata.get("labels") or {}), names.MANAGED: "true"}
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        names.WORK_NAMESPACE: work[0],
        names.WORK_NAME: work[1],
        names.TEMPLATE_UID: template["metadata"]["uid"],
        names.TEMPLATE_GENERATION: str(template["metadata"].get("generation", 0)),
        names.CONFLICT: conflict.lower(),
    }
    return manifest
