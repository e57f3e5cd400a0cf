"""Ansible module: rendered objects into a Kubernetes API."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_apply
short_description: Apply rendered objects to a Kubernetes API and wait for conditions
description:
  - Applies every object of a directory by server-side apply, in the order of the file names, waits for custom resource
    definitions to be served, and then for the conditions asked for. Changed means that an object really changed.
  - Where others made an object of that name, nothing is applied at all. What is ours has our label, or was applied by us before.
options:
  kubeconfig:
    description: Kubeconfig of the API.
    type: path
    required: true
  manifests:
    description: Directory of YAML files, or one file; none where left out.
    type: path
  objects:
    description: The objects themselves, in the order in which they are applied; after those of C(manifests).
    type: list
    elements: dict
    default: []
  wait:
    description: >-
      Conditions to wait for, each with C(api_version), C(kind), C(name), C(namespace) and C(condition).
    type: list
    elements: dict
    default: []
  prune:
    description: >-
      Objects that an earlier run applied and that are no longer wanted, each with C(api_version), C(kind), C(name) and
      C(namespace). They are deleted where their label says that they are ours, and no label that they are another slice's
      than C(slice).
    type: list
    elements: dict
    default: []
  members:
    description: >-
      Members of a Karmada that have to serve the kinds that C(objects) define, as Karmada knows them, before objects of
      these kinds are applied. Karmada's scheduler gives up on what a member does not serve yet, and looks again minutes later.
    type: list
    elements: str
    default: []
  take_ownership:
    description: Apply objects that others made, too; they are ours from then on.
    type: bool
    default: false
  field_manager:
    description: Owner of the fields that are applied.
    type: str
    default: mls
  timeout:
    description: Seconds in all.
    type: int
    default: 60
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Apply what was rendered
  mls_apply:
    kubeconfig: /var/lib/x/admin.kubeconfig
    manifests: /var/lib/x/rendered/continuum
"""

RETURN = r"""
touched:
  description: Kind and name of the objects that changed.
  returned: always
  type: list
pruned:
  description: Those of C(prune) of which nothing of ours is left.
  returned: success
  type: list
"""

import json  # noqa: E402 - Ansible wants the documentation first
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_kubernetes import (  # noqa: E402
    Api,
    ApiError,
    ApiUnreachableError,
    is_ours,
    load_manifests,
)
from ansible.module_utils.mls_ownership import Claims, slice_of, way_out  # noqa: E402

#: Seconds; Karmada looks at its members every 10 s, unless somebody set it otherwise.
_LONGEST_WAIT = 60.0


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "path", "required": True},
            "manifests": {"type": "path"},
            "objects": {"type": "list", "elements": "dict", "default": []},
            "wait": {"type": "list", "elements": "dict", "default": []},
            "prune": {"type": "list", "elements": "dict", "default": []},
            "members": {"type": "list", "elements": "str", "default": []},
            "take_ownership": {"type": "bool", "default": False},
            "field_manager": {"type": "str", "default": "mls"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    objects = load_manifests(parameters["manifests"]) if parameters["manifests"] else []
    objects += parameters["objects"]
    if module.check_mode and not Path(parameters["kubeconfig"]).exists():
        # A bare host: there is no control plane yet, so everything would be new.
        module.exit_json(changed=bool(objects), touched=[_name(obj) for obj in objects], diff=_diff([]))
    try:
        _run(module, objects)
    except ApiUnreachableError as exc:
        if module.check_mode:
            module.exit_json(changed=bool(objects), touched=[_name(obj) for obj in objects], diff=_diff([]))
        module.fail_json(msg=str(exc), mls_error="unreachable")
    except ApiError as exc:
        module.fail_json(msg=str(exc))


def _run(module: Any, objects: list[dict[str, Any]]) -> None:
    parameters = module.params
    deadline = time.monotonic() + parameters["timeout"]
    api = Api(parameters["kubeconfig"])
    touched, changes = [], []
    awaited = [] if module.check_mode else list(parameters["members"])
    defined = _defined(objects)
    claims = Claims(api, objects)
    if claims.foreign and not parameters["take_ownership"]:
        names = ", ".join(claims.foreign)
        module.fail_json(msg=f"others made {names} ({way_out()})", mls_error="conflict")
    for obj in objects:
        if awaited and (obj["apiVersion"], obj["kind"]) in defined:
            _await_members(api, awaited, defined, min(deadline, time.monotonic() + _LONGEST_WAIT))
            awaited = []
        left = max(1.0, deadline - time.monotonic())
        try:
            changed, before, after = api.apply(
                obj,
                manager=parameters["field_manager"],
                timeout=0 if module.check_mode else left,
                dry_run=module.check_mode,
                known=claims.before(obj),
            )
        except ApiError as exc:
            if module.check_mode and exc.code == 404:  # its kind or namespace would be made by an object before it
                touched.append(_name(obj))
                continue
            raise ApiError(exc.code, f"{_name(obj)}: {exc}") from exc
        if changed:
            touched.append(_name(obj))
            changes.append((_name(obj), before, after))
    # Last first: what an object stands on goes after it.
    for one in reversed(parameters["prune"]):
        gone = _prune(api, one, dry_run=module.check_mode)
        if gone is not None:
            touched.append("{}/{}".format(one["kind"], one["name"]))
            changes.append((touched[-1], gone, None))
    for one in [] if module.check_mode else parameters["wait"]:
        path = api.path(
            one["api_version"],
            one["kind"],
            one.get("namespace", ""),
            one["name"],
            max(0.0, deadline - time.monotonic()),
        )
        missing = api.wait(lambda path=path: api.get(path), one["condition"], deadline)
        if missing:
            module.fail_json(
                msg=f"{one['kind']} {one['name']} is not {one['condition']} after {parameters['timeout']} s: {missing}",
                mls_error="timed-out",
            )
    module.exit_json(
        changed=bool(touched),
        touched=touched,
        pruned=[] if module.check_mode else parameters["prune"],
        diff=_diff(changes),
    )


def _defined(objects: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Return apiVersion and kind of objects whose definitions are among them, too."""
    definitions = {
        (f"{obj['spec']['group']}/{version['name']}", obj["spec"]["names"]["kind"])
        for obj in objects
        if obj["kind"] == "CustomResourceDefinition"
        for version in obj["spec"]["versions"]
    }
    return {(obj["apiVersion"], obj["kind"]) for obj in objects} & definitions


def _await_members(api: Any, members: list[str], kinds: set[tuple[str, str]], deadline: float) -> None:
    """Wait until Karmada knows that its members serve kinds; what takes longer shows where its outcome is waited for.

    Of a member that is ready Karmada knows at least the kinds that every Kubernetes has; of any other there is nothing to learn.
    """
    delay = 0.1
    for name in members:
        path = f"/apis/cluster.karmada.io/v1alpha1/clusters/{name}"
        while (served := _served(api.get(path) or {})) and not kinds <= served:
            if time.monotonic() >= deadline:
                return
            time.sleep(delay)
            delay = min(delay * 1.5, 1.0)


def _served(cluster: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (group["groupVersion"], resource["kind"])
        for group in (cluster.get("status") or {}).get("apiEnablements") or []
        for resource in group.get("resources") or []
    }


def _prune(api: Any, one: dict[str, Any], *, dry_run: bool) -> dict[str, Any] | None:
    """Delete an object that is no longer wanted; return what it was, or None where there was nothing of ours."""
    try:
        path = api.path(one["api_version"], one["kind"], one.get("namespace", ""), one["name"])
        found: dict[str, Any] | None = api.get(path)
    except ApiError as exc:
        if exc.code == 404:  # its kind is not served any more
            return None
        raise
    if found is None or found["metadata"].get("deletionTimestamp") or not is_ours(found):
        return None
    theirs, ours = slice_of(found), one.get("slice")
    if theirs and ours and theirs != ours:  # who took it over has it
        return None
    return found if api.delete(path, dry_run=dry_run) else None


def _name(obj: dict[str, Any]) -> str:
    return "{}/{}".format(obj["kind"], obj["metadata"]["name"])


def _diff(changes: list[tuple[str, Any, Any]]) -> list[dict[str, str]]:
    return [
        {"before_header": name, "after_header": name, "before": _text(before), "after": _text(after)}
        for name, before, after in changes
        if not name.startswith("Secret/")
    ]


def _text(obj: dict[str, Any] | None) -> str:
    if obj is None:
        return ""
    metadata = {k: v for k, v in obj["metadata"].items() if k not in ("managedFields", "resourceVersion", "generation")}
    return json.dumps({**obj, "metadata": metadata}, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    main()
