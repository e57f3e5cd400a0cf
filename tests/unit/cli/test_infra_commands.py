"""`mls infra` and `mls manage`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from mlsysops_northbound.store import resource_of

Golden = Callable[[str, str], None]


def test_registering_listing_and_unregistering(mls: Any, node_yaml: str, golden: Golden) -> None:
    file = mls.file("node.yaml", node_yaml)
    assert (
        mls("infra", "register-infra", "--path", file, "--dry-run=client").out
        == "mlsysopsnode/node-1 valid (client dry run)\n"
    )
    assert (
        mls("infra", "register-infra", "--path", file, "--dry-run=server").out
        == "mlsysopsnode/node-1 created (server dry run)\n"
    )
    assert not mls.store.objects
    assert mls("infra", "register-infra", "--path", file).out == "mlsysopsnode/node-1 created\n"
    assert mls("infra", "register-infra", "--path", file, "-o", "name").out == "mlsysopsnode/node-1\n"
    node = mls.store.objects["mlsysopsnodes", "mlsysops", "node-1"]
    node["metadata"]["creationTimestamp"] = "2020-01-01"
    ready = {"type": "Ready", "status": "False", "message": "its agent is away"}
    mls.store.put(resource_of("MLSysOpsNode"), {**node, "status": {"conditions": [ready]}})
    golden("infra-list", _days(mls("infra", "list", "-o", "wide").out))
    assert mls("infra", "list-infra", "--type", "Cluster").err.startswith("nothing is registered")
    assert mls("infra", "list", "--name", "other").code == 6
    assert mls("infra", "list", "--type", "planet").code == 3
    assert mls("infra", "list", "-o", "name").out == "mlsysopsnode/node-1\n"
    assert mls("infra", "unregister-infra", "node-1").out == "infrastructure/node-1 unregistered\n"
    assert mls("infra", "unregister-infra", "node-1").code == 6


def _days(text: str) -> str:
    import re

    return re.sub(r"\d+d", "2000d", text)


def test_an_application_is_not_registered(mls: Any, app_yaml: str) -> None:
    result = mls("infra", "register-infra", "--path", mls.file("app.yaml", app_yaml))
    assert result.code == 3
    assert "mls apps deploy-app" in result.errors[0]


@pytest.mark.parametrize(("ready", "code"), [(True, 0), (False, 1)])
def test_ping_tells_by_its_exit_code(mls: Any, golden: Golden, ready: bool, code: int) -> None:
    agents = [
        {"name": "farm", "tier": "continuum", "ready": True, "lastSeen": "2020-01-01T00:00:00Z"},
        {"name": "worker1", "tier": "node", "ready": ready},
    ]
    mls.store.put(resource_of("MLSysOpsContinuum"), {"metadata": {"name": "farm"}, "status": {"agents": agents}})
    result = mls("manage", "ping")
    assert result.code == code
    golden(f"manage-ping-{code}", _days(result.out))
    assert mls("manage", "ping-agent", "-o", "name").out == "agent/farm\nagent/worker1\n"


def test_settings(mls: Any) -> None:
    assert mls("manage", "set-mode", "--mode", "1").out == "mode 1 (ml)\n"
    assert json.loads(mls("manage", "set-mode", "--mode", "0", "-o", "json").out) == {"mode": 0, "name": "heuristic"}
    result = mls("manage", "set-system-target", "--metric", "energy", "--target", "100")
    assert result.out == "METRIC  RELATION        TARGET\nenergy  lower_or_equal  100\n"
    mls("manage", "set-system-target", "--metric", "carbon", "--target", "5")
    assert mls("manage", "delete-system-target", "--metric", "energy", "-o", "name").out == "systemtarget/carbon\n"
    result = mls("manage", "delete-system-target", "--metric", "energy")
    assert (result.code, result.errors) == (6, ["error: the slice has no target for 'energy' (targets: carbon)"])


def test_a_cluster_that_agents_report_to_is_unregistered_by_force_alone(mls: Any) -> None:
    cluster = {
        "apiVersion": "mlsysops.eu/v1",
        "kind": "MLSysOpsCluster",
        "metadata": {"name": "c1", "namespace": "mlsysops"},
    }
    agents = [{"name": "c1", "tier": "cluster", "ready": True, "lastSeen": "2026-01-01T00:00:00Z"}]
    spec = {"name": "c1", "cluster_id": "c1", "nodes": []}
    mls.store.put(resource_of("MLSysOpsCluster"), {**cluster, "spec": spec, "status": {"agents": agents}})
    refused = mls("infra", "unregister-infra", "c1")
    assert refused.code == 7
    assert "cluster 'c1' is in use: agents report to it (c1)" in refused.errors[0]
    assert "--force" in refused.errors[0]
    assert mls("infra", "unregister-infra", "c1", "--force").out == "infrastructure/c1 unregistered\n"
