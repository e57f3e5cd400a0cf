"""Ansible module: wait until Deployments and DaemonSets have rolled out."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_rollout
short_description: Wait until Deployments and DaemonSets have rolled out
description:
  - Succeeds when every pod of every workload is of its newest form and available. Where that takes too long it says what
    the pods wait for.
options:
  kubeconfig:
    description: Kubeconfig of the API.
    type: path
    required: true
  workloads:
    description: Workloads, each with C(kind) (C(Deployment) or C(DaemonSet)), C(namespace) and C(name).
    type: list
    elements: dict
    required: true
  timeout:
    description: Seconds in all.
    type: int
    default: 180
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Wait for the agents
  mls_rollout:
    kubeconfig: /home/me/member1.kubeconfig
    workloads:
      - {kind: DaemonSet, namespace: mlsysops-framework, name: mlsysops-node-agent}
"""

RETURN = r"""
# Nothing beyond what every module returns.
"""

import time  # noqa: E402 - Ansible wants the documentation first
import urllib.parse  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "required": True},
            "workloads": {"type": "list", "elements": "dict", "required": True},
            "timeout": {"type": "int", "default": 180},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False)
    deadline = time.monotonic() + module.params["timeout"]
    try:
        api = Api(module.params["kubeconfig"])
        for workload in module.params["workloads"]:
            missing = _wait(api, workload, deadline)
            if missing:
                seconds = module.params["timeout"]
                name = f"{workload['kind']} {workload['name']}"
                module.fail_json(msg=f"{name} did not roll out in {seconds} s: {missing}", mls_error="timed-out")
    except ApiUnreachableError as exc:
        module.fail_json(msg=str(exc), mls_error="unreachable")
    except ApiError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=False)


def _wait(api: Any, workload: dict[str, Any], deadline: float) -> str:
    """Wait for a workload; return what is missing, or nothing."""
    path = api.path("apps/v1", workload["kind"], workload["namespace"], workload["name"])
    delay = 0.1
    while True:
        found = api.get(path)
        missing = "it does not exist" if found is None else _missing(found)
        if not missing:
            return ""
        if time.monotonic() >= deadline:
            return f"{missing}{_reasons(api, found) if found else ''}"
        time.sleep(delay)
        delay = min(delay * 1.5, 1.0)


def _missing(obj: dict[str, Any]) -> str:
    """Say what of a rollout is not done (what ``kubectl rollout status`` looks at)."""
    status = obj.get("status") or {}
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return "its controller has not seen it"
    if obj["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
        total = wanted
    else:
        wanted = (obj.get("spec") or {}).get("replicas", 1)
        updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
        total = status.get("replicas", 0)
    if updated < wanted:
        return f"{updated} of {wanted} pods are new"
    if total > updated:
        return f"{total - updated} old pods are still there"
    return "" if available >= updated else f"{available} of {updated} pods are available"


def _reasons(api: Any, obj: dict[str, Any]) -> str:
    """Say what the pods of a workload wait for, each reason once."""
    labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    query = urllib.parse.urlencode({"labelSelector": selector})
    pods = api.request("GET", f"/api/v1/namespaces/{obj['metadata']['namespace']}/pods?{query}").get("items") or []
    reasons = []
    for pod in pods:
        status = pod.get("status") or {}
        for container in status.get("containerStatuses") or []:
            state = container.get("state") or {}
            waiting = state.get("waiting") or state.get("terminated") or {}
            if waiting:
                reasons.append(": ".join(filter(None, (waiting.get("reason"), waiting.get("message")))))
        reasons += [
            str(condition.get("message") or condition.get("reason"))
            for condition in status.get("conditions") or []
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
        ]
    return "; " + "; ".join(dict.fromkeys(reasons)) if reasons else ""


if __name__ == "__main__":
    main()
