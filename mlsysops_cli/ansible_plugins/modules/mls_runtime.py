"""Ansible module: the environment that runs the framework's processes on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_runtime
short_description: Check and record the environment that runs the framework's processes
description:
  - Checks that an interpreter can import what the host's processes need, and records it in C(runtime.json) of the
    host's directory.
options:
  python:
    description: The interpreter.
    type: path
    required: true
  imports:
    description: Modules that it must find.
    type: list
    elements: str
    default: []
  directory:
    description: Where it is recorded.
    type: path
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Check the environment
  mls_runtime:
    python: /opt/bin/python
    imports: [mlsysops_agents]
    directory: /var/lib/x/hosts/worker1
"""

RETURN = r"""
missing:
  description: Modules that were not found.
  returned: always
  type: list
"""

import importlib.util  # noqa: E402 - Ansible wants the documentation first
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_supervisor import write_file  # noqa: E402

SCRIPT = (
    "import importlib.util, json, sys;"
    "print(json.dumps([sys.version.split()[0], [n for n in sys.argv[1:] if importlib.util.find_spec(n) is None]]))"
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "python": {"type": "path", "required": True},
            "imports": {"type": "list", "elements": "str", "default": []},
            "directory": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    python, imports = module.params["python"], module.params["imports"]
    version, missing = _look(module, python, imports)
    if missing:
        module.fail_json(
            msg="{} lacks {}: pip install 'mlsysops-cli[all]' into its environment".format(python, ", ".join(missing)),
            missing=missing,
            mls_error="invalid-input",
        )
    path = Path(module.params["directory"]) / "runtime.json"
    text = json.dumps({"python": python, "version": version}, indent=2, sort_keys=True) + "\n"
    if module.check_mode:
        changed = not path.is_file() or path.read_text(encoding="utf-8") != text
    else:
        changed = write_file(path, text)
    module.exit_json(changed=changed, missing=[])


def _look(module: Any, python: str, imports: list[str]) -> tuple[str, list[str]]:
    if python == sys.executable:  # Ansible runs us with it: no need to start it again
        return sys.version.split()[0], [name for name in imports if importlib.util.find_spec(name) is None]
    code, output, errors = module.run_command([python, "-c", SCRIPT, *imports])
    if code != 0:
        module.fail_json(msg=f"{python} cannot be run: {errors.strip()[-200:]}", mls_error="invalid-input")
    version, missing = json.loads(output)
    return str(version), list(missing)


if __name__ == "__main__":
    main()
