"""What every test of the project has in common: markers by folder, and no leaking of the developer's own settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# The same examples in every run, so that what passes here passes in CI; HYPOTHESIS_PROFILE=explore looks for new ones.
# How long an example takes says something of the machine, not of the code.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", _patient, derandomize=True)
settings.register_profile("explore", _patient, derandomize=False)
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


def work_group(path: Path) -> str:
    """Return what a test runs one after the other with, when several workers share the tests (`make test`).

    Unit tests share nothing: each file goes by itself. Integration tests of one room share that room's loopback
    addresses. Whatever deploys slices here shares the standard ports of loopback addresses. Hosts over SSH have a network,
    namespaces and mounts of their own, of which this machine has one set.

    Args:
        path: Of the test's file, relative to the tests' directory.
    """
    kind, room = path.parts[0], path.parts[1]
    if kind == "e2e" and room.startswith("test_hosts"):
        return "hosts"
    if kind == "e2e" or (kind == "integration" and room in {"roles", "runner"}):
        return "slices"
    if kind == "integration":
        return "/".join(path.parts[:3]) if room == "embedded" else f"{kind}/{room}"
    return str(path)


class ByRoom(LoadScopeScheduling):  # type: ignore[misc]  # xdist tells mypy nothing of its schedulers
    """Gives a worker all tests of one group before those of another."""

    def _split_scope(self, nodeid: str) -> str:
        return work_group(Path(nodeid.partition("::")[0]).relative_to(TESTS.name))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByRoom:
    # As collected, end-to-end tests come first: the longest groups, though not those with most tests, which xdist prefers.
    config.option.loadscopereorder = False
    return ByRoom(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder and take the network away from unit tests."""
    for item in items:
        path = item.path.relative_to(TESTS)
        kind = path.parts[0]
        if kind in {"integration", "e2e"}:
            item.add_marker(getattr(pytest.mark, kind))
        elif kind == "unit":
            # (Unix sockets stay, by --allow-unix-socket: event loops talk to themselves through a pair.)
            item.add_marker(pytest.mark.disable_socket)


@pytest.fixture
def repository() -> Path:
    """Root of the checkout."""
    return TESTS.parent
