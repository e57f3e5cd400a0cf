"""From a component's description and the changes that are asked for to the description that runs: pure functions.

Both sides use them: the node, to find out before it asks whether the result would be valid, and the cluster, to make it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from mlsysops_core.errors import InvalidInput
from mlsysops_core.model import Component

__all__ = ["changed_component", "container_index", "container_names"]


def container_names(component: Mapping[str, Any]) -> list[str]:
    """Return what a component's containers are called in its pods (descriptions give them no names)."""
    name = str(component["metadata"]["name"])
    return [name if index == 0 else f"{name[:60]}-{index}" for index in range(len(component["containers"]))]


def container_index(component: Mapping[str, Any], name: str | None) -> int:
    """Return which container a name means; a component that has only one needs none.

    Raises:
        InvalidInput: There is no such container, or several and none is named.
    """
    names = container_names(component)
    if name is None and len(names) == 1:
        return 0
    if name not in names:
        raise InvalidInput(f"container: {name or 'none'} is not to be had, allowed: {', '.join(names)}")
    return names.index(name)


def changed_component(component: Mapping[str, Any], requests: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a component's description with changes made.

    Args:
        component: The description.
        requests: Requests with ``container`` (its index) and one of ``image``, ``environment``, ``resources`` and
            ``runtimeClassName``; those of a container that is no longer described are passed over.

    Raises:
        pydantic.ValidationError: The result is no valid component.
    """
    made: dict[str, Any] = copy.deepcopy(dict(component))
    for request in requests:
        if "runtimeClassName" in request:
            made["runtime_class_name"] = request["runtimeClassName"]
        index = int(request.get("container") or 0)
        if index >= len(made["containers"]):
            continue
        container = made["containers"][index]
        if "image" in request:
            container["image"] = request["image"]
        if "environment" in request:
            new = dict(request["environment"])
            kept = [item for item in container.get("env") or () if item["name"] not in new]
            container["env"] = [*kept, *({"name": name, "value": value} for name, value in new.items())]
        if "resources" in request:
            needs = container.setdefault("platform_requirements", {})
            for name, amounts in request["resources"].items():
                needs[name] = {**(needs.get(name) or {}), **amounts}
    Component.model_validate(made)
    return made
