"""A real supervisord: programs come back whoever is killed, and go when they shall."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlsysops_cli.ansible_plugins.module_utils.mls_processes import identity
from mlsysops_cli.ansible_plugins.module_utils.mls_supervisor import Supervisor


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.05)
    return found


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(str(tmp_path / "supervisor"), "test", sys.executable)
    yield made
    made.shutdown()


def program(tmp_path: Path, name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "command": [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(3600)"],
        "directory": str(tmp_path / name),
        "log": str(tmp_path / "logs" / f"{name}.log"),
        "files": [{"path": str(tmp_path / name / "config.yaml"), "content": "a: 1\n"}],
        **more,
    }


def pids(supervisor: Supervisor) -> dict[str, int]:
    return {p["name"]: p["pid"] for p in supervisor.processes() if p["statename"] == "RUNNING"}


def keeper(supervisor: Supervisor) -> int:
    table = supervisor.call("getAllProcessInfo")
    return next((int(p["pid"]) for p in table if p["name"] == "keeper" and p["statename"] == "RUNNING"), 0)


def test_programs_are_kept_changed_and_removed(supervisor: Supervisor, tmp_path: Path) -> None:
    a, b = program(tmp_path, "a"), program(tmp_path, "b")
    assert supervisor.ensure([a]) == ["a"]
    assert supervisor.ensure([b]) == ["b"]
    first = until(lambda: len(pids(supervisor)) == 2 and pids(supervisor))
    assert supervisor.ensure([a, b]) == []
    assert supervisor.pending([a, b]) == []
    changed = {**a, "environment": {"MLS_CONFIG_DIGEST": "2"}}
    assert supervisor.pending([changed, b]) == ["a"]
    assert supervisor.ensure([changed, b]) == ["a"]
    second = until(lambda: len(pids(supervisor)) == 2 and pids(supervisor))
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]
    supervisor.call("stopProcess", "b")
    assert supervisor.ensure([changed, b]) == ["b"]
    assert supervisor.remove(["a", "never"]) == ["a"]
    assert [p["name"] for p in supervisor.processes()] == ["b"]
    until(lambda: "up" in (tmp_path / "logs/a.log").read_text(encoding="utf-8"))
    assert supervisor.shutdown() is True
    assert supervisor.shutdown() is False
    assert identity(second["b"]) is None


def test_whoever_is_killed_comes_back(supervisor: Supervisor, tmp_path: Path) -> None:
    one = program(tmp_path, "one")
    supervisor.ensure([one])
    pid = until(lambda: pids(supervisor).get("one"))
    os.kill(pid, signal.SIGKILL)
    until(lambda: pids(supervisor).get("one", pid) != pid)
    old_keeper = until(lambda: keeper(supervisor))
    os.kill(old_keeper, signal.SIGKILL)
    until(lambda: keeper(supervisor) not in (0, old_keeper))
    old = supervisor.pid()
    assert old is not None
    survivor = pids(supervisor)["one"]
    until(lambda: supervisor.recorded().get("one", (0, ""))[0] == survivor)
    os.kill(old, signal.SIGKILL)
    until(lambda: supervisor.pid() != old and supervisor.running() and "one" in pids(supervisor))
    # The orphan of the dead supervisor was ended before its successor began.
    assert identity(survivor) is None
    until(lambda: keeper(supervisor))


def test_a_wanted_end_is_no_accident(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.ensure([program(tmp_path, "one")])
    until(lambda: keeper(supervisor))
    own = keeper(supervisor)
    supervisor.shutdown()
    until(lambda: identity(own) is None)
    assert not supervisor.running()


def test_a_deep_directory_works_too(tmp_path: Path) -> None:
    deep = Supervisor(str(tmp_path / ("d" * 90) / "supervisor"), "deep", sys.executable)
    try:
        deep.ensure([program(tmp_path, "one")])
        until(lambda: "one" in pids(deep))
    finally:
        deep.shutdown()
    assert not Path(deep.socket).exists()
