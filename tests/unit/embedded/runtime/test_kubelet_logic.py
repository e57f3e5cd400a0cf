"""The kubelet's decisions: back-off, phases, probes' thresholds, logs, volumes, addresses."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from mlsysops_embedded.client import Object
from mlsysops_embedded.kubelet import status
from mlsysops_embedded.kubelet.cgroups import Cgroups
from mlsysops_embedded.kubelet.container import Container, CrashBackoff
from mlsysops_embedded.kubelet.environment import ContainerConfigError
from mlsysops_embedded.kubelet.logs import LogOptions, read_log
from mlsysops_embedded.kubelet.manager import free_address
from mlsysops_embedded.kubelet.probes import Threshold
from mlsysops_embedded.kubelet.process import Ended
from mlsysops_embedded.kubelet.volumes import make_rootfs, make_volumes, references
from mlsysops_embedded.validation.amounts import quality_of_service


def test_back_off_doubles_to_five_minutes_and_forgets_after_ten() -> None:
    crash = CrashBackoff()
    assert [crash.after_exit(1) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]
    assert crash.after_exit(601) == 0
    assert crash.after_exit(1) == 10


def container(
    tmp_path: Path, name: str = "c", *, init: bool = False, code: int | None = None, run: bool = False
) -> Container:
    made = Container({"name": name, "image": "i"}, tmp_path / name, lambda: None, init=init)
    if code is not None:
        made.attempt, made.last, made.waiting = (
            0,
            Ended(code, 0, "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
            ("", ""),
        )
    if run:
        made.attempt, made.handle = 0, Fake()  # type: ignore[assignment]
        made.started = made.probes_ready = True
    return made


class Fake:
    """A handle of a program that runs."""

    started_at = "2026-01-01T00:00:00Z"
    pid = 1
    ended = None


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Always", [0, 1], "Running"),
        ("OnFailure", [0, 0], "Succeeded"),
        ("OnFailure", [0, 1], "Running"),
        ("Never", [0, 0], "Succeeded"),
        ("Never", [0, 1], "Failed"),
        ("Never", [0, None], "Running"),
        ("Always", [None, None], "Pending"),
    ],
)
def test_phase(tmp_path: Path, policy: str, codes: list[int | None], phase: str) -> None:
    containers = [container(tmp_path, f"c{index}", code=code) for index, code in enumerate(codes)]
    assert status.phase(policy, containers, terminated=False) == phase


def test_phase_of_init_containers(tmp_path: Path) -> None:
    main = container(tmp_path)
    assert status.phase("Always", [container(tmp_path, "i", init=True), main], terminated=False) == "Pending"
    failed = container(tmp_path, "i", init=True, code=1)
    assert status.phase("Always", [failed, main], terminated=False) == "Pending"
    assert status.phase("Never", [failed, main], terminated=False) == "Failed"
    assert status.phase("Always", [container(tmp_path, run=True)], terminated=False) == "Running"


def test_conditions_name_what_is_not_ready(tmp_path: Path) -> None:
    found = {
        c["type"]: c
        for c in status.conditions(
            None, [container(tmp_path, "a"), container(tmp_path, "b", run=True)], "Running", simulated=[]
        )
    }
    assert found["Ready"]["status"] == "False"
    assert found["Ready"]["message"] == "containers with unready status: [a]"
    assert found["Initialized"]["status"] == "True"
    ready = status.conditions(None, [container(tmp_path, run=True)], "Running", simulated=["c"])
    assert {c["type"]: c["status"] for c in ready}["embedded.kubernetes.local/Simulated"] == "True"


def test_thresholds_need_a_streak() -> None:
    threshold = Threshold(success=1, failure=3)
    assert threshold.feed(True)
    assert not threshold.feed(True)
    assert [threshold.feed(False) for _ in range(4)] == [False, False, True, True]
    assert threshold.verdict is False
    assert threshold.feed(True)


async def read(path: Path, **options: Any) -> bytes:
    return b"".join([chunk async for chunk in read_log(path, LogOptions(**options), lambda: False)])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    Path(f"{path}.1").write_bytes(b"2026-01-01T00:00:00.000000Z stdout F old\n")
    path.write_bytes(
        b"2026-01-01T00:00:01.000000Z stdout P par\n"
        b"2026-01-01T00:00:01.000000Z stdout F tial\n"
        b"2026-01-01T00:00:02.000000Z stderr F new\n"
    )
    return path


async def test_logs_come_back_as_they_were_written(log: Path) -> None:
    path = log
    assert await read(path) == b"old\npartial\nnew\n"
    assert await read(path, tail=1) == b"new\n"
    assert await read(path, since="2026-01-01T00:00:01.5") == b"new\n"
    assert await read(path, limit=5) == b"old\np"
    assert await read(path, tail=1, timestamps=True) == b"2026-01-01T00:00:02.000000Z new\n"
    assert await read(path, follow=True) == b"old\npartial\nnew\n"


def test_volumes_are_directories_that_mounts_link_to(tmp_path: Path) -> None:
    pod: Object = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {
            "containers": [],
            "volumes": [
                {
                    "name": "conf",
                    "configMap": {"name": "m", "items": [{"key": "k", "path": "deep/file"}], "defaultMode": 0o600},
                },
                {"name": "tmp", "emptyDir": {}},
                {"name": "host", "hostPath": {"path": str(tmp_path), "type": "Directory"}},
            ],
        },
    }
    assert references(pod["spec"]) == {("ConfigMap", "m")}
    make_volumes(pod, tmp_path / "v", lambda _kind, _name: {"k": b"data", "unused": b""}, {})
    file = tmp_path / "v" / "conf" / "deep" / "file"
    assert file.read_bytes() == b"data"
    assert file.stat().st_mode & 0o777 == 0o600
    mounts = [{"name": "conf", "mountPath": "/etc/conf"}, {"name": "tmp", "mountPath": "/tmp/x", "subPath": "sub"}]
    for _ in range(2):
        make_rootfs({"volumeMounts": mounts}, tmp_path / "r", tmp_path / "v")
    assert (tmp_path / "r" / "etc" / "conf" / "deep" / "file").read_bytes() == b"data"
    assert (tmp_path / "r" / "tmp" / "x").resolve() == tmp_path / "v" / "tmp" / "sub"


@pytest.mark.parametrize(
    "volume",
    [
        {"configMap": {"name": "absent"}},
        {"nfs": {"server": "x"}},
        {"configMap": {"name": "m", "items": [{"key": "k", "path": "../../escape"}]}},
    ],
)
def test_bad_volumes_are_refused(tmp_path: Path, volume: Object) -> None:
    pod: Object = {"metadata": {"name": "p"}, "spec": {"volumes": [{"name": "v", **volume}]}}
    with pytest.raises(ContainerConfigError):
        make_volumes(pod, tmp_path / "v", lambda _kind, name: {"k": b""} if name == "m" else None, {})


def test_addresses_are_the_lowest_free_ones() -> None:
    network = ipaddress.IPv4Network("127.9.64.0/29")
    assert free_address(network, [], "h") == "127.9.64.2"
    assert free_address(network, ["127.9.64.2", "127.9.64.4"], "h") == "127.9.64.3"
    assert free_address(None, [], "h") == "h"
    with pytest.raises(OSError, match="no free address"):
        free_address(network, [f"127.9.64.{n}" for n in range(8)], "h")


def test_limits_fall_back_where_there_are_no_groups(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    limits = Cgroups(tmp_path / "file").create("u", "c", {"limits": {"cpu": "500m", "memory": "64Mi"}})
    assert (limits.groups, limits.enforced_by) == ([], "rlimit")
    assert limits.rlimits == {"RLIMIT_DATA": 64 * 2**20}


def test_limits_by_cgroup_version_one(tmp_path: Path) -> None:
    for name in ("cpu", "memory"):
        (tmp_path / name).mkdir()
    limits = Cgroups(tmp_path).create("u", "c", {"limits": {"memory": "64Mi"}, "requests": {"cpu": "500m"}})
    assert limits.enforced_by == "cgroup"
    assert (tmp_path / "cpu" / "embedded" / "podu" / "c" / "cpu.shares").read_text() == "512"
    assert (tmp_path / "memory" / "embedded" / "podu" / "c" / "memory.limit_in_bytes").read_text() == str(64 * 2**20)


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
    ],
)
def test_quality_of_service(resources: Object, quality: str) -> None:
    assert quality_of_service({"containers": [{"name": "c", "resources": resources}]}) == quality
