"""One slice for the tests of this folder: they look at it from outside, as its users do."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from tiers_slice import LocalSlice, eventually


@pytest.fixture
async def local_slice(tmp_path: Path) -> AsyncIterator[LocalSlice]:
    """A slice whose agents and nodes are ready."""
    made = LocalSlice(tmp_path)
    try:
        await made.start()
        await eventually(made.all_ready, what="the slice is ready")
        yield made
    finally:
        await made.stop()
