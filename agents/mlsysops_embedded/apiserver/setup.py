"""Opens a registry: store, catalogue, strategies, and the objects every control plane begins with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from mlsysops_embedded.apiserver.definitions import Definitions
from mlsysops_embedded.apiserver.registry import Registry
from mlsysops_embedded.apiserver.strategies import DEFAULT_NAMESPACES, Strategies
from mlsysops_embedded.auth.policy import default_policy
from mlsysops_embedded.machinery.call import SYSTEM, Call
from mlsysops_embedded.machinery.printers import COLUMNS
from mlsysops_embedded.machinery.resources import BUILT_INS, Catalog, ResourceInfo
from mlsysops_embedded.store import Store
from mlsysops_embedded.validation.builtin import SCHEMAS

__all__ = ["open_registry"]

_SERVICE_CIDR = IPv4Network("127.16.128.0/21")


@asynccontextmanager
async def open_registry(path: Path, *, service_cidr: IPv4Network = _SERVICE_CIDR) -> AsyncIterator[Registry]:
    """A registry on a store file (made where absent), ready for use; closed in the end.

    Args:
        path: SQLite file.
        service_cidr: Where Services get their addresses.
    """
    store = Store(path)
    store.start(asyncio.get_running_loop())
    catalog = Catalog(BUILT_INS)
    catalog.with_schemas(SCHEMAS, COLUMNS)
    strategies = Strategies(service_cidr)
    registry = Registry(store, catalog, strategies)
    strategies.reader = registry
    definitions = Definitions(registry)
    strategies.observers.append(definitions.observe)
    try:
        definitions.load()
        await _furnish(registry)
        yield registry
    finally:
        registry.stop()
        await asyncio.to_thread(store.close)


def _info(registry: Registry, group: str, plural: str) -> ResourceInfo:
    return registry.catalog.require(group, "v1", plural)


async def _furnish(registry: Registry) -> None:
    namespaces = _info(registry, "", "namespaces")
    accounts = _info(registry, "", "serviceaccounts")
    wanted = [(namespaces, "", {"metadata": {"name": name}}) for name in DEFAULT_NAMESPACES]
    await asyncio.gather(*(registry.ensure(*item) for item in wanted))
    rest = [(accounts, name, {"metadata": {"name": "default"}}) for name in DEFAULT_NAMESPACES]
    rest += [(_info(registry, "rbac.authorization.k8s.io", plural), "", obj) for plural, obj in default_policy()]
    await asyncio.gather(*(registry.ensure(*item) for item in rest))
    await _unbind_nodes(registry)
    service = {
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": 6443}], "clusterIP": "None"},
    }
    await registry.ensure(_info(registry, "", "services"), "default", service)


async def _unbind_nodes(registry: Registry) -> None:
    """Takes back what control planes once began with: every node held the role of nodes for whatever it named."""
    info = _info(registry, "rbac.authorization.k8s.io", "clusterrolebindings")

    def without(old: dict[str, Any]) -> dict[str, Any]:
        subjects = [s for s in old.get("subjects") or () if (s.get("kind"), s.get("name")) != ("Group", "system:nodes")]
        return {**old, "subjects": subjects}

    await registry.modify(Call(SYSTEM, "kube-apiserver"), info, "", "system:node", without)
