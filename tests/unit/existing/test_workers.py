"""Nodes of clusters that exist become the slice's workers; agents that are pods get a node each."""

from __future__ import annotations

from typing import Any

import pytest
from mlsysops_core.errors import InvalidInput

from mlsysops_cli.existing import Probed, extend_slice, node_facts
from mlsysops_cli.existing.probe import KARMADA_HOST
from mlsysops_cli.slice import Slice
from mlsysops_cli.slice.existing import ExistingSettings, KubeconfigSource
from mlsysops_cli.slice.model import AgentsForm, Cluster, Host


def node(name: str, address: str, *, taints: Any = (), ready: bool = True, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "spec": {"taints": list(taints)},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "capacity": {"cpu": "8", "memory": "16Gi", "ephemeral-storage": "100Gi"},
            "nodeInfo": {
                "architecture": "arm64",
                "osImage": "Ubuntu 24.04.1 LTS",
                "containerRuntimeVersion": "containerd://1.7.2",
            },
        },
    }


CONTROL = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
NODES = [
    node("cp", "10.0.0.1", taints=[CONTROL]),
    node("a", "10.0.0.2", **{"example.com/zone": "x"}),
    node("b", "10.0.0.3", ready=False),
    node("win", "10.0.0.4", **{"kubernetes.io/os": "windows"}),
]


def made(form: AgentsForm, *, workers: list[str] | None = None, address: str = "api", host: bool = True) -> Slice:
    names = workers or []
    hosts = {
        "mgmt": Host(name="mgmt", role="management", cluster="continuum", address="mgmt", machine=form == "processes"),
        "api": Host(name="api", role="server", cluster="c1", address=address, machine=form == "processes"),
        **{n: Host(name=n, role="worker", cluster="c1", address=n, machine=form == "processes") for n in names},
    }
    source = KubeconfigSource(path="/x")
    return Slice(
        name="s",
        continuum="continuum",
        engine="existing",
        management="mgmt",
        hosts=hosts,
        clusters=[Cluster(name="c1", servers=["api"], workers=names)],
        agents=form,
        existing=ExistingSettings(apis={"mgmt": source, "api": source}, karmada_host=source if host else None),
    )


def probed(nodes: list[dict[str, Any]] | None = None) -> Probed:
    found = NODES if nodes is None else nodes
    return Probed({}, {"mgmt": [], "api": found, KARMADA_HOST: [node("k", "10.1.0.9")]})


def test_schedulable_linux_nodes_become_workers() -> None:
    extended = extend_slice(made("pods"), probed())
    assert extended.clusters[0].workers == ["a", "b"]
    worker = extended.hosts["a"]
    assert (worker.address, worker.machine, worker.labels) == ("10.0.0.2", False, {"example.com/zone": "x"})
    assert extended.hosts["mgmt"].node_name == "k"
    assert extended.hosts["mgmt"].address == "10.1.0.9"


def test_the_cluster_agent_goes_to_a_ready_worker_or_where_the_inventory_says() -> None:
    assert extend_slice(made("pods"), probed()).hosts["api"].node_name == "a"
    assert extend_slice(made("pods", address="10.0.0.1"), probed()).hosts["api"].node_name == "cp"
    with pytest.raises(InvalidInput, match=r"no node has the address 10.9.9.9 .*nodes: a 10.0.0.2, b 10.0.0.3"):
        extend_slice(made("pods", address="10.9.9.9"), probed())
    with pytest.raises(InvalidInput, match="no node is ready"):
        extend_slice(made("pods"), probed([NODES[0], NODES[2]]))


@pytest.mark.parametrize("form", ["pods", "processes"])
def test_a_worker_that_is_no_node_is_a_fault(form: AgentsForm) -> None:
    with pytest.raises(InvalidInput, match=r"cluster c1 has no node z .*nodes: a, b, cp, win"):
        extend_slice(made(form, workers=["a", "z"]), probed())


def test_processes_run_on_the_inventorys_hosts_alone() -> None:
    slice_ = made("processes", workers=["a"], host=False)
    assert extend_slice(slice_, probed()) == slice_


def test_a_local_host_that_is_a_node_listens_at_its_nodes_address(monkeypatch: pytest.MonkeyPatch) -> None:
    # No node of a real Kubernetes has a loopback address: its address is one that this machine has, too.
    monkeypatch.setattr("mlsysops_cli.existing.workers._is_here", {"127.0.5.1", "192.0.2.7"}.__contains__)
    slice_ = made("processes", workers=["a"], host=False)
    slice_.hosts["a"] = slice_.hosts["a"].model_copy(update={"local": True})
    assert extend_slice(slice_, probed()).hosts["a"].node_name == ""
    for address in ("127.0.5.1", "192.0.2.7"):
        assert extend_slice(slice_, probed([node("a", address)])).hosts["a"].address == address


def test_hardware_as_the_api_says_it() -> None:
    assert node_facts(probed())["a"] == {
        "cpu": {"architecture": "arm64", "cores": 8},
        "memory_bytes": 16 * 2**30,
        "disk_bytes": 100 * 2**30,
        "os": "ubuntu",
        "container_runtime": ["containerd"],
    }
