"""Ansible module: what was applied to an API last and went well, and the way back to it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mls_objects
short_description: Keep the objects that an API has settled for, and go back to them
description:
  - C(state=settled) keeps a copy of the objects that were applied and went well. C(state=restored) applies that copy again
    and deletes what has come since, where its label says that it is ours. Definitions of kinds and namespaces stay as they
    are, since going back would lose what people wrote meanwhile; new versions of them understand what old ones wrote.
options:
  planes:
    description: >-
      What is applied together, in order, each with C(kubeconfig), C(objects) (file with what is applied now) and C(settled)
      (file with the copy).
    type: list
    elements: dict
    required: true
  state:
    description: What to do.
    type: str
    choices: [settled, restored]
    required: true
author: The MLSysOps founders
"""

EXAMPLES = r"""
- name: Settle for what was applied
  mls_objects:
    planes:
      - kubeconfig: /home/me/member1.kubeconfig
        objects: /home/me/objects/member1.json
        settled: /home/me/settled/member1.json
    state: settled
"""

RETURN = r"""
kept:
  description: Whether there is something to go back to, or it is back.
  returned: success
  type: bool
"""

import json  # noqa: E402 - Ansible wants the documentation first
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible.module_utils.mls_files import write_file  # noqa: E402
from ansible.module_utils.mls_kubernetes import Api, ApiError, ApiUnreachableError, is_ours  # noqa: E402
from ansible.module_utils.mls_ownership import in_the_way  # noqa: E402

_KEPT = ("CustomResourceDefinition", "Namespace")
_MANAGER = "mls"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "planes": {"type": "list", "elements": "dict", "required": True},
            "state": {"type": "str", "choices": ["settled", "restored"], "required": True},
        },
        supports_check_mode=True,
    )
    planes = module.params["planes"]
    kept = all(Path(plane["settled"]).is_file() for plane in planes)
    if module.check_mode:
        module.exit_json(changed=False, kept=kept)
    if module.params["state"] == "settled":
        for plane in planes:  # a note of our own is no change of the API
            write_file(Path(plane["settled"]), Path(plane["objects"]).read_text(encoding="utf-8"))
        module.exit_json(changed=False, kept=True)
    if not kept:
        module.exit_json(changed=False, kept=False)
    try:
        changed = [_restore(plane) for plane in planes]
    except ApiUnreachableError as exc:
        module.fail_json(msg=str(exc), mls_error="unreachable")
    except ApiError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(changed=any(changed), kept=True)


def _restore(plane: dict[str, Any]) -> bool:
    api = Api(plane["kubeconfig"])
    before, now = (_objects(plane[key]) for key in ("settled", "objects"))
    changed = False
    for obj in before.values():
        if obj["kind"] not in _KEPT:
            changed |= api.apply(obj, manager=_MANAGER, timeout=30)[0]
    for identity, obj in reversed(now.items()):
        if identity not in before and obj["kind"] not in _KEPT:
            path = api.path(
                obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
            )
            found = api.get(path)
            if found is not None and is_ours(found) and not in_the_way(obj, found):
                changed |= api.delete(path)
    return changed


def _objects(file: str) -> dict[tuple[str, ...], dict[str, Any]]:
    return {
        (obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]): obj
        for obj in json.loads(Path(file).read_text(encoding="utf-8"))
    }


if __name__ == "__main__":
    main()
