"""What an inventory says of k3s and Karmada, and what becomes of it on each host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlsysops_core.errors import InvalidInput

from mlsysops_cli.artifacts import Manifest
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.render.k3s_plan import k3s_groups, k3s_host, no_proxy
from mlsysops_cli.render.needs import preflight_plan
from mlsysops_cli.slice import SliceLayout, plan_layout, preview_addresses

HOSTS = {
    "mgmt": {"ansible_host": "10.9.0.10", "k3s_cluster_name": "continuum"},
    "s1": {"ansible_host": "10.9.0.11", "k3s_cluster_name": "c1", "pod_cidr": "10.20.0.0/16", "service_cidr": "10.21.0.0/16"},
    "s2": {"ansible_host": "10.9.0.12", "k3s_cluster_name": "c1"},
    "w1": {"ansible_host": "10.9.0.13", "k3s_cluster_name": "c1", "labels": {"zone": "a"}},
}  # fmt: skip


def inventory(tmp_path: Path, shared: dict[str, Any] | None = None, **hosts: dict[str, Any]) -> str:
    variables = {name: {**HOSTS[name], **hosts.get(name, {})} for name in HOSTS}
    document = {
        "all": {
            "vars": {"mls_engine": "k3s", **(shared or {})},
            "children": {
                "management_cluster": {"hosts": {"mgmt": variables["mgmt"]}},
                "c1": {
                    "children": {
                        "master_nodes": {"hosts": {name: variables[name] for name in ("s1", "s2")}},
                        "worker_nodes": {"hosts": {"w1": variables["w1"]}},
                    }
                },
            },
        }
    }
    path = tmp_path / "inv.yml"
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


def layout_of(path: str) -> SliceLayout:
    slice_ = load_slice(path)
    return plan_layout(slice_, preview_addresses(slice_))


def part(layout: SliceLayout, host: str, machine: str = "x86_64") -> Any:
    return k3s_host(layout, layout.hosts[host], machine)


def test_the_first_server_begins_and_the_others_join_it(tmp_path: Path) -> None:
    layout = layout_of(inventory(tmp_path))
    assert k3s_groups(layout) == {
        "k3s_first": ["mgmt", "s1"], "k3s_joining": ["s2"], "k3s_agents": ["w1"], "members": ["s1"],
    }  # fmt: skip
    first, second, worker = (part(layout, host)["k3s"]["config"] for host in ("s1", "s2", "w1"))
    assert first["cluster-init"] is True
    assert "server" not in first
    assert second["server"] == worker["server"] == "https://10.9.0.11:6443"
    assert first["cluster-cidr"] == second["cluster-cidr"] == "10.20.0.0/16"
    assert first["service-cidr"] == "10.21.0.0/16"
    # An agent's token makes nobody a server.
    assert worker["token-file"].endswith("/server/agent-token")
    assert second["token-file"].endswith("/server/token")
    assert "cluster-init" not in part(layout, "mgmt")["k3s"]["config"]


def test_labels_and_taints_reach_the_node(tmp_path: Path) -> None:
    layout = layout_of(inventory(tmp_path, w1={"taints": ["gpu=yes:NoSchedule"]}))
    config = part(layout, "w1")["k3s"]["config"]
    assert config["node-label"] == [
        "mlsysops.eu/cluster=c1", "mlsysops.eu/continuumLayer=node", "mlsysops.eu/node-agent=node", "zone=a",
    ]  # fmt: skip
    assert config["node-taint"] == ["gpu=yes:NoSchedule"]


def test_no_proxy_covers_the_slice(tmp_path: Path) -> None:
    layout = layout_of(inventory(tmp_path, {"mls_no_proxy": "registry.lab, .lab"}))
    listed = no_proxy(layout).split(",")
    assert {"10.9.0.10", "w1", "10.20.0.0/16", "10.21.0.0/16", ".svc", "registry.lab", ".lab"} <= set(listed)
    # The management host names no networks, so k3s' own are in use there.
    assert {"10.42.0.0/16", "10.43.0.0/16"} <= set(listed)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(("machine", "file"), [
    ("x86_64", "k3s"), ("aarch64", "k3s-arm64"), ("armv7l", "k3s-armhf"),
])  # fmt: skip
def test_each_processor_gets_its_own_program(tmp_path: Path, machine: str, file: str) -> None:
    layout = layout_of(inventory(tmp_path))
    (program,) = [one for one in part(layout, "w1", machine)["artifacts"] if one["path"] == "/usr/local/bin/k3s"]
    assert program["name"] == f"k3s/v1.36.4+k3s1/{file}"
    assert program["url"].endswith(f"/v1.36.4%2Bk3s1/{file}")
    assert bool(program["sha256"]) == (machine != "armv7l")  # what is not pinned is checked against the released list
    assert program["sums_url"]


def test_a_mirror_is_laid_out_like_an_artifacts_directory(tmp_path: Path) -> None:
    layout = layout_of(inventory(tmp_path, {"mls_artifacts_mirror": "https://mirror.lab/files/"}))
    urls = {one["name"]: one["url"] for one in part(layout, "mgmt")["artifacts"]}
    assert urls["k3s/v1.36.4+k3s1/k3s"] == "https://mirror.lab/files/k3s/v1.36.4%2Bk3s1/k3s"
    assert urls["karmada/v1.18.2/crds.tar.gz"] == "https://mirror.lab/files/karmada/v1.18.2/crds.tar.gz"


def test_each_processor_gets_the_images_that_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archives = ("a-1-amd64.tar", "a-1-arm64.tar", "a-1-armhf.tar.gz", "karmada_arm64.tar.zst", "all.tar")
    (tmp_path / "images").mkdir()
    for name in archives:
        (tmp_path / "images" / name).write_text(name, encoding="utf-8")
    monkeypatch.setattr(Manifest, "load", lambda directory: Manifest())
    monkeypatch.setattr(Manifest, "wanted", lambda self, artifact: "0" * 64)
    layout = layout_of(inventory(tmp_path, {"mls_artifacts_dir": str(tmp_path)}))
    found = {
        machine: {Path(one["source"]).name for one in part(layout, "w1", machine)["artifacts"]} & set(archives)
        for machine in ("x86_64", "aarch64", "armv7l")
    }
    assert found == {
        "x86_64": {"a-1-amd64.tar", "all.tar"},
        "aarch64": {"a-1-arm64.tar", "karmada_arm64.tar.zst", "all.tar"},
        "armv7l": {"a-1-armhf.tar.gz", "all.tar"},
    }


def test_every_port_of_a_host_is_looked_at(tmp_path: Path) -> None:
    """Agents are pods in their node's network, one port a tier; servers that are several have etcd in them."""
    hosts = preflight_plan(layout_of(inventory(tmp_path)))["hosts"]
    found = {name: {port["port"] for port in host["ports"]} for name, host in hosts.items()}
    assert found == {
        "mgmt": {43172, 10250, 6443, 8000, 32443},
        "s1": {43171, 10250, 6443, 2379, 2380},
        "s2": {10250, 6443, 2379, 2380},
        "w1": {43170, 10250},
    }


def test_only_who_needs_it_gets_karmada(tmp_path: Path) -> None:
    layout = layout_of(inventory(tmp_path))
    names = {host: {one["name"].split("/")[0] for one in part(layout, host)["artifacts"]} for host in HOSTS}
    assert names == {"mgmt": {"k3s", "karmada"}, "s1": {"k3s", "karmada"}, "s2": {"k3s"}, "w1": {"k3s"}}
    with pytest.raises(InvalidInput, match="s1: Karmada is not released for armhf"):
        part(layout, "s1", "armv7l")
    with pytest.raises(InvalidInput, match="w1: nothing is released for processor riscv64"):
        part(layout, "w1", "riscv64")


def test_the_plan_names_no_password(tmp_path: Path) -> None:
    shared = {
        "mls_https_proxy": "http://me:hunter2@proxy.lab:3128",
        "mls_registries": {"configs": {"registry.lab": {"auth": {"username": "me", "password": "hunter3"}}}},
    }
    layout = layout_of(inventory(tmp_path, shared))
    text = json.dumps([part(layout, host) for host in HOSTS]) + no_proxy(layout)
    assert "hunter" not in text


@pytest.mark.parametrize(("variable", "value", "said"), [
    ("mls_k3s_version", "1.36", "is no version"),
    ("mls_k3s_version", "latest", "is no version"),
    ("mls_karmada_version", "v1", "is no version"),
    ("mls_artifacts_mirror", "mirror.lab", "is no URL"),
    ("mls_karmada_join", "sideways", "mls_karmada_join is sideways"),
])  # fmt: skip
def test_what_cannot_be_is_said(tmp_path: Path, variable: str, value: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_slice(inventory(tmp_path, {variable: value}))
    assert said in str(caught.value) + "".join(fault.message for fault in caught.value.faults)


def test_a_taint_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_slice(inventory(tmp_path, w1={"taints": ["gpu"]}))
    assert "which is no taint" in str(caught.value) + "".join(fault.message for fault in caught.value.faults)


@pytest.mark.parametrize(
    "label",
    ["node-role.kubernetes.io/worker", "kubernetes.io/role", "node-restriction.kubernetes.io/x", "lab.k8s.io/zone"],
)
def test_a_label_with_which_no_node_registers_is_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_slice(inventory(tmp_path, w1={"mls_labels": {label: "a"}}, s1={"labels": [label]}))
    told = "\n".join(map(str, caught.value.faults))
    assert f"labels of host s1 has {label}, which no node may set on itself" in told
    assert f"mls_labels of host w1 has {label}, which no node may set on itself" in told
    assert "prefix of your own" in told
    # What becomes no node registers with nothing: a server of the embedded engine, a node of somebody else's cluster.
    shared = {"mls_engine": "embedded"}
    load_slice(inventory(tmp_path, shared, s1={"labels": [label]}))
    with pytest.raises(InvalidInput):
        load_slice(inventory(tmp_path, shared, w1={"labels": [label]}))


@pytest.mark.parametrize(
    "label",
    [
        "topology.kubernetes.io/zone",
        "node.kubernetes.io/x",
        "my.node.kubernetes.io/x",
        "kubelet.kubernetes.io/x",
        "kubernetes.io.lab.eu/x",
        "mykubernetes.io/x",
        "zone",
    ],
)
def test_labels_that_a_kubelet_may_set_are_not(tmp_path: Path, label: str) -> None:
    config = part(layout_of(inventory(tmp_path, w1={"labels": {label: "a"}})), "w1")["k3s"]["config"]
    assert f"{label}=a" in config["node-label"]
