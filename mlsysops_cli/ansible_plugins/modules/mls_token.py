"""Ansible module: a random token in a file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_token
short_description: Keep a random token in a file
description:
  - Makes the file, mode 0600, where it does not exist; the token is in no argument and no result.
options:
  path:
    description: The file.
    type: path
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Make the token
  mls_token:
    path: /var/lib/x/token
"""

RETURN = r"""
# Nothing beyond what every module returns.
"""

import secrets  # noqa: E402 - Ansible wants the documentation first
from pathlib import Path  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_files import write_file  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"path": {"type": "path", "required": True}}, supports_check_mode=True)
    path = Path(module.params["path"])
    there = path.is_file() and path.stat().st_size > 0
    if not there and not module.check_mode:
        write_file(path, secrets.token_urlsafe(32) + "\n")
    module.exit_json(changed=not there)


if __name__ == "__main__":
    main()
