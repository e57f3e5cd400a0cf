"""Filters, their reasons, and scores."""

from __future__ import annotations

from typing import Any

import pytest
from mlsysops_embedded.client import Object
from mlsysops_embedded.scheduler.cache import Cache, PodInfo
from mlsysops_embedded.scheduler.filters import PodRules, explain, fits, score
from mlsysops_embedded.scheduler.predicates import tolerates, untolerated
from mlsysops_embedded.validation.amounts import pod_requests


def node(name: str, cpu: str = "4", memory: str = "8Gi", **extra: Any) -> Object:
    labels = {"kubernetes.io/hostname": name, **extra.pop("labels", {})}
    allocatable = {"cpu": cpu, "memory": memory, "pods": "10"}
    return {"metadata": {"name": name, "labels": labels}, "spec": extra, "status": {"allocatable": allocatable}}


def pod(name: str, cpu: str = "100m", *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}, "ports": spec.pop("ports", [])}
    metadata = {"name": name, "namespace": "default", "uid": name, "labels": labels or {}}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def cache(*nodes: Object, **placed: Object) -> Cache:
    made = Cache()
    for obj in nodes:
        made.node_changed(obj, None)
    for key, obj in placed.items():
        made.pod_changed({**obj, "spec": {**obj["spec"], "nodeName": key.partition("__")[0]}}, None)
    return made


def reasons(obj: Object, made: Cache) -> dict[str, list[str]]:
    info = PodInfo.of(obj)
    rules = PodRules(info, made)
    return {name: fits(info, entry, rules) for name, entry in made.nodes.items()}


def anti(label: str) -> Object:
    term = {"labelSelector": {"matchLabels": {"app": label}}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


@pytest.mark.parametrize(
    ("made", "obj", "reason"),
    [
        (node("n", cpu="1"), pod("p", "1100m"), "Insufficient cpu"),
        (node("n", unschedulable=True), pod("p"), "node(s) were unschedulable"),
        (
            node("n", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]),
            pod("p"),
            "node(s) had untolerated taint {k: v}",
        ),
        (node("n"), pod("p", nodeSelector={"disk": "ssd"}), "node(s) didn't match Pod's node affinity/selector"),
    ],
)
def test_reasons_are_kube_schedulers(made: Object, obj: Object, reason: str) -> None:
    assert reasons(obj, cache(made)) == {"n": [reason]}


def test_requests_add_up_and_are_given_back() -> None:
    made = cache(node("n", cpu="1"), n__a=pod("a", "600m"))
    assert reasons(pod("b", "500m"), made)["n"] == ["Insufficient cpu"]
    made.remove("a")
    assert reasons(pod("b", "500m"), made)["n"] == []


def test_host_ports_clash_by_protocol_and_address() -> None:
    port = [{"containerPort": 80, "hostPort": 80}]
    made = cache(node("n"), n__a=pod("a", ports=port))
    assert reasons(pod("b", ports=port), made)["n"] == ["node(s) didn't have free ports for the requested pod ports"]
    assert reasons(pod("b", ports=[{**port[0], "protocol": "UDP"}]), made)["n"] == []


def test_anti_affinity_holds_in_both_directions() -> None:
    shy = pod("shy", labels={"app": "a"}, affinity=anti("a"))
    made = cache(node("n"), node("m"), n__shy=shy)
    assert reasons(pod("b", labels={"app": "a"}, affinity=anti("a")), made)["n"]
    assert reasons(pod("b", labels={"app": "a"}), made)["n"] == [
        "node(s) didn't satisfy existing pods anti-affinity rules"
    ]
    assert reasons(pod("b", labels={"app": "a"}), made)["m"] == []


def test_affinity_lets_the_first_of_a_group_start() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "kubernetes.io/hostname"}
    together = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    first = pod("first", labels={"app": "a"}, affinity=together)
    assert reasons(first, cache(node("n")))["n"] == []
    made = cache(node("n"), node("m"), n__first=first)
    second = reasons(pod("second", labels={"app": "a"}, affinity=together), made)
    assert second == {"n": [], "m": ["node(s) didn't match pod affinity rules"]}


def test_pods_of_a_kind_spread_over_equal_nodes() -> None:
    made = cache(node("n"), node("m"), n__a=pod("a", labels={"app": "x"}))
    info = PodInfo.of(pod("b", labels={"app": "x"}))
    assert score(info, made.nodes["m"]) > score(info, made.nodes["n"])


def test_explanation_reads_as_kube_schedulers() -> None:
    text = explain(3, ["Insufficient cpu", "node(s) were unschedulable", "Insufficient cpu"])
    assert text == "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu."


def test_init_containers_count_by_their_peak() -> None:
    spec = pod("p", "1")["spec"]
    spec["initContainers"] = [{"name": "i", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}]
    assert pod_requests(spec) == {"cpu": 3.0, "memory": 2.0**30}


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_tolerations(toleration: Object, tolerated: bool) -> None:
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    assert tolerates(toleration, taint) is tolerated
    assert (untolerated([toleration], [taint], ("NoSchedule",)) is None) is tolerated


def test_pods_of_a_node_that_is_not_known_yet_count_when_it_comes() -> None:
    made = cache(n__a=pod("a", "600m"))
    made.node_changed(node("n", cpu="1"), None)
    assert reasons(pod("b", "500m"), made)["n"] == ["Insufficient cpu"]
