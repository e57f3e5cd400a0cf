"""Ansible module: a kubeconfig that was made on another host, for use from this one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_kubeconfig
short_description: Write kubeconfigs with other addresses and other names
description:
  - Takes kubeconfigs with one cluster and one user, as k3s and Karmada write them, gives each the address at which its API
    is reached and a name of its own, and writes it, mode 0600.
options:
  contents:
    description: Texts of the kubeconfigs, base64; empty in check mode where one is yet to be made. They hold keys.
    type: list
    elements: str
    default: []
  kubeconfigs:
    description: >-
      For each, in the same order, C(to) (where it is written), C(server) (URL of the API) and C(name) (of its cluster, user
      and context).
    type: list
    elements: dict
    default: []
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Write the kubeconfig
  mls_kubeconfig:
    contents: ["{{ fetched.content }}"]
    kubeconfigs:
      - to: /home/me/.local/share/mlsysops/slices/x/access/server1/kubeconfigs/admin.kubeconfig
        server: https://10.0.0.11:6443
        name: x-cluster1
"""

RETURN = r"""
# Nothing beyond what every module returns.
"""

import base64  # noqa: E402 - Ansible wants the documentation first
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_files import write_file  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "contents": {"type": "list", "elements": "str", "default": [], "no_log": True},
            "kubeconfigs": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    changed = False
    for content, wanted in zip(module.params["contents"], module.params["kubeconfigs"], strict=True):
        changed |= _keep(module, content, wanted)
    module.exit_json(changed=changed)


def _keep(module: Any, content: str, wanted: dict[str, Any]) -> bool:
    path = Path(wanted["to"])
    if not content:
        if not module.check_mode:
            module.fail_json(msg="there is no kubeconfig of {}".format(wanted["name"]), mls_error="not-found")
        return not path.is_file()
    try:
        text = _renamed(base64.b64decode(content).decode(), wanted["server"], wanted["name"])
    except (ValueError, LookupError, TypeError, StopIteration) as exc:
        module.fail_json(msg="the kubeconfig of {} is none: {}".format(wanted["name"], type(exc).__name__))
    if module.check_mode:
        return not path.is_file() or path.read_text(encoding="utf-8") != text
    return bool(write_file(path, text))


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
