"""Ansible module: a kubeconfig that was made on another host, for use from this one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_kubeconfig
short_description: Write a kubeconfig with another address and other names
description:
  - Takes a kubeconfig with one cluster and one user, as k3s and Karmada write them, gives it the address at which the API
    is reached and a name of its own, and writes it, mode 0600. The text holds a key - tasks that handle it set C(no_log).
options:
  content:
    description: Text of the kubeconfig, base64; empty in check mode where it is yet to be made.
    type: str
    default: ''
  path:
    description: Where it is written.
    type: path
    required: true
  server:
    description: URL of the API.
    type: str
    required: true
  name:
    description: Name of its cluster, user and context.
    type: str
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Write the kubeconfig
  mls_kubeconfig:
    content: "{{ fetched.content }}"
    path: /home/me/.local/share/mlsysops/slices/x/access/server1/kubeconfigs/admin.kubeconfig
    server: https://10.0.0.11:6443
    name: x-cluster1
  no_log: true
"""

RETURN = r"""
# Nothing beyond what every module returns.
"""

import base64  # noqa: E402 - Ansible wants the documentation first
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_supervisor import write_file  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "content": {"type": "str", "default": "", "no_log": True},
            "path": {"type": "path", "required": True},
            "server": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    if not parameters["content"]:
        if not module.check_mode:
            module.fail_json(msg=f"there is no kubeconfig of {parameters['name']}", mls_error="not-found")
        module.exit_json(changed=not Path(parameters["path"]).is_file())
    try:
        text = _renamed(base64.b64decode(parameters["content"]).decode(), parameters["server"], parameters["name"])
    except (ValueError, LookupError, TypeError) as exc:
        module.fail_json(msg=f"the kubeconfig of {parameters['name']} is none: {type(exc).__name__}")
    path = Path(parameters["path"])
    if module.check_mode:
        module.exit_json(changed=not path.is_file() or path.read_text(encoding="utf-8") != text)
    module.exit_json(changed=write_file(path, text))


def _renamed(text: str, server: str, name: str) -> str:
    import yaml  # on the machine where mls runs, which has it

    document: dict[str, Any] = yaml.safe_load(text)
    context = next(one for one in document["contexts"] if one["name"] == document["current-context"])["context"]
    cluster = next(one for one in document["clusters"] if one["name"] == context["cluster"])["cluster"]
    user = next(one for one in document["users"] if one["name"] == context["user"])["user"]
    return str(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": name, "cluster": {**cluster, "server": server}}],
                "users": [{"name": name, "user": user}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "current-context": name,
            },
            sort_keys=False,
        )
    )


if __name__ == "__main__":
    main()
