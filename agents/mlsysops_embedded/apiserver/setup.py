"""Opens a registry: store, catalogue, strategies, and the objects every control plane begins with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mlsysops_embedded.apiserver.registry import Registry
from mlsysops_embedded.apiserver.strategies import DEFAULT_NAMESPACES, Strategies
from mlsysops_embedded.machinery.resources import BUILT_INS, Catalog
from mlsysops_embedded.machinery.printers import COLUMNS
from mlsysops_embedded.store import Store
from mlsysops_embedded.validation.builtin import SCHEMAS

__all__ = ["open_registry"]


@asynccontextmanager
async def open_registry(path: Path) -> AsyncIterator[Registry]:
    """A registry on a store file (made where absent), ready for use; closed in the end.

    Args:
        path: SQLite file.
    """
    store = Store(path)
    store.start(asyncio.get_running_loop())
    catalog = Catalog(BUILT_INS)
    catalog.with_schemas(SCHEMAS, COLUMNS)
    strategies = Strategies()
    registry = Registry(store, catalog, strategies)
    strategies.reader = registry
    try:
        namespaces = catalog.find("", "v1", "namespaces")
        assert namespaces is not None
        for name in DEFAULT_NAMESPACES:
            await registry.ensure(namespaces, "", {"metadata": {"name": name}})
        yield registry
    finally:
        registry.stop()
        await asyncio.to_thread(store.close)
