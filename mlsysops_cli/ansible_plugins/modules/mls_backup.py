"""Ansible module: what a control plane cannot do without, as one private file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_backup
short_description: Copy a control plane's store and keys, or put a copy back
description:
  - With C(state=taken) writes a gzipped tar, mode 0600, of a consistent copy of the store (the control plane may run meanwhile)
    and of the given paths, which hold keys.
  - With C(state=restored) puts such a copy back; the control plane must not run. With C(state=absent) removes the file.
options:
  root:
    description: The host's directory, which all paths are below.
    type: path
    required: true
  paths:
    description: Files and directories below C(root); missing ones are left out.
    type: list
    elements: str
    default: []
  config:
    description: The control plane's config file; there is no store to copy where it is empty.
    type: path
    default: ''
  content:
    description: What the config file holds, with C(state=restored), which may come before the control plane ever ran.
    type: str
    default: ''
  file:
    description: The tar.
    type: path
    required: true
  state:
    description: What to do.
    type: str
    choices: [taken, restored, absent]
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Copy store and keys
  mls_backup:
    root: /var/lib/x/server1
    paths: [pki]
    config: /var/lib/x/server1/controlplane.yaml
    file: /var/lib/x/server1/backup.tar.gz
    state: taken
"""

RETURN = r"""
size:
  description: Bytes of the file.
  returned: with state=taken
  type: int
"""

import shutil  # noqa: E402 - Ansible wants the documentation first
import sys  # noqa: E402
import tarfile  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_files import write_file  # noqa: E402
from ansible.module_utils.mls_parcel import ParcelError, pack, unpack  # noqa: E402

_STORE = "store.sqlite"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "paths": {"type": "list", "elements": "str", "default": []},
            "config": {"type": "path", "default": ""},
            "content": {"type": "str", "default": ""},
            "file": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["taken", "restored", "absent"], "required": True},
        },
        supports_check_mode=True,
    )
    state, file = module.params["state"], Path(module.params["file"])
    if module.check_mode:
        module.exit_json(changed=state == "restored", size=0)
    try:
        if state == "taken":
            _take(module, file)
            module.exit_json(changed=False, size=file.stat().st_size)
        if state == "restored":
            _put_back(module, file)
        file.unlink(missing_ok=True)
    except ParcelError as exc:
        module.fail_json(msg=str(exc), mls_error="invalid-input")
    except (OSError, tarfile.TarError) as exc:
        module.fail_json(msg=f"{state}: {exc}")
    module.exit_json(changed=state == "restored", size=0)


def _take(module: Any, file: Path) -> None:
    root = Path(module.params["root"])
    members = {f"files/{name}": root / name for name in module.params["paths"] if (root / name).exists()}
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=root) as scratch:
        if module.params["config"]:
            members[_STORE] = Path(scratch, _STORE)
            _engine(module, "backup", members[_STORE])
        pack(file, members)


def _put_back(module: Any, file: Path) -> None:
    root = Path(module.params["root"])
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=root) as scratch:
        unpack(file, Path(scratch))
        for name in module.params["paths"]:
            found, wanted = Path(scratch, "files", name), root / name
            if not found.exists():
                continue
            if wanted.is_dir():
                shutil.rmtree(wanted)
            wanted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            found.replace(wanted)
        if module.params["config"]:
            write_file(Path(module.params["config"]), module.params["content"])
            _engine(module, "restore", Path(scratch, _STORE))


def _engine(module: Any, command: str, store: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "mlsysops_embedded",
        command,
        "--config",
        module.params["config"],
        "--file",
        str(store),
    ]
    code, _, errors = module.run_command(argv, cwd=module.params["root"])
    if code != 0:
        lines = [line for line in errors.splitlines() if line.strip()]
        module.fail_json(msg=lines[-1] if lines else f"{command} failed with status {code}")


if __name__ == "__main__":
    main()
