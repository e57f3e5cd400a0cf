"""What the tests of the runtime share: a control plane with two workers."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from embedded_plane import Plane, free_slice
from mlsysops_embedded.client import HttpClient


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A control plane with two workers."""
    made = Plane(tmp_path_factory.mktemp("engine") / "c", "cluster1", free_slice(), 0)
    made.bootstrap(nodes=("worker1", "worker2"))
    try:
        made.start()
        for node in made.nodes:
            made.start_kubelet(node)
        yield made
    finally:
        made.close()


@pytest.fixture
async def client(plane: Plane) -> AsyncIterator[HttpClient]:
    async with plane.client() as made:
        await plane.ready(made)
        yield made
