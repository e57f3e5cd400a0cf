"""Ansible module: whether a server may leave embedded etcd."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_quorum
short_description: Refuse to take embedded etcd its majority
description:
  - etcd changes its members only by the consent of more than half of them, the one that leaves among them
    (U(https://etcd.io/docs/v3.6/faq/)). Counts the servers whose nodes are ready, and fails where they are not enough. A server
    that has left already is no fault.
options:
  kubeconfig:
    description: Kubeconfig of the cluster's API.
    type: path
    required: true
  servers:
    description: Nodes of all servers of the cluster.
    type: list
    elements: str
    required: true
  leaving:
    description: The one that leaves.
    type: str
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Refuse to take etcd its majority
  mls_quorum:
    kubeconfig: /home/me/cluster1.kubeconfig
    servers: [server1, server2, server3]
    leaving: server3
"""

RETURN = r"""
# Nothing beyond what every module returns.
"""

from typing import Any  # noqa: E402 - Ansible wants the documentation first

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "required": True},
            "servers": {"type": "list", "elements": "str", "required": True},
            "leaving": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    leaving = module.params["leaving"]
    servers = dict.fromkeys(module.params["servers"])
    try:
        api = Api(module.params["kubeconfig"], timeout=10.0)
        nodes = {name: api.get(f"/api/v1/nodes/{name}") for name in servers}
    except (ApiError, ApiUnreachableError) as exc:
        reason = "etcd has no majority, or the API cannot be reached: bring servers back first, or restore a backup"
        module.fail_json(msg=f"{leaving} cannot leave: {exc}: {reason}", mls_error="refused")
    members = [name for name, node in nodes.items() if node is not None]
    refused = refusal(leaving, members, [name for name in members if ready(nodes[name])])
    if refused:
        module.fail_json(msg=refused, mls_error="refused")
    module.exit_json(changed=False)


def refusal(leaving: str, members: list[str], well: list[str]) -> str:
    """Return why a server may not leave; empty where it may.

    Args:
        leaving: Its name.
        members: Servers that are members.
        well: Those of them that are ready.
    """
    if leaving not in members:
        return ""
    needed = len(members) // 2 + 1
    if len(well) < needed:
        return (
            f"{leaving} cannot leave: {len(well)} of {len(members)} servers are ready, and etcd changes its members by the "
            f"consent of {needed}: bring servers back first, or restore a backup"
        )
    others = [name for name in well if name != leaving]
    if len(others) < (len(members) - 1) // 2 + 1:
        return (
            f"{leaving} cannot leave: of the {len(members) - 1} servers that stay {len(others)} would be ready, which is no "
            "majority: bring servers back first"
        )
    return ""


def ready(node: Any) -> bool:
    """Whether a node says that it is ready."""
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


if __name__ == "__main__":
    main()
