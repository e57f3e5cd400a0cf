"""Applications: deploy, look at, update, remove."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from mlsysops_northbound.store import RESOURCE_BINDINGS, resource_of

APPS = resource_of("MLSysOpsApp")
YAML = {"Content-Type": "application/yaml"}

STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "phase": "Running",
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "AllReady"},
        {"type": "TargetsMet", "status": "False", "reason": "Missed", "message": "latency 31 > 20"},
    ],
    "components": [
        {
            "name": "web",
            "cluster": "cluster1",
            "node": "worker1",
            "phase": "Running",
            "ready": True,
            "pod": "shop-web-1",
        },
        {"name": "cart", "cluster": "cluster2", "node": "worker2", "phase": "Running", "ready": True},
    ],
    "performance": [
        {
            "component": "web",
            "metric": "latency",
            "value": 31,
            "target": 20,
            "relation": "lower_or_equal",
            "satisfied": False,
        }
    ],
    "satisfaction": {"value": 0.0, "threshold": 0.7, "relation": "greater_than", "satisfied": False},
    "decisions": [
        {
            "id": "d2",
            "time": "2026-11-20T10:00:05Z",
            "tier": "cluster",
            "policy": "staticPlacedComponents",
            "verdict": "place",
            "component": "web",
            "outcome": "done",
            "rejected": [{"candidate": "worker2", "filter": "architecture", "reason": "needs arm64"}],
            "somethingNewer": 1,
        },
        {"id": "d1", "tier": "continuum"},
    ],
}


async def test_deploying_creates_the_object_and_repeating_it_changes_nothing(
    api: httpx.AsyncClient, store: Any, app_yaml: str
) -> None:
    first = await api.post("/v1/apps", content=app_yaml, headers=YAML)
    assert (first.status_code, first.json()["action"]) == (201, "created")
    assert first.headers["location"] == "/v1/apps/shop"
    obj = store.objects["mlsysopsapps", "mlsysops", "shop"]
    assert obj["spec"]["components"][0]["metadata"]["name"] == "web"
    again = await api.post("/v1/apps", content=app_yaml, headers=YAML)
    assert (again.status_code, again.json()["action"]) == (200, "unchanged")
    assert store.writes == 1


@pytest.mark.parametrize("form", ["json", "manifest", "older envelope"])
async def test_every_accepted_form_describes_the_same_application(
    api: httpx.AsyncClient, app_yaml: str, form: str
) -> None:
    spec = {
        "name": "shop",
        "components": [{"metadata": {"name": "web"}, "containers": [{"image": "example.org/web:1"}]}],
    }
    bodies = {
        "json": {"MLSysOpsApp": spec},
        "manifest": {"apiVersion": "mlsysops.eu/v1", "kind": "MLSysOpsApp", "metadata": {"name": "shop"}, "spec": spec},
        "older envelope": {"yaml": {"MLSysOpsApp": spec}},
    }
    answer = await api.post("/v1/apps", json=bodies[form])
    assert answer.status_code == 201, answer.text
    assert (await api.get("/v1/apps/shop")).json()["description"] == {"MLSysOpsApp": spec}


async def test_another_description_of_the_same_name_is_a_conflict_unless_forced(
    api: httpx.AsyncClient, store: Any, app_yaml: str
) -> None:
    await api.post("/v1/apps", content=app_yaml, headers=YAML)
    other = app_yaml.replace("web:1", "web:2")
    refused = await api.post("/v1/apps", content=other, headers=YAML)
    assert refused.status_code == 409
    assert "another description" in refused.json()["detail"]
    forced = await api.post("/v1/apps?force=true", content=other, headers=YAML)
    assert (forced.status_code, forced.json()["action"], forced.json()["generation"]) == (200, "updated", 2)
    put = await api.put("/v1/apps/shop", content=app_yaml, headers=YAML)
    assert put.json()["action"] == "updated"


async def test_a_service_name_belongs_to_one_application(api: httpx.AsyncClient, store: Any, app_yaml: str) -> None:
    listening = app_yaml.replace("      qos_metrics:", "          ports: [{container_port: 80}]\n      qos_metrics:")
    assert listening != app_yaml
    assert (await api.post("/v1/apps", content=listening, headers=YAML)).status_code == 201
    second = listening.replace("name: shop", "name: second")
    refused = await api.post("/v1/apps", content=second, headers=YAML)
    assert refused.status_code == 409
    assert "'web'" in refused.json()["detail"]
    assert "'shop'" in refused.json()["detail"]
    assert store.writes == 1
    silent = app_yaml.replace("name: shop", "name: silent")
    assert (await api.post("/v1/apps", content=silent, headers=YAML)).status_code == 201, (
        "without ports no name is taken"
    )


async def test_dry_run_writes_nothing(api: httpx.AsyncClient, store: Any, app_yaml: str) -> None:
    answer = await api.post("/v1/apps?dryRun=server", content=app_yaml, headers=YAML)
    assert (answer.status_code, answer.json()["dryRun"]) == (200, True)
    await api.post("/v1/apps", content=app_yaml, headers=YAML)
    assert (await api.delete("/v1/apps/shop?dryRun=All")).status_code == 202
    assert store.writes == 1
    wrong = await api.post("/v1/apps?dryRun=perhaps", content=app_yaml, headers=YAML)
    assert wrong.status_code == 422


async def test_update_needs_the_version_it_was_made_from(api: httpx.AsyncClient, store: Any, app_yaml: str) -> None:
    await api.post("/v1/apps", content=app_yaml, headers=YAML)
    etag = (await api.get("/v1/apps/shop")).headers["etag"]
    store.put(APPS, {**store.objects["mlsysopsapps", "mlsysops", "shop"], "status": STATUS})
    stale = await api.put("/v1/apps/shop", content=app_yaml, headers={**YAML, "If-Match": etag})
    assert stale.status_code == 409
    missing = await api.put("/v1/apps/none", content=app_yaml, headers=YAML)
    assert missing.status_code == 404
    renamed = await api.put("/v1/apps/shop", content=app_yaml.replace("name: shop", "name: stall"), headers=YAML)
    assert renamed.status_code == 422


async def test_the_text_it_was_deployed_from_is_kept_with_its_comments(api: httpx.AsyncClient, app_yaml: str) -> None:
    await api.post("/v1/apps", content=app_yaml, headers=YAML)
    answer = await api.get("/v1/apps/shop/source")
    assert answer.text == app_yaml
    json_app = {
        "MLSysOpsApp": {"name": "shop", "components": [{"metadata": {"name": "web"}, "containers": [{"image": "i"}]}]}
    }
    assert (await api.put("/v1/apps/shop", json=json_app)).status_code == 200
    assert (await api.get("/v1/apps/shop/source")).status_code == 204


async def test_status_details_performance_and_decisions_come_from_the_agents(
    api: httpx.AsyncClient, store: Any, app_yaml: str
) -> None:
    await api.post("/v1/apps", content=app_yaml, headers=YAML)
    pending = (await api.get("/v1/apps/shop/status")).json()
    assert (pending["phase"], pending["message"]) == ("Pending", "no agent has seen it yet")
    obj = store.objects["mlsysopsapps", "mlsysops", "shop"]
    store.put(APPS, {**obj, "status": STATUS})
    state = (await api.get("/v1/apps/shop/status")).json()
    assert (state["phase"], state["components"]) == ("Running", {"ready": 2, "total": 2})
    assert state["clusters"] == ["cluster1", "cluster2"]
    assert state["targetsMet"] is False
    details = (await api.get(f"/v1/apps/{obj['metadata']['uid']}/details")).json()
    assert details["placement"] == {"web": "cluster1", "cart": "cluster2"}
    performance = (await api.get("/v1/apps/shop/performance")).json()
    assert performance["items"][0]["value"] == 31
    decisions = (await api.get("/v1/apps/shop/decisions?limit=1")).json()
    assert [item["id"] for item in decisions["items"]] == ["d2"]
    assert decisions["items"][0]["rejected"][0]["filter"] == "architecture"


async def test_why_it_is_pending_is_the_message_of_the_placement(
    api: httpx.AsyncClient, store: Any, app_yaml: str
) -> None:
    await api.post("/v1/apps", content=app_yaml, headers=YAML)
    obj = store.objects["mlsysopsapps", "mlsysops", "shop"]
    why = "0/2 nodes fit: 1 removed by architecture (needs arm64), 1 removed by memory"
    placed = {"type": "Placed", "status": "False", "reason": "NoFit", "message": why}
    store.put(APPS, {**obj, "status": {"phase": "Pending", "conditions": [placed]}})
    assert (await api.get("/v1/apps/shop/status")).json()["message"] == why


async def test_removal_shows_terminating_until_no_cluster_has_it(
    api: httpx.AsyncClient, store: Any, app_yaml: str
) -> None:
    await api.post("/v1/apps", content=app_yaml, headers=YAML)
    binding = {"metadata": {"name": "shop-mlsysopsapp"}, "spec": {"resource": {"kind": "MLSysOpsApp", "name": "shop"}}}
    store.put(RESOURCE_BINDINGS, binding)
    removed = await api.delete("/v1/apps/shop")
    assert (removed.status_code, removed.json()["phase"]) == (202, "Terminating")
    assert (await api.get("/v1/apps/shop/status")).json()["phase"] == "Terminating"
    assert [item["phase"] for item in (await api.get("/v1/apps")).json()["items"]] == ["Terminating"]
    assert (await api.delete("/v1/apps/shop")).status_code == 202
    assert (await api.post("/v1/apps", content=app_yaml, headers=YAML)).status_code == 409
    del store.objects["resourcebindings", "mlsysops", "shop-mlsysopsapp"]
    assert (await api.get("/v1/apps/shop/status")).status_code == 404
    assert (await api.delete("/v1/apps/shop")).status_code == 404


async def test_lists_come_in_pages(api: httpx.AsyncClient, store: Any) -> None:
    for name in ("a", "b", "c"):
        store.put(APPS, {"metadata": {"name": name}, "spec": {"name": name}})
    first = (await api.get("/v1/apps?limit=2")).json()
    assert [item["id"] for item in first["items"]] == ["a", "b"]
    second = (await api.get("/v1/apps", params={"limit": 2, "continue": first["continue"]})).json()
    assert [item["id"] for item in second["items"]] == ["c"]
    assert second["continue"] == ""


async def test_an_object_of_another_version_is_shown_all_the_same(api: httpx.AsyncClient, store: Any) -> None:
    store.put(
        APPS, {"metadata": {"name": "odd"}, "spec": {"future": 1}, "status": {"phase": "Levitating", "components": 7}}
    )
    details = (await api.get("/v1/apps/odd")).json()
    assert details["description"] == {"MLSysOpsApp": {"future": 1}}
    assert details["phase"] == "Pending"


@pytest.mark.parametrize(
    "app_id", ["none", "..", "UPPER", "a" * 300, "00000000-0000-0000-0000-000000000000", "%2e%2e%2fx"]
)
async def test_an_unknown_id_is_404(api: httpx.AsyncClient, app_id: str) -> None:
    for path in ("", "/status", "/details", "/performance", "/decisions", "/source"):
        answer = await api.get(f"/v1/apps/{app_id}{path}")
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_write_repeated_with_its_key_has_one_effect(api: httpx.AsyncClient, store: Any, app_yaml: str) -> None:
    headers = {**YAML, "Idempotency-Key": "k1"}
    first = await api.post("/v1/apps", content=app_yaml, headers=headers)
    second = await api.post("/v1/apps", content=app_yaml, headers=headers)
    assert (second.status_code, second.json()) == (201, first.json())
    assert second.headers["idempotent-replayed"] == "true"
    other = await api.post("/v1/apps", content=app_yaml.replace("web:1", "web:2"), headers=headers)
    assert other.status_code == 422
    await api.delete("/v1/apps/shop", headers={"Idempotency-Key": "k2"})
    assert (await api.delete("/v1/apps/shop", headers={"Idempotency-Key": "k2"})).status_code == 202
    assert store.writes == 2
