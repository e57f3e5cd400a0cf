"""Ansible module: facts of a machine that node descriptions name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_facts
short_description: Facts of a machine that node descriptions name
description:
  - Processor, frequencies, memory, disk, operating system, virtualisation and container runtimes, spelled and in the
    units of node descriptions. What cannot be found out is left out.
options: {}
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Gather facts of the node
  mls_facts:
"""

RETURN = r"""
ansible_facts:
  description: The facts, under C(mls_hardware).
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - Ansible wants the documentation first
from ansible.module_utils.mls_hardware import collect  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(changed=False, ansible_facts={"mls_hardware": collect()})


if __name__ == "__main__":
    main()
