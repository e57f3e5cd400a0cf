"""Descriptions to place, small enough to read in a test."""

from __future__ import annotations

from typing import Any

import pytest
from mlsysops_agents.placement import NodeFacts, Resources
from mlsysops_core.model import Application, Node


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        merged[key] = merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return {key: value for key, value in merged.items() if value is not None}


class Things:
    """Makes nodes and applications from what matters to a test."""

    def described(self, name: str = "n1", **changes: Any) -> Node:
        base = {
            "name": name,
            "continuum_layer": "edge",
            "cluster_id": "c1",
            "environment": {"node_type": "virtualized", "os": "ubuntu", "container_runtime": ["containerd"]},
            "hardware": {
                "cpu": {"architecture": "amd64", "cores": 4, "frequency": [1.0e9, 2.4e9], "performance_indicator": 75},
                "memory": 8,
                "disk": "100",
            },
        }
        return Node.model_validate(merge(base, changes))

    def node(self, name: str = "n1", *, used: Resources | None = None, ready: bool = True, **changes: Any) -> NodeFacts:
        kubernetes = {
            "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": str(ready), "message": "kubelet stopped"}]},
        }
        return NodeFacts.gather(name, description=self.described(name, **changes), kubernetes=kubernetes, used=used)

    def component(self, name: str = "a", **changes: Any) -> dict[str, Any]:
        needs = changes.pop("needs", {"cpu": {"requests": "500m"}, "memory": {"requests": "256Mi"}})
        base = {"metadata": {"name": name}, "containers": [{"image": "x:1", "platform_requirements": needs}]}
        return merge(base, changes)

    def application(self, *components: dict[str, Any], **changes: Any) -> Application:
        base = {"name": "app", "components": list(components) or [self.component()]}
        return Application.model_validate(merge(base, changes))


@pytest.fixture
def things() -> Things:
    return Things()
