"""Packages of plug-ins for agents that are pods: wheels of their nodes, room to work in, and new pods where that changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mlsysops_cli.inventory import load_slice
from mlsysops_cli.render import render_slice
from mlsysops_cli.slice import plan_layout, preview_addresses

INVENTORY: dict[str, Any] = {
    "all": {
        "vars": {"mls_slice": "s", "mls_engine": "k3s", "ansible_user": "root"},
        "children": {
            "management_cluster": {"hosts": {"mgmt": {"ansible_host": "10.9.0.10", "k3s_cluster_name": "m"}}},
            "c1": {
                "children": {
                    "master_nodes": {"hosts": {"s1": {"ansible_host": "10.9.0.11", "k3s_cluster_name": "c1"}}},
                    "worker_nodes": {"hosts": {"w1": {"ansible_host": "10.9.0.12", "k3s_cluster_name": "c1"}}},
                }
            },
        },
    }
}


def pods(tmp_path: Path, **variables: Any) -> dict[str, dict[str, Any]]:
    """The agents' workloads by name, and their ConfigMaps as ``name/config``."""
    inventory = {"all": {**INVENTORY["all"], "vars": {**INVENTORY["all"]["vars"], **variables}}}
    (tmp_path / "inv.yml").write_text(yaml.safe_dump(inventory))
    slice_ = load_slice(str(tmp_path / "inv.yml"))
    layout = plan_layout(slice_, preview_addresses(slice_), directory=Path("/state/s"), python="/python")
    tree = render_slice(layout, {})
    objects = [obj for path, items in tree.items() if path.endswith("/50-agents.yaml") for obj in items]
    found = {obj["metadata"]["name"]: obj for obj in objects if obj["kind"] in ("Deployment", "DaemonSet")}
    found |= {f"{obj['metadata']['name']}/config": obj for obj in objects if obj["kind"] == "ConfigMap"}
    return found


def specification(workload: dict[str, Any]) -> dict[str, Any]:
    return dict(workload["spec"]["template"]["spec"])


def digest(workload: dict[str, Any]) -> str:
    return str(workload["spec"]["template"]["metadata"]["annotations"]["mlsysops.eu/config-digest"])


AGENTS = ("mlsysops-cluster-agent", "mlsysops-node-agent", "mlsysops-continuum-agent")


@pytest.mark.parametrize("name", AGENTS)
def test_wheels_of_the_node_reach_its_agents(tmp_path: Path, name: str) -> None:
    made = pods(tmp_path, mls_policy_packages=["numpy"], mls_policy_wheelhouse="/var/lib/wheels")
    pod = specification(made[name])
    (container,) = pod["containers"]
    (volume,) = [item for item in pod["volumes"] if item["name"] == "wheels"]
    (mount,) = [item for item in container["volumeMounts"] if item["name"] == "wheels"]
    assert volume["hostPath"] == {"path": "/var/lib/wheels", "type": "Directory"}
    assert (mount["mountPath"], mount["readOnly"]) == ("/srv/wheels", True)
    config = yaml.safe_load(next(iter(made[f"{name}/config"]["data"].values())))
    assert config["worker"].pop("memory") == 2**30
    assert config["worker"]["packages"] == {"allowed": ["numpy"], "wheelhouse": "/srv/wheels"}


@pytest.mark.parametrize("name", AGENTS)
def test_what_is_allowed_changes_the_pods_and_nothing_said_does_not(tmp_path: Path, name: str) -> None:
    plain = pods(tmp_path)[name]
    assert "wheels" not in str(plain)
    index = {"mls_policy_packages": ["numpy"], "mls_policy_index": "https://packages.lab/simple"}
    online = pods(tmp_path, **index)[name]
    assert digest(online) != digest(plain)
    more = specification(online)["containers"][0]["resources"]["limits"]["memory"]
    assert (
        int(more.removesuffix("Mi"))
        >= int(specification(plain)["containers"][0]["resources"]["limits"]["memory"].removesuffix("Mi")) + 1024
    )
    assert "wheels" not in {volume["name"] for volume in specification(online)["volumes"]}
    assert specification(pods(tmp_path, mls_policy_wheelhouse="/w")[name]) == specification(plain)


def test_the_northbound_api_runs_no_policies(tmp_path: Path) -> None:
    made = pods(tmp_path, mls_policy_packages=["numpy"], mls_policy_wheelhouse="/var/lib/wheels")
    pod = specification(made["mlsysops-northbound"])
    assert "wheels" not in str(pod)
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "384Mi"
