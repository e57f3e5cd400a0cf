"""Machines that cannot carry a testbed are told why, on one line, and are left as they were.

What such a machine refuses is refused here by namespaces and capabilities, as in a container or a sandbox.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from newcomer import Newcomer

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="gives up rights that only root has"),
    pytest.mark.skipif(not shutil.which("systemd-nspawn"), reason="no systemd-nspawn in PATH"),
    pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="no mmdebstrap in PATH"),
]
REFUSED, UNREACHABLE = 5, 4


@pytest.fixture
def person(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path, Path(__file__).parents[2])


@pytest.fixture(autouse=True)
def able(person: Newcomer) -> None:
    """The tests are about what is taken from a machine that can."""
    done = person.run("unshare --net --mount true", expect=None)
    if done.code != 0:
        pytest.skip(f"this machine refuses namespaces: {done.err.strip()}")


def refusal(person: Newcomer, command: str, code: int) -> str:
    done = person.run(command, expect=code, timeout=300)
    assert len(done.err.strip().splitlines()) == 1, done.err
    return done.err


def test_no_right_to_mount(person: Newcomer) -> None:
    said = refusal(person, "setpriv --inh-caps=-sys_admin --bounding-set=-sys_admin mls -q testbed up", REFUSED)
    assert "this machine refuses network namespaces and mounts" in said
    assert "privileged" in said
    assert not list(person.home.rglob("testbed"))


def test_a_root_that_is_an_overlay_itself(person: Newcomer) -> None:
    script = (
        "mkdir lower upper work root && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work root "
        "&& XDG_DATA_HOME=$PWD/root mls -q testbed up"
    )
    said = refusal(person, f"unshare --mount sh -c '{script}'", REFUSED)
    assert "no overlay can be mounted below" in said
    assert "XDG_DATA_HOME" in said


def test_control_groups_that_are_read_only(person: Newcomer) -> None:
    script = (
        "mount -t tmpfs tmpfs /sys/fs/cgroup && mkdir /sys/fs/cgroup/systemd && touch /sys/fs/cgroup/cgroup.controllers "
        "&& mount -o remount,ro /sys/fs/cgroup && mls -q testbed up"
    )
    assert "this machine refuses to change /sys/fs/cgroup" in refusal(
        person, f"unshare --mount sh -c '{script}'", REFUSED
    )


def test_no_network_to_the_packages(person: Newcomer) -> None:
    said = refusal(person, "unshare --net mls -q testbed up", UNREACHABLE)
    assert "the hosts' image cannot be built: mmdebstrap" in said
    assert "check the network" in said
    person.run("mls -q testbed down")
    assert not list(person.home.rglob("testbed"))
