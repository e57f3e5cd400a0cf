"""Policies and settings for running agents: versions, rollback, targets, what is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest
from mlsysops_core.model.agents import FOR_AGENTS, SentToAgents
from mlsysops_northbound.store import CONFIG_MAPS, resource_of

FRAMEWORK = "mlsysops-framework"
POLICY = """
def initialize():
    return {}

async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return False, context

async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return {}, context
"""


async def put(api: httpx.AsyncClient, name: str = "calm", *, kind: str = "policies", **body: Any) -> httpx.Response:
    query = {"dryRun": body.pop("dry")} if "dry" in body else {}
    return await api.put(f"/v1/agents/{kind}/{name}", json={"target": "cluster", **body}, params=query)


def sent(store: Any) -> list[SentToAgents]:
    return [
        SentToAgents.from_data(obj["data"])
        for (plural, namespace, _), obj in sorted(store.objects.items())
        if plural == "configmaps" and namespace == FRAMEWORK and FOR_AGENTS in obj["metadata"].get("labels", {})
    ]


async def test_versions_are_kept_counted_and_brought_back(api: httpx.AsyncClient, store: Any) -> None:
    first = (await put(api, text=POLICY)).json()
    assert (first["action"], first["revision"]) == ("created", 1)
    assert first["digest"] == "sha256:" + hashlib.sha256(POLICY.encode()).hexdigest()
    assert (await put(api, text=POLICY)).json()["action"] == "unchanged"
    for number in range(2, 8):
        answer = (await put(api, text=POLICY + f"# {number}\n")).json()
        assert (answer["action"], answer["revision"]) == ("updated", number)
    assert [item["revision"] for item in answer["revisions"]] == [7, 6, 5, 4, 3]
    lost = await put(api, revision=1)
    assert (lost.status_code, lost.json()["hint"]) == (404, "kept: 7, 6, 5, 4, 3")
    back = (await put(api, revision=4)).json()
    assert (back["revision"], back["revisions"][0]["of"]) == (8, 4)
    (obj,) = sent(store)
    assert obj.text == POLICY + "# 4\n"
    assert sorted(obj.texts) == [4, 5, 6, 7, 8]


async def test_an_object_that_somebody_broke_hides_no_other_and_can_be_replaced(
    api: httpx.AsyncClient, store: Any
) -> None:
    await put(api, text=POLICY)
    await put(api, "other", text=POLICY)
    broken = next(obj for obj in store.objects.values() if "mlsysops-policy-calm" in obj["metadata"]["name"])
    broken["data"] = {"envelope.json": "{"}
    listed = (await api.get("/v1/agents/policies")).json()
    assert [item["name"] for item in listed["items"]] == ["other"]
    assert (await put(api, text=POLICY)).json()["revision"] == 1
    assert [item.name for item in sent(store)] == ["calm", "other"]


async def test_a_dry_run_writes_nothing(api: httpx.AsyncClient, store: Any) -> None:
    answer = (await put(api, text=POLICY, dry="server")).json()
    assert (answer["action"], answer["dryRun"]) == ("created", True)
    assert store.objects == {}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"text": "def broken(:"}, "invalid syntax"),
        ({"text": POLICY.replace("async def plan", "def plan")}, "plan() must be 'async def'"),
        ({"text": POLICY.replace("def initialize", "def start")}, "function initialize() is missing"),
        ({"text": "x" * 200_000}, ""),
        ({"text": ""}, "give either a text or a revision"),
        ({"text": POLICY, "target": "planet"}, "names no agents"),
        ({"text": POLICY, "target": "node/"}, "names no agents"),
        ({"text": POLICY, "more": 1}, "more"),
    ],
)
async def test_what_is_wrong_is_told(api: httpx.AsyncClient, store: Any, body: dict[str, Any], says: str) -> None:
    answer = await put(api, **body)
    assert answer.status_code in {413, 422}
    assert says in answer.text
    assert store.objects == {}
    assert (await put(api, "../up", text=POLICY)).status_code in {404, 422}


async def test_a_digest_that_the_slice_does_not_allow_is_refused(api: httpx.AsyncClient, store: Any) -> None:
    allowed = hashlib.sha256(POLICY.encode()).hexdigest()
    settings = {"metadata": {"name": "mlsysops-settings"}, "data": {"policy-digests": f"sha256:{allowed}\n"}}
    store.put(CONFIG_MAPS, settings, FRAMEWORK)
    assert (await put(api, text=POLICY)).status_code == 200
    refused = await put(api, text=POLICY + "#")
    assert refused.status_code == 403
    assert "is not among those that the slice allows" in refused.json()["detail"]


async def test_signatures_travel_with_their_revisions(api: httpx.AsyncClient, store: Any) -> None:
    settings = {"metadata": {"name": "mlsysops-settings"}, "data": {"policy-signers": "ssh-ed25519 AAAA alice"}}
    store.put(CONFIG_MAPS, settings, FRAMEWORK)
    refused = await put(api, text=POLICY)
    assert refused.status_code == 403
    assert "is not signed" in refused.json()["detail"]
    # Whose signature it is, the agents find out.
    assert (await put(api, text=POLICY, signature="c2lnbmVk")).json()["action"] == "created"
    assert (await put(api, text=POLICY, signature="c2lnbmVk")).json()["action"] == "unchanged"
    signed_anew = (await put(api, text=POLICY, signature="YW5ldw==")).json()
    assert (signed_anew["action"], signed_anew["revision"]) == ("updated", 1)
    await put(api, text=POLICY + "# 2", signature="dHdv")
    back = (await put(api, revision=1)).json()
    assert [item["signature"] for item in back["revisions"]] == ["YW5ldw==", "dHdv", "YW5ldw=="]
    assert sent(store)[0].current.signature == "YW5ldw=="
    assert (await put(api, text=POLICY, signature="not base64!")).status_code == 422


async def test_what_is_taken_back_is_gone_and_what_is_not_there_is_told(api: httpx.AsyncClient, store: Any) -> None:
    await put(api, text=POLICY)
    wrong = await api.delete("/v1/agents/policies/calm", params={"target": "node"})
    assert (wrong.status_code, wrong.json()["hint"]) == (404, "it was sent to cluster")
    done = await api.delete("/v1/agents/policies/calm", params={"target": "cluster"})
    assert done.json()["action"] == "deleted"
    assert sent(store) == []


async def test_settings_are_checked_before_they_are_sent(api: httpx.AsyncClient, store: Any) -> None:
    wrong = await put(api, kind="config", text="policies: {calm: {enabld: true}}")
    assert wrong.status_code == 422
    assert wrong.json()["faults"][0]["path"] == "policies.calm.enabld"
    good = await put(api, kind="config", text="policies: {calm: {enabled: false}}")
    assert good.json()["kind"] == "config"
    listed = (await api.get("/v1/agents/config")).json()
    assert [(item["name"], item["target"]) for item in listed["items"]] == [("calm", "cluster")]
    assert listed["agents"] == []


async def test_what_agents_say_is_listed(api: httpx.AsyncClient, store: Any) -> None:
    said = [{"name": "calm", "state": "Running", "revision": 2, "wantedRevision": 2}, {"nonsense": 1}]
    labels = {"mlsysops.eu/cluster": "c1"}
    node = {"metadata": {"name": "w1", "labels": labels}, "status": {"policies": said}}
    store.put(resource_of("MLSysOpsNode"), node)
    store.put(resource_of("MLSysOpsCluster"), {"metadata": {"name": "c1"}, "status": {"policies": said[:1]}})
    every = (await api.get("/v1/agents/policies")).json()["agents"]
    assert [(item["tier"], item["agent"]) for item in every] == [("cluster", "c1"), ("node", "w1")]
    for target in ("node", "node/w1", "mlsysops.eu/cluster=c1"):
        some = (await api.get("/v1/agents/policies", params={"target": target})).json()["agents"]
        assert [item["agent"] for item in some] == ["w1"]


async def test_a_selector_sees_the_labels_that_agents_see(api: httpx.AsyncClient, store: Any) -> None:
    said = [{"name": "calm", "state": "Running"}]
    for name, spec in (("w1", {"labels": ["zone=b", "gpu"]}), ("w2", {"labels": ["zone: a"]}), ("w3", {})):
        obj = {"metadata": {"name": name, "labels": None}, "spec": spec, "status": {"policies": said}}
        store.put(resource_of("MLSysOpsNode"), obj)

    async def told(target: str) -> list[str]:
        answer = (await api.get("/v1/agents/policies", params={"target": target})).json()
        return [item["agent"] for item in answer["agents"]]

    assert await told("zone=b") == await told("gpu=") == ["w1"]
    assert await told("zone in (a, b)") == ["w1", "w2"]
    assert await told("mlsysops.eu/tier=node,!zone") == ["w3"]
