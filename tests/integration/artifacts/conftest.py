"""Released files from a real server on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "e2e" / "standins"))

from release_server import ReleaseServer, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReleaseServer]:
    with serving(tmp_path / "released") as running:
        yield running
