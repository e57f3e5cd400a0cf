"""Node selectors, affinity terms, taints and tolerations: pure functions shared by scheduler and controllers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsysops_embedded.client.objects import matches, terms_match

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlsysops_embedded.client import Object

__all__ = [
    "matches_node_affinity",
    "node_term_matches",
    "required_node_match",
    "tolerates",
    "untolerated",
]


def node_term_matches(term: Object, node: Object) -> bool:
    """Whether a NodeSelectorTerm matches; an empty term matches nothing."""
    labels = node["metadata"].get("labels") or {}
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    name = {"metadata.name": node["metadata"]["name"]}
    return terms_match(expressions, labels) and terms_match(fields, name)


def matches_node_affinity(spec: Object, node: Object) -> bool:
    """Whether a node satisfies ``requiredDuringSchedulingIgnoredDuringExecution``; terms are alternatives."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(node_term_matches(term, node) for term in required.get("nodeSelectorTerms") or ())


def required_node_match(spec: Object, node: Object) -> bool:
    """Whether a node satisfies nodeSelector and required node affinity."""
    return matches(spec.get("nodeSelector"), node["metadata"].get("labels")) and matches_node_affinity(spec, node)


def tolerates(toleration: Object, taint: Object) -> bool:
    """Whether one toleration tolerates one taint (core/v1 ``ToleratesTaint``)."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if not key:
        return bool(operator == "Exists")
    if key != taint["key"]:
        return False
    return operator == "Exists" or (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(
    tolerations: Iterable[Object] | None, taints: Iterable[Object] | None, effects: Iterable[str]
) -> Object | None:
    """The first taint of these effects that nothing tolerates."""
    tolerations, wanted = list(tolerations or ()), set(effects)
    for taint in taints or ():
        if taint.get("effect") in wanted and not any(tolerates(t, taint) for t in tolerations):
            return taint
    return None
