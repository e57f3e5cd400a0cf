"""Mechanisms on the machine that runs the tests, where it has the knob: real control groups around a real process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from machines import Machine, pod
from mlsysops_agents.plugins.mechanisms.node import ContainerCpuSet, ContainerLimits, CpuFrequency, PowerCap
from mlsysops_agents.plugins.mechanisms.node.cgroups import ControlGroups
from mlsysops_agents.plugins.mechanisms.node.command import parse_cpus
from mlsysops_core.errors import MlsError
from mlsysops_embedded.kubelet.cgroups import Cgroups

ROOT = Path("/")
BASE = Path("/sys/fs/cgroup")
WEB = {"application": "shop", "component": "web"}
CONTROLLERS = ("cpuset", "cpu", "memory")


def skip_without_groups() -> None:
    groups = ControlGroups(ROOT)
    if os.geteuid() != 0:
        pytest.skip("needs root to make control groups")
    missing = [name for name in CONTROLLERS if not groups.has(name)]
    if missing:
        pytest.skip(f"this machine has no control group controllers {', '.join(missing)}")


def status_of(pid: int, key: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{key}:"))


def join(groups: list[str], pid: int) -> None:
    for group in groups:
        Path(group, "cgroup.procs").write_text(str(pid))


class Container:
    """A process in control groups laid out as the embedded engine's, and removed without a trace."""

    def __init__(self) -> None:
        self.uid = f"test-{uuid.uuid4()}"
        version = ControlGroups(ROOT).version
        tops = [BASE] if version == 2 else [BASE / name for name in CONTROLLERS]
        self.groups = [top / "embedded" / f"pod{self.uid}" / "web" for top in tops]
        self.process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])

    def make(self) -> None:
        for group in self.groups:
            # Every group on the way must hand its CPUs and controllers on to the one below.
            for directory in (*reversed(group.relative_to(BASE).parents), group.relative_to(BASE)):
                path = BASE / directory
                if (path / "cgroup.controllers").exists() and path != group:
                    path.mkdir(exist_ok=True)
                    (path / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in CONTROLLERS))
                elif not path.exists():
                    path.mkdir()
                    for file in ("cpuset.cpus", "cpuset.mems"):
                        if (path / file).exists() and not (path / file).read_text().strip() and "cpuset" in path.parts:
                            (path / file).write_text((path.parent / file).read_text())
            (group / "cgroup.procs").write_text(str(self.process.pid))

    def remove(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for group in self.groups:
            for directory in (group, group.parent):
                with contextlib.suppress(FileNotFoundError):
                    directory.rmdir()
            with contextlib.suppress(OSError):
                group.parents[1].rmdir()  # unless others use it

    def status(self, key: str) -> str:
        return status_of(self.process.pid, key)


@pytest.fixture
def container() -> Iterator[Container]:
    """A process in control groups of its own."""
    skip_without_groups()
    made = Container()
    try:
        try:
            made.make()
        except OSError as exc:
            pytest.skip(f"control groups cannot be made here: {exc}")
        yield made
    finally:
        made.remove()


@pytest.fixture
def machine(tmp_path: Path, container: Container) -> Machine:
    made = Machine(ROOT, tmp_path / "state")
    made.objects.put(pod())["metadata"]["uid"] = container.uid
    return made


async def test_a_real_process_is_moved_to_a_cpu_and_back(machine: Machine, container: Container) -> None:
    before = container.status("Cpus_allowed_list")
    cpus = sorted(parse_cpus(before))
    if len(cpus) < 2:
        pytest.skip("this machine has one CPU")
    mechanism = ContainerCpuSet(machine.handle)

    await mechanism.apply({**WEB, "cpus": cpus[-1]})
    assert container.status("Cpus_allowed_list") == str(cpus[-1])
    assert mechanism.get_state()["applications"]["shop"]["web"]["web"]["cpus"] == str(cpus[-1])

    # The agent is gone, its successor puts things back.
    await ContainerCpuSet(machine.handle).restore()
    assert container.status("Cpus_allowed_list") == before


async def test_what_the_kernel_refuses_leaves_everything_as_it_was(machine: Machine, container: Container) -> None:
    before = container.status("Cpus_allowed_list")
    mechanism = ContainerCpuSet(machine.handle)
    with pytest.raises(MlsError, match="out of range"):
        await mechanism.apply({**WEB, "cpus": max(parse_cpus(before)) + 1})
    with pytest.raises(MlsError, match="out of range"):
        await mechanism.apply({**WEB, "cpus": 0, "mems": 4000})
    assert container.status("Cpus_allowed_list") == before
    assert mechanism.get_status()["held"] == {}


async def test_limits_of_a_real_process(machine: Machine, container: Container) -> None:
    mechanism = ContainerLimits(machine.handle)
    before = mechanism.get_state()

    await mechanism.apply({**WEB, "cpu": "250m", "cpu_weight": 50, "memory": "300000000"})
    state = mechanism.get_state()["applications"]["shop"]["web"]["web"]
    assert state["cpu"] == 0.25
    assert 0 <= 300000000 - state["memory"] < 65536  # kernels round down to pages
    with pytest.raises(MlsError, match="bytes in use"):
        await mechanism.apply({**WEB, "memory": 4096})
    await mechanism.restore()

    after = mechanism.get_state()
    for found in (before, after):
        found["applications"]["shop"]["web"]["web"].pop("memory_used")
    assert after == before


async def test_a_container_that_ends_takes_its_record_along(machine: Machine, container: Container) -> None:
    mechanism = ContainerLimits(machine.handle)
    await mechanism.apply({**WEB, "cpu": "250m"})
    container.remove()
    async with asyncio.timeout(10):
        while not await mechanism.tidy():  # noqa: ASYNC110 - a condition of the kernel
            await asyncio.sleep(0.05)  # it takes a group away when its last process is reaped
    assert mechanism.get_status()["held"] == {}


@pytest.mark.parametrize("mechanism", [CpuFrequency, PowerCap])
async def test_knobs_of_this_machine_are_told_or_their_absence(
    tmp_path: Path, mechanism: type[CpuFrequency] | type[PowerCap]
) -> None:
    """Only looks: this machine's clock and power are not the tests' business."""
    made = mechanism(Machine(ROOT, tmp_path).handle)
    options = made.get_options()
    if "unavailable" in options:
        assert options["unavailable"]
        assert made.get_state() == {}
    else:
        assert made.get_state()


async def test_a_container_of_the_embedded_engine(tmp_path: Path) -> None:
    """The groups that the engine's kubelet makes are those that the mechanisms find."""
    skip_without_groups()
    engine, uid = Cgroups(), f"test-{uuid.uuid4()}"
    made = engine.create(uid, "web", {"limits": {"cpu": "500m", "memory": "64Mi"}})
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])  # noqa: ASYNC220 - at once
    try:
        if not made.groups:
            pytest.skip("the engine cannot make control groups here")
        join(made.groups, process.pid)
        machine = Machine(ROOT, tmp_path / "state")
        machine.objects.put(pod())["metadata"]["uid"] = uid
        limits, cpus = ContainerLimits(machine.handle), ContainerCpuSet(machine.handle)
        assert limits.get_state()["applications"]["shop"]["web"]["web"]["cpu"] == 0.5
        await limits.apply({**WEB, "cpu": "250m"})
        await cpus.apply({**WEB, "cpus": 0})
        assert status_of(process.pid, "Cpus_allowed_list") == "0"
        await limits.restore()
        await cpus.restore()
        assert limits.get_state()["applications"]["shop"]["web"]["web"]["cpu"] == 0.5
    finally:
        process.kill()
        process.wait()
        engine.remove(uid, "web")
        engine.remove(uid)
