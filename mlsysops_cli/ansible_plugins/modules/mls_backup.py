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
    description: The control plane's config file.
    type: path
    required: true
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

import os  # noqa: E402 - Ansible wants the documentation first
import shutil  # noqa: E402
import sys  # noqa: E402
import tarfile  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path, PurePosixPath  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_supervisor import write_file  # noqa: E402

_STORE = "store.sqlite"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "paths": {"type": "list", "elements": "str", "default": []},
            "config": {"type": "path", "required": True},
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
    except (OSError, tarfile.TarError) as exc:
        module.fail_json(msg=f"{state}: {exc}")
    module.exit_json(changed=state == "restored", size=0)


def _take(module: Any, file: Path) -> None:
    root = Path(module.params["root"])
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=root) as scratch:
        store = Path(scratch, _STORE)
        _engine(module, "backup", store)
        partial = Path(scratch, "backup")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # private from its first byte
        with (
            os.fdopen(descriptor, "wb") as stream,
            tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive,
        ):
            archive.add(store, arcname=_STORE)
            for name in module.params["paths"]:
                if (root / name).exists():
                    archive.add(root / name, arcname=f"files/{name}")
        partial.replace(file)


def _put_back(module: Any, file: Path) -> None:
    root = Path(module.params["root"])
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=root) as scratch:
        with tarfile.open(file, "r:gz") as archive:
            members = archive.getmembers()
            for member in members:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                    module.fail_json(msg=f"{file}: {member.name} is no plain file below it", mls_error="invalid-input")
            for member in members:
                member.uid, member.gid = os.geteuid(), os.getegid()
                member.mode = 0o700 if member.isdir() else 0o600
                archive.extract(member, scratch, set_attrs=True)
        for name in module.params["paths"]:
            found, wanted = Path(scratch, "files", name), root / name
            if not found.exists():
                continue
            if wanted.is_dir():
                shutil.rmtree(wanted)
            wanted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            found.replace(wanted)
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
