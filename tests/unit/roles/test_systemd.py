"""Unit files of a slice's programs on hosts over SSH, without a systemd."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from mlsysops_cli.ansible_plugins.module_utils import mls_files, mls_supervisor

PROGRAM: dict[str, Any] = {
    "name": "worker1-kubelet",
    "command": ["/opt/mlsysops/lab/venv/bin/python", "-m", "mlsysops_embedded", "kubelet", "--config", "/x y/50%.yaml"],
    "directory": "/var/lib/mlsysops/lab/worker1",
    "log": "/var/lib/mlsysops/lab/logs/worker1-kubelet.log",
    "environment": {"MLS_CONFIG_DIGEST": "abc"},
    "files": [],
}


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    # On a host Ansible puts the modules side by side under this name.
    for beside in (mls_files, mls_supervisor):
        monkeypatch.setitem(sys.modules, f"ansible.module_utils.{beside.__name__.rpartition('.')[2]}", beside)
    module = importlib.import_module("mlsysops_cli.ansible_plugins.module_utils.mls_systemd")
    monkeypatch.setattr(module, "UNITS", tmp_path)
    return module.Systemd("lab")


def test_words_are_quoted_as_systemd_reads_them(systemd: Any) -> None:
    assert '"/x y/50%%.yaml"' in systemd.unit_text(PROGRAM)


def test_pods_outlive_their_kubelet_and_nothing_else_outlives_its_unit(systemd: Any) -> None:
    assert "KillMode=process" in systemd.unit_text({**PROGRAM, "keeps_children": True}).splitlines()
    assert "KillMode" not in systemd.unit_text(PROGRAM)


def test_units_are_confined_to_their_directory(systemd: Any) -> None:
    lines = systemd.unit_text(PROGRAM).splitlines()
    assert "ProtectSystem=strict" in lines
    assert "CapabilityBoundingSet=" in lines
    assert "ReadWritePaths=/var/lib/mlsysops/lab/worker1" in lines
    assert "Restart=always" in lines


def test_only_units_of_the_slice_are_known(systemd: Any, tmp_path: Path) -> None:
    (tmp_path / "mls-lab-worker1-kubelet.service").touch()
    (tmp_path / "mls-other-worker1-kubelet.service").touch()
    assert systemd.known(["worker1-kubelet", "worker1-node-agent"]) == ["worker1-kubelet"]
    assert systemd.running()


def test_unit_names_carry_slice_and_program(systemd: Any) -> None:
    assert systemd.unit("worker1-kubelet") == "mls-lab-worker1-kubelet.service"
