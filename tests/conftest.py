"""What every test of the project has in common: markers by folder, and no leaking of the developer's own settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, so that what passes here passes in CI; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeat", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

TESTS = Path(__file__).parent

#: Settings of the person who runs the tests; a test that wants one sets it itself.
FOREIGN_SETTINGS = (
    "KUBECONFIG",
    "MLS_API_IP",
    "MLS_API_PORT",
    "MLS_CONFIG",
    "MLS_CONTEXT",
    "NO_COLOR",
    "ANSIBLE_CONFIG",
)


def pytest_configure() -> None:
    for name in FOREIGN_SETTINGS:
        os.environ.pop(name, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder and take the network away from unit tests."""
    for item in items:
        kind = item.path.relative_to(TESTS).parts[0]
        if kind in {"integration", "e2e"}:
            item.add_marker(getattr(pytest.mark, kind))
        elif kind == "unit":
            # (Unix sockets stay, by --allow-unix-socket: event loops talk to themselves through a pair.)
            item.add_marker(pytest.mark.disable_socket)


@pytest.fixture
def repository() -> Path:
    """Root of the checkout."""
    return TESTS.parent
