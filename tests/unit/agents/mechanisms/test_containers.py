"""CPU sets and limits of containers, in every layout of control groups."""

from __future__ import annotations

from typing import Any

import pytest
from machines import CONTAINER, LAYOUTS, Machine, cgroup_v1, cgroup_v2, pod, read, snapshot, write_tree
from mlsysops_agents.plugins.mechanisms.node import ContainerCpuSet, ContainerLimits
from mlsysops_core.errors import InvalidInput, NotFound, PartialFailure, Refused

WEB = {"application": "shop", "component": "web"}
ASSET = "application/shop/web"


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_cpu_set_version_2(machine: Machine, layout: str) -> None:
    group = cgroup_v2(machine.root, layout)
    before = snapshot(machine.root)
    mechanism = ContainerCpuSet(machine.handle)

    assert mechanism.assets({**WEB, "cpus": "1"}) == {ASSET}
    await mechanism.apply({**WEB, "cpus": [3, 0, 1, 2, 5], "mems": 0})

    assert read(machine.root, f"{group}/cpuset.cpus") == "0-3,5"
    assert read(machine.root, f"{group}/cpuset.mems") == "0"
    assert mechanism.get_state()["applications"]["shop"]["web"]["web"]["cpus"] == "0-3,5"
    await mechanism.restore(assets={ASSET})
    assert snapshot(machine.root) == before


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_cpu_set_version_1(machine: Machine, layout: str) -> None:
    group = f"sys/fs/cgroup/cpuset/{cgroup_v1(machine.root, layout)}"
    mechanism = ContainerCpuSet(machine.handle)

    await mechanism.apply({**WEB, "cpus": "2-3"})
    assert read(machine.root, f"{group}/cpuset.cpus") == "2-3"
    await mechanism.restore()
    assert read(machine.root, f"{group}/cpuset.cpus") == "0-7"


async def test_limits_version_2(machine: Machine) -> None:
    group = cgroup_v2(machine.root)
    before = snapshot(machine.root)
    mechanism = ContainerLimits(machine.handle)

    await mechanism.apply({**WEB, "cpu": "1500m", "cpu_weight": 200, "memory": "256Mi", "memory_high": "192Mi"})
    assert read(machine.root, f"{group}/cpu.max") == "150000 100000"
    assert read(machine.root, f"{group}/cpu.weight") == "200"
    assert read(machine.root, f"{group}/memory.max") == str(256 << 20)
    assert mechanism.get_state()["applications"]["shop"]["web"]["web"] == {
        "cpu": 1.5,
        "cpu_weight": 200,
        "memory": 256 << 20,
        "memory_used": 50331648,
    }
    await mechanism.apply({**WEB, "cpu": "max", "memory": "max"})
    assert read(machine.root, f"{group}/cpu.max") == "max 100000"
    assert read(machine.root, f"{group}/memory.max") == "max"
    await mechanism.restore()
    assert snapshot(machine.root) == before


async def test_limits_version_1(machine: Machine) -> None:
    group = cgroup_v1(machine.root)
    before = snapshot(machine.root)
    mechanism = ContainerLimits(machine.handle)

    await mechanism.apply({**WEB, "cpu": 2, "cpu_weight": 100, "memory": "200Mi", "memory_high": "180Mi"})
    assert read(machine.root, f"sys/fs/cgroup/cpu/{group}/cpu.cfs_quota_us") == "200000"
    assert read(machine.root, f"sys/fs/cgroup/cpu/{group}/cpu.shares") == "2597"
    assert read(machine.root, f"sys/fs/cgroup/memory/{group}/memory.limit_in_bytes") == str(200 << 20)
    state = mechanism.get_state()["applications"]["shop"]["web"]["web"]
    assert (state["cpu"], state["memory"]) == (2.0, 200 << 20)
    assert state["cpu_weight"] in (99, 100)
    await mechanism.restore()
    assert snapshot(machine.root) == before


async def test_io_limits(machine: Machine) -> None:
    group = cgroup_v2(machine.root)
    mechanism = ContainerLimits(machine.handle)
    told = mechanism.dry_run({**WEB, "io": [{"device": "sda", "rbps": 1048576, "wiops": 100}]})
    assert told == [
        {
            "path": f"/{group}/io.max#8:0",
            "from": "rbps=max wbps=max riops=max wiops=max",
            "to": "rbps=1048576 wbps=max riops=max wiops=100",
        }
    ]
    await mechanism.apply({**WEB, "io": [{"device": "8:0", "rbps": 1048576, "wiops": 100}]})
    assert read(machine.root, f"{group}/io.max") == "8:0 rbps=1048576 wbps=max riops=max wiops=100"
    await mechanism.restore()
    assert read(machine.root, f"{group}/io.max") == "8:0 rbps=max wbps=max riops=max wiops=max"


async def test_io_limits_version_1(machine: Machine) -> None:
    file = f"sys/fs/cgroup/blkio/{cgroup_v1(machine.root)}/blkio.throttle.read_bps_device"
    mechanism = ContainerLimits(machine.handle)
    await mechanism.apply({**WEB, "io": [{"device": "sda", "rbps": 65536}]})
    assert read(machine.root, file) == "8:0 65536"
    await mechanism.restore()
    assert read(machine.root, file) == "8:0 0"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ({"cpu": "9"}, "9 cores is out of range, 0.01 to 8 cores is allowed"),
        ({"cpu": "1m"}, "0.001 cores is out of range"),
        ({"cpu_weight": 0}, "cpu_weight: Input should be greater than or equal to 1"),
        ({"memory": "1Mi"}, "less than the 50331648 bytes in use"),
        ({"memory": "lots"}, "'lots' is no amount of bytes"),
        ({"io": [{"device": "sdz", "rbps": 1}]}, "no block device here, allowed: sda"),
        ({"io": [{"device": "sda", "rps": 1}]}, "unknown key"),
        ({"io": [{"device": "sda", "rbps": 0}]}, "rbps: 0 is out of range"),
        ({}, "nothing to set"),
        ({"container": "db", "cpu": 1}, "container db of component web"),
    ],
)
async def test_limits_that_are_wrong(machine: Machine, command: dict[str, Any], says: str) -> None:
    cgroup_v2(machine.root)
    before = snapshot(machine.root)
    with pytest.raises((InvalidInput, NotFound)) as caught:
        await ContainerLimits(machine.handle).apply({**WEB, **command})
    assert says in str(caught.value)
    assert snapshot(machine.root) == before


async def test_cpus_that_the_pod_may_not_use(machine: Machine) -> None:
    cgroup_v2(machine.root)
    with pytest.raises(InvalidInput, match="cpus: 8-11 is out of range, allowed: 0-7"):
        await ContainerCpuSet(machine.handle).apply({**WEB, "cpus": "6-11"})
    with pytest.raises(InvalidInput, match="no CPU is named"):
        await ContainerCpuSet(machine.handle).apply({**WEB, "cpus": ""})


async def test_a_container_whose_group_is_not_to_be_found(machine: Machine) -> None:
    cgroup_v2(machine.root)
    machine.objects.put(pod())["metadata"]["uid"] = "another"
    with pytest.raises(NotFound, match="has no control group of controller cpuset"):
        await ContainerCpuSet(machine.handle).apply({**WEB, "cpus": "1"})


async def test_a_component_that_is_somewhere_else(machine: Machine) -> None:
    cgroup_v2(machine.root)
    mechanism = ContainerCpuSet(machine.handle)
    assert mechanism.check({**WEB, "cpus": "1"}) == ""
    away = {"application": "shop", "component": "db", "cpus": "1"}
    assert mechanism.check(away) == "component db of shop is not on this node"
    with pytest.raises(NotFound, match="does not run on this node"):
        await mechanism.apply(away)


async def test_a_container_that_ended_is_forgotten(machine: Machine) -> None:
    group = cgroup_v2(machine.root)
    mechanism = ContainerCpuSet(machine.handle)
    await mechanism.apply({**WEB, "cpus": "1"})
    assert await mechanism.tidy() == []
    for path in (machine.root / group).iterdir():
        path.unlink()
    assert "is gone" in (await mechanism.tidy())[0]
    assert mechanism.get_status()["held"] == {}


async def test_a_machine_without_control_groups(machine: Machine) -> None:
    assert ContainerCpuSet(machine.handle).get_options() == {
        "unavailable": "this machine has no control group controller cpuset"
    }
    assert "unavailable" in ContainerLimits(machine.handle).get_options()
    with pytest.raises(Refused, match="unavailable"):
        await ContainerLimits(machine.handle).apply({**WEB, "cpu": 1})


@pytest.mark.parametrize("name", ["../../../etc", "*", "a/../../b", "[abc]"])
async def test_names_from_the_api_stay_in_their_tree(machine: Machine, name: str) -> None:
    cgroup_v2(machine.root)
    made = machine.objects.put(pod())
    made["metadata"]["uid"] = name
    with pytest.raises(NotFound, match="has no control group"):
        await ContainerCpuSet(machine.handle).apply({**WEB, "cpus": "1"})


@pytest.mark.parametrize("version", [1, 2])
async def test_more_than_the_pod_has_is_refused(machine: Machine, version: int) -> None:
    """The kernel of version 2 would take it, and nothing would come of it."""
    group = (cgroup_v1 if version == 1 else cgroup_v2)(machine.root)
    pod_of = group.rpartition("/")[0]
    top = "sys/fs/cgroup"
    limits: dict[str, object] = (
        {f"{pod_of}/cpu.max": "200000 100000", f"{pod_of}/memory.max": 1 << 28}
        if version == 2
        else {
            f"{top}/cpu/{pod_of}/cpu.cfs_quota_us": 200000,
            f"{top}/cpu/{pod_of}/cpu.cfs_period_us": 100000,
            f"{top}/memory/{pod_of}/memory.limit_in_bytes": 1 << 28,
        }
    )
    write_tree(machine.root, limits)
    before = snapshot(machine.root)
    mechanism = ContainerLimits(machine.handle)
    for command, says in (
        ({"cpu": 3}, "more than the 2 of its pod"),
        ({"memory": "1Gi"}, "more than the 268435456 of"),
    ):
        with pytest.raises(InvalidInput, match=says):
            await mechanism.apply({**WEB, **command})
    assert snapshot(machine.root) == before
    await mechanism.apply({**WEB, "cpu": 2, "memory": "256Mi"})
    assert mechanism.get_state()["applications"]["shop"]["web"]["web"]["cpu"] == 2


async def test_the_watcher_beside_a_container_is_not_the_container(machine: Machine) -> None:
    """CRI-O: of identifiers that begin with d, e or f the watcher's group comes first by name."""
    group = cgroup_v2(machine.root, "guaranteed")
    directory, _, name = group.rpartition("/")
    watcher = f"{directory}/{name.replace('crio-', 'crio-conmon-')}"
    write_tree(machine.root, {f"{watcher}/cpu.max": "max 100000", f"{watcher}/memory.max": "max"})
    container = "e" + CONTAINER[1:]
    for old in (group, watcher):
        (machine.root / old).rename(machine.root / old.replace(CONTAINER, container))
    status = machine.objects.stored["Pod", "shop-web-abc"]["status"]
    status["containerStatuses"][0]["containerID"] = f"cri-o://{container}"

    await ContainerLimits(machine.handle).apply({**WEB, "cpu": 1})

    assert read(machine.root, f"{group.replace(CONTAINER, container)}/cpu.max") == "100000 100000"
    assert read(machine.root, f"{watcher.replace(CONTAINER, container)}/cpu.max") == "max 100000"


@pytest.mark.parametrize("version", [1, 2])
async def test_putting_back_kills_no_container_that_grew_meanwhile(machine: Machine, version: int) -> None:
    group = (cgroup_v1 if version == 1 else cgroup_v2)(machine.root)
    directory = f"sys/fs/cgroup/memory/{group}" if version == 1 else group
    limit, usage = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
    )
    mechanism = ContainerLimits(machine.handle)
    await mechanism.apply({**WEB, "memory": "256Mi"})
    write_tree(machine.root, {f"{directory}/{usage}": 200 << 20})
    with pytest.raises(PartialFailure, match="209715200 bytes are in use"):
        await mechanism.restore()
    assert read(machine.root, f"{directory}/{limit}") == str(256 << 20)
    assert mechanism.get_status()["held"]  # it is tried again
    write_tree(machine.root, {f"{directory}/{usage}": 100 << 20})
    await mechanism.restore()
    assert read(machine.root, f"{directory}/{limit}") == str(128 << 20)
