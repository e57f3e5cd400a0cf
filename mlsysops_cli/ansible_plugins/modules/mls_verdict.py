"""Ansible module: whether a host may take its part of a slice, when all hosts have been looked at."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_verdict
short_description: Fail where something keeps a host from taking its part of a slice
description:
  - Fails with every fault that M(mls_preflight) found on the host, and where the host has the name or the identity of
    another one. Warnings fail nothing.
options:
  findings:
    description: What was found on the host.
    type: list
    elements: dict
    default: []
  identity:
    description: Who the host is; empty for the control node.
    type: dict
    default: {}
  others:
    description: Who all hosts are.
    type: list
    elements: dict
    default: []
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Check the host
  mls_verdict:
    findings: "{{ found.findings }}"
    identity: "{{ found.identity }}"
"""

RETURN = r"""
faults:
  description: What is wrong, a line each.
  returned: always
  type: list
"""

from typing import Any  # noqa: E402 - Ansible wants the documentation first

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_findings import fault, line  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "findings": {"type": "list", "elements": "dict", "default": []},
            "identity": {"type": "dict", "default": {}},
            "others": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    want = module.params
    twins = doubles(want["identity"], want["others"])
    faults = [one for one in want["findings"] if one["level"] == "fault"] + twins
    lines = [line(one) for one in faults]
    facts = {"mls_preflight": {"findings": twins}}
    if not faults:
        module.exit_json(changed=False, faults=[], ansible_facts=facts)
    families = [one["family"] for one in faults]
    # What is in the way of the whole is told first.
    family = next((name for name in ("conflict", "refused") if name in families), families[0])
    module.fail_json(msg="; ".join(lines), faults=lines, mls_error=family, ansible_facts=facts)


def doubles(identity: dict[str, Any], others: list[dict[str, Any]]) -> list[Any]:
    """Return a finding for each way in which a host is not itself alone.

    Args:
        identity: ``host``, ``hostname``, ``machine_id`` and ``boot_id`` of the host.
        others: Those of all hosts, its own among them.
    """
    if not identity:
        return []
    rest = [other for other in others if other and other["host"] != identity["host"]]
    same = {
        key: ", ".join(other["host"] for other in rest if other[key] and other[key] == identity[key])
        for key in ("boot_id", "hostname", "machine_id")
    }
    if same["boot_id"]:
        what = "is the same machine as {}".format(same["boot_id"])
        return [fault("identity", what, "give each host of the inventory a machine, and ansible_host its address")]
    found = []
    if same["hostname"]:
        what = "its host name {} is also that of {}".format(identity["hostname"], same["hostname"])
        found.append(fault("identity", what, "hostnamectl set-hostname " + identity["host"]))
    if same["machine_id"]:
        what = "its machine id is also that of {}, as if one were copied from the other".format(same["machine_id"])
        fix = "rm /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup; reboot"
        found.append(fault("identity", what, fix))
    return found


if __name__ == "__main__":
    main()
