"""Ansible module: a kubeconfig of a ServiceAccount, for a process of another host or for a pod of another cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_credentials
short_description: Make a kubeconfig of a ServiceAccount
description:
  - Waits until the Secret C(<account>-token) holds the account's token, and makes a kubeconfig of it, with the address and
    the authority that the given kubeconfig has. It returns it for C(mls_bundle), or writes it into a Secret of another
    API. The result holds a key - tasks that handle it set C(no_log).
options:
  kubeconfig:
    description: Kubeconfig of an administrator of the account's API.
    type: path
    required: true
  namespace:
    description: Namespace of the account.
    type: str
    required: true
  account:
    description: Name of the ServiceAccount.
    type: str
    required: true
  server:
    description: URL at which the account's owner reaches the API; that of the given kubeconfig where empty.
    type: str
    default: ''
  file:
    description: Path of the kubeconfig in the text that is returned.
    type: str
    default: ''
  secret:
    description: Secret to write it into, under the key C(kubeconfig) - C(kubeconfig) of its API, C(namespace), C(name).
    type: dict
    default: {}
  files:
    description: Further private files of this host for that Secret, by key.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait for the token.
    type: int
    default: 60
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Make the agent's kubeconfig
  mls_credentials:
    kubeconfig: /home/me/member1.kubeconfig
    namespace: mlsysops-framework
    account: mlsysops-cluster-agent
    file: server1/kubeconfigs/cluster-agent.kubeconfig
  register: made
  no_log: true
"""

RETURN = r"""
content:
  description: The kubeconfig, as C(mls_bundle) takes it; with C(file).
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
            "kubeconfig": {"type": "path", "required": True},
            "namespace": {"type": "str", "required": True},
            "account": {"type": "str", "required": True},
            "server": {"type": "str", "default": ""},
            "file": {"type": "str", "default": ""},
            "secret": {"type": "dict", "default": {}, "no_log": False},
            "files": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        token = _token(module)
        if not token:
            module.exit_json(changed=True, content="")
        kubeconfig = _kubeconfig(module.params, token)
        if module.params["secret"]:
            module.exit_json(changed=_write(module, kubeconfig), content="")
        content = base64.b64encode(json.dumps({module.params["file"]: kubeconfig}).encode()).decode()
        module.exit_json(changed=False, content=content)
    except ApiUnreachableError as exc:
        module.fail_json(msg=str(exc), mls_error="unreachable")
    except ApiError as exc:
        module.fail_json(msg=str(exc))


def _token(module: Any) -> str:
    """Return the account's token; empty in check mode where it is yet to be made.

    Raises:
        ApiError: It is not there in time.
    """
    parameters = module.params
    name = f"{parameters['account']}-token"
    if module.check_mode and not Path(parameters["kubeconfig"]).is_file():
        return ""
    api = Api(parameters["kubeconfig"])
    path = api.path("v1", "Secret", parameters["namespace"], name)
    deadline, delay = time.monotonic() + parameters["timeout"], 0.05
    while True:
        token = ((api.get(path) or {}).get("data") or {}).get("token") or ""
        if token or module.check_mode:
            return base64.b64decode(token).decode()
        if time.monotonic() >= deadline:
            why = "its controller manager does not run serviceaccount-token, or the account is missing"
            raise ApiError(504, f"{api.host} gave Secret {name} no token in {parameters['timeout']} s: {why}")
        time.sleep(delay)
        delay = min(delay * 1.5, 0.5)


def _kubeconfig(parameters: dict[str, Any], token: str) -> str:
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
    try:
        changed, _, _ = Api(target["kubeconfig"]).apply(obj, manager="mls", timeout=0, dry_run=module.check_mode)
    except ApiError as exc:
        if module.check_mode and exc.code == 404:  # its namespace is yet to be made
            return True
        raise
    return bool(changed)


if __name__ == "__main__":
    main()
