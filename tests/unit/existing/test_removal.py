"""What is taken out of clusters that exist, and how their pods are told of: from a plan, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlsysops_cli.actions.framework.pods import log_commands
from mlsysops_cli.actions.framework.removal import removal_plan
from mlsysops_cli.slice import AppliedObjects


def obj(kind: str, name: str, version: str = "v1", namespace: str = "") -> dict[str, Any]:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
    }


def plan() -> dict[str, Any]:
    pods = {"plane": "api+pods", "kubeconfig": "/k", "objects": "/o", "prune": [], "rollouts": [
        {"kind": "DaemonSet", "namespace": "n", "name": "node-agent"},
    ]}  # fmt: skip
    own = {"plane": "api", "kubeconfig": "/k", "objects": "/o", "prune": []}
    return {"apis": {"api": {"cluster": "c", "kubeconfig": "/k", "objects": [own], "pods": [pods]}}, "hosts": {}}


def test_everything_that_was_ever_applied_goes_but_definitions_and_namespaces(tmp_path: Path) -> None:
    applied = AppliedObjects.load(tmp_path)
    applied.add("api", [obj("Namespace", "mlsysops"), obj("Secret", "t", namespace="n")])
    applied.add("api", [obj("CustomResourceDefinition", "x", "apiextensions.k8s.io/v1")])
    applied.add("api+pods", [obj("DaemonSet", "node-agent", "apps/v1", "n")])
    applied.save()
    given = plan()
    removal = removal_plan(given, tmp_path)["apis"]["api"]
    assert [one["name"] for one in removal["objects"][0]["prune"]] == ["t"]
    assert [one["name"] for one in removal["pods"][0]["prune"]] == ["node-agent"]
    assert given == plan(), "the plan itself stays as it is"


def test_logs_of_pods() -> None:
    assert log_commands(plan()) == {"node-agent": "kubectl --kubeconfig /k logs -n n daemonset/node-agent"}
    assert log_commands({"hosts": {}}) == {}
