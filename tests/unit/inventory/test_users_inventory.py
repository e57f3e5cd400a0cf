"""Inventories in all the forms that Ansible takes; that of the users unchanged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mlsysops_cli.inventory import load_slice


def test_users_inventory_unchanged(repository: Path) -> None:
    slice_ = load_slice(str(repository / "tests/data/mlsysops/inventory/inv.yml"))
    assert slice_.name == "mls-test-karmada"
    assert slice_.continuum == "mls-test-karmada"
    (cluster,) = slice_.clusters
    assert cluster.name == "mls-test-manage"
    assert cluster.servers == ["mls-test-manage"]
    assert cluster.workers == ["mls-test-vm1", "mls-compute-vm2"]
    assert (cluster.pod_cidr, cluster.service_cidr) == ("10.12.0.0/16", "10.13.0.0/16")
    assert slice_.hosts["mls-test-vm1"].labels["is_vm"] == "true"
    assert slice_.hosts["mls-test-vm1"].node.environment == {"node_type": "virtualized"}
    assert slice_.warnings == []


def test_shipped_inventories(repository: Path) -> None:
    local = load_slice(str(repository / "inventories/local.yml"))
    assert local.local
    assert local.engine == "embedded"
    assert list(local.hosts) == ["management", "server1", "worker1", "worker2"]
    testbed = load_slice(str(repository / "inventories/testbed.yml"))
    assert testbed.far_edge[0].gateway == "worker1"
    assert testbed.hosts["worker2"].node.extra == {"location": [22.9576, 39.3666]}


def test_ini_directory_with_group_and_host_vars(tmp_path: Path) -> None:
    (tmp_path / "hosts.ini").write_text(
        "[management]\nm\n[c_servers]\ns\n[c_workers]\nw\n[c:children]\nc_servers\nc_workers\n", encoding="utf-8"
    )
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text("mls_slice: inits\nansible_connection: local\n", encoding="utf-8")
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars/w.yml").write_text("mls_continuum_layer: cloud\n", encoding="utf-8")
    slice_ = load_slice(str(tmp_path))
    assert slice_.name == "inits"
    assert slice_.clusters[0].workers == ["w"]
    assert slice_.hosts["w"].node.continuum_layer == "cloud"


def test_dynamic_inventory(tmp_path: Path) -> None:
    program = tmp_path / "dynamic"
    program.write_text(
        '#!/bin/sh\necho \'{"management": ["m"], "c": {"children": ["master_nodes"]}, '
        '"master_nodes": ["s"], "_meta": {"hostvars": {"m": {}, "s": {}}}}\'\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    slice_ = load_slice(str(program))
    assert slice_.clusters[0].servers == ["s"]
    assert slice_.warnings == ["cluster c has no worker: nothing can run in it yet"]


def test_vaulted_inventory(tmp_path: Path, repository: Path) -> None:
    path, password = tmp_path / "inv.yml", tmp_path / "password"
    path.write_bytes((repository / "inventories/local.yml").read_bytes())
    password.write_text("secret\n", encoding="utf-8")
    vault = str(Path(sys.executable).parent / "ansible-vault")
    subprocess.run(
        [vault, "encrypt", "--vault-password-file", str(password), str(path)], check=True, capture_output=True
    )
    assert load_slice(str(path), vault_password_file=str(password)).name == "local"


def test_secrets_of_hosts_stay_out_of_the_slice(tmp_path: Path, repository: Path) -> None:
    text = (repository / "inventories/local.yml").read_text(encoding="utf-8")
    path = tmp_path / "inv.yml"
    path.write_text(
        text.replace("mls_slice: local", "mls_slice: local\n    ansible_become_password: hunter2"), encoding="utf-8"
    )
    assert "hunter2" not in load_slice(str(path)).model_dump_json()
