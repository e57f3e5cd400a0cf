"""Control groups of version 2, on a tree with the files that a kernel puts into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlsysops_embedded.kubelet.cgroups import Cgroups

#: As Linux 6.1 on a machine with two processors shows them (cgroup.controllers of the root; cpu.stat of a busy group).
CONTROLLERS = "cpuset cpu io memory hugetlb pids rdma misc\n"
CPU_STAT = """usage_usec 2517342
user_usec 1980010
system_usec 537332
nr_periods 41
nr_throttled 7
throttled_usec 312954
nr_bursts 0
burst_usec 0
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The mount point, with the groups that `Cgroups` is to make: their files come from the kernel."""
    (tmp_path / "cgroup.controllers").write_text(CONTROLLERS)
    for below in (".", "embedded", "embedded/podu", "embedded/podu/c"):
        (tmp_path / below).mkdir(exist_ok=True)
        (tmp_path / below / "cgroup.subtree_control").write_text("memory pids\n" if below == "." else "\n")
    return tmp_path


def test_limits_are_written_as_the_kubelet_works_them_out(tree: Path) -> None:
    resources = {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "500m"}}
    limits = Cgroups(tree).create("u", "c", resources)
    group = tree / "embedded" / "podu" / "c"
    assert limits.groups == [str(group)]
    assert limits.enforced_by == "cgroup"
    written = {name: (group / name).read_text() for name in ("cpu.max", "cpu.weight", "memory.max")}
    # 512 shares: 1 + (512 - 2) * 9999 / 262142 (KEP-2254).
    assert written == {"cpu.max": "150000 100000", "cpu.weight": "20", "memory.max": str(64 * 2**20)}


def test_controllers_are_handed_down_where_they_are_missing(tree: Path) -> None:
    Cgroups(tree).create("u", "c", None)
    assert (tree / "cgroup.subtree_control").read_text() == "+cpu +cpuset"
    assert (tree / "embedded" / "podu" / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory"
    # A group that holds processes hands nothing down.
    assert (tree / "embedded" / "podu" / "c" / "cgroup.subtree_control").read_text() == "\n"
    group = tree / "embedded" / "podu" / "c"
    assert (group / "cpu.max").read_text() == "max 100000"
    assert (group / "memory.max").read_text() == "max"


def test_usage_is_read_from_what_the_kernel_counts(tree: Path) -> None:
    cgroups = Cgroups(tree)
    assert cgroups.usage("u", "c") is None
    group = tree / "embedded" / "podu" / "c"
    (group / "cpu.stat").write_text(CPU_STAT)
    (group / "memory.current").write_text("10485760\n")
    assert cgroups.usage("u", "c") == (2_517_342_000, 10_485_760)


def test_a_kernel_that_refuses_leaves_rlimits(tree: Path) -> None:
    (tree / "embedded" / "cgroup.subtree_control").unlink()
    limits = Cgroups(tree).create("u", "c", {"limits": {"memory": "64Mi"}})
    assert (limits.groups, limits.enforced_by) == ([], "rlimit")


def test_limits_of_a_running_container_change(tree: Path) -> None:
    cgroups = Cgroups(tree)
    cgroups.create("u", "c", {"limits": {"cpu": "1", "memory": "64Mi"}})
    assert cgroups.holds("u", "c")
    assert not cgroups.holds("u", "other")
    cgroups.update("u", "c", {"limits": {"cpu": "1500m", "memory": "128Mi"}, "requests": {"cpu": "2"}})
    group = tree / "embedded" / "podu" / "c"
    written = {name: (group / name).read_text() for name in ("cpu.max", "cpu.weight", "memory.max")}
    assert written == {"cpu.max": "150000 100000", "cpu.weight": "79", "memory.max": str(128 * 2**20)}
    assert cgroups.memory("u", "c") is None
    (group / "memory.current").write_text("4096\n")
    assert cgroups.memory("u", "c") == 4096
