"""Ansible module: Karmada on the management host, and its members."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_karmada
short_description: Run Karmada on a host's k3s, let clusters join it, or remove it
description:
  - With C(state=checked) refuses a version other than the one that runs, which is not upgraded.
  - With C(state=present) installs the control plane with karmadactl, and its search add-on, and waits until its API is
    ready. What an attempt that died left behind goes first.
  - With C(state=invited), on the management host, tells whether a cluster is a member, and makes a short-lived token for
    one that is not and shall pull. With C(state=registered), on a server of the cluster, joins with that token. With
    C(state=pushed), on the management host, joins a cluster that shall be pushed to.
  - With C(state=absent) removes control plane and store. Members go with their clusters.
options:
  owner:
    description: Name of the slice.
    type: str
    required: true
  data:
    description: Directory of its kubeconfig and certificates.
    type: path
    default: /etc/karmada
  etcd:
    description: Directory of its store.
    type: path
    default: /var/lib/karmada-etcd
  host:
    description: Kubeconfig of the cluster on which it runs, or, with C(state=registered), that joins.
    type: path
    default: /etc/rancher/k3s/k3s.yaml
  address:
    description: Address of its API.
    type: str
    default: ''
  port:
    description: Port of its API.
    type: int
    default: 32443
  crds:
    description: Archive of its custom resource definitions.
    type: path
    default: ''
  registry:
    description: Registry of its images; karmadactl's own choice where empty.
    type: str
    default: ''
  image:
    description: Image of the agent of a cluster that pulls; karmadactl's own choice where empty.
    type: str
    default: ''
  cluster:
    description: The cluster that joins.
    type: str
    default: ''
  join:
    description: Whether it pulls, or is pushed to.
    type: str
    choices: [pull, push]
    default: pull
  token:
    description: The invitation; with C(state=registered), and with C(state=uninvited), which makes it worthless.
    type: str
    default: ''
  digest:
    description: Hash of the certificate of Karmada's authority.
    type: str
    default: ''
  kubeconfig:
    description: Text of the kubeconfig with which a cluster is pushed to.
    type: str
    default: ''
  version:
    description: The version that is wanted, with C(state=checked).
    type: str
    default: ''
  timeout:
    description: Seconds that each step may take.
    type: int
    default: 300
  state:
    description: What shall be.
    type: str
    choices: [checked, present, absent, invited, uninvited, registered, pushed]
    default: present
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Run Karmada
  mls_karmada:
    owner: x
    address: 10.0.0.10
    crds: /var/lib/mlsysops/x/mgmt/crds.tar.gz
"""

RETURN = r"""
joined:
  description: Whether the cluster is a member.
  returned: with state=invited
  type: bool
token:
  description: The invitation; a secret.
  returned: with state=invited
  type: str
digest:
  description: Hash of the certificate of Karmada's authority.
  returned: with state=invited
  type: str
"""

from typing import Any  # noqa: E402 - Ansible wants the documentation first

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_karmada import Karmada, KarmadaError  # noqa: E402


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "owner": {"type": "str", "required": True},
            "data": {"type": "path", "default": "/etc/karmada"},
            "etcd": {"type": "path", "default": "/var/lib/karmada-etcd"},
            "host": {"type": "path", "default": "/etc/rancher/k3s/k3s.yaml"},
            "address": {"type": "str", "default": ""},
            "port": {"type": "int", "default": 32443},
            "crds": {"type": "path", "default": ""},
            "registry": {"type": "str", "default": ""},
            "image": {"type": "str", "default": ""},
            "cluster": {"type": "str", "default": ""},
            "join": {"type": "str", "choices": ["pull", "push"], "default": "pull"},
            "token": {"type": "str", "default": "", "no_log": True},
            "digest": {"type": "str", "default": ""},
            "kubeconfig": {"type": "str", "default": "", "no_log": True},
            "version": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 300},
            "state": {
                "type": "str",
                "choices": ["checked", "present", "absent", "invited", "uninvited", "registered", "pushed"],
                "default": "present",
            },
        },
        supports_check_mode=True,
    )
    parameters = module.params
    karmada = Karmada(parameters["owner"], parameters["data"], parameters["etcd"], parameters["host"])
    steps = {
        "checked": _checked, "present": _present, "absent": _absent, "invited": _invited, "uninvited": _uninvited,
        "registered": _registered, "pushed": _pushed,
    }  # fmt: skip
    try:
        module.exit_json(**steps[parameters["state"]](module, karmada))
    except KarmadaError as exc:
        module.fail_json(msg=str(exc), mls_error=exc.family)


def _checked(module: Any, karmada: Karmada) -> dict[str, Any]:
    karmada.check_version(module.params["version"])
    return {"changed": False}


def _present(module: Any, karmada: Karmada) -> dict[str, Any]:
    parameters = module.params
    missing = karmada.missing()
    if module.check_mode:
        return {"changed": missing or not karmada.has_search()}
    if missing:
        karmada.install(parameters, parameters["timeout"])
    else:
        karmada.wait(parameters["timeout"])
    search = not karmada.has_search()
    if search:
        karmada.add_search(parameters["registry"], parameters["timeout"])
    return {"changed": missing or search}


def _absent(module: Any, karmada: Karmada) -> dict[str, Any]:
    if module.check_mode:
        return {"changed": bool(karmada.record())}
    return {"changed": karmada.remove()}


def _invited(module: Any, karmada: Karmada) -> dict[str, Any]:
    joined = karmada.kubeconfig.exists() and karmada.joined(module.params["cluster"])
    if joined or module.check_mode or module.params["join"] == "push":
        return {"changed": False, "joined": joined, "token": "", "digest": ""}
    token, digest = karmada.invite()
    return {"changed": False, "joined": False, "token": token, "digest": digest}


def _uninvited(module: Any, karmada: Karmada) -> dict[str, Any]:
    if not module.check_mode:
        karmada.uninvite(module.params["token"])
    return {"changed": False}


def _registered(module: Any, karmada: Karmada) -> dict[str, Any]:
    parameters = module.params
    if not module.check_mode:
        karmada.register(
            parameters["cluster"],
            "{}:{}".format(parameters["address"], parameters["port"]),
            parameters["token"],
            parameters["digest"],
            parameters["image"],
            parameters["timeout"],
        )
    return {"changed": True}


def _pushed(module: Any, karmada: Karmada) -> dict[str, Any]:
    if not module.check_mode:
        karmada.push(module.params["cluster"], module.params["kubeconfig"], module.params["timeout"])
    return {"changed": True}


if __name__ == "__main__":
    main()
