"""The inventory that users have, unchanged, and those that are shipped."""

from __future__ import annotations

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


def test_secrets_of_hosts_stay_out_of_the_slice(tmp_path: Path, repository: Path) -> None:
    text = (repository / "inventories/local.yml").read_text(encoding="utf-8")
    path = tmp_path / "inv.yml"
    path.write_text(
        text.replace("mls_slice: local", "mls_slice: local\n    ansible_become_password: hunter2"), encoding="utf-8"
    )
    assert "hunter2" not in load_slice(str(path)).model_dump_json()
