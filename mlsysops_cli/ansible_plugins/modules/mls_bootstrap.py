"""Ansible module: certificates, keys and kubeconfigs of an embedded control plane."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_bootstrap
short_description: Make certificates, keys and kubeconfigs of an embedded control plane
description:
  - Runs C(python -m mlsysops_embedded bootstrap), which makes what is missing and leaves alone what is valid.
options:
  path:
    description: Where its config file is written.
    type: path
    required: true
  content:
    description: The config file.
    type: str
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Make certificates and kubeconfigs
  mls_bootstrap:
    path: /var/lib/x/bootstrap.yaml
    content: "{{ config }}"
"""

RETURN = r"""
# Nothing beyond what every module returns.
"""

import json  # noqa: E402 - Ansible wants the documentation first
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_files import write_file  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}, "content": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    path, content = Path(module.params["path"]), module.params["content"]
    if module.check_mode:
        same = path.is_file() and path.read_text(encoding="utf-8") == content
        module.exit_json(changed=not same)
    written = write_file(path, content)
    argv = [sys.executable, "-m", "mlsysops_embedded", "bootstrap", "--config", str(path)]
    code, output, errors = module.run_command(argv, cwd=str(path.parent))
    lines = [line for line in errors.splitlines() if line.strip()]
    if code != 0:
        module.fail_json(msg=lines[-1] if lines else f"bootstrap failed with status {code}")
    try:
        made = bool(json.loads(output.strip().splitlines()[-1])["changed"])
    except (ValueError, KeyError, IndexError):
        module.fail_json(msg=f"bootstrap printed no result: {output[-200:]}")
    module.exit_json(changed=made or written)


if __name__ == "__main__":
    main()
