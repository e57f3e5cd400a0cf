"""Permissions that a kubeconfig's user may not give to our agents are named before Kubernetes refuses them in the middle."""

from __future__ import annotations

from typing import Any

import pytest

from mlsysops_cli.existing.grants import ungranted

GROUP = "rbac.authorization.k8s.io"
ROLE = {
    "apiVersion": f"{GROUP}/v1",
    "kind": "Role",
    "metadata": {"name": "r", "namespace": "n"},
    "rules": [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"]},
        {"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["patch"], "resourceNames": ["a", "b"]},
    ],
}
CLUSTER_ROLE = {
    "apiVersion": f"{GROUP}/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "r"},
    "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "watch"]}],
}


class Api:
    """Permits some things: ``VERB RESOURCE.GROUP NAMESPACE NAME``, without what is empty."""

    def __init__(self, *permitted: str) -> None:
        self.permitted = permitted
        self.asked: list[str] = []

    def request(self, method: str, path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        about = body["spec"]["resourceAttributes"]
        resource = "/".join(word for word in (about["resource"], about.get("subresource")) if word)
        where = f"{resource}.{about['group']}".rstrip(".")
        words = [about["verb"], where, about.get("namespace"), about.get("name")]
        asked = " ".join(word for word in words if word)
        self.asked.append(asked)
        return {"status": {"allowed": asked in self.permitted}}


@pytest.mark.parametrize(
    "permitted",
    [
        ("* *.*",),
        (f"escalate roles.{GROUP} n", f"bind roles.{GROUP} n", f"escalate clusterroles.{GROUP}", f"bind clusterroles.{GROUP}"),
        (
            "get deployments.apps n", "patch deployments.apps n", "patch pods/resize n a", "patch pods/resize n b",
            "get nodes", "watch nodes",
        ),
    ],
)  # fmt: skip
def test_who_may_give_them(permitted: tuple[str, ...]) -> None:
    assert ungranted(Api(*permitted), [ROLE, CLUSTER_ROLE]) == []  # type: ignore[arg-type]


def test_what_is_missing_is_named_a_line_a_resource() -> None:
    # Who may write roles with anything in them may yet not bind them.
    api = Api(f"escalate roles.{GROUP} n", "get deployments.apps n", "patch pods/resize n a", "watch nodes")
    found = ungranted(api, [ROLE, CLUSTER_ROLE])  # type: ignore[arg-type]
    assert [text for text, _ in found] == [
        "its user may not give agents the right to patch deployments.apps in namespace n",
        "its user may not give agents the right to patch pods/resize in namespace n",
        "its user may not give agents the right to get nodes",
    ]
    assert {hint for _, hint in found} == {
        "use an administrator's kubeconfig, or let it escalate and bind roles and clusterroles"
    }


def test_without_roles_nobody_is_asked() -> None:
    api = Api()
    assert ungranted(api, [{"kind": "ServiceAccount", "metadata": {"name": "a"}}]) == []  # type: ignore[arg-type]
    assert api.asked == []
