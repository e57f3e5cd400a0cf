"""Which labels a kubelet may set on its own node: people trust some of Kubernetes' to tell which nodes may run what."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["kubelet_may_set"]

#: Labels of Kubernetes' own domains that a kubelet may set (kubernetes `well_known_labels.go` of `k8s.io/kubelet`;
#: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction).
_LABELS = frozenset(
    (
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    )
)
_KUBELETS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_KUBERNETES = ("kubernetes.io", "k8s.io")


def kubelet_may_set(key: str) -> bool:
    """Whether a node may label itself so.

    Args:
        key: The label's key.
    """
    domain = key.rpartition("/")[0]
    return key in _LABELS or _within(domain, _KUBELETS) or not _within(domain, _KUBERNETES)


def _within(domain: str, owners: Sequence[str]) -> bool:
    return any(domain == owner or domain.endswith(f".{owner}") for owner in owners)
