"""Ansible module: a node agent that is a pod puts back what it changed, before its node leaves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_farewell
short_description: Have a node agent put its node's settings back
description:
  - Tells the agent that it is uninstalled and waits until it says that its node's settings are what they were. A node without a
    pod of the agent has nothing to put back. What told the agent stays until the node is gone, because it would go on otherwise.
  - With C(state=withdrawn) takes back what told agents, of all nodes, should a removal have ended half way.
options:
  kubeconfig:
    description: Kubeconfig of the cluster's API.
    type: path
    required: true
  request:
    description: The ConfigMap that tells the agent, with C(namespace) and C(name); with C(state=withdrawn) those whose names begin so.
    type: dict
    required: true
  node:
    description: Name of the node.
    type: str
  lease:
    description: The Lease in whose annotations the agent answers, with C(namespace) and C(name).
    type: dict
  annotation:
    description: The annotation that holds the answer.
    type: str
  timeout:
    description: Seconds until it must have answered.
    type: int
    default: 60
  state:
    description: Whether the agent has put settings back, or no agent is told to.
    type: str
    choices: [told, withdrawn]
    default: told
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Have settings put back
  mls_farewell:
    kubeconfig: /home/me/cluster1.kubeconfig
    node: worker2
    request: {namespace: mlsysops-framework, name: mlsysops-uninstall-worker2}
    lease: {namespace: mlsysops-framework, name: mlsysops-node-worker2}
    annotation: mlsysops.eu/uninstalled
"""

RETURN = r"""
# Nothing beyond what every module returns.
"""

import time  # noqa: E402 - Ansible wants the documentation first
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_farewell import SELECTOR, answer_of, ask  # noqa: E402
from ansible.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "required": True},
            "request": {"type": "dict", "required": True},
            "node": {"type": "str"},
            "lease": {"type": "dict"},
            "annotation": {"type": "str"},
            "timeout": {"type": "int", "default": 60},
            "state": {"type": "str", "choices": ["told", "withdrawn"], "default": "told"},
        },
        required_if=[("state", "told", ("node", "lease", "annotation"))],
        supports_check_mode=True,
    )
    if module.check_mode and not Path(module.params["kubeconfig"]).exists():
        module.exit_json(changed=False)  # nothing was deployed yet, so that nobody was told anything
    node = module.params["node"]
    try:
        api = Api(module.params["kubeconfig"], timeout=10.0)
        if module.params["state"] == "withdrawn":
            module.exit_json(changed=_withdraw(api, module.params["request"], dry_run=module.check_mode))
        if not _has_agent(api, node, module.params["request"]["namespace"]):
            module.exit_json(changed=False)
        if not module.check_mode and (fault := _told(module, api)):
            advice = "restart it once it has left, since a kernel's settings do not outlive that"
            module.fail_json(msg=f"settings of {node} were not put back: {fault}: {advice}")
    except ApiUnreachableError as exc:
        module.fail_json(msg=str(exc), mls_error="unreachable")
    except ApiError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=True)


def _has_agent(api: Any, node: str, namespace: str) -> bool:
    pods = api.request(
        "GET",
        f"/api/v1/namespaces/{namespace}/pods",
        fieldSelector=f"spec.nodeName={node}",
        labelSelector="app.kubernetes.io/name=node-agent",
    )
    return bool(pods.get("items"))


def _withdraw(api: Any, request: dict[str, Any], *, dry_run: bool) -> bool:
    """Take back what told agents; return whether there was something."""
    path = "/api/v1/namespaces/{namespace}/configmaps".format(**request)
    names = [one["metadata"]["name"] for one in api.request("GET", path, labelSelector=SELECTOR).get("items") or ()]
    told = [name for name in names if name == request["name"] or name.startswith(request["name"] + "-")]
    gone = [api.delete(f"{path}/{name}", dry_run=dry_run) for name in told]
    return any(gone)


def _told(module: Any, api: Any) -> str:
    """Tell the agent and wait for its answer; return why the settings may not be what they were, or nothing."""
    deadline = time.monotonic() + module.params["timeout"]
    request = ask(api, module.params["request"]["name"], module.params["request"]["namespace"])
    path = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}".format(**module.params["lease"])
    while True:
        lease = api.get(path)
        answer = answer_of(lease, module.params["annotation"]) if lease else {}
        if answer.get("request") == request:
            return str(answer.get("fault") or "")
        if time.monotonic() > deadline:
            return "its agent did not answer within {} s".format(module.params["timeout"])
        time.sleep(0.2)


if __name__ == "__main__":
    main()
