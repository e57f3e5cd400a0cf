"""The authorizer's memory of roles and bindings."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mlsysops_embedded.apiserver.setup import open_registry
from mlsysops_embedded.auth.rbac import Attributes, Authorizer
from mlsysops_embedded.machinery.call import Call, DeleteOptions, User

GROUP = "rbac.authorization.k8s.io"


async def test_roles_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    async with asyncio.timeout(30), open_registry(tmp_path / "s") as registry:
        authorizer = Authorizer(registry.store)
        registry.strategies.observers.append(authorizer.observe)
        asked = Attributes("get", "", "pods", "", "default", "p")
        authorizer.allowed(User("joe"), asked)
        before = len(authorizer._parsed)
        for number in range(5):
            name = f"r{number}"
            for plural, more in (
                ("roles", {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
                (
                    "rolebindings",
                    {
                        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": name},
                        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": "joe"}],
                    },
                ),
            ):
                info = registry.catalog.require(GROUP, "v1", plural)
                await registry.create(Call(), info, "default", {"metadata": {"name": name}, **more})
            assert authorizer.allowed(User("joe"), asked)
            assert len(authorizer._parsed) == before + 2
            for plural in ("roles", "rolebindings"):
                info = registry.catalog.require(GROUP, "v1", plural)
                await registry.delete(Call(), info, "default", name, DeleteOptions())
            assert not authorizer.allowed(User("joe"), asked)
            assert len(authorizer._parsed) == before
