"""Applications through all tiers, on real processes: placed, measured, moved, removed, and unharmed by kills."""

from __future__ import annotations

import json
import signal
from typing import Any

import psutil
from mlsysops_agents.adapters.kubernetes.resources import (
    DEPLOYMENTS,
    EVENTS,
    MLSYSOPS_APPS,
    MLSYSOPS_CLUSTERS,
    MLSYSOPS_NODES,
    NODES,
    PROPAGATION_POLICIES,
    SERVICES,
)
from tiers_slice import NAMESPACE, LocalSlice, eventually, pair_application

NAME = "test-application"
SERVER, CLIENT = f"{NAME}-server-app", f"{NAME}-client-app"


def pods_of(pods: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Component to pod uid and node."""
    return {
        pod["metadata"]["labels"]["mlsysops.eu/component"]: (pod["metadata"]["uid"], pod["spec"].get("nodeName"))
        for pod in pods.values()
        if not pod["metadata"].get("deletionTimestamp")
    }


async def test_an_application_runs_is_measured_survives_kills_and_goes(local_slice: LocalSlice) -> None:
    await local_slice.deploy(pair_application())
    status = await local_slice.running(NAME)
    assert {item["name"]: (item["cluster"], item["ready"]) for item in status["components"]} == {
        "server-app": ("cluster1", True),
        "client-app": ("cluster1", True),
    }
    assert [item["policy"] for item in status["decisions"]] == [
        "dynamicPlacedComponents",
        "dynamicPlacedComponents",
        "clusterPlacement",
    ]
    app = await local_slice.app(NAME)
    assert json.loads(app["metadata"]["annotations"]["mlsysops.eu/component-clusters"]) == {
        "client-app": "cluster1",
        "server-app": "cluster1",
    }
    deployments = await local_slice.deployments()
    assert set(deployments) == {SERVER, CLIENT}
    # The client waits for the server, whose Service is there before any pod: its address is in the client's environment.
    assert deployments[SERVER]["metadata"]["creationTimestamp"] <= deployments[CLIENT]["metadata"]["creationTimestamp"]

    async def satisfied() -> bool:
        found = await local_slice.status(NAME)
        return bool((found.get("satisfaction") or {}).get("satisfied"))

    await eventually(satisfied, what="targets are met")
    reasons = {item["reason"] for item in (await local_slice.member.list(EVENTS, NAMESPACE))["items"]}
    assert "Scheduled" in reasons

    before = pods_of(await local_slice.pods())
    written = {name: item["metadata"]["generation"] for name, item in deployments.items()}
    for agent in ("server1-agent", "management-agent"):
        process = local_slice.processes[agent]
        process.stop(signal.SIGKILL)
        process.start()
    await eventually(local_slice.all_ready, what="agents are back")
    assert pods_of(await local_slice.pods()) == before
    assert {name: item["metadata"]["generation"] for name, item in (await local_slice.deployments()).items()} == written
    assert (await local_slice.status(NAME))["phase"] == "Running"

    for agent in ("server1-agent", "management-agent"):
        process = psutil.Process(local_slice.processes[agent].pid)
        assert process.memory_info().rss < 90 * 2**20

    await local_slice.continuum.delete(MLSYSOPS_APPS, NAME, NAMESPACE)
    for resource, name in ((MLSYSOPS_APPS, NAME), (DEPLOYMENTS, SERVER), (SERVICES, "server-app")):
        await eventually(
            lambda resource=resource, name=name: local_slice.gone(resource, name, local_slice.member),
            what=f"{name} is gone",
        )
    await eventually(
        lambda: local_slice.gone(PROPAGATION_POLICIES, f"app-{NAME}", local_slice.continuum), what="the policy is gone"
    )

    async def no_pods() -> bool:
        return not await local_slice.pods()

    await eventually(no_pods, what="pods are gone")


async def test_an_application_that_fits_nowhere_waits_until_there_is_room(local_slice: LocalSlice) -> None:
    description = pair_application()
    for component in description["components"]:
        component["node_placement"] = {"labels": ["special"]}
    await local_slice.deploy(description)

    async def refused() -> dict[str, Any] | None:
        status = await local_slice.status(NAME)
        placed = [item for item in status.get("conditions") or () if item["type"] == "Placed"]
        # The condition comes from looking, the decision from a policy: under load one is told before the other.
        told = placed and placed[0]["reason"] == "NoFit" and status.get("decisions")
        return status if told else None

    status = await eventually(refused, what="NoFit is told, and who decided so")
    assert status["phase"] == "Pending"
    (placed,) = [item for item in status["conditions"] if item["type"] == "Placed"]
    assert "0/2 nodes fit: 2 removed by labels (lacks special)" in placed["message"]
    assert await local_slice.deployments() == {}
    assert status["decisions"][0]["rejected"][0]["filter"] == "labels"

    await local_slice.continuum.patch(MLSYSOPS_NODES, "worker2", {"spec": {"labels": ["special"]}}, NAMESPACE)
    status = await local_slice.running(NAME)
    assert {item["node"] for item in status["components"]} == {"worker2"}


async def test_a_description_that_was_edited_wrongly_fails_no_policy_and_works_again_at_once(
    local_slice: LocalSlice,
) -> None:
    await local_slice.deploy(pair_application())
    await local_slice.running(NAME)
    before = pods_of(await local_slice.pods())
    wrong = pair_application()
    # The definition's schema takes it; that requests are within limits only the model of the descriptions knows.
    wrong["components"][0]["containers"][0]["platform_requirements"]["cpu"] = {"requests": "100m", "limits": "50m"}
    await local_slice.deploy(wrong)

    async def told() -> bool:
        conditions = (await local_slice.status(NAME)).get("conditions") or ()
        return any(item["reason"] == "Invalid" and "above limits" in item["message"] for item in conditions)

    await eventually(told, what="the status says what is wrong")
    assert pods_of(await local_slice.pods()) == before
    mended = pair_application()
    mended["components"][0]["containers"][0]["platform_requirements"]["cpu"] = {"requests": "50m", "limits": "100m"}
    await local_slice.deploy(mended)
    status = await local_slice.running(NAME)
    assert [item for item in status["decisions"] if item["verdict"] == "error"] == []


async def test_components_of_a_lost_node_move_and_nothing_runs_twice(local_slice: LocalSlice) -> None:
    await local_slice.deploy(pair_application())
    status = await local_slice.running(NAME)
    (lost,) = {item["node"] for item in status["components"]}
    (other,) = set(local_slice.workers) - {lost}
    local_slice.processes[f"{lost}-kubelet"].stop(signal.SIGKILL)
    await local_slice.member.delete(NODES, lost)

    async def moved() -> bool:
        found = await local_slice.status(NAME)
        return {item.get("node") for item in found["components"]} == {other} and found["phase"] == "Running"

    await eventually(moved, seconds=60, what="components have moved")
    pods = pods_of(await local_slice.pods())
    assert {node for _, node in pods.values()} == {other}

    async def told() -> bool:
        # Pods may run before the decision that moved them is told as executed.
        newest = (await local_slice.status(NAME))["decisions"][0]
        return newest["policy"] == "relocateComponents" and newest["outcome"].startswith("executed")

    await eventually(told, what="the decision is told")


async def test_a_plugin_that_does_not_load_stops_its_agent_with_a_condition(local_slice: LocalSlice) -> None:
    config = local_slice.config("server1", "agent")
    plugins = local_slice.directory / "plugins"
    plugins.mkdir()
    (plugins / "policy-broken.py").write_text(
        "def initialize():\n    return {}\n\ndef analyze(context):\n    return False\n"
    )
    good = config.read_text()
    config.write_text(good.replace("plugin_dirs: []", f"plugin_dirs: [{plugins}]"))
    process = local_slice.processes["server1-agent"]
    process.stop()
    process.start()
    assert process.popen is not None

    async def ended() -> bool:
        return process.popen is not None and process.popen.poll() is not None

    await eventually(ended, what="the agent stops")
    assert process.popen.returncode == 3
    assert "policy broken" in process.log.read_text()
    cluster = await local_slice.member.get(MLSYSOPS_CLUSTERS, "cluster1", NAMESPACE)
    ready = {item["type"]: item for item in cluster["status"]["conditions"]}["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "PluginError")
    assert "analyze() must be 'async def'" in ready["message"]

    config.write_text(good)
    process.start()

    async def ready_again() -> bool:
        cluster = await local_slice.member.get(MLSYSOPS_CLUSTERS, "cluster1", NAMESPACE)
        return {item["type"]: item["status"] for item in cluster["status"]["conditions"]}["Ready"] == "True"

    await eventually(ready_again, what="the cluster is ready again")
