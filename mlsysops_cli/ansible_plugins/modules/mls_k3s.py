"""Ansible module: k3s on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_k3s
short_description: Run k3s on a host, or remove it without a trace
description:
  - With C(state=claimed) writes down that k3s on the host is the slice's, and what was there before; refuses a host that
    has a k3s of somebody else, and one whose k3s cannot become the version that is wanted.
  - With C(state=present) writes its configuration and its unit, starts it anew where a file or the program is another
    than what runs, and waits - for a server until it is ready, for an agent until its server let it in.
  - With C(state=stopped) stops it and ends its containers; its data stays.
  - With C(state=absent) stops it, ends its containers, and removes its mounts, interfaces, packet filter rules and files;
    goes on past failures, and touches nothing where k3s is not the slice's.
options:
  owner:
    description: Name of the slice.
    type: str
    required: true
  role:
    description: What it is.
    type: str
    choices: [server, agent]
    default: server
  config:
    description: Its C(config.yaml).
    type: dict
    default: {}
  registries:
    description: Its C(registries.yaml); may hold passwords.
    type: dict
    default: {}
  environment:
    description: Environment of its unit, for proxies.
    type: dict
    default: {}
  version:
    description: Version that it shall become, with C(state=claimed).
    type: str
    default: ''
  timeout:
    description: Seconds until it must be ready.
    type: int
    default: 300
  state:
    description: Whether it is claimed, runs, stands still, or is gone.
    type: str
    choices: [claimed, present, stopped, absent]
    default: present
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Run a server
  mls_k3s:
    owner: x
    config: {node-name: server1, write-kubeconfig-mode: '0600'}
"""

RETURN = r"""
removed:
  description: What was removed.
  returned: with state=absent
  type: list
"""

from typing import Any  # noqa: E402 - Ansible wants the documentation first

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_k3s import K3s, K3sError  # noqa: E402
from ansible.module_utils.mls_k3s_removal import halt, remove  # noqa: E402
from ansible.module_utils.mls_k3s_store import readmit  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "owner": {"type": "str", "required": True},
            "role": {"type": "str", "choices": ["server", "agent"], "default": "server"},
            "config": {"type": "dict", "default": {}},
            "registries": {"type": "dict", "default": {}, "no_log": True},
            "environment": {"type": "dict", "default": {}, "no_log": True},
            "version": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 300},
            "state": {"type": "str", "choices": ["claimed", "present", "stopped", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    k3s = K3s(module.params["owner"], module.params["role"])
    try:
        if module.params["state"] == "absent":
            removed, left = remove(k3s, check=module.check_mode)
            if left:
                module.fail_json(msg=f"k3s is not gone: {'; '.join(left)}", removed=removed)
            module.exit_json(changed=bool(removed), removed=removed)
        if module.params["state"] == "claimed":
            module.exit_json(changed=k3s.claim(module.params["version"], check=module.check_mode))
        if module.params["state"] == "stopped":
            module.exit_json(changed=_stopped(module, k3s))
        module.exit_json(changed=_present(module, k3s))
    except K3sError as exc:
        module.fail_json(msg=str(exc), mls_error=exc.family)


def _present(module: Any, k3s: K3s) -> bool:
    files = k3s.files(module.params["config"], module.params["registries"], module.params["environment"])
    if module.check_mode:
        return bool(k3s.pending(files))
    foreign = k3s.foreign()
    if foreign:
        raise K3sError(foreign, "conflict")
    changed = bool(k3s.pending(files))
    if changed:
        k3s.ensure(files, module.params["timeout"])
    else:
        k3s.wait(module.params["timeout"])
    if k3s.record().get("restored"):
        readmit("/etc/rancher/k3s/k3s.yaml")
        k3s.note(restored=None)
    return changed


def _stopped(module: Any, k3s: K3s) -> bool:
    running = bool(k3s.state() not in ("inactive", "unknown"))
    if not module.check_mode:
        left = halt(k3s)
        if left:
            raise K3sError(f"k3s does not stop: {'; '.join(left)}")
    return running


if __name__ == "__main__":
    main()
