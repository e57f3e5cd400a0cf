"""Inventories of clusters that exist: kubeconfigs, how agents run, and which hosts are only names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mlsysops_core.errors import InvalidInput

from mlsysops_cli.inventory import load_slice

TEXT = """
all:
  vars:
    mls_engine: existing
    ansible_connection: local
  children:
    management_cluster:
      hosts:
        mgmt: {k3s_cluster_name: continuum, mls_kubeconfig: karmada.config}
    c1:
      children:
        master_nodes:
          hosts:
            api1: {k3s_cluster_name: c1, mls_kubeconfig: ~/member.config, mls_context: c1}
"""


def test_paths_and_machines(tmp_path: Path) -> None:
    path = tmp_path / "inv.yml"
    path.write_text(TEXT, encoding="utf-8")
    slice_ = load_slice(str(path))
    assert slice_.existing.apis["mgmt"].path == str(tmp_path / "karmada.config")
    assert slice_.existing.apis["api1"].path == str(Path("~/member.config").expanduser())
    assert slice_.existing.apis["api1"].context == "c1"
    # Agents are pods where nothing is said; without Karmada's host cluster the continuum's stay processes.
    assert slice_.agents == "pods"
    assert {name: host.machine for name, host in slice_.hosts.items()} == {"mgmt": True, "api1": False}
    assert slice_.warnings == []


def test_pods_of_the_continuum_need_no_host(tmp_path: Path) -> None:
    path = tmp_path / "inv.yml"
    path.write_text(
        TEXT.replace("karmada.config}", "karmada.config, mls_karmada_host_kubeconfig: h}"), encoding="utf-8"
    )
    slice_ = load_slice(str(path))
    assert not any(host.machine for host in slice_.hosts.values())
    assert slice_.local


def test_a_context_alone_is_one_of_the_persons_own_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "inv.yml"
    path.write_text(TEXT.replace("mls_kubeconfig: ~/member.config, ", ""), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", f"/etc/one.config{os.pathsep}/etc/two.config")
    assert load_slice(str(path)).existing.apis["api1"].path == "/etc/one.config"
    monkeypatch.delenv("KUBECONFIG")
    assert load_slice(str(path)).existing.apis["api1"].path == str(Path("~/.kube/config").expanduser())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mls_kubeconfig: ~/member.config, mls_context: c1", "x: y", "names no kubeconfig of cluster c1"),
        (
            "mls_engine: existing",
            "mls_engine: embedded",
            "mls_kubeconfig of host mgmt means nothing with engine embedded",
        ),
        (
            "mls_engine: existing",
            "mls_engine: existing\n    mls_agents: some",
            "mls_agents is some, with engine existing",
        ),
        (
            "mls_engine: existing",
            "mls_engine: k3s\n    mls_agents: processes",
            "mls_agents is processes, with engine k3s",
        ),
        (
            "mls_engine: existing",
            "mls_engine: existing\n    mls_agents: processes\n    mls_karmada_host_kubeconfig: h",
            "mls_karmada_host_kubeconfig is for agents that run as pods",
        ),
        ("mls_engine: existing", "mls_engine: existing\n    mls_node_agent_privileged: maybe", "true or false"),
        (
            "            api1: {k3s",
            "            api2: {k3s_cluster_name: c1}\n            api1: {k3s",
            "cluster c1 exists and has 2 servers in the inventory",
        ),
    ],
)
def test_faults(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "inv.yml"
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        load_slice(str(path))
    assert message in "\n".join(map(str, caught.value.faults))
