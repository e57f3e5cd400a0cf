"""A host whose upgrade failed gets its environment, units and config files back; one that did well forgets them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mlsysops_cli.ansible_plugins.modules import mls_release, mls_runtime

#: Stands for systemctl: writes down what it is asked, and says that every unit has run for a while.
SYSTEMCTL = """\
#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
case "$2" in show) shift 4; for unit; do
  printf 'Id=%s\\nActiveState=active\\nMainPID=1\\nExecMainStatus=0\\nActiveEnterTimestampMonotonic=0\\n\\n' "$unit"
done;; esac
"""


class Ended(Exception):
    """The module said what it did."""


class Module:
    """What a module sees of Ansible."""

    def __init__(self, **params: Any) -> None:
        self.params = {"slice_name": "lab", "timeout": 5, **params}
        self.check_mode = False

    def exit_json(self, **result: Any) -> None:
        raise Ended(result)


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    module = mls_release
    units = tmp_path / "units"
    units.mkdir()
    monkeypatch.setattr(sys.modules["ansible.module_utils.mls_systemd"], "UNITS", units)
    monkeypatch.setattr(module, "UNITS", units)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL)
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return module


@pytest.fixture
def host(release: Any, tmp_path: Path) -> dict[str, Path]:
    """A host as its first deployment left it."""
    home = tmp_path / "home"
    link = home / "venv/lib/python3.11/site-packages/mlsysops.pth"
    link.parent.mkdir(parents=True)
    paths = {
        "home": home,
        "link": link,
        "config": tmp_path / "agent.yaml",
        "unit": tmp_path / "units/mls-lab-worker1-node-agent.service",
        "record": home / "release.json",
    }
    for name in ("link", "config", "unit"):
        paths[name].write_text(f"old {name}\n")
    return paths


def programs(host: dict[str, Path], *names: str) -> list[dict[str, Any]]:
    return [{"name": name, "files": [{"path": str(host["config"]), "content": ""}]} for name in names]


def run(action: Any, module: Module, record: Path) -> dict[str, Any]:
    with pytest.raises(Ended) as ended:
        action(module, record)
    result: dict[str, Any] = ended.value.args[0]
    return result


def test_what_ran_before_a_failed_upgrade_runs_again(release: Any, host: dict[str, Path], tmp_path: Path) -> None:
    module = Module(programs=programs(host, "worker1-node-agent", "worker1-newcomer"))
    assert run(release._remember, module, host["record"])["kept"] is True
    assert host["record"].stat().st_mode & 0o077 == 0
    for name in ("link", "config", "unit"):
        host[name].write_text(f"new {name}\n")
    newcomer = tmp_path / "units/mls-lab-worker1-newcomer.service"
    newcomer.write_text("new\n")
    assert run(release._restore, module, host["record"]) == {"changed": True, "kept": True}
    for name in ("link", "config", "unit"):
        assert host[name].read_text() == f"old {name}\n"
    assert not newcomer.exists()
    assert not host["record"].exists()
    asked = (tmp_path / "bin/asked").read_text()
    assert "--no-pager restart mls-lab-worker1-node-agent.service" in asked
    assert "disable --quiet --now mls-lab-worker1-newcomer.service" in asked


def test_an_interrupted_upgrade_keeps_the_first_thing_it_remembered(release: Any, host: dict[str, Path]) -> None:
    module = Module(programs=programs(host, "worker1-node-agent"))
    run(release._remember, module, host["record"])
    host["link"].write_text("half way\n")
    run(release._remember, module, host["record"])
    run(release._restore, module, host["record"])
    assert host["link"].read_text() == "old link\n"


def test_a_bare_host_has_nothing_to_go_back_to(release: Any, host: dict[str, Path]) -> None:
    host["link"].unlink()
    module = Module(programs=programs(host, "worker1-node-agent"))
    assert run(release._remember, module, host["record"]) == {"changed": False, "kept": False}
    assert run(release._restore, module, host["record"]) == {"changed": False, "kept": False}


def test_archives_of_a_remembered_release_are_kept(host: dict[str, Path], release: Any) -> None:
    assert mls_runtime._remembered(host["home"]) == []
    host["link"].write_text(f"{host['home']}/aaaa\n{host['home']}/bbbb\n")
    run(release._remember, Module(programs=programs(host, "worker1-node-agent")), host["record"])
    assert mls_runtime._remembered(host["home"]) == ["release.json", "aaaa", "bbbb"]
