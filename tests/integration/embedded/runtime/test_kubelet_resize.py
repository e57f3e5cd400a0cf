"""Resizes of pods that are real processes: their control groups change, the processes stay."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from embedded_plane import Plane, eventually, node_ready, pod, pod_ready
from mlsysops_embedded.client import HttpClient, Object
from mlsysops_embedded.client.resources import PODS
from mlsysops_embedded.kubelet.cgroups import Cgroups

_V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
_FILES = ("{}/cpu.max", "{}/memory.max") if _V2 else ("cpu/{}/cpu.cfs_quota_us", "memory/{}/memory.limit_in_bytes")
_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}}


def _can_hold() -> bool:
    try:
        made = Cgroups().create("probe-of-tests", "c", _RESOURCES)
    finally:
        Cgroups().remove("probe-of-tests")
    return bool(made.groups)


pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not _can_hold(), reason="needs the right to make control groups")


def in_force(found: Object) -> tuple[str, str]:
    """Quota and memory limit as the kernel has them."""
    group = f"embedded/pod{found['metadata']['uid']}/main"
    quota, memory = (Path("/sys/fs/cgroup", file.format(group)).read_text().split()[0] for file in _FILES)
    return quota, memory


def pid_of(plane: Plane, found: Object) -> int:
    states = plane.root.glob(f"*-data/pods/{found['metadata']['uid']}/containers/main/*/state.json")
    newest = max(states, key=lambda path: int(path.parent.name))
    return int(json.loads(newest.read_text())["pid"])


async def resize(client: HttpClient, name: str, **resources: Any) -> Object:
    patch = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
    return await client.patch(PODS, name, patch, "default", patch_type="strategic", subresource="resize")


async def settled(client: HttpClient, name: str) -> Object | None:
    found = await client.get(PODS, name, "default")
    status = found["status"]
    kinds = {c["type"] for c in status["conditions"]}
    same = status["containerStatuses"][0]["resources"] == found["spec"]["containers"][0]["resources"]
    return found if same and not kinds & {"PodResizePending", "PodResizeInProgress"} else None


def condition(found: Object, kind: str) -> Object | None:
    return next((c for c in found["status"]["conditions"] if c["type"] == kind), None)


async def test_limits_of_a_running_process_change(plane: Plane, client: HttpClient) -> None:
    await client.create(PODS, pod("grows", container={"resources": _RESOURCES}), "default")
    found = await eventually(lambda: pod_ready(client, "grows"))
    pid = pid_of(plane, found)
    assert in_force(found) == ("20000", str(128 * 2**20))
    await resize(client, "grows", limits={"cpu": "700m", "memory": "256Mi"})
    found = await eventually(lambda: settled(client, "grows"))
    assert in_force(found) == ("70000", str(256 * 2**20))
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0
    assert pid_of(plane, found) == pid
    os.kill(pid, 0)
    node = found["spec"]["nodeName"]
    plane.daemons[node].stop(signal.SIGKILL)
    await resize(client, "grows", limits={"cpu": "300m"})
    assert in_force(found) == ("70000", str(256 * 2**20))
    plane.daemons[node].start()
    await eventually(lambda: node_ready(client, node))
    found = await eventually(lambda: settled(client, "grows"))
    assert in_force(found) == ("30000", str(256 * 2**20))
    os.kill(pid, 0)
    await client.delete(PODS, "grows", "default", grace_period_seconds=0)


async def test_memory_in_use_is_not_taken_away(client: HttpClient) -> None:
    """The limit stays where the kernel would have to kill for the new one."""
    code = "import time\nheld = b'x' * (96 * 2**20)\ntime.sleep(1000)"
    resources = {"requests": {"memory": "16Mi"}, "limits": {"memory": "192Mi"}}
    await client.create(PODS, pod("holds", code, container={"resources": resources}), "default")
    found = await eventually(lambda: pod_ready(client, "holds"))

    async def full() -> bool:
        return (Cgroups().memory(found["metadata"]["uid"], "main") or 0) > 96 * 2**20

    await eventually(full)
    await resize(client, "holds", limits={"memory": "64Mi"})

    async def refused() -> Object | None:
        now = await client.get(PODS, "holds", "default")
        mark = condition(now, "PodResizeInProgress")
        return now if mark and mark.get("reason") == "Error" else None

    now = await eventually(refused)
    mark = condition(now, "PodResizeInProgress")
    assert mark is not None
    assert "below current usage" in mark["message"]
    status = now["status"]["containerStatuses"][0]
    assert status["resources"]["limits"] == {"memory": "192Mi"}
    assert (status["restartCount"], in_force(now)[1]) == (0, str(192 * 2**20))
    await client.delete(PODS, "holds", "default", grace_period_seconds=0)


async def test_a_restart_where_the_policy_asks_for_it(plane: Plane, client: HttpClient) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    container = {"resources": _RESOURCES, "resizePolicy": policy}
    # It ends with code 0 when it is told to: also then it begins again.
    code = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\ntime.sleep(1000)"
    await client.create(PODS, pod("begins-again", code, container=container, restartPolicy="OnFailure"), "default")
    found = await eventually(lambda: pod_ready(client, "begins-again"))
    pid = pid_of(plane, found)
    await resize(client, "begins-again", limits={"memory": "256Mi"})
    found = await eventually(lambda: settled(client, "begins-again"))
    assert found["status"]["containerStatuses"][0]["restartCount"] == 1
    assert in_force(found)[1] == str(256 * 2**20)
    assert pid_of(plane, found) != pid
    await client.delete(PODS, "begins-again", "default", grace_period_seconds=0)
