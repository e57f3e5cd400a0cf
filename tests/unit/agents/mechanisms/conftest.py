"""Makes the agents' fakes importable, and gives each test a recorded machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from machines import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A node whose descriptions permit everything; the tree is empty."""
    root = tmp_path / "root"
    root.mkdir()
    return Machine(root, tmp_path / "state")
