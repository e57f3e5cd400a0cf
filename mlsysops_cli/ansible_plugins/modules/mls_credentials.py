"""Ansible module: a kubeconfig of a ServiceAccount, for a process of another host or for a pod of another cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_credentials
short_description: Make kubeconfigs of ServiceAccounts
description:
  - Waits until the Secret C(<account>-token) of each account holds its token, and makes a kubeconfig of it, with the
    address and the authority that the given kubeconfig has. It returns them for C(mls_bundle), or writes one into a
    Secret of another API. The result may hold keys - tasks that ask for it set C(no_log).
options:
  accounts:
    description: >-
      Accounts, each with C(kubeconfig) of an administrator of its API, C(namespace), C(account), C(server) (the URL at
      which its owner reaches the API; that of the kubeconfig where empty) and C(file), the path of its kubeconfig in the
      text that is returned.
    type: list
    elements: dict
    required: true
  secret:
    description: >-
      Secret to write the kubeconfig of the one account into, under the key C(kubeconfig) - C(kubeconfig) of its API,
      C(namespace), C(name), and C(take_ownership) where it may be replaced though others made it.
    type: dict
    default: {}
  files:
    description: Further private files of this host for that Secret, by key.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait for tokens.
    type: int
    default: 60
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Make the agent's kubeconfig
  mls_credentials:
    accounts:
      - kubeconfig: /home/me/member1.kubeconfig
        namespace: mlsysops-framework
        account: mlsysops-cluster-agent
        server: ''
        file: kubeconfigs/cluster-agent.kubeconfig
  register: made
  no_log: true
"""

RETURN = r"""
content:
  description: The kubeconfigs, as C(mls_bundle) takes them; empty with C(secret), and in check mode where one is yet to be made.
  returned: success
  type: str
"""

import base64  # noqa: E402 - Ansible wants the documentation first
import json  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError  # noqa: E402
from ansible.module_utils.mls_ownership import Claims, way_out  # noqa: E402

#: What a kubeconfig says of the way to a server, beside its address.
_WAY = (
    "certificate-authority-data",
    "certificate-authority",
    "insecure-skip-tls-verify",
    "tls-server-name",
    "proxy-url",
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "accounts": {"type": "list", "elements": "dict", "required": True},
            "secret": {"type": "dict", "default": {}, "no_log": False},
            "files": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        made = {one["file"]: _kubeconfig(one, _token(module, one)) for one in module.params["accounts"]}
        if not all(made.values()):
            module.exit_json(changed=True, content="")
        if module.params["secret"]:
            (kubeconfig,) = made.values()
            module.exit_json(changed=_write(module, kubeconfig), content="")
        module.exit_json(changed=False, content=base64.b64encode(json.dumps(made).encode()).decode())
    except ApiUnreachableError as exc:
        module.fail_json(msg=str(exc), mls_error="unreachable")
    except ApiError as exc:
        module.fail_json(msg=str(exc))


def _token(module: Any, parameters: dict[str, Any]) -> str:
    """Return the account's token; empty in check mode where it is yet to be made.

    Raises:
        ApiError: It is not there in time.
    """
    timeout, name = module.params["timeout"], f"{parameters['account']}-token"
    if module.check_mode and not Path(parameters["kubeconfig"]).is_file():
        return ""
    api = Api(parameters["kubeconfig"])
    path = api.path("v1", "Secret", parameters["namespace"], name)
    deadline, delay = time.monotonic() + timeout, 0.05
    while True:
        token = ((api.get(path) or {}).get("data") or {}).get("token") or ""
        if token or module.check_mode:
            return base64.b64decode(token).decode()
        if time.monotonic() >= deadline:
            why = "its controller manager does not run serviceaccount-token, or the account is missing"
            raise ApiError(504, f"{api.host} gave Secret {name} no token in {timeout} s: {why}")
        time.sleep(delay)
        delay = min(delay * 1.5, 0.5)


def _kubeconfig(parameters: dict[str, Any], token: str) -> str:
    if not token:
        return ""
    import yaml

    given = yaml.safe_load(Path(parameters["kubeconfig"]).read_text(encoding="utf-8"))
    contexts = {one["name"]: one["context"] for one in given["contexts"]}
    clusters = {one["name"]: one["cluster"] for one in given["clusters"]}
    cluster = clusters[contexts[given["current-context"]]["cluster"]]
    way = {key: cluster[key] for key in _WAY if cluster.get(key) is not None}
    authority = way.pop("certificate-authority", "")
    if authority and "certificate-authority-data" not in way:
        path = Path(parameters["kubeconfig"]).parent / authority
        way["certificate-authority-data"] = base64.b64encode(path.read_bytes()).decode()
    name = parameters["account"]
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {"server": parameters["server"] or cluster["server"], **way}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [
            {"name": name, "context": {"cluster": "cluster", "user": name, "namespace": parameters["namespace"]}}
        ],
        "current-context": name,
    }
    return str(yaml.safe_dump(document, sort_keys=False))


def _write(module: Any, kubeconfig: str) -> bool:
    target = module.params["secret"]
    files = {key: Path(path) for key, path in module.params["files"].items()}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing and module.check_mode:
        return True
    if missing:
        module.fail_json(msg="no file {}".format(", ".join(missing)), mls_error="not-found")
    texts = {"kubeconfig": kubeconfig, **{key: path.read_text(encoding="utf-8") for key, path in files.items()}}
    obj = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": target["name"],
            "namespace": target["namespace"],
            "labels": {"app.kubernetes.io/part-of": "mlsysops", "app.kubernetes.io/managed-by": "mls"},
        },
        "type": "Opaque",
        "data": {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()},
    }
    api = Api(target["kubeconfig"])
    claims = Claims(api, [obj])
    if claims.foreign and not target.get("take_ownership"):
        module.fail_json(msg=f"others made {claims.foreign[0]} ({way_out()})", mls_error="conflict")
    try:
        changed, _, _ = api.apply(obj, manager="mls", timeout=0, dry_run=module.check_mode, known=claims.before(obj))
    except ApiError as exc:
        if module.check_mode and exc.code == 404:  # its namespace is yet to be made
            return True
        raise
    return bool(changed)


if __name__ == "__main__":
    main()
