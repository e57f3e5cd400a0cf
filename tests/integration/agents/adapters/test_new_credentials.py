"""An agent whose token was replaced goes on with the new one, without a restart."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlsysops_agents.adapters.kubernetes import KubernetesClient, Resource
from mlsysops_agents.adapters.kubernetes.resources import CONFIG_MAPS
from mlsysops_core.errors import NotFound, Refused

ACCOUNTS = Resource("", "v1", "serviceaccounts", True, "ServiceAccount")
SECRETS = Resource("", "v1", "secrets", True, "Secret")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", False, "ClusterRoleBinding")


async def token(admin: KubernetesClient, name: str) -> str:
    """The token of a Secret for the account `agent`, once the control plane has filled it."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": "agent"}},
    }
    await admin.create(SECRETS, secret, "default")
    async for event in admin.watch(SECRETS, "default", field_selector=f"metadata.name={name}", timeout_seconds=30):
        if found := (event["object"].get("data") or {}).get("token"):
            return base64.b64decode(found).decode()
    raise AssertionError("no token")


def write(path: Path, admin: Path, value: str) -> None:
    document = yaml.safe_load(admin.read_text(encoding="utf-8"))
    document["users"] = [{"name": document["users"][0]["name"], "user": {"token": value}}]
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


async def test_a_token_that_was_replaced(control_plane: Any, tmp_path: Path) -> None:
    path, administrator = tmp_path / "agent.kubeconfig", Path(control_plane.kubeconfig)
    async with await KubernetesClient.connect(administrator) as admin:
        await admin.create(
            ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "agent"}}, "default"
        )
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "agent"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": "default"}],
        }
        await admin.create(ROLES, binding)
        write(path, administrator, await token(admin, "first"))
        async with await KubernetesClient.connect(path) as agent:
            with pytest.raises(NotFound):
                await agent.get(CONFIG_MAPS, "absent", "default")
            await admin.delete(SECRETS, "first", "default")
            with pytest.raises(Refused):
                await agent.get(CONFIG_MAPS, "absent", "default")
            write(path, administrator, await token(admin, "second"))
            with pytest.raises(NotFound):
                await agent.get(CONFIG_MAPS, "absent", "default")
            path.write_text("no kubeconfig", encoding="utf-8")
            await admin.delete(SECRETS, "second", "default")
            with pytest.raises(Refused):
                await agent.get(CONFIG_MAPS, "absent", "default")
