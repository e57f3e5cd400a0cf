"""A control plane of the embedded engine as somebody else's API."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "kubernetes"))

from kube_embedded import EmbeddedControlPlane


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedControlPlane]:
    """A running API."""
    server = EmbeddedControlPlane(tmp_path_factory.mktemp("plane"), "127.121.0.2")
    try:
        server.start()
        yield server
    finally:
        server.stop()
