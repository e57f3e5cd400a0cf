"""The supervisor's configuration, without starting one."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlsysops_cli.ansible_plugins.module_utils import mls_ports
from mlsysops_cli.ansible_plugins.module_utils.mls_files import write_file
from mlsysops_cli.ansible_plugins.module_utils.mls_processes import identity
from mlsysops_cli.ansible_plugins.module_utils.mls_supervisor import Supervisor


def make(tmp_path: Path) -> Supervisor:
    return Supervisor(str(tmp_path / "supervisor"), "s", sys.executable)


def test_program_section_quotes_what_supervisor_would_expand(tmp_path: Path) -> None:
    text = make(tmp_path).program_config(
        {
            "name": "a",
            "command": ["/bin/echo", "50 %", 'say "x"'],
            "directory": "/d",
            "log": "/l",
            "environment": {"A": "1 %"},
        }
    )
    section = configparser.RawConfigParser()
    section.read_string(text)
    values = dict(section["program:a"])
    assert values["command"] == "/bin/echo '50 %%' 'say \"x\"'"
    assert 'A="1 %%"' in values["environment"]
    assert values["stopasgroup"] == "false"


def test_long_paths_get_a_short_socket(tmp_path: Path) -> None:
    # (Nothing is made here: how deep the test's own directory lies does not matter.)
    assert Supervisor("/srv/slice/supervisor", "s").socket.startswith("/srv/slice/supervisor")
    deep = Supervisor(str(tmp_path / ("d" * 120)), "s")
    assert len(deep.socket) < 96
    assert deep.socket.startswith(f"/tmp/mls-{os.getuid()}/")


def test_nothing_runs_where_nothing_was_started(tmp_path: Path) -> None:
    supervisor = make(tmp_path)
    assert not supervisor.running()
    assert supervisor.processes() == []
    assert supervisor.remove(["a"]) == []
    assert supervisor.shutdown() is False
    assert not (tmp_path / "supervisor").exists()


def test_survivors_are_ended_and_others_left_alone(tmp_path: Path) -> None:
    supervisor = make(tmp_path)
    ours = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        mine = identity(ours.pid)
        assert mine is not None
        # The id is in use again by somebody else: the start time differs.
        supervisor.record({"ours": mine, "other": (other.pid, "1")})
        supervisor.end_survivors()
        assert identity(ours.pid) is None
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()


def test_files_are_replaced_only_where_they_differ(tmp_path: Path) -> None:
    path = tmp_path / "a" / "f"
    assert write_file(path, "x")
    assert not write_file(path, "x")
    path.chmod(0o644)
    assert write_file(path, "x")
    assert path.stat().st_mode & 0o777 == 0o600


def test_addresses_of_the_kernel_tables() -> None:
    assert str(mls_ports._address("0C00637F")) == "127.99.0.12" if sys.byteorder == "little" else True
    assert str(mls_ports._address("0000000000000000FFFF00000100007F")) == "127.0.0.1"


@pytest.mark.parametrize(
    ("groups", "unit", "pod"),
    [
        ("0::/system.slice/k3s.service\n", "k3s.service", False),
        ("0::/kubepods.slice/kubepods-besteffort.slice/x.slice/cri-containerd-1.scope\n", "", True),
        ("9:memory:/kubepods/besteffort/podx/1\n1:name=systemd:/kubepods/besteffort/podx/1\n", "", True),
        ("0::/user.slice/user-1000.slice/session-1.scope\n", "", False),
    ],
)
def test_whose_a_process_is(monkeypatch: pytest.MonkeyPatch, groups: str, unit: str, pod: bool) -> None:
    monkeypatch.setattr(mls_ports.Path, "read_text", lambda self, **_: groups)
    assert (mls_ports.unit(1), mls_ports.pod(1)) == (unit, pod)
