"""Which hosts may join or leave a slice, on each engine, and what is said to those that may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlsysops_core.errors import MlsError, NotFound, Refused

from mlsysops_cli.actions.framework.members import check_joining, check_leaving, joining_warnings
from mlsysops_cli.inventory import load_slice
from mlsysops_cli.slice import Slice, plan_layout, preview_addresses
from mlsysops_cli.slice.state import host_roles


def slice_of(tmp_path: Path, servers: str, workers: str, **shared: Any) -> Slice:
    names = ["mgmt", *servers.split(), *workers.split()]
    hosts = {
        name: {"ansible_host": f"10.9.0.{number}", "k3s_cluster_name": "c1"} for number, name in enumerate(names, 10)
    }
    hosts["mgmt"]["k3s_cluster_name"] = "continuum"
    if shared.get("mls_engine") == "existing":
        for name in ("mgmt", *servers.split()):
            hosts[name]["mls_kubeconfig"] = f"{name}.config"
    groups = {
        "master_nodes": {"hosts": {name: hosts[name] for name in servers.split()}},
        "worker_nodes": {"hosts": {name: hosts[name] for name in workers.split()}},
    }
    children = {"management_cluster": {"hosts": {"mgmt": hosts["mgmt"]}}, "c1": {"children": groups}}
    path = tmp_path / "inv.yml"
    path.write_text(
        json.dumps({"all": {"vars": {"mls_engine": "k3s", **shared}, "children": children}}), encoding="utf-8"
    )
    return load_slice(str(path))


PODS = {"mls_engine": "existing", "mls_agents": "pods"}
PROCESSES = {"mls_engine": "existing", "mls_agents": "processes"}


@pytest.mark.parametrize(("now", "before", "names", "error", "message"), [
    (("s1", "w1 w2"), ("s1", "w1"), ["w2"], None, ""),
    (("s1 s2 s3", "w1"), ("s1", "w1"), ["s2", "s3"], None, ""),
    (("s1", "w1"), ("s1", "w1"), ["w2"], NotFound, "w2: no worker or server of"),
    (("s1", "w1"), ("s1", "w1"), ["mgmt"], NotFound, "mgmt: no worker or server of"),
    (("s2 s1", "w1"), ("s1", "w1"), ["s2"], Refused, "s2 cannot join: it would lead cluster c1"),
])  # fmt: skip
def test_who_may_join_on_k3s(
    tmp_path: Path,
    now: tuple[str, str],
    before: tuple[str, str],
    names: list[str],
    error: type[MlsError] | None,
    message: str,
) -> None:
    known = host_roles(slice_of(tmp_path, *before))
    slice_ = slice_of(tmp_path, *now)
    if error is None:
        check_joining(slice_, names, known, "inv.yml")
        return
    with pytest.raises(error) as refused:
        check_joining(slice_, names, known, "inv.yml")
    assert message in refused.value.message


@pytest.mark.parametrize(("names", "error", "message"), [
    (["w1"], None, ""),
    (["s3"], None, ""),
    (["s1"], Refused, "s1 cannot leave: it leads cluster c1"),
    (["s2", "s3"], Refused, "s2, s3 cannot leave cluster c1 together"),
    (["mgmt"], NotFound, "no worker or server mgmt in slice lab"),
    (["w9"], NotFound, "no worker or server w9 in slice lab"),
])  # fmt: skip
def test_who_may_leave_on_k3s(tmp_path: Path, names: list[str], error: type[MlsError] | None, message: str) -> None:
    slice_ = slice_of(tmp_path, "s1 s2 s3", "w1")
    if error is None:
        check_leaving(slice_, names, "lab", host_roles(slice_))
        return
    with pytest.raises(error) as refused:
        check_leaving(slice_, names, "lab", host_roles(slice_))
    assert message in refused.value.message


def test_nodes_of_clusters_that_exist_come_and_go_without_us(tmp_path: Path) -> None:
    slice_ = slice_of(tmp_path, "api1", "", **PODS)
    with pytest.raises(Refused, match="add-node is for hosts of ours"):
        check_joining(slice_, ["w1"], host_roles(slice_), "inv.yml")
    with pytest.raises(Refused, match="their DaemonSet follows the clusters' nodes"):
        check_leaving(slice_, ["w1"], "lab", host_roles(slice_))


def test_on_clusters_that_exist_only_agents_of_workers_come_and_go(tmp_path: Path) -> None:
    slice_ = slice_of(tmp_path, "api1", "w1", **PROCESSES)
    check_joining(slice_, ["w1"], host_roles(slice_), "inv.yml")
    check_leaving(slice_, ["w1"], "lab", host_roles(slice_))
    with pytest.raises(NotFound, match=r"api1: no worker of inv\.yml"):
        check_joining(slice_, ["api1"], {}, "inv.yml")
    with pytest.raises(NotFound, match="no worker api1 in slice lab"):
        check_leaving(slice_, ["api1"], "lab", host_roles(slice_))


@pytest.mark.parametrize(("servers", "names", "warned"), [
    ("s1 s2", ["s2"], True), ("s1 s2 s3", ["s2", "s3"], False), ("s1 s2", ["w1"], False),
])  # fmt: skip
def test_an_even_number_of_servers_is_warned_of(
    tmp_path: Path, servers: str, names: list[str], *, warned: bool
) -> None:
    assert bool(joining_warnings(slice_of(tmp_path, servers, "w1"), names)) is warned


def test_a_slice_without_a_server_is_the_one_that_it_leaves(tmp_path: Path) -> None:
    slice_ = slice_of(tmp_path, "s1 s2", "w1").without(["s2"])
    assert slice_.cluster("c1").servers == ["s1"]
    assert set(plan_layout(slice_, preview_addresses(slice_)).hosts) == {"mgmt", "s1", "w1"}
