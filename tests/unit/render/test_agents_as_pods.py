"""Agents as pods: what a policy may use of their memory, and where what they remember lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from mlsysops_agents.config import AgentConfig

from mlsysops_cli.inventory import load_slice
from mlsysops_cli.render import render_slice
from mlsysops_cli.slice import plan_layout, preview_addresses

AGENTS = ("mlsysops-cluster-agent", "mlsysops-node-agent", "mlsysops-continuum-agent")
NORTHBOUND = "mlsysops-northbound"
#: What an agent itself uses at most, MiB (with a thousand components).
AGENT_MIB = 256


@pytest.fixture
def slice_of(repository: Path) -> Any:
    """Returns the objects of the agents of the example inventory of hosts, with variables set for all."""

    def rendered(tmp_path: Path, **variables: Any) -> list[dict[str, Any]]:
        inventory = yaml.safe_load((repository / "inventories/testbed.yml").read_text())
        inventory["all"].setdefault("vars", {}).update(variables)
        (tmp_path / "inv.yml").write_text(yaml.safe_dump(inventory))
        slice_ = load_slice(str(tmp_path / "inv.yml"))
        layout = plan_layout(slice_, preview_addresses(slice_), directory=Path("/state/s"), python="/python")
        tree = render_slice(layout, {})
        return [obj for path, items in tree.items() if path.endswith("/50-agents.yaml") for obj in items]

    return rendered


def of(objects: list[dict[str, Any]], name: str, *kinds: str) -> dict[str, Any]:
    return next(obj for obj in objects if obj["metadata"]["name"] == name and obj["kind"] in kinds)


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("variables", [{}, {"mls_policy_packages": ["numpy"]}], ids=["plain", "with packages"])
def test_a_policy_that_leaks_meets_its_own_limit_first(
    slice_of: Any, tmp_path: Path, name: str, variables: dict[str, Any]
) -> None:
    objects = slice_of(tmp_path, mls_engine="k3s", **variables)
    (container,) = of(objects, name, "Deployment", "DaemonSet")["spec"]["template"]["spec"]["containers"]
    limit = container["resources"]["limits"]["memory"]
    assert limit.endswith("Mi")
    for text in of(objects, name, "ConfigMap")["data"].values():
        config = AgentConfig.model_validate(yaml.safe_load(text))
        assert config.worker.memory <= (int(limit.removesuffix("Mi")) - AGENT_MIB) * 2**20


@pytest.mark.parametrize("name", AGENTS)
def test_what_an_agent_remembers_outlives_its_pod(slice_of: Any, tmp_path: Path, name: str) -> None:
    pod = of(slice_of(tmp_path, mls_engine="k3s"), name, "Deployment", "DaemonSet")["spec"]["template"]["spec"]
    (volume,) = [item for item in pod["volumes"] if item["name"] == "state"]
    assert volume["hostPath"]["type"] == "DirectoryOrCreate"
    # Its node is the same tomorrow, and whoever it runs as may write what root has made; nothing else of root's is left.
    assert pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (container,) = pod["containers"]
    assert container["securityContext"]["runAsUser"] == 0
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_what_the_northbound_api_answered_outlives_its_pod_and_it_is_still_nobody(
    slice_of: Any, tmp_path: Path
) -> None:
    pod = of(slice_of(tmp_path, mls_engine="k3s"), NORTHBOUND, "Deployment")["spec"]["template"]["spec"]
    (volume,) = [item for item in pod["volumes"] if item["name"] == "state"]
    assert volume["hostPath"]["type"] == "DirectoryOrCreate"
    assert pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (container,), (before,) = pod["containers"], pod["initContainers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert "runAsUser" not in container["securityContext"]
    # Root has made the directory, so that root has to give it away; that is all it may.
    assert before["args"] == [*container["args"], "--own-state", str(pod["securityContext"]["runAsUser"])]
    assert before["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    assert {item["name"] for item in before["volumeMounts"]} == {"config", "state", "scratch"}


def test_no_two_agents_remember_in_one_directory(slice_of: Any, tmp_path: Path) -> None:
    objects = slice_of(tmp_path, mls_engine="k3s")
    paths = [
        volume["hostPath"]["path"]
        for name in (*AGENTS, NORTHBOUND)
        for volume in of(objects, name, "Deployment", "DaemonSet")["spec"]["template"]["spec"]["volumes"]
        if volume["name"] == "state"
    ]
    assert len({*paths}) == len(paths)
    assert all(path.startswith("/var/lib/mlsysops/") for path in paths), "which destroy-all removes on hosts"


@pytest.mark.parametrize("name", AGENTS)
def test_the_headers_of_a_collector_come_from_a_secret_alone(slice_of: Any, tmp_path: Path, name: str) -> None:
    secret = "Bearer that-nobody-sees"
    objects = slice_of(
        tmp_path,
        mls_engine="k3s",
        mls_otlp_endpoint="http://collector.example:4318",
        mls_otlp_headers={"Authorization": secret},
    )
    assert secret not in str(objects)
    pod = of(objects, name, "Deployment", "DaemonSet")["spec"]["template"]["spec"]
    (volume,) = [item for item in pod["volumes"] if item["name"] == "telemetry"]
    assert volume["secret"] == {"secretName": "mlsysops-telemetry", "defaultMode": 0o400}
    (mount,) = [item for item in pod["containers"][0]["volumeMounts"] if item["name"] == "telemetry"]
    for text in of(objects, name, "ConfigMap")["data"].values():
        export = AgentConfig.model_validate(yaml.safe_load(text)).telemetry.export
        assert export is not None
        assert str(export.headers_file) == f"{mount['mountPath']}/otlp-headers"


def test_node_agents_restart_where_telemetry_goes_elsewhere(slice_of: Any, tmp_path: Path) -> None:
    digests = {
        str(
            of(slice_of(tmp_path, mls_engine="k3s", mls_otlp_endpoint=f"http://{name}:4318"), AGENTS[1], "DaemonSet")[
                "spec"
            ]["template"]["metadata"]["annotations"]
        )
        for name in ("a.example", "b.example")
    }
    assert len(digests) == 2
