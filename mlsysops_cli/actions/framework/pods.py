"""How the parts of a slice that are pods are, as the APIs that run them say."""

from __future__ import annotations

from typing import Any

from mlsysops_cli.ansible_plugins.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError
from mlsysops_cli.ansible_plugins.module_utils.mls_workloads import pod_reasons, rollout_missing

__all__ = ["log_commands", "pod_rows"]


def pod_rows(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each Deployment and DaemonSet of ours, as `process_rows` returns one for each process."""
    rows = []
    for host, entry in plan.get("apis", {}).items():
        for part in entry["pods"]:
            states = _states(part)
            for workload in part["rollouts"]:
                name = workload["name"]
                row = {"name": name, "host": host, "address": entry["cluster"], "state": states[name]}
                rows.append(row | {"pid": None, "seconds": None, "log": _log_command(part, workload)})
    return rows


def log_commands(plan: dict[str, Any]) -> dict[str, str]:
    """Return, for each part of a slice that is a pod, the command that prints what it logs."""
    return {
        workload["name"]: _log_command(part, workload)
        for entry in plan.get("apis", {}).values()
        for part in entry["pods"]
        for workload in part["rollouts"]
    }


def _log_command(part: dict[str, Any], workload: dict[str, Any]) -> str:
    place = f"-n {workload['namespace']} {workload['kind'].lower()}/{workload['name']}"
    return f"kubectl --kubeconfig {part['kubeconfig']} logs {place}"


def _states(part: dict[str, Any]) -> dict[str, str]:
    states = {}
    try:
        api = Api(part["kubeconfig"], timeout=5.0, retries=0)
        for workload in part["rollouts"]:
            path = api.path("apps/v1", workload["kind"], workload["namespace"], workload["name"])
            found = api.get(path)
            missing = "not deployed" if found is None else rollout_missing(found)
            states[workload["name"]] = f"{missing}{pod_reasons(api, found) if found else ''}" if missing else "running"
    except (ApiError, ApiUnreachableError) as exc:
        return {workload["name"]: str(exc) for workload in part["rollouts"]}
    return states
