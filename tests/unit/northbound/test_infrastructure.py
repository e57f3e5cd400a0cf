"""Infrastructure: register, list, unregister."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from mlsysops_northbound.store import resource_of

YAML = {"Content-Type": "application/yaml"}
CLUSTER = "MLSysOpsCluster: {name: cluster1, cluster_id: cluster1, nodes: [node-1]}\n"
CONTINUUM = "MLSysOpsContinuum: {name: farm, continuum_id: farm, clusters: [cluster1]}\n"


async def test_registering_labels_the_object_with_its_cluster(
    api: httpx.AsyncClient, store: Any, node_yaml: str
) -> None:
    answer = await api.post("/v1/infra", content=node_yaml + "---\n" + CLUSTER, headers=YAML)
    assert answer.status_code == 201, answer.text
    assert [(item["kind"], item["action"]) for item in answer.json()] == [
        ("MLSysOpsNode", "created"),
        ("MLSysOpsCluster", "created"),
    ]
    node = store.objects["mlsysopsnodes", "mlsysops", "node-1"]
    assert node["metadata"]["labels"]["mlsysops.eu/cluster"] == "cluster1"
    again = await api.post("/v1/infra", content=node_yaml, headers=YAML)
    assert (again.status_code, again.json()[0]["action"]) == (200, "unchanged")
    changed = await api.post("/v1/infra", content=node_yaml.replace("memory: 4", "memory: 8"), headers=YAML)
    assert changed.json()[0]["action"] == "updated"
    assert store.writes == 3


async def test_an_update_keeps_what_others_wrote(api: httpx.AsyncClient, store: Any, node_yaml: str) -> None:
    await api.post("/v1/infra", content=node_yaml, headers=YAML)
    node = store.objects["mlsysopsnodes", "mlsysops", "node-1"]
    node["metadata"]["labels"] |= {"theirs": "kept", "app.kubernetes.io/managed-by": "mls"}
    store.put(resource_of("MLSysOpsNode"), {**node, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    await api.post("/v1/infra", content=node_yaml.replace("memory: 4", "memory: 8"), headers=YAML)
    node = store.objects["mlsysopsnodes", "mlsysops", "node-1"]
    assert node["metadata"]["labels"]["theirs"] == "kept"
    assert node["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mls", (
        "the next deploy-all would change it back"
    )
    assert node["status"]["conditions"][0]["status"] == "True"


async def test_lists_filter_and_page_over_the_kinds(api: httpx.AsyncClient, node_yaml: str) -> None:
    await api.post("/v1/infra", content=node_yaml + "---\n" + CLUSTER + "---\n" + CONTINUUM, headers=YAML)
    every = (await api.get("/v1/infra")).json()["items"]
    assert [(item["type"], item["id"]) for item in every] == [
        ("Continuum", "farm"),
        ("Cluster", "cluster1"),
        ("Node", "node-1"),
    ]
    assert every[0]["ready"] is None
    nodes = (await api.get("/v1/infra?type=node")).json()["items"]
    assert [item["id"] for item in nodes] == ["node-1"]
    names, token = [], ""
    while True:
        page = (await api.get("/v1/infra", params={"limit": 1, "continue": token})).json()
        names += [item["id"] for item in page["items"]]
        token = page["continue"]
        if not token:
            break
    assert names == ["farm", "cluster1", "node-1"]
    assert (await api.get("/v1/infra?type=planet")).status_code == 422
    assert (await api.get("/v1/infra?continue=MLSysOpsApp:x")).status_code == 422
    assert (await api.get("/v1/infra?name=none")).status_code == 404
    assert (await api.get("/v1/infra/cluster1?type=Cluster")).json()["description"]["MLSysOpsCluster"]["nodes"] == [
        "node-1"
    ]


async def test_unregistering_by_name_or_uid(api: httpx.AsyncClient, store: Any, node_yaml: str) -> None:
    await api.post("/v1/infra", content=node_yaml + "---\n" + CLUSTER.replace("cluster1", "node-1"), headers=YAML)
    ambiguous = await api.delete("/v1/infra/node-1")
    assert ambiguous.status_code == 409
    uid = store.objects["mlsysopsnodes", "mlsysops", "node-1"]["metadata"]["uid"]
    assert (await api.delete(f"/v1/infra/{uid}")).status_code == 202
    assert (await api.delete("/v1/infra/node-1?type=Node")).status_code == 404
    assert (await api.delete("/v1/infra/node-1")).status_code == 202


@pytest.mark.parametrize("path", ["/v1/infra/cluster1", "/infra/unregister/cluster1"])
async def test_a_cluster_that_agents_report_to_stays_until_it_is_forced(
    api: httpx.AsyncClient, store: Any, path: str
) -> None:
    await api.post("/v1/infra", content=CLUSTER, headers=YAML)
    agent = {"name": "cluster1", "tier": "cluster", "ready": True, "lastSeen": "2026-01-01T00:00:00Z"}
    store.objects["mlsysopsclusters", "mlsysops", "cluster1"]["status"] = {"agents": [agent]}
    refused = await api.delete(path)
    assert refused.status_code == 409
    assert "'cluster1' is in use: agents report to it (cluster1)" in refused.json()["detail"]
    assert (await api.delete(f"{path}?dryRun=server&force=true")).status_code == 202
    assert (await api.delete(f"{path}?force=true")).status_code == 202
    assert (await api.get("/v1/infra/cluster1?type=Cluster")).status_code == 404


async def test_a_cluster_whose_agents_are_gone_is_unregistered(api: httpx.AsyncClient, store: Any) -> None:
    await api.post("/v1/infra", content=CLUSTER, headers=YAML)
    agent = {"name": "cluster1", "tier": "cluster", "ready": False, "lastSeen": "2026-01-01T00:00:00Z"}
    store.objects["mlsysopsclusters", "mlsysops", "cluster1"]["status"] = {"agents": [agent]}
    assert (await api.delete("/v1/infra/cluster1")).status_code == 202


async def test_an_application_is_not_infrastructure(api: httpx.AsyncClient, app_yaml: str, node_yaml: str) -> None:
    assert (await api.post("/v1/infra", content=app_yaml, headers=YAML)).status_code == 422
    assert (await api.post("/v1/apps", content=node_yaml, headers=YAML)).status_code == 422


@pytest.mark.parametrize("query", ["", "?type=All", "?id_type=Node&id_value=node-1", "?type=Node&name=node-1"])
async def test_the_earlier_list_has_names_and_types(api: httpx.AsyncClient, node_yaml: str, query: str) -> None:
    await api.post("/infra/register", json={"yaml": node_yaml})
    items = (await api.get(f"/infra/list/{query}")).json()["items"]
    assert [(item["name"], item["type"]) for item in items] == [("node-1", "Node")]
    assert (await api.delete("/infra/unregister/node-1")).json()["infra_id"] == "node-1"
