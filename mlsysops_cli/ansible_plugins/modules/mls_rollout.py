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
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError  # noqa: E402
from ansible.module_utils.mls_workloads import pod_reasons, rollout_missing  # noqa: E402


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
        missing = "it does not exist" if found is None else rollout_missing(found)
        if not missing:
            return ""
        if time.monotonic() >= deadline:
            return f"{missing}{pod_reasons(api, found) if found else ''}"
        time.sleep(delay)
        delay = min(delay * 1.5, 1.0)


if __name__ == "__main__":
    main()
