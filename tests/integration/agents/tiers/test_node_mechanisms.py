"""Mechanisms of a node in a running slice: a policy of a node agent changes a real container and a real Deployment, and leaves no trace."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from mlsysops_agents.adapters.kubernetes.resources import MLSYSOPS_NODES
from tiers_slice import NAMESPACE, LocalSlice, eventually, pair_application

NAME = "test-application"
SERVER, CLIENT = f"{NAME}-server-app", f"{NAME}-client-app"
POLICY = """
def initialize():
    return {"scope": "application", "configuration": {"analyze_interval": "1s"},
            "mechanisms": ["acceleration", "change_container_cpu_set"]}


def wanted(applications, mechanisms):
    plan = {}
    for application in applications:
        name = application["name"]
        asked = mechanisms["acceleration"]["state"]["applications"].get(name, {})
        if "server-app" in asked and not asked["server-app"]["requested"]:
            plan["acceleration"] = {"application": name, "component": "server-app", "backend": "noop"}
        sets = mechanisms["change_container_cpu_set"]["state"].get("applications", {}).get(name, {})
        held = sets.get("client-app", {}).get("client-app", {})
        if held.get("cpus") not in (None, "0"):
            plan["change_container_cpu_set"] = {"application": name, "component": "client-app", "cpus": 0}
    return plan


async def analyze(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return bool(wanted(application_description, mechanisms)), context


async def plan(context, application_description, system_description, mechanisms, telemetry, ml_connector):
    return wanted(application_description, mechanisms), context
"""


def without_cpu_sets() -> str:
    """Why the kubelet cannot give containers CPU sets here; empty where it must."""
    if os.geteuid() != 0:
        return "needs root to make control groups"
    if (os.cpu_count() or 1) < 2:
        return "needs two CPUs to choose from"
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    if controllers.exists():
        return "" if "cpuset" in controllers.read_text().split() else "needs the controller cpuset"
    return "" if os.access("/sys/fs/cgroup/cpuset", os.W_OK) else "needs the controller cpuset, writable"


def cpu_set(uid: str) -> str | None:
    """CPUs of the client's control group; None before it is made."""
    for top in ("/sys/fs/cgroup/cpuset", "/sys/fs/cgroup"):
        with contextlib.suppress(OSError):
            return (Path(top) / f"embedded/pod{uid}/client-app/cpuset.cpus").read_text().strip()
    return None


async def with_policy(local_slice: LocalSlice) -> Path:
    """Let the node agents run the policy, and the pair, which permits what it does; return the policy's file."""
    plugins = local_slice.directory / "plugins"
    plugins.mkdir()
    policy = plugins / "policy-tuner.py"
    policy.write_text(POLICY)
    for worker in local_slice.workers:
        node = {"spec": {"permitted_actions": ["acceleration", "change_container_cpu_set"]}}
        await local_slice.continuum.patch(MLSYSOPS_NODES, worker, node, NAMESPACE)
        config = local_slice.config(worker, "agent")
        config.write_text(config.read_text().replace("plugin_dirs: []", f"plugin_dirs: [{plugins}]"))
    await restart(local_slice)
    await local_slice.deploy(pair_application(permitted_actions=["acceleration", "change_container_cpu_set"]))
    return policy


async def test_a_nodes_policy_changes_a_component_and_leaves_no_trace(local_slice: LocalSlice) -> None:
    policy = await with_policy(local_slice)

    async def environment() -> dict[str, Any]:
        deployment = (await local_slice.deployments()).get(SERVER) or {
            "spec": {"template": {"spec": {"containers": [{}]}}}
        }
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        return {item["name"]: item.get("value") for item in container.get("env") or ()}

    async def tuned() -> bool:
        return (await environment()).get("VACCEL_PLUGINS") == "libvaccel-noop.so"

    await eventually(tuned, seconds=60, what="the cluster made what the node asked for")
    status = await local_slice.running(NAME)
    (worker,) = {item["node"] for item in status["components"]}
    member_node = await local_slice.member.get(MLSYSOPS_NODES, worker, NAMESPACE)
    assert [item["action"] for item in member_node["status"]["requests"]] == ["acceleration"]

    policy.unlink()
    await restart(local_slice)

    async def untouched() -> bool:
        return "VACCEL_PLUGINS" not in await environment()

    await eventually(untouched, seconds=60, what="everything is as the descriptions say")
    await local_slice.running(NAME)


@pytest.mark.skipif(bool(without_cpu_sets()), reason=without_cpu_sets() or "possible")
async def test_a_nodes_policy_confines_a_running_container_and_lets_it_go(local_slice: LocalSlice) -> None:
    policy = await with_policy(local_slice)

    async def client_cpus() -> str | None:
        pods = [pod for pod in (await local_slice.pods()).values() if pod["metadata"]["name"].startswith(CLIENT)]
        return cpu_set(pods[0]["metadata"]["uid"]) if len(pods) == 1 else None

    async def on_one_cpu() -> bool:
        return await client_cpus() == "0"

    await eventually(on_one_cpu, seconds=60, what="the client has one CPU")
    await local_slice.running(NAME)
    policy.unlink()
    await restart(local_slice)

    async def on_all() -> bool:
        return await client_cpus() not in (None, "0")

    await eventually(on_all, seconds=60, what="the client has its CPUs again")


async def restart(local_slice: LocalSlice) -> None:
    for worker in local_slice.workers:
        process = local_slice.processes[f"{worker}-agent"]
        process.stop()
        process.start()
