"""What inventories are refused before anything is done, each on one line with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from mlsysops_core.errors import Refused

from mlsysops_cli.actions.framework.supported import supported
from mlsysops_cli.inventory import load_slice


def inventory(path: Path, mgmt: dict[str, str], worker: dict[str, str]) -> str:
    at = {"k3s_cluster_name": "c1"}
    server = {"hosts": {"server": at | {"ansible_host": "10.0.0.2"}}}
    groups = {
        "management_cluster": {"hosts": {"mgmt": mgmt}},
        "c1": {"children": {"master_nodes": server, "worker_nodes": {"hosts": {"worker": at | worker}}}},
    }
    path.write_text(yaml.safe_dump({"all": {"vars": {"mls_slice": "x"}, "children": groups}}), encoding="utf-8")
    return str(path)


def test_hosts_here_and_hosts_over_ssh(tmp_path: Path) -> None:
    local, remote = {"ansible_connection": "local"}, {"ansible_host": "10.0.0.3"}
    with pytest.raises(Refused) as refused:
        supported(load_slice(inventory(tmp_path / "mixed.yml", local, remote)))
    said = str(refused.value)
    assert said.startswith("hosts of this machine (mgmt) and hosts over SSH cannot be in one slice")
    assert "\n" not in said
    for word in ("ansible_connection: local", "ansible_host", "this machine"):
        assert word in refused.value.hint
    supported(load_slice(inventory(tmp_path / "remote.yml", {"ansible_host": "10.0.0.1"}, remote)))


def test_hosts_without_an_address(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="hosts without an IPv4 address: worker"):
        supported(load_slice(inventory(tmp_path / "names.yml", {"ansible_host": "10.0.0.1"}, {})))
