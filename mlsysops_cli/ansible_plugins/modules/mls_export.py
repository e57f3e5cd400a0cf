"""Ansible module: what people put into an API that is not ours, as one private file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_export
short_description: Copy what is of the slice in an API, or put a copy back
description:
  - With C(state=taken) writes a gzipped tar, mode 0600, of the objects of given kinds. What has an owner that is not among them
    is left out, because its owner makes it again; so are tokens, which are made anew, and what Karmada brought there.
  - With C(state=restored) creates what is missing, and gives what is there the content that it had. Nothing is deleted.
    Statuses are not written; whoever they belong to does.
options:
  kubeconfig:
    description: Kubeconfig of the API.
    type: path
    required: true
  kinds:
    description: >-
      Which objects, owners before what they own, each with C(api_version), C(plural), C(namespace) (all of them where empty) and C(selector) (of labels).
    type: list
    elements: dict
    default: []
  file:
    description: The tar.
    type: path
    required: true
  timeout:
    description: Seconds until the kinds must be served, with C(state=restored).
    type: int
    default: 60
  state:
    description: What to do.
    type: str
    choices: [taken, restored]
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Copy applications
  mls_export:
    kubeconfig: /home/me/karmada.kubeconfig
    kinds:
      - {api_version: mlsysops.eu/v1, plural: mlsysopsapps, namespace: mlsysops, selector: ''}
    file: /home/me/karmada.tar.gz
    state: taken
"""

RETURN = r"""
objects:
  description: Kind, namespace and name of the objects that were copied or changed.
  returned: success
  type: list
"""

import json  # noqa: E402 - Ansible wants the documentation first
import tarfile  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError, essence  # noqa: E402
from ansible.module_utils.mls_parcel import ParcelError, pack, unpack  # noqa: E402

_FILE = "objects.json"
_NOT_FOUND, _CONFLICT = 404, 409
#: Of an object's metadata, what its author wrote.
_METADATA = ("name", "namespace", "labels", "annotations", "ownerReferences")
#: Bookkeeping of others in labels and annotations.
_BOOKKEEPING = ("kubectl.kubernetes.io/", "deployment.kubernetes.io/", "karmada.io/")
#: With what Karmada marks the objects that it brings to a member; it brings them again.
_BROUGHT = {"work.karmada.io/namespace", "work.karmada.io/name", "karmada.io/managed"}
_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 - a type, no token
_MERGE = "application/merge-patch+json"

Object = dict[str, Any]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "required": True},
            "kinds": {"type": "list", "elements": "dict", "default": []},
            "file": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 60},
            "state": {"type": "str", "choices": ["taken", "restored"], "required": True},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, objects=[])
    file = Path(module.params["file"])
    try:
        api = Api(module.params["kubeconfig"])
        if module.params["state"] == "taken":
            objects = _with_owners([obj for kind in module.params["kinds"] for obj in _listed(api, kind)])
            with tempfile.TemporaryDirectory(prefix=".backup-", dir=file.parent) as scratch:
                Path(scratch, _FILE).write_text(json.dumps(objects, indent=1) + "\n", encoding="utf-8")
                pack(file, {_FILE: Path(scratch, _FILE)})
            module.exit_json(changed=False, objects=[_name(obj) for obj in objects])
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=file.parent) as scratch:
            unpack(file, Path(scratch))
            objects = json.loads(Path(scratch, _FILE).read_text(encoding="utf-8"))
        touched = [_name(obj) for obj in objects if _put_back(api, obj, module.params["timeout"])]
        module.exit_json(changed=bool(touched), objects=touched)
    except ApiUnreachableError as exc:
        module.fail_json(msg=str(exc), mls_error="unreachable")
    except (ApiError, OSError, ValueError, tarfile.TarError) as exc:
        module.fail_json(msg=str(exc))
    except ParcelError as exc:
        module.fail_json(msg=str(exc), mls_error="invalid-input")


def _listed(api: Any, kind: dict[str, str]) -> list[Object]:
    """Return the objects of a kind as their authors wrote them; none where it is not served."""
    base = "/api/" if "/" not in kind["api_version"] else "/apis/"
    place = f"/namespaces/{kind['namespace']}" if kind["namespace"] else ""
    query = {"labelSelector": kind["selector"]} if kind["selector"] else {}
    try:
        listed = api.request("GET", f"{base}{kind['api_version']}{place}/{kind['plural']}", **query)
    except ApiError as exc:
        if exc.code == _NOT_FOUND:
            return []
        raise
    name = str(listed["kind"]).removesuffix("List")
    wanted = [obj for obj in listed["items"] if obj.get("type") != _TOKEN and not _made_by_others(obj["metadata"])]
    return [
        {"apiVersion": kind["api_version"], "kind": name, **_content(obj), "metadata": _authored(obj["metadata"])}
        for obj in wanted
    ]


def _made_by_others(metadata: Object) -> bool:
    """Whether Karmada brings an object again, or somebody is about to remove it."""
    marks = [*(metadata.get("labels") or {}), *(metadata.get("annotations") or {})]
    return bool(metadata.get("deletionTimestamp") or not _BROUGHT.isdisjoint(marks))


def _with_owners(objects: list[Object]) -> list[Object]:
    """Return the objects whose owners, if they have any, are among them."""
    known: set[tuple[str, ...]] = set()
    kept = []
    for obj in objects:
        if all(_owner(one) in known for one in obj["metadata"].get("ownerReferences") or ()):
            known.add((obj["apiVersion"], obj["kind"], obj["metadata"]["name"]))
            kept.append(obj)
    return kept


def _owner(reference: Object) -> tuple[str, ...]:
    return reference["apiVersion"], reference["kind"], reference["name"]


def _owned(api: Any, obj: Object) -> Object:
    """Return an object with its owners as they are now: who was made again has another UID."""
    metadata = dict(obj["metadata"])
    references = []
    for one in metadata.pop("ownerReferences", None) or ():
        found = api.get(api.path(*_owner(one)[:2], metadata.get("namespace", ""), one["name"]))
        references += [{**one, "uid": found["metadata"]["uid"]}] if found else []
    if references:
        metadata["ownerReferences"] = references
    return {**obj, "metadata": metadata}


def _content(obj: Object) -> Object:
    return {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata", "status")}


def _authored(metadata: Object) -> Object:
    kept = {key: metadata[key] for key in _METADATA if metadata.get(key)}
    for part in ("labels", "annotations"):
        if part in kept:
            kept[part] = {k: v for k, v in kept[part].items() if not any(mark in k for mark in _BOOKKEEPING)}
    return kept


def _put_back(api: Any, obj: Object, timeout: float) -> bool:
    """Make an object what it was; return whether it was not."""
    metadata = obj["metadata"]
    path = api.path(obj["apiVersion"], obj["kind"], metadata.get("namespace", ""), metadata["name"], timeout)
    found = api.get(path)
    obj = _owned(api, obj)
    try:
        if found is None and _create(api, path, obj):
            return True
        after = api.request("PATCH", path, body=obj, content_type=_MERGE)
    except ApiError as exc:
        raise ApiError(exc.code, f"{_name(obj)}: {exc}") from exc
    return found is None or bool(essence(found) != essence(after))


def _create(api: Any, path: str, obj: Object) -> bool:
    """Create an object; return whether nobody else did meanwhile."""
    try:
        api.request("POST", path.rpartition("/")[0], body=obj)
    except ApiError as exc:
        if exc.code == _CONFLICT:
            return False
        raise
    return True


def _name(obj: Object) -> str:
    return "/".join(filter(None, (obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"])))


if __name__ == "__main__":
    main()
