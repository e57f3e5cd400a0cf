"""What pods ask for, and what they hold while they are resized."""

from __future__ import annotations

import pytest
from mlsysops_embedded.client import Object
from mlsysops_embedded.validation.amounts import held_requests, quality_of_service


def pod(asked: str, promised: str, has: str, *, reason: str = "") -> Object:
    conditions = [{"type": "PodResizePending", "status": "True", "reason": reason}] if reason else []
    status = {
        "conditions": conditions,
        "containerStatuses": [
            {"name": "c", "allocatedResources": {"cpu": promised}, "resources": {"requests": {"cpu": has}}}
        ],
    }
    return {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": asked}}}]}, "status": status}


@pytest.mark.parametrize(
    ("found", "cores"),
    [
        (pod("2", "1", "1"), 2.0),  # asked for, not granted yet
        (pod("1", "1", "2"), 2.0),  # granted, not in force yet
        (pod("1", "1", "1"), 1.0),
        (pod("4", "1", "1", reason="Deferred"), 4.0),
        (pod("4", "1", "1", reason="Infeasible"), 1.0),
        ({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "3"}}}]}}, 3.0),
    ],
)
def test_the_most_counts_while_a_pod_is_resized(found: Object, cores: float) -> None:
    assert held_requests(found) == {"cpu": cores}


def test_sidecars_count_and_init_containers_peak() -> None:
    spec = {
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}],
        "initContainers": [
            {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}},
            {"name": "i", "resources": {"requests": {"cpu": "3"}}},
        ],
    }
    held = {"initContainerStatuses": [{"name": "s", "resources": {"requests": {"cpu": "1"}}}]}
    assert held_requests({"spec": spec, "status": held}) == {"cpu": 4.0}


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({"requests": {"ephemeral-storage": "1Gi"}}, "BestEffort"),
        ({"requests": {"cpu": "0"}}, "BestEffort"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
    ],
)
def test_quality_of_service(resources: Object, quality: str) -> None:
    assert quality_of_service({"containers": [{"name": "c", "resources": resources}]}) == quality
