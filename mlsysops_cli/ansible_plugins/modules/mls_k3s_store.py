"""Ansible module: the datastore and keys of a server of k3s, and of the Karmada that runs on it, as one private file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_k3s_store
short_description: Copy the datastore and keys of a server of k3s, or put a copy back
description:
  - With C(state=taken) writes a gzipped tar, mode 0600, of the datastore (a consistent copy of SQLite, a snapshot of embedded
    etcd), the token, the keys, and of Karmada's own store and keys. Everything goes on running.
  - With C(state=restored) replaces all of it by such a copy; k3s must not run. With C(state=emptied) removes the datastore
    of a server that joins another one again. With C(state=absent) removes the file.
options:
  owner:
    description: Name of the slice.
    type: str
    required: true
  file:
    description: The tar.
    type: path
    default: /nonexistent
  karmada:
    description: Directory of Karmada's kubeconfig and certificates.
    type: path
    default: /etc/karmada
  etcd:
    description: Directory of Karmada's store.
    type: path
    default: /var/lib/karmada-etcd
  config:
    description: k3s' C(config.yaml), with C(state=restored), which may come before k3s ever ran.
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
  timeout:
    description: Seconds until a snapshot of etcd must be put back.
    type: int
    default: 600
  state:
    description: What to do.
    type: str
    choices: [taken, restored, emptied, absent]
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Copy datastore and keys
  mls_k3s_store:
    owner: x
    file: /var/lib/mlsysops/x/server1/backup.tar.gz
    state: taken
"""

RETURN = r"""
size:
  description: Bytes of the file.
  returned: with state=taken
  type: int
"""

import tarfile  # noqa: E402 - Ansible wants the documentation first
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_k3s import K3s, K3sError  # noqa: E402
from ansible.module_utils.mls_k3s_store import Store, empty_server  # noqa: E402
from ansible.module_utils.mls_parcel import ParcelError  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "owner": {"type": "str", "required": True},
            "file": {"type": "path", "default": "/nonexistent"},
            "karmada": {"type": "path", "default": "/etc/karmada"},
            "etcd": {"type": "path", "default": "/var/lib/karmada-etcd"},
            "config": {"type": "dict", "default": {}},
            "registries": {"type": "dict", "default": {}, "no_log": True},
            "environment": {"type": "dict", "default": {}, "no_log": True},
            "timeout": {"type": "int", "default": 600},
            "state": {"type": "str", "choices": ["taken", "restored", "emptied", "absent"], "required": True},
        },
        supports_check_mode=True,
    )
    state = module.params["state"]
    if module.check_mode:
        module.exit_json(changed=state in ("restored", "emptied"), size=0)
    try:
        _run(module, state, Path(module.params["file"]))
    except K3sError as exc:
        module.fail_json(msg=str(exc), mls_error=exc.family)
    except ParcelError as exc:
        module.fail_json(msg=str(exc), mls_error="invalid-input")
    except (OSError, ValueError, LookupError, tarfile.TarError) as exc:
        module.fail_json(msg=f"{state}: {exc}")


def _run(module: Any, state: str, file: Path) -> None:
    parameters = module.params
    k3s = K3s(parameters["owner"], "server")
    if state == "absent":
        file.unlink(missing_ok=True)
        module.exit_json(changed=False, size=0)
    if k3s.record().get("slice") != parameters["owner"]:
        raise K3sError("no k3s of this slice is here: run `mls framework deploy-all`", "not-found")
    if state == "emptied":
        empty_server()
        module.exit_json(changed=True, size=0)
    store = Store(Path(parameters["karmada"]), Path(parameters["etcd"]))
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if state == "taken":
        store.take(file)
        module.exit_json(changed=False, size=file.stat().st_size)
    files = k3s.files(parameters["config"], parameters["registries"], parameters["environment"])
    store.put_back(file, k3s, files, parameters["timeout"])
    file.unlink()
    module.exit_json(changed=True, size=0)


if __name__ == "__main__":
    main()
