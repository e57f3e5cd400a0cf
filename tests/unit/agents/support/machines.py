"""Recorded machines: trees of sysfs and control groups as such machines show them, and an agent's handle to act on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_fakes import FakeObjects, FakeTelemetry
from mlsysops_agents.loop import VirtualClock
from mlsysops_agents.node.world import NodeHandle
from mlsysops_core.contracts import AgentIdentity

NODE = "w1"
UID = "6f1c8e0a-3b1d-4a6e-9d55-0c2f3f1f9a77"
CONTAINER = "3f5e0f7e2f7f4e2a9a3b7c5d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f"
CPUFREQ = "sys/devices/system/cpu/cpufreq"


def write_tree(root: Path, files: Mapping[str, object]) -> None:
    """Write files with a line end, as the kernel shows them."""
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


def read(root: Path, name: str) -> str:
    return (root / name.lstrip("/")).read_text().strip()


def snapshot(root: Path) -> dict[str, str]:
    """All files of a tree, to compare with later."""
    return {str(path.relative_to(root)): path.read_text().strip() for path in root.rglob("*") if path.is_file()}


def intel_pstate(root: Path, cpus: int = 4) -> None:
    """A laptop: intel_pstate in active mode, one policy a CPU, no table of frequencies."""
    write_tree(
        root,
        {"sys/devices/system/cpu/intel_pstate/no_turbo": 0, "sys/devices/system/cpu/intel_pstate/status": "active"},
    )
    for cpu in range(cpus):
        policy = f"{CPUFREQ}/policy{cpu}"
        write_tree(
            root,
            {
                f"{policy}/affected_cpus": cpu,
                f"{policy}/related_cpus": cpu,
                f"{policy}/cpuinfo_min_freq": 400000,
                f"{policy}/cpuinfo_max_freq": 4200000,
                f"{policy}/scaling_driver": "intel_pstate",
                f"{policy}/scaling_available_governors": "performance powersave",
                f"{policy}/scaling_governor": "powersave",
                f"{policy}/scaling_min_freq": 400000,
                f"{policy}/scaling_max_freq": 4200000,
                f"{policy}/scaling_cur_freq": 1234567,
                f"{policy}/scaling_setspeed": "<unsupported>",
                f"{policy}/energy_performance_available_preferences": "default performance balance_performance balance_power power",
                f"{policy}/energy_performance_preference": "balance_performance",
            },
        )


def acpi_cpufreq(root: Path) -> None:
    """A server: acpi-cpufreq with a table of frequencies and a switch for boost."""
    write_tree(root, {f"{CPUFREQ}/boost": 1})
    for number, cpus in ((0, "0 1"), (2, "2 3")):
        policy = f"{CPUFREQ}/policy{number}"
        write_tree(
            root,
            {
                f"{policy}/affected_cpus": cpus,
                f"{policy}/related_cpus": cpus,
                f"{policy}/cpuinfo_min_freq": 1400000,
                f"{policy}/cpuinfo_max_freq": 2800000,
                f"{policy}/scaling_driver": "acpi-cpufreq",
                f"{policy}/scaling_available_frequencies": "2800000 2100000 1400000 ",
                f"{policy}/scaling_available_governors": "conservative ondemand userspace powersave performance schedutil ",
                f"{policy}/scaling_governor": "schedutil",
                f"{policy}/scaling_min_freq": 1400000,
                f"{policy}/scaling_max_freq": 2800000,
                f"{policy}/scaling_cur_freq": 2100000,
                f"{policy}/scaling_setspeed": "<unsupported>",
            },
        )


def amd_pstate(root: Path, cpus: int = 2) -> None:
    """A desktop: amd-pstate in active mode under Linux 6.11, one policy a CPU, each with a switch of its own for boost."""
    for cpu in range(cpus):
        policy = f"{CPUFREQ}/policy{cpu}"
        write_tree(
            root,
            {
                f"{policy}/affected_cpus": cpu,
                f"{policy}/related_cpus": cpu,
                f"{policy}/boost": 1,
                f"{policy}/cpuinfo_min_freq": 400000,
                f"{policy}/cpuinfo_max_freq": 5050000,
                f"{policy}/scaling_driver": "amd-pstate-epp",
                f"{policy}/scaling_available_governors": "performance powersave",
                f"{policy}/scaling_governor": "powersave",
                f"{policy}/scaling_min_freq": 400000,
                f"{policy}/scaling_max_freq": 5050000,
                f"{policy}/scaling_cur_freq": 1700000,
                f"{policy}/scaling_setspeed": "<unsupported>",
                f"{policy}/energy_performance_available_preferences": "default performance balance_performance balance_power power",
                f"{policy}/energy_performance_preference": "balance_performance",
            },
        )


def take_offline(root: Path, policy: int) -> None:
    """Take a policy's CPUs offline: its directory stays, and the kernel answers every look at a file with EBUSY."""
    directory = root / CPUFREQ / f"policy{policy}"
    for file in directory.iterdir():
        file.unlink()
        file.mkdir()  # what can be seen and not be read


def big_little(root: Path) -> None:
    """A board: Arm big.LITTLE, four small CPUs and four big ones, each kind with a clock of its own; no boost."""
    for number, cpus, low, high, steps in (
        (0, "0 1 2 3", 408000, 1416000, "408000 816000 1416000"),
        (4, "4 5 6 7", 408000, 1800000, "408000 1008000 1800000"),
    ):
        policy = f"{CPUFREQ}/policy{number}"
        write_tree(
            root,
            {
                f"{policy}/affected_cpus": cpus,
                f"{policy}/related_cpus": cpus,
                f"{policy}/cpuinfo_min_freq": low,
                f"{policy}/cpuinfo_max_freq": high,
                f"{policy}/scaling_driver": "cpufreq-dt",
                f"{policy}/scaling_available_frequencies": steps,
                f"{policy}/scaling_available_governors": "conservative ondemand userspace powersave performance schedutil",
                f"{policy}/scaling_governor": "schedutil",
                f"{policy}/scaling_min_freq": low,
                f"{policy}/scaling_max_freq": high,
                f"{policy}/scaling_cur_freq": low,
                f"{policy}/scaling_setspeed": "<unsupported>",
            },
        )


def rapl(root: Path) -> None:
    """Two packages with a long-term and a short-term limit, one with its cores below, as intel_rapl shows them."""
    for package in (0, 1):
        zone = f"sys/class/powercap/intel-rapl:{package}"
        write_tree(
            root,
            {
                f"{zone}/name": f"package-{package}",
                f"{zone}/enabled": 1 if package == 0 else 0,
                f"{zone}/energy_uj": 52424242424,
                f"{zone}/constraint_0_name": "long_term",
                f"{zone}/constraint_0_power_limit_uw": 125000000,
                f"{zone}/constraint_0_max_power_uw": 125000000,
                f"{zone}/constraint_0_time_window_us": 27983872,
                f"{zone}/constraint_1_name": "short_term",
                f"{zone}/constraint_1_power_limit_uw": 150000000,
                f"{zone}/constraint_1_max_power_uw": 0,
                f"{zone}/constraint_1_time_window_us": 2440,
            },
        )
    write_tree(root, {"sys/class/powercap/intel-rapl:0:0/name": "core", "sys/class/powercap/intel-rapl:0:0/enabled": 0})


#: Group of the container below the top of a tree, by how its host lays groups out.
LAYOUTS = {
    "systemd": "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{slice}.slice/cri-containerd-{id}.scope",
    "guaranteed": "kubepods.slice/kubepods-pod{slice}.slice/crio-{id}.scope",
    "cgroupfs": "kubepods/besteffort/pod{uid}/{id}",
    "embedded": "embedded/pod{uid}/web",
}


def group_path(layout: str) -> str:
    return LAYOUTS[layout].format(slice=UID.replace("-", "_"), uid=UID, id=CONTAINER)


def cgroup_v2(root: Path, layout: str = "systemd") -> str:
    """One tree for all controllers; returns the container's group."""
    top = "sys/fs/cgroup"
    group = f"{top}/{group_path(layout)}"
    parent = group.rpartition("/")[0]
    write_tree(
        root,
        {
            f"{top}/cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc",
            f"{parent}/cpuset.cpus.effective": "0-7",
            f"{parent}/cpuset.mems.effective": "0",
            f"{group}/cpuset.cpus": "",
            f"{group}/cpuset.mems": "",
            f"{group}/cpuset.cpus.effective": "0-7",
            f"{group}/cpu.max": "50000 100000",
            f"{group}/cpu.weight": 10,
            f"{group}/memory.max": 134217728,
            f"{group}/memory.high": "max",
            f"{group}/memory.current": 50331648,
            f"{group}/io.max": "",
        },
    )
    _machine(root)
    return group


def cgroup_v1(root: Path, layout: str = "cgroupfs") -> str:
    """A tree a controller; returns the container's group in each."""
    top = "sys/fs/cgroup"
    group = group_path(layout)
    parent = group.rpartition("/")[0]
    write_tree(
        root,
        {
            f"{top}/cpuset/{parent}/cpuset.cpus": "0-7",
            f"{top}/cpuset/{parent}/cpuset.effective_cpus": "0-7",
            f"{top}/cpuset/{parent}/cpuset.effective_mems": "0",
            f"{top}/cpuset/{group}/cpuset.cpus": "0-7",
            f"{top}/cpuset/{group}/cpuset.mems": "0",
            f"{top}/cpuset/{group}/cpuset.effective_cpus": "0-7",
            f"{top}/cpu/{group}/cpu.shares": 256,
            f"{top}/cpu/{group}/cpu.cfs_period_us": 100000,
            f"{top}/cpu/{group}/cpu.cfs_quota_us": 50000,
            f"{top}/memory/{group}/memory.limit_in_bytes": 134217728,
            f"{top}/memory/{group}/memory.soft_limit_in_bytes": 9223372036854771712,
            f"{top}/memory/{group}/memory.usage_in_bytes": 50331648,
            f"{top}/blkio/{group}/blkio.throttle.read_bps_device": "",
            f"{top}/blkio/{group}/blkio.throttle.write_bps_device": "",
            f"{top}/blkio/{group}/blkio.throttle.read_iops_device": "",
            f"{top}/blkio/{group}/blkio.throttle.write_iops_device": "",
        },
    )
    _machine(root)
    return group


def _machine(root: Path) -> None:
    write_tree(root, {"sys/devices/system/cpu/online": "0-7", "sys/class/block/sda/dev": "8:0"})


def pod(component: str = "web", **status: Any) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {
            "name": f"shop-{component}-abc",
            "labels": {"mlsysops.eu/app": "shop", "mlsysops.eu/component": component},
        },
        "spec": {"nodeName": NODE},
        "status": {
            "phase": "Running",
            "podIP": "10.42.0.5",
            "hostIP": "192.0.2.1",
            "containerStatuses": [
                {"name": component, "containerID": f"containerd://{CONTAINER}", "state": {"running": {}}},
            ],
            **status,
        },
    }


WEB = {
    "metadata": {"name": "web"},
    "containers": [
        {
            "image": "registry/web:1",
            "env": [{"name": "MODE", "value": "fast"}],
            "platform_requirements": {"cpu": {"requests": "250m", "limits": "500m"}, "memory": {"limits": "128Mi"}},
        }
    ],
}


class Machine:
    """A node with one component ``web`` of application ``shop``, and the handle of its agent.

    Args:
        root: The recorded tree.
        state: The agent's state directory.
        node: The node's permitted_actions.
        application: The application's permitted_actions.
    """

    def __init__(
        self, root: Path, state: Path, node: tuple[str, ...] = ("*",), application: tuple[str, ...] = ("*",)
    ) -> None:
        self.root = root
        self.state = state
        self.objects = FakeObjects()
        self.permit(node=node, application=application)
        made = self.objects.put(pod())
        made["metadata"]["uid"] = UID
        self.handle = NodeHandle(
            AgentIdentity("node", NODE),
            VirtualClock(),
            self.objects,  # type: ignore[arg-type]
            FakeTelemetry(),  # type: ignore[arg-type]
            root=root,
            state_dir=state,
        )

    def permit(self, *, node: tuple[str, ...] | None = None, application: tuple[str, ...] | None = None) -> None:
        if node is not None:
            self.objects.put(
                {
                    "apiVersion": "mlsysops.eu/v1",
                    "kind": "MLSysOpsNode",
                    "metadata": {"name": NODE},
                    "spec": {"permitted_actions": list(node)},
                }
            )
        if application is not None:
            self.objects.put(
                {
                    "apiVersion": "mlsysops.eu/v1",
                    "kind": "MLSysOpsApp",
                    "metadata": {"name": "shop"},
                    "spec": {"components": [WEB], "permitted_actions": list(application)},
                    "status": {"components": [{"name": "web", "node": NODE}]},
                }
            )
