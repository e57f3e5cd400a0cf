"""What plug-ins of a node see, and what they may not ask of a node."""

from __future__ import annotations

from typing import Any

import pytest
from mlsysops_agents.adapters.telemetry import Point, SeriesKey, TelemetryStore
from mlsysops_agents.loop import SystemClock
from mlsysops_agents.node.world import NodeHandle, NodeWorld
from mlsysops_core.contracts import AgentIdentity, PluginHandle
from mlsysops_core.errors import MlsError
from mlsysops_core.plugins import Declaration, LoadedPolicy

NOW = 1_000_000.0
AGENT = AgentIdentity("node", "w1")


def app(name: str, **nodes: str) -> dict[str, Any]:
    components = [{"name": component, "node": node} for component, node in nodes.items()]
    return {"metadata": {"name": name}, "spec": {"title": name}, "status": {"components": components}}


class Objects:
    """Caches of one node and some applications."""

    def __init__(self, *apps: dict[str, Any], node: dict[str, Any] | None = None) -> None:
        self._apps = apps
        self._node = node

    def items(self, kind: str) -> list[dict[str, Any]]:
        return list(self._apps)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        if kind == "MLSysOpsNode":
            return self._node
        return next((item for item in self._apps if item["metadata"]["name"] == name), None)


@pytest.fixture
def telemetry() -> TelemetryStore:
    store = TelemetryStore(now=lambda: NOW)
    store.ingest([Point(SeriesKey.make("system.cpu.utilization"), 0.5, NOW), Point(SeriesKey.make("q"), 3, NOW)])
    return store


def world(telemetry: TelemetryStore, *apps: dict[str, Any], node: dict[str, Any] | None = None) -> NodeWorld:
    return NodeWorld(AGENT, Objects(*apps, node=node), telemetry)  # type: ignore[arg-type]


def test_applications_of_this_node_only(telemetry: TelemetryStore) -> None:
    seen = world(telemetry, app("a", x="w1", y="w2"), app("b", x="w2"), app("c", x="w1"))

    assert [item["name"] for item in seen.application_description("w1")] == ["a", "c"]
    assert seen.application_description("application/c") == [{"name": "c", "spec": {"title": "c"}}]


def test_system_description_is_wrapped_as_users_write_it(telemetry: TelemetryStore) -> None:
    node = {"metadata": {"name": "w1"}, "spec": {"continuum_layer": "edge"}}

    assert world(telemetry, node=node).system_description("w1") == {
        "MLSysOpsNode": {"name": "w1", "continuum_layer": "edge"}
    }
    assert world(telemetry).system_description("w1") == {}


def test_telemetry_and_snapshot(telemetry: TelemetryStore) -> None:
    policy = LoadedPolicy("p", None, Declaration(metrics=("q",)), {}, "1", "test")  # type: ignore[arg-type]
    seen = world(telemetry)

    assert seen.telemetry(policy, "w1")["query"]("q") == 3
    assert seen.snapshot("w1") == {"system.cpu.utilization": 0.5}
    assert seen.ml_connector() is None


def test_handle(telemetry: TelemetryStore) -> None:
    handle = NodeHandle(AGENT, SystemClock(), Objects(app("a", x="w1", y="w2")), telemetry)  # type: ignore[arg-type]
    contract: PluginHandle = handle
    asked: list[tuple[str, str]] = []
    contract.notify("a", "before there is a loop: nothing happens")
    handle.on_notify = lambda asset, reason: asked.append((asset, reason))
    contract.notify("a", "because")
    contract.explain(message="outside of a cycle: nothing happens")

    assert asked == [("a", "because")]
    assert contract.assigned("a") == ["x"]
    assert contract.assigned("none") == []
    for refused in (
        lambda: contract.place("a"),
        lambda: contract.recheck("a"),
        lambda: contract.alternatives("a", "x"),
        lambda: contract.objection("a", "x", "w2"),
    ):
        with pytest.raises(MlsError, match="places no components"):
            refused()
