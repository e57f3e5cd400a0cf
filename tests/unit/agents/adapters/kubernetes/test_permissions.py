"""What an agent may not do is known until it may."""

from __future__ import annotations

import pytest
from mlsysops_agents.adapters.kubernetes.permissions import Permissions, collection_of
from mlsysops_core.errors import Refused, Unreachable

SAID = 'pods is forbidden: User "mlsysops:cluster-agent" cannot list resource "pods" in API group "" in the namespace "mlsysops"'
PODS = 'list resource "pods" in API group "" in the namespace "mlsysops"'


def test_what_is_refused_is_known_until_it_is_let() -> None:
    permissions, heard = Permissions(), []
    permissions.on_change = lambda: heard.append(permissions.refused())
    for _ in range(3):
        permissions.heard("GET pods", Refused(SAID))
    permissions.heard("GET nodes", Refused(SAID.replace("pods", "nodes") + ": RBAC: role not found"))
    permissions.heard("GET nodes", Unreachable("away"))
    permissions.heard("GET pods")
    permissions.heard("GET pods")
    nodes = PODS.replace("pods", "nodes")
    assert heard == [[PODS], [nodes, PODS], [nodes]]


@pytest.mark.parametrize(
    "words", ["exceeded quota: small", "admission webhook denied the request", "the token expired"]
)
def test_a_refusal_for_another_reason_is_no_missing_right(words: str) -> None:
    permissions = Permissions()
    permissions.heard("POST pods", Refused(f'pods "x" is forbidden: {words}'))
    assert permissions.refused() == []


@pytest.mark.parametrize(
    ("path", "collection"),
    [
        ("/api/v1/nodes", "/api/v1/nodes"),
        ("/api/v1/nodes/a", "api/v1/nodes/*"),
        ("/api/v1/namespaces/n/pods/p/resize", "api/v1/namespaces/n/pods/*/resize"),
        ("/api/v1/namespaces/n", "api/v1/namespaces/*"),
        ("/apis/apps/v1/namespaces/n/deployments", "/apis/apps/v1/namespaces/n/deployments"),
        ("/apis/apps/v1/namespaces/n/deployments/d", "apis/apps/v1/namespaces/n/deployments/*"),
    ],
)
def test_one_permission_is_for_all_of_a_kind(path: str, collection: str) -> None:
    assert collection_of(path) == collection
