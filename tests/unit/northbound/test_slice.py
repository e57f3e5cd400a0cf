"""The slice as a whole, and the paths of earlier scripts."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from mlsysops_core.errors import Conflict
from mlsysops_northbound.store import CONFIG_MAPS, resource_of

FRESH, OLD = "2026-11-20T10:00:30Z", "2026-11-20T10:00:00Z"


@pytest.fixture
def agents(store: Any) -> None:
    ready = [{"type": "Ready", "status": "True"}]
    store.put(
        resource_of("MLSysOpsContinuum"),
        {
            "metadata": {"name": "farm"},
            "status": {
                "conditions": ready,
                "agents": [
                    {"name": "farm", "tier": "continuum", "ready": True, "lastSeen": FRESH},
                    {"name": "worker1", "tier": "node", "ready": True, "lastSeen": OLD, "newer": {"x": 1}},
                ],
            },
        },
    )
    store.put(
        resource_of("MLSysOpsCluster"),
        {
            "metadata": {"name": "cluster1"},
            "status": {
                "conditions": ready,
                "nodes": {"total": 1, "ready": 1},
                "agents": [
                    {"name": "cluster1", "tier": "cluster", "ready": True, "lastSeen": FRESH},
                    {"name": "worker1", "tier": "node", "ready": False, "lastSeen": FRESH},
                    "nonsense",
                ],
            },
        },
    )


@pytest.mark.usefixtures("agents")
async def test_ping_tells_every_agent_once_with_its_newest_state(api: httpx.AsyncClient) -> None:
    for path in ("/v1/ping", "/manage/ping"):
        answer = (await api.get(path)).json()
        assert [(item["tier"], item["name"], item["ready"]) for item in answer["agents"]] == [
            ("continuum", "farm", True),
            ("cluster", "cluster1", True),
            ("node", "worker1", False),
        ]
        assert (answer["message"], answer["ready"]) == ("Alive", False)


@pytest.mark.usefixtures("agents")
async def test_the_slice_shows_agents_clusters_versions_and_settings(api: httpx.AsyncClient) -> None:
    await api.put("/v1/settings/mode/1")
    answer = (await api.get("/v1/slice")).json()
    assert answer["clusters"] == [{"name": "cluster1", "ready": True, "nodesReady": 1, "nodesTotal": 1, "message": ""}]
    assert answer["kubernetesVersion"] == "v1.33.0+memory"
    assert (answer["name"], answer["mode"]["name"], answer["ready"]) == ("local", "ml", False)


async def test_settings_live_in_a_config_map(api: httpx.AsyncClient, store: Any) -> None:
    assert (await api.get("/v1/settings/mode")).json() == {"mode": 0, "name": "heuristic"}
    assert (await api.put("/manage/mode/1")).json() == {"mode": 1, "name": "ml"}
    target = {"metric": "energy", "relation": "lower_or_equal", "target": 100}
    assert (await api.put("/v1/settings/system-targets", json=target)).json() == [target]
    changed = {**target, "target": 90}
    assert (await api.put("/v1/settings/system-targets", json=changed)).json() == [changed]
    assert (await api.get("/v1/settings/mode")).json()["mode"] == 1
    data = store.objects["configmaps", "mlsysops-framework", "mlsysops-settings"]["data"]
    assert set(data) == {"mode", "system-targets"}
    store.put(
        CONFIG_MAPS, {"metadata": {"name": "mlsysops-settings"}, "data": {"system-targets": "{"}}, "mlsysops-framework"
    )
    assert (await api.get("/v1/settings/system-targets")).json() == []


async def test_a_target_can_be_taken_back(api: httpx.AsyncClient) -> None:
    for metric in ("energy", "carbon/kWh"):
        await api.put("/v1/settings/system-targets", json={"metric": metric, "target": 1})
    left = (await api.delete("/v1/settings/system-targets/carbon%2FkWh")).json()
    assert [item["metric"] for item in left] == ["energy"]
    again = await api.delete("/v1/settings/system-targets/carbon%2FkWh")
    assert (again.status_code, again.json()["hint"]) == (404, "targets: energy")


async def test_targets_for_two_metrics_that_are_set_at_once_are_both_kept(
    api: httpx.AsyncClient, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.put("/v1/settings/mode/0")
    get, times = store.get, []

    async def overtaken(*args: Any, **kwargs: Any) -> Any:
        found = await get(*args, **kwargs)
        times.append(1)
        if len(times) == 1:  # somebody else sets another target between our reading and our writing
            monkeypatch.setattr(store, "get", get)
            await api.put("/v1/settings/system-targets", json={"metric": "carbon", "target": 2})
        return found

    monkeypatch.setattr(store, "get", overtaken)
    answer = await api.put("/v1/settings/system-targets", json={"metric": "energy", "target": 1})
    assert [item["metric"] for item in answer.json()] == ["carbon", "energy"]


async def test_two_who_set_at_once_both_win(
    api: httpx.AsyncClient, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.put("/v1/settings/mode/0")
    update, times = store.update, []

    async def contended(*args: Any, **kwargs: Any) -> Any:
        times.append(1)
        if len(times) == 1:
            raise Conflict("changed meanwhile")
        return await update(*args, **kwargs)

    monkeypatch.setattr(store, "update", contended)
    assert (await api.put("/v1/settings/mode/1")).json()["mode"] == 1
    assert len(times) == 2


@pytest.mark.parametrize(
    "body", [{"metric": "energy"}, {"metric": "e", "target": "x"}, {"metric": "e", "target": 1, "oops": 2}]
)
async def test_a_wrong_target_is_refused(api: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await api.put("/v1/settings/system-targets", json=body)
    assert answer.status_code == 422
    assert answer.json()["faults"]
    assert (await api.put("/manage/mode/2")).status_code == 422


async def test_scripts_of_earlier_days_find_their_shapes(api: httpx.AsyncClient, store: Any, app_yaml: str) -> None:
    deployed = await api.post("/apps/deploy", content=app_yaml, headers={"Content-Type": "application/yaml"})
    assert deployed.json() == {"app_id": "shop", "status": "Pending", "action": "created"}
    assert (await api.get("/apps/list_all/")).json() == {"System_status": {"shop": "Pending"}}
    status = (await api.get("/apps/status/shop")).json()
    assert (status["app_id"], status["status"]) == ("shop", "Pending")
    obj = store.objects["mlsysopsapps", "mlsysops", "shop"]
    component = {"name": "web", "cluster": "c1", "node": "w1", "pod": "shop-web-x", "phase": "Running", "ready": True}
    performance = {"component": "web", "metric": "latency", "value": 3, "target": 20}
    store.put(resource_of("MLSysOpsApp"), {**obj, "status": {"components": [component], "performance": [performance]}})
    details = (await api.get("/apps/apps/details/shop")).json()
    assert details["components"][0]["details"]["pods"] == [
        {"pod_name": "shop-web-x", "pod_status": "Running", "node_name": "w1", "cluster_name": "c1"}
    ]
    name, sample = (await api.get("/apps/performance/shop")).json()[0]
    assert (name, sample["value"]) == ("latency", 3)
    removed = await api.delete("/apps/remove/shop")
    assert (removed.status_code, removed.json()["app_id"]) == (202, "shop")
    assert (await api.get("/apps/status/shop")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/ml/deploy_ml"),
        ("GET", "/ml/list_all/"),
        ("GET", "/ml/status/x"),
        ("DELETE", "/ml/remove/x"),
        ("GET", "/v1/models"),
    ],
)
async def test_models_are_not_available_yet(api: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await api.request(method, path)
    assert answer.status_code == 501
    assert "no ML connector" in answer.json()["detail"]
