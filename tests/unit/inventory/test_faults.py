"""Every fault of an inventory is found, all at once, each with its place and a way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlsysops_core.errors import InvalidInput

from mlsysops_cli.inventory import load_slice

GOOD = """\
all:
  children:
    management_cluster:
      hosts:
        mgmt: {ansible_host: 10.0.0.1, pod_cidr: 10.10.0.0/16, service_cidr: 10.11.0.0/16}
    cluster1:
      children:
        master_nodes:
          hosts:
            server1: {ansible_host: 10.0.0.2, pod_cidr: 10.12.0.0/16, service_cidr: 10.13.0.0/16}
        worker_nodes:
          hosts:
            worker1: {ansible_host: 10.0.0.3}
            worker2: {ansible_host: 10.0.0.4}
"""


def write(tmp_path: Path, text: str, name: str = "inv.yml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def faults_of(tmp_path: Path, text: str, name: str = "inv.yml") -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        load_slice(write(tmp_path, text, name))
    return [str(fault) for fault in caught.value.faults]


def test_good_inventory(tmp_path: Path) -> None:
    slice_ = load_slice(write(tmp_path, GOOD))
    assert slice_.name == slice_.management == slice_.continuum == "mgmt"
    assert [c.name for c in slice_.clusters] == ["cluster1"]
    assert slice_.clusters[0].workers == ["worker1", "worker2"]
    assert slice_.engine == "k3s"


@pytest.mark.parametrize(
    ("old", "new", "expected", "hint"),
    [
        ("management_cluster", "somewhere", "no management host", "management_cluster"),
        (
            "        mgmt: {",
            "        other: {ansible_host: 10.0.0.9}\n        mgmt: {",
            "2 management hosts: other, mgmt",
            "keep other",
        ),
        ("        master_nodes:\n", "        worker_nodes_too:\n", "no role group", ""),
        ("10.12.0.0/16", "10.10.0.0/17", "overlaps pod_cidr 10.10.0.0/16 of the continuum", "range of its own"),
        ("10.12.0.0/16", "10.13.128.0/17", "overlaps pod_cidr 10.13.128.0/17", "range of its own"),
        ("10.12.0.0/16", "10.12.0.1/16", "has host bits set", "did you mean 10.12.0.0/16?"),
        ("10.12.0.0/16", "banana", "does not appear to be an IPv4 or IPv6 network", "such as"),
        ("worker2:", "Worker_2:", "host name 'Worker_2' is not a DNS-1123 name", "worker-2"),
        ("    cluster1:", "    Cluster_1:", "cluster name 'Cluster_1' is not a DNS-1123 name", "mls_cluster"),
        ("10.0.0.4", "10.0.0.3", "hosts worker1 and worker2 have one address", "ansible_host"),
        (
            "worker2: {",
            "worker2: {mls_cluster: a, k3s_cluster_name: b, ",
            "host worker2 is in two clusters: mls_cluster a, k3s_cluster_name b",
            "keep one",
        ),
        ("worker2: {", "worker2: {mls_engine: k4s, ", "unknown engine 'k4s'", "embedded, k3s, existing"),
        ("worker2: {", "worker2: {labels: {'a b': 1}, ", "is no label name", ""),
        ("worker2: {", "worker2: {mls_continuum_layer: moon, ", "mls_continuum_layer of host worker2 is moon", "cloud"),
        ("worker2: {", "worker2: {pod_cidr: [1], ", "is [1], wanted text", "quote"),
        (
            "10.0.0.4",
            "'-oProxyCommand=x'",
            "ansible_host of host worker2 is '-oProxyCommand=x', which is no address",
            "IPv4",
        ),
        ("10.0.0.4", "10.0.0.256", "is '10.0.0.256', which is no address", "such as 10.0.0.3"),
        ("10.0.0.4", "127.0.0.1", "is '127.0.0.1', which means another host", "set mls_address"),
        (
            "worker2: {",
            "worker2: {mls_address: 0.0.0.0, ",
            "mls_address of host worker2 is '0.0.0.0'",
            "others reach it",
        ),
        ("worker2: {", "worker2: {ansible_port: ssh, ", "ansible_port of host worker2 is 'ssh'", "from 1 to 65535"),
        (
            "worker2: {",
            "worker2: {mls_wokers: 1, mls_gatway: a, ",
            "unknown variable mls_gatway",
            "did you mean mls_gateway",
        ),
        ("worker2: {", "worker2: {mls_hardware: 5, ", "is not a mapping", ""),
        (
            "worker2: {",
            "worker2: {mls_hardware: {cpu: many}, ",
            "mls_hardware.cpu of host worker2: must be a mapping",
            "",
        ),
        (
            "worker2: {",
            "worker2: {mls_environment: {node_type: 3}, ",
            "mls_environment.node_type of host worker2",
            "virtualized",
        ),
        ("worker2: {", "worker2: {mls_node: {locatoin: [1, 2]}, ", "unknown key 'locatoin'", "did you mean 'location'"),
        ("worker2: {", "worker2: {mls_lease_seconds: 3, ", "mls_lease_seconds is 3", "a whole number from 8 to 3600"),
        (
            "server1: {",
            "server1: {mls_placement: {weigths: {}}, ",
            "mls_placement.weigths of host server1",
            "one of: weights, exact_seconds",
        ),
        (
            "server1: {",
            "server1: {mls_placement: {weights: {stay: -1}}, ",
            "mls_placement.weights.stay of host server1 cannot be -1",
            "greater than or equal to 0",
        ),
        ("server1: {", "server1: {mls_placement: cheap, ", "is not a mapping", ""),
        ("worker2: {", "worker2: {k3s_cluster_name: lonely, ", "cluster lonely has no server", "master_nodes"),
        ("worker2: {", "worker2: {k3s_cluster_name: mgmt, ", "has the name of the continuum", "k3s_cluster_name"),
    ],
)
def test_fault_names_place_and_fix(tmp_path: Path, old: str, new: str, expected: str, hint: str) -> None:
    assert old in GOOD
    faults = faults_of(tmp_path, GOOD.replace(old, new))
    matching = [fault for fault in faults if expected in fault]
    assert matching, faults
    assert hint in matching[0]
    assert str(tmp_path / "inv.yml") in matching[0]


def test_fault_has_the_line_of_the_host(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, GOOD.replace("10.12.0.0/16", "banana"))
    line = GOOD[: GOOD.index("10.12.0.0/16")].count("\n") + 1
    assert f"inv.yml:{line}:" in faults[0]


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("10.12.0.0/16", "banana").replace("worker2:", "Worker_2:").replace("10.0.0.4", "10.0.0.3")
    assert len(faults_of(tmp_path, text)) == 3


def test_same_group_name_in_two_clusters_is_explained(tmp_path: Path) -> None:
    text = GOOD + (
        "    cluster2:\n      children:\n        master_nodes:\n          hosts:\n"
        "            server2: {ansible_host: 10.0.0.7}\n"
    )
    faults = faults_of(tmp_path, text)
    assert any("server2 is in two clusters: cluster1, cluster2" in fault and "mls_cluster" in fault for fault in faults)


def test_two_clusters_by_variable_or_by_group_name(tmp_path: Path) -> None:
    text = GOOD + (
        "    cluster2:\n      children:\n        cluster2_master_nodes:\n          hosts:\n"
        "            server2: {ansible_host: 10.0.0.7}\n"
    )
    assert [c.name for c in load_slice(write(tmp_path, text)).clusters] == ["cluster1", "cluster2"]


def test_far_edge_device_needs_a_gateway_of_a_cluster(tmp_path: Path) -> None:
    text = GOOD + "    far_edge:\n      hosts:\n        device1: {ansible_host: 10.0.0.20, mls_gateway: GATEWAY}\n"
    faults = faults_of(tmp_path, text.replace("GATEWAY", "nobody"))
    assert "gateway 'nobody' is not a host of a cluster" in faults[0]
    assert "server1, worker1, worker2" in faults[0]
    slice_ = load_slice(write(tmp_path, text.replace("GATEWAY", "worker1")))
    assert slice_.far_edge[0].cluster == "cluster1"


def test_missing_inventory_is_invalid_input_as_every_missing_file_is(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such inventory"):
        load_slice(str(tmp_path / "nothing.yml"))
