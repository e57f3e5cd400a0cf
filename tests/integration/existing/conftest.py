"""A control plane of the embedded engine as somebody else's API."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import ansible.module_utils
import pytest

import mlsysops_cli

sys.path.insert(0, str(Path(__file__).parents[2] / "kubernetes"))

from kube_embedded import EmbeddedControlPlane

# Modules find each other as they do on a host, where Ansible puts them side by side.
ansible.module_utils.__path__.append(str(Path(mlsysops_cli.__file__).parent / "ansible_plugins" / "module_utils"))


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedControlPlane]:
    """A running API."""
    server = EmbeddedControlPlane(tmp_path_factory.mktemp("plane"), "127.121.0.2")
    try:
        server.start()
        yield server
    finally:
        server.stop()
