"""What preflight says of a system, on recorded trees: nothing of this machine is asked."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import mls_findings, mls_hardware, mls_network, mls_storage, mls_system

from mlsysops_cli.ansible_plugins.modules.mls_verdict import doubles


def tree(root: Path, **files: str) -> str:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("DOT", ".").replace("DASH", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def release(root: Path, **said: str) -> str:
    return tree(root, etc__osDASHrelease="".join(f'{key}="{value}"\n' for key, value in said.items()))


@pytest.mark.parametrize(
    ("said", "level", "text"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, None, ""),
        ({"ID": "debian", "PRETTY_NAME": "Debian GNU/Linux trixie/sid"}, None, ""),
        ({"ID": "debian", "VERSION_ID": "10", "PRETTY_NAME": "Debian 10"}, "fault", "Debian 10 is too old"),
        ({"ID": "ubuntu", "VERSION_ID": "20.04"}, None, ""),
        ({"ID": "ubuntu", "VERSION_ID": "18.04"}, "fault", "too old"),
        ({"ID": "raspbian", "VERSION_ID": "11"}, None, ""),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "VERSION_ID": "21"}, "warning", "like ubuntu"),
        ({"ID": "alpine", "PRETTY_NAME": "Alpine 3.20"}, "fault", "Alpine 3.20 is not supported"),
        ({}, "fault", "unknown system"),
    ],
)
def test_releases(tmp_path: Path, said: dict[str, str], level: str | None, text: str) -> None:
    found = mls_system.check_release(release(tmp_path, **said))
    assert [one["level"] for one in found] == ([level] if level else [])
    assert all(text in one["found"] and one["fix"] for one in found)


def test_processors_and_libraries() -> None:
    assert mls_system.check_machine("aarch64", "glibc") == []
    assert mls_system.check_machine("armv7l", "glibc") == []
    assert mls_system.check_machine("aarch64", "glibc", part="control plane") == []
    assert "no control plane" in mls_system.check_machine("armv7l", "glibc", part="control plane")[0]["found"]
    found = mls_system.check_machine("riscv64", "musl")
    assert [one["check"] for one in found] == ["processor", "C library"]


@pytest.mark.parametrize(
    ("kernel", "largest", "machine"),
    [
        ("aarch64", 2**63 - 1, "aarch64"),
        ("aarch64", 2**31 - 1, "armv8l"),  # a 32-bit system below a 64-bit kernel
        ("armv7l", 2**31 - 1, "armv7l"),
        ("x86_64", 2**63 - 1, "x86_64"),
    ],
)
def test_programs_are_for_the_system_and_not_for_the_kernel(kernel: str, largest: int, machine: str) -> None:
    assert mls_hardware.machine(kernel, largest) == machine


def test_systemd_must_run_the_host(tmp_path: Path) -> None:
    assert mls_system.check_init(tree(tmp_path, proc__1__comm="systemd\n")) == []
    assert mls_system.check_init(tree(tmp_path, proc__1__comm="init\n"))[0]["level"] == "fault"


CGROUPS_1 = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t2\t1\t{memory}\npids\t3\t1\t1\n"


def test_a_kernel_without_memory_control_groups(tmp_path: Path) -> None:
    unified = tree(tmp_path / "2", sys__fs__cgroup__cgroupDOTcontrollers="cpuset cpu io memory pids\n")
    assert mls_system.check_kernel("embedded", unified) == []
    # As Raspberry Pi OS boots: version 1, the controller switched off.
    off = tree(
        tmp_path / "1",
        proc__cgroups=CGROUPS_1.format(memory=0),
        sys__fs__cgroup__cpu__tasks="",
        sys__fs__cgroup__pids__tasks="",
    )
    (found,) = mls_system.check_kernel("embedded", off)
    assert found["level"] == "warning"
    assert "cgroup_enable=memory" in found["fix"]
    assert [one["level"] for one in mls_system.check_kernel("k3s", off)] == ["fault", "fault", "warning"]


def test_what_k3s_asks_of_a_kernel(tmp_path: Path) -> None:
    modules = f"lib__modules__{os.uname().release.replace('.', 'DOT').replace('-', 'DASH')}__modulesDOTdep"
    root = tree(
        tmp_path,
        sys__fs__cgroup__cgroupDOTcontrollers="cpu memory pids",
        proc__filesystems="nodev\toverlay\n",
        sys__module__br_netfilter__refcnt="0",
        **{modules: "kernel/drivers/net/vxlan/vxlan.ko.xz:\n"},
    )
    assert mls_system.check_kernel("k3s", root) == []


def test_memory_of_the_machine_and_of_its_control_group(tmp_path: Path) -> None:
    root = tree(tmp_path, proc__meminfo="MemTotal:        1000000 kB\nMemFree: 1 kB\n")
    assert mls_system.check_memory(900 * 2**20, root) == []
    tree(tmp_path, sys__fs__cgroup__memoryDOTmax="max\n")
    assert mls_system.check_memory(900 * 2**20, root) == []
    tree(tmp_path, sys__fs__cgroup__memoryDOTmax=f"{512 * 2**20}\n")
    (found,) = mls_system.check_memory(900 * 2**20, root)
    assert "512 MiB of memory" in found["found"]
    assert "900 MiB" in found["found"]


def test_clocks() -> None:
    now = time.time()
    assert mls_system.check_clock(0) == []
    assert mls_system.check_clock(now + 30) == []
    assert "600 s behind" in mls_system.check_clock(now + 600)[0]["found"]
    assert "600 s ahead" in mls_system.check_clock(now - 600)[0]["found"]


def test_an_old_python_is_told() -> None:
    assert mls_system.check_python("3.11") == []
    assert "is too old" in mls_system.check_python("4.0")[0]["found"]


def test_places_share_the_room_of_a_file_system(tmp_path: Path) -> None:
    state = os.statvfs(tmp_path)
    half = state.f_bavail * state.f_frsize * 2 // 3
    one = {"path": str(tmp_path / "a" / "b"), "bytes": half, "what": "state"}
    assert mls_storage.check_places([one]) == []
    (found,) = mls_storage.check_places([one, {**one, "path": str(tmp_path / "c")}])
    assert "MB free" in found["found"]
    assert "du -xh" in found["fix"]


def test_read_only_and_noexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs

    class State:
        def __init__(self, path: Any, flags: int) -> None:
            self._state, self.f_flag = real(path), flags

        def __getattr__(self, name: str) -> Any:
            return getattr(self._state, name)

    place = {"path": str(tmp_path), "bytes": 1, "what": "state", "programs": True}
    monkeypatch.setattr(os, "statvfs", lambda path: State(path, os.ST_NOEXEC))
    assert "noexec" in mls_storage.check_places([place])[0]["found"]
    monkeypatch.setattr(os, "statvfs", lambda path: State(path, os.ST_RDONLY))
    assert "is read-only, state goes there" in mls_storage.check_places([place])[0]["found"]


def test_name_servers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# nameserver 192.0.2.9\nsearch x\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver\n")
    assert mls_network.nameservers(str(path)) == ["192.0.2.1", "fe80::1%eth0"]
    assert mls_network.nameservers(str(tmp_path / "none")) == []


def test_a_look_that_hangs_or_breaks_is_a_finding_and_hides_no_other() -> None:
    def hang() -> list[Any]:
        time.sleep(5)
        return []

    def breaks() -> list[Any]:
        raise OSError("no such device")

    started = time.monotonic()
    found = mls_findings.bounded(
        {"slow": hang, "broken": breaks, "good": lambda: [mls_findings.warning("x", "y", "z")]}, 0.3
    )
    assert time.monotonic() - started < 3
    assert [(one["check"], one["level"]) for one in found] == [("slow", "fault"), ("broken", "fault"), ("x", "warning")]
    assert "did not answer" in found[0]["found"]
    assert "no such device" in found[1]["found"]


def who(host: str, **more: str) -> dict[str, str]:
    return {"host": host, "hostname": host, "machine_id": f"m-{host}", "boot_id": f"b-{host}", **more}


def test_hosts_that_are_doubles() -> None:
    a, b = who("a"), who("b")
    assert doubles(a, [a, b]) == []
    assert doubles({}, [a, b]) == []
    (name,) = doubles(who("b", hostname="a"), [a, who("b", hostname="a")])
    assert "host name a is also that of a" in name["found"]
    assert name["fix"] == "hostnamectl set-hostname b"
    (copied,) = doubles(who("b", machine_id="m-a"), [a, b])
    assert "machine id" in copied["found"]
    (same,) = doubles(who("b", boot_id="b-a", hostname="a", machine_id="m-a"), [a, b])
    assert "same machine as a" in same["found"]
    assert doubles(who("a", machine_id=""), [who("a", machine_id=""), who("b", machine_id="")]) == []
