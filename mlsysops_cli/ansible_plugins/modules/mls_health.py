"""Ansible module: whether a host's parts are well, as its cluster's API sees them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_health
short_description: Wait until a host's parts are well
description:
  - Waits until the API says that it is ready, Leases were renewed after a given time, and conditions are true. A program that
    runs may still do nothing; one that renews its Lease talks to its API.
options:
  kubeconfig:
    description: Kubeconfig of the API.
    type: path
    required: true
  leases:
    description: Leases, each with C(namespace) and C(name).
    type: list
    elements: dict
    default: []
  renewed_after:
    description: >-
      Seconds since the epoch, by the clock of whoever renews the Leases; 0 means within the duration that the Lease names, by this
      machine's clock, or while this module looks at it: the two clocks need not agree.
    type: float
    default: 0
  again:
    description: Each Lease has to be renewed while this module looks at it; whatever clock its holder has.
    type: bool
    default: false
  versions:
    description: Versions that nodes must run, each with C(node) and C(version).
    type: list
    elements: dict
    default: []
  serves:
    description: Release of k3s that the API itself must have at least; any where empty.
    type: str
    default: ''
  conditions:
    description: Conditions, each with C(api_version), C(kind), C(namespace), C(name) and C(condition).
    type: list
    elements: dict
    default: []
  timeout:
    description: Seconds in all.
    type: int
    default: 60
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Wait until the agent is well
  mls_health:
    kubeconfig: /var/lib/x/admin.kubeconfig
    leases:
      - {namespace: mlsysops-framework, name: mlsysops-node-worker1}
"""

RETURN = r"""
# Nothing beyond what every module returns.
"""

import time  # noqa: E402 - Ansible wants the documentation first
from datetime import datetime  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_k3s_version import parse_version  # noqa: E402
from ansible.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError  # noqa: E402

_LEASE = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "required": True},
            "leases": {"type": "list", "elements": "dict", "default": []},
            "renewed_after": {"type": "float", "default": 0},
            "again": {"type": "bool", "default": False},
            "versions": {"type": "list", "elements": "dict", "default": []},
            "serves": {"type": "str", "default": ""},
            "conditions": {"type": "list", "elements": "dict", "default": []},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False)
    deadline = time.monotonic() + module.params["timeout"]
    delay = 0.1
    seen: dict[str, str] = {}
    while True:
        try:
            missing = _missing(Api(module.params["kubeconfig"]), module.params, seen)
        except (ApiError, ApiUnreachableError, OSError) as exc:
            missing = [str(exc)]
        if not missing:
            module.exit_json(changed=False)
        if time.monotonic() > deadline:
            module.fail_json(
                msg="not well after {} s: {}".format(module.params["timeout"], "; ".join(missing)),
                mls_error="timed-out",
            )
        time.sleep(delay)
        delay = min(delay * 1.5, 0.5)


def _missing(api: Any, parameters: dict[str, Any], seen: dict[str, str]) -> list[str]:
    """Return what is not as it should be.

    Args:
        api: The API.
        parameters: The module's.
        seen: When each Lease was renewed as it was seen first; is added to.
    """
    api.request("GET", "/readyz")
    missing = []
    if parameters["serves"]:
        served = str(api.request("GET", "/version").get("gitVersion"))
        if (parse_version(served) or ()) < (parse_version(parameters["serves"]) or ()):
            missing.append("its API is of version {}, older than {}".format(served, parameters["serves"]))
    for lease in parameters["leases"]:
        spec = (api.get(_LEASE.format(**lease)) or {}).get("spec") or {}
        if not _renewed(spec, parameters, seen.setdefault(lease["name"], str(spec.get("renewTime")))):
            missing.append("Lease {} was not renewed".format(lease["name"]))
    for one in parameters["versions"]:
        info = ((api.get("/api/v1/nodes/{node}".format(**one)) or {}).get("status") or {}).get("nodeInfo") or {}
        if info.get("kubeletVersion") != one["version"]:
            missing.append("node {node} does not run {version}".format(**one))
    for one in parameters["conditions"]:
        path = api.path(one["api_version"], one["kind"], one.get("namespace", ""), one["name"])
        said = api.wait(lambda path=path: api.get(path), one["condition"], 0.0)
        if said:
            missing.append("{} {} is not {}: {}".format(one["kind"], one["name"], one["condition"], said))
    return missing


def _renewed(spec: dict[str, Any], parameters: dict[str, Any], first: str) -> bool:
    """Whether a Lease was renewed as it is asked for."""
    text = spec.get("renewTime")
    if not text:
        return False
    if parameters["again"]:
        return str(text) != first
    renewed = datetime.fromisoformat(text).timestamp()
    if parameters["renewed_after"]:
        return bool(renewed > parameters["renewed_after"])
    # A time to come says as little as one long past: who went an hour ago with a clock that was ahead is gone.
    return str(text) != first or abs(time.time() - renewed) < float(spec.get("leaseDurationSeconds") or 0)


if __name__ == "__main__":
    main()
