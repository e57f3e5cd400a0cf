"""What the status of a template says of the clusters it went to."""

from __future__ import annotations

from typing import Any

from mlsysops_embedded.client import Object
from mlsysops_embedded.propagation.summaries import reflected_status, template_status


def deployment(generation: int = 2) -> Object:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "generation": generation}}


def report(cluster: str, **status: Any) -> Object:
    current = {"generation": 5, "observedGeneration": 5, "resourceTemplateGeneration": 2}
    return {"clusterName": cluster, "status": {**current, **status}}


def test_replicas_add_up_and_the_generation_is_observed_once_all_have_it() -> None:
    items = [report("a", replicas=2, readyReplicas=1), report("b", replicas=3, readyReplicas=3)]
    found = template_status(deployment(), items)
    assert found is not None
    assert (found["replicas"], found["readyReplicas"], found["observedGeneration"]) == (5, 4, 2)
    late: list[Object] = [
        report("b", observedGeneration=4),
        report("b", resourceTemplateGeneration=1),
        {"clusterName": "b"},
    ]
    for item in late:
        assert "observedGeneration" not in (template_status(deployment(), [items[0], item]) or {})


def test_a_pod_is_in_the_phase_of_its_worst() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    running = {"status": {"phase": "Running", "containerStatuses": [{"name": "c", "ready": True, "containerID": "x"}]}}
    assert template_status(pod, [running]) == {"phase": "Running", "containerStatuses": [{"name": "c", "ready": True}]}
    assert (template_status(pod, [running, {}]) or {})["phase"] == "Pending"
    assert (template_status(pod, [running, {"status": {"phase": "Failed"}}]) or {})["phase"] == "Failed"
    assert template_status({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}, []) is None


def test_a_member_tells_of_which_generations_it_speaks() -> None:
    metadata = {"generation": 3, "annotations": {"resourcetemplate.karmada.io/generation": "7"}}
    live = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "status": {"replicas": 1}}
    assert reflected_status(live) == {"replicas": 1, "generation": 3, "resourceTemplateGeneration": 7}
    assert reflected_status({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "status": {"phase": "x"}}) == {
        "phase": "x"
    }
    assert reflected_status({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}}) is None
