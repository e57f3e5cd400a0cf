"""Ansible module: nothing more runs on a node, and then it is forgotten."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_drain
short_description: Empty a node, or remove its objects
description:
  - With C(state=drained) cordons a node, evicts its pods, each with its own grace, and waits until they have ended and no
    component of an application is pinned to the node any more - the cluster agent finds them another one.
  - With C(state=absent) deletes the node's objects, and what is left of its pods.
options:
  kubeconfig:
    description: Kubeconfig of the cluster's API.
    type: path
    required: true
  node:
    description: Name of the node.
    type: str
    required: true
  objects:
    description: What is deleted with C(state=absent), each with C(api_version), C(kind), C(namespace) and C(name).
    type: list
    elements: dict
    default: []
  force:
    description: Do not wait for anything, because the node is dead; with C(state=drained) it is only cordoned.
    type: bool
    default: false
  pods:
    description: With C(state=absent), whether what is left of its pods goes too, because nothing confirms their end any more.
    type: bool
    default: true
  timeout:
    description: Seconds until the node must be empty.
    type: int
    default: 120
  state:
    description: Whether nothing runs on it, or nothing of it is left.
    type: str
    choices: [drained, absent]
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Empty the node
  mls_drain:
    kubeconfig: /var/lib/x/admin.kubeconfig
    node: worker2
    state: drained
"""

RETURN = r"""
evicted:
  description: Pods that were evicted or deleted, as C(namespace/name).
  returned: success
  type: list
"""

import time  # noqa: E402 - Ansible wants the documentation first
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError  # noqa: E402

_MERGE = "application/merge-patch+json"
#: Disruption budgets answer so while no pod may be missing.
_TOO_MANY_REQUESTS = 429


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "required": True},
            "node": {"type": "str", "required": True},
            "objects": {"type": "list", "elements": "dict", "default": []},
            "force": {"type": "bool", "default": False},
            "pods": {"type": "bool", "default": True},
            "timeout": {"type": "int", "default": 120},
            "state": {"type": "str", "choices": ["drained", "absent"], "required": True},
        },
        supports_check_mode=True,
    )
    try:
        api = Api(module.params["kubeconfig"])
        if module.params["state"] == "drained":
            _drain(module, api)
        else:
            _forget(module, api)
    except ApiUnreachableError as exc:
        module.fail_json(msg=str(exc), mls_error="unreachable")
    except ApiError as exc:
        module.fail_json(msg=str(exc))


def _drain(module: Any, api: Any) -> None:
    node, deadline = module.params["node"], time.monotonic() + module.params["timeout"]
    path = f"/api/v1/nodes/{node}"
    found = api.get(path)
    if found is None:
        module.exit_json(changed=False, evicted=[])
    changed = not found["spec"].get("unschedulable")
    if module.check_mode:
        module.exit_json(changed=changed or bool(_pods(api, node)), evicted=[])
    if changed:
        api.request("PATCH", path, body={"spec": {"unschedulable": True}}, content_type=_MERGE)
    evicted: dict[str, None] = {}
    delay = 0.1
    while not module.params["force"]:
        pods, pinned = _pods(api, node), _pinned(api, node)
        for pod in pods:
            if not pod["metadata"].get("deletionTimestamp") and _evict(api, pod):
                evicted[_name(pod)] = None
        if not pods and not pinned:
            break
        if time.monotonic() > deadline:
            waits = [f"pod {_name(pod)} does not end" for pod in pods]
            waits += [f"component {one} has no other node" for one in pinned]
            module.fail_json(
                msg="{} is not empty after {} s: {}; it stays cordoned: make room on another node and run it again, "
                "or give --force".format(node, module.params["timeout"], "; ".join(waits)),
                mls_error="timed-out",
            )
        time.sleep(delay)
        delay = min(delay * 1.5, 1.0)
    module.exit_json(changed=changed or bool(evicted), evicted=list(evicted))


def _forget(module: Any, api: Any) -> None:
    changed = False
    for one in module.params["objects"]:
        try:
            path = api.path(one["api_version"], one["kind"], one.get("namespace", ""), one["name"])
            changed |= api.delete(path, dry_run=module.check_mode)
        except ApiError as exc:
            if exc.code != 404:
                raise
    # Whoever would confirm that they ended is gone.
    left = _pods(api, module.params["node"], daemons=True) if module.params["pods"] else []
    for pod in [] if module.check_mode else left:
        api.delete("/api/v1/namespaces/{namespace}/pods/{name}".format(**pod["metadata"]), grace=0)
    module.exit_json(changed=changed or bool(left), evicted=[_name(pod) for pod in left])


def _pods(api: Any, node: str, *, daemons: bool = False) -> list[dict[str, Any]]:
    """Return the pods on a node that are not over; those of DaemonSets belong to it and come back at once."""
    items = api.request("GET", "/api/v1/pods", fieldSelector=f"spec.nodeName={node}")["items"]
    return [
        pod
        for pod in items
        if daemons
        or (
            pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            and "kubernetes.io/config.mirror" not in (pod["metadata"].get("annotations") or {})
            and not any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences") or [])
        )
    ]


def _pinned(api: Any, node: str) -> list[str]:
    """Return the components of applications that only this node may run."""
    items = api.request("GET", "/apis/apps/v1/deployments", labelSelector="mlsysops.eu/component")["items"]
    return [
        "{}/{}".format(*(one["metadata"]["labels"].get(f"mlsysops.eu/{key}", "") for key in ("app", "component")))
        for one in items
        if (one["spec"]["template"]["spec"].get("nodeSelector") or {}).get("kubernetes.io/hostname") == node
    ]


def _evict(api: Any, pod: dict[str, Any]) -> bool:
    metadata = {key: pod["metadata"][key] for key in ("name", "namespace")}
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": metadata,
        "deleteOptions": {"preconditions": {"uid": pod["metadata"]["uid"]}},
    }
    try:
        api.request("POST", "/api/v1/namespaces/{namespace}/pods/{name}/eviction".format(**metadata), body=body)
    except ApiError as exc:
        if exc.code in (404, 409, _TOO_MANY_REQUESTS):  # gone, another one by now, or not yet
            return False
        raise
    return True


def _name(pod: dict[str, Any]) -> str:
    return "{namespace}/{name}".format(**pod["metadata"])


if __name__ == "__main__":
    main()
