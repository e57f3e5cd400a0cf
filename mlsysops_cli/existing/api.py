"""What is asked of an API before anything is changed in it: version, discovery, permissions, nodes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import (
    Api,
    ApiError,
    ApiUnreachableError,
    CredentialsError,
    is_ours,
)
from mlsysops_cli.existing.access import Need, allowed, everything_allowed
from mlsysops_cli.existing.before import shared_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MINIMUM", "Findings", "Need", "look", "needs"]

#: Oldest minor version of Kubernetes 1 that is supported.
MINIMUM = 26
#: What tells a Karmada API: groups and versions that the framework uses of it.
KARMADA = ("policy.karmada.io/v1alpha1", "work.karmada.io/v1alpha2", "cluster.karmada.io/v1alpha1")


@dataclass(slots=True)
class Findings:
    """What an API answered.

    Attributes:
        identity: UID of its namespace ``kube-system``; empty where there is none.
        karmada: It is a Karmada API.
        nodes: Its nodes.
        members: Karmada's ``Cluster`` objects, by name.
        problems: What stands in the way, each with a fix.
        reached: It answers.
        before: What it has that bears a name of ours and was made by others: labels by path.
    """

    identity: str = ""
    karmada: bool = False
    nodes: list[dict[str, Any]] = field(default_factory=list)
    members: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    reached: bool = True
    before: dict[str, dict[str, str]] = field(default_factory=dict)


def needs(*, karmada: bool, pods: bool, namespace: str, framework_namespace: str) -> list[Need]:
    """Return what must be permitted in an API.

    Args:
        karmada: It is the continuum's.
        pods: Agents run in it as pods.
        namespace: Where applications live.
        framework_namespace: Where the framework's own parts live.
    """
    rbac = "rbac.authorization.k8s.io"
    wanted = [
        Need("", "namespaces"),
        Need(rbac, "clusterroles"),
        Need(rbac, "clusterrolebindings"),
        *(
            Need(rbac, kind, namespace=n)
            for kind in ("roles", "rolebindings")
            for n in (namespace, framework_namespace)
        ),
        Need("", "serviceaccounts", namespace=framework_namespace),
        Need("", "secrets", namespace=framework_namespace),
        # For what is removed, and for agents that are waited for.
        Need("mlsysops.eu", "mlsysopsapps", ("get", "list"), namespace),
        Need("coordination.k8s.io", "leases", ("get", "list"), framework_namespace),
        Need("apiextensions.k8s.io", "customresourcedefinitions"),
    ]
    if karmada:
        described = ("mlsysopsnodes", "mlsysopsclusters", "mlsysopscontinuums")
        wanted += [
            *(Need("mlsysops.eu", kind, namespace=namespace) for kind in described),
            Need("mlsysops.eu", "mlsysopsapps", ("delete",), namespace),
            Need("policy.karmada.io", "clusterpropagationpolicies"),
            Need("policy.karmada.io", "propagationpolicies", namespace=namespace),
            Need("cluster.karmada.io", "clusters", ("get", "list")),
        ]
    else:
        wanted.append(Need("", "nodes", ("get", "list")))
    if pods:
        wanted += [Need("apps", kind, namespace=framework_namespace) for kind in ("deployments", "daemonsets")]
        wanted.append(Need("", "configmaps", namespace=framework_namespace))
        wanted += [Need("", kind, ("list",), framework_namespace) for kind in ("pods", "events", "configmaps")]
    return wanted


def look(kubeconfig: str, wanted: Iterable[Need], *, karmada: bool, namespaces: tuple[str, ...] = ()) -> Findings:
    """Ask an API everything; it is changed in nothing.

    Args:
        kubeconfig: Path of a kubeconfig.
        wanted: What must be permitted.
        karmada: Whether it has to be a Karmada API.
        namespaces: Those of ours, which others may have made before.
    """
    findings = Findings()
    try:
        api = Api(kubeconfig, timeout=10.0, retries=0)
        _look(api, findings, list(wanted), karmada)
        findings.before = _theirs(api, namespaces)
    except ApiUnreachableError as exc:
        findings.reached = False
        findings.problems.append((str(exc), "start it, or correct the server's address in the kubeconfig"))
    except CredentialsError as exc:
        findings.problems.append(_unusable(exc))
    except ApiError as exc:
        findings.problems.append(_refusal(exc))
    except Exception as exc:  # noqa: BLE001 - the kubeconfig library raises whatever a plug-in for credentials raises
        findings.problems.append(_unusable(exc))
    return findings


def _unusable(exc: Exception) -> tuple[str, str]:
    return f"its credentials cannot be used: {' '.join(str(exc).split())[:200]}", "log in again"


def _look(api: Api, findings: Findings, wanted: list[Need], karmada: bool) -> None:
    version = api.request("GET", "/version")
    major, minor = (int(re.sub(r"\D.*", "", str(version.get(part, ""))) or 0) for part in ("major", "minor"))
    if (major, minor) < (1, MINIMUM):
        said = version.get("gitVersion") or f"{major}.{minor}"
        findings.problems.append((f"it is Kubernetes {said}", f"1.{MINIMUM} or newer is needed"))
    found = _get(api, "/api/v1/namespaces/kube-system")
    findings.identity = str((found or {}).get("metadata", {}).get("uid", ""))
    missing = [group for group in KARMADA if _get(api, f"/apis/{group}") is None]
    findings.karmada = not missing
    if karmada and missing:
        findings.problems.append(
            (
                f"it is no Karmada API: it does not serve {', '.join(missing)}",
                "name a kubeconfig of Karmada's API server",
            )
        )
        return
    if not karmada and findings.karmada:
        findings.problems.append(("it is a Karmada API, not a cluster", "name a kubeconfig of the cluster itself"))
        return
    findings.problems += _forbidden(api, wanted)
    if karmada:
        listed = _get(api, "/apis/cluster.karmada.io/v1alpha1/clusters") or {}
        findings.members = {str(one["metadata"]["name"]): one for one in listed.get("items") or []}
    else:
        findings.nodes = list((_get(api, "/api/v1/nodes") or {}).get("items") or [])


def _theirs(api: Api, namespaces: tuple[str, ...]) -> dict[str, dict[str, str]]:
    found = {path: _get(api, path) for path in shared_paths(namespaces)}
    return {path: obj["metadata"].get("labels") or {} for path, obj in found.items() if obj and not is_ours(obj)}


def _get(api: Api, path: str) -> dict[str, Any] | None:
    """Return an answer; None where there is nothing, or where it may not be seen (permissions are asked apart)."""
    try:
        found: dict[str, Any] = api.request("GET", path)
    except ApiError as exc:
        if exc.code in (403, 404):
            return None
        raise
    return found


def _forbidden(api: Api, wanted: list[Need]) -> Iterator[tuple[str, str]]:
    """Yield what is not permitted, a line a resource."""
    if everything_allowed(api):
        return
    for need in wanted:
        refused = [verb for verb in need.verbs if not allowed(api, need, verb)]
        if refused:
            yield f"its user may not {', '.join(refused)} {need.title}", "use an administrator's kubeconfig"


def _refusal(exc: ApiError) -> tuple[str, str]:
    if exc.code == 401:
        return "it does not accept the kubeconfig's credentials", "they may have expired: fetch the kubeconfig anew"
    if "system:anonymous" in str(exc):
        return "the kubeconfig's user has no credentials", "name a context whose user has some"
    return f"it answers: {exc}", "use an administrator's kubeconfig" if exc.code == 403 else "see its log"
