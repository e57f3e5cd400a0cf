"""Ansible module: a few private files from one host to another."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_bundle
short_description: Carry private files from one host to another
description:
  - With C(state=packed) returns files of this host as one text; with C(state=unpacked) writes them on another, mode
    0600, where they differ. The text holds keys - tasks that handle it set C(no_log).
options:
  root:
    description: Directory below which the files lie.
    type: path
    required: true
  files:
    description: Paths of the files relative to C(root); with C(state=packed). Missing ones are an error.
    type: list
    elements: str
    default: []
  content:
    description: The text; with C(state=unpacked). Empty in check mode where the files are yet to be made.
    type: str
    default: ''
  state:
    description: Which way.
    type: str
    choices: [packed, unpacked]
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Take certificates along
  mls_bundle:
    root: /var/lib/x
    files: [worker1/kubelet-pki/ca.crt]
    state: packed
  register: bundle
  no_log: true
"""

RETURN = r"""
content:
  description: The files; with C(state=packed).
  returned: success
  type: str
"""

import base64  # noqa: E402 - Ansible wants the documentation first
import json  # noqa: E402
from pathlib import Path, PurePosixPath  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_files import write_file  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "files": {"type": "list", "elements": "str", "default": []},
            "content": {"type": "str", "default": "", "no_log": True},
            "state": {"type": "str", "choices": ["packed", "unpacked"], "required": True},
        },
        supports_check_mode=True,
    )
    root = Path(module.params["root"])
    if module.params["state"] == "packed":
        _pack(module, root)
    else:
        _unpack(module, root)


def _pack(module: Any, root: Path) -> None:
    missing = [name for name in module.params["files"] if not (root / name).is_file()]
    if missing:
        if module.check_mode:
            module.exit_json(changed=False, content="")
        module.fail_json(msg="{} has no {}".format(root, ", ".join(missing)), mls_error="not-found")
    files = {name: (root / name).read_text(encoding="utf-8") for name in module.params["files"]}
    module.exit_json(changed=False, content=base64.b64encode(json.dumps(files).encode()).decode())


def _unpack(module: Any, root: Path) -> None:
    if not module.params["content"]:
        module.exit_json(changed=True)
    changed = False
    for name, text in json.loads(base64.b64decode(module.params["content"])).items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            module.fail_json(msg=f"{name} leads out of {root}")
        path = root / name
        if module.check_mode:
            changed |= not path.is_file() or path.read_text(encoding="utf-8") != text
        else:
            changed |= write_file(path, text)
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
