"""Ansible module: conditions of objects that have no controller of their own yet."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_condition
short_description: Set a condition in the status of objects
description:
  - Waits until the objects are there, and sets one condition in the status of each where it differs (Kubernetes API
    conventions, "Typical status properties"); other conditions and members of the status stay.
options:
  kubeconfig:
    description: Kubeconfig of the API.
    type: path
    required: true
  objects:
    description: >-
      Objects, each with C(api_version), C(kind), C(namespace), C(name) and the condition's C(status), C(reason) and
      C(message).
    type: list
    elements: dict
    default: []
  type:
    description: Type of the condition.
    type: str
    default: Ready
  timeout:
    description: Seconds in all until the objects must be there.
    type: int
    default: 60
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Say what is known of the device
  mls_condition:
    kubeconfig: /var/lib/x/admin.kubeconfig
    objects:
      - {api_version: mlsysops.eu/v1, kind: MLSysOpsNode, namespace: mlsysops, name: sensor1, status: Unknown,
         reason: NoRuntime, message: nothing runs there}
"""

RETURN = r"""
touched:
  description: Kind and name of the objects whose condition changed.
  returned: always
  type: list
"""

import time  # noqa: E402 - Ansible wants the documentation first
from datetime import datetime, timezone  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError  # noqa: E402

_MERGE = "application/merge-patch+json"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "required": True},
            "objects": {"type": "list", "elements": "dict", "default": []},
            "type": {"type": "str", "default": "Ready"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    want = module.params
    names = ["{}/{}".format(one["kind"], one["name"]) for one in want["objects"]]
    if module.check_mode and not Path(want["kubeconfig"]).exists():
        module.exit_json(changed=bool(names), touched=names)  # a bare host: there is no control plane yet
    deadline = time.monotonic() + want["timeout"]
    touched = []
    try:
        api = Api(want["kubeconfig"])
        for name, one in zip(names, want["objects"]):  # noqa: B905 - Python 3.8 has no strict
            if _set(module, api, want["type"], one, deadline):
                touched.append(name)
    except ApiUnreachableError as exc:
        if module.check_mode:
            module.exit_json(changed=bool(names), touched=names)
        module.fail_json(msg=str(exc), mls_error="unreachable")
    except ApiError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=bool(touched), touched=touched)


def _set(module: Any, api: Api, kind: str, one: dict[str, str], deadline: float) -> bool:
    left = 0.0 if module.check_mode else max(0.0, deadline - time.monotonic())
    try:
        path = api.path(one["api_version"], one["kind"], one["namespace"], one["name"], left)
        found = _wait(api, path, 0.0 if module.check_mode else deadline)
    except ApiError as exc:
        if module.check_mode and exc.code == 404:
            return True
        raise
    if found is None:
        if module.check_mode:
            return True
        module.fail_json(msg="{} {} does not appear".format(one["kind"], one["name"]), mls_error="timed-out")
        return False
    conditions = list((found.get("status") or {}).get("conditions") or [])
    fresh = {
        "type": kind, "status": one["status"], "reason": one["reason"], "message": one["message"],
        "observedGeneration": found["metadata"].get("generation"),
    }  # fmt: skip
    old: dict[str, Any] = next((condition for condition in conditions if condition.get("type") == kind), {})
    if all(old.get(key) == value for key, value in fresh.items()):
        return False
    if not module.check_mode:
        changed = old.get("status") != fresh["status"]
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: UP017 - Python 3.8
        fresh["lastTransitionTime"] = now if changed else old.get("lastTransitionTime", now)
        others = [condition for condition in conditions if condition.get("type") != kind]
        body = {"status": {"conditions": [*others, fresh]}}
        api.request("PATCH", path + "/status", body=body, content_type=_MERGE, fieldManager="mls")
    return True


def _wait(api: Api, path: str, deadline: float) -> Any:
    delay = 0.05
    while True:
        found = api.get(path)
        if found is not None or time.monotonic() >= deadline:
            return found
        time.sleep(delay)
        delay = min(delay * 1.5, 0.5)


if __name__ == "__main__":
    main()
