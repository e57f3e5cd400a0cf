"""CustomResourceDefinitions for tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kube_api import Api, Obj, path, wait_for

_COUNTER = itertools.count(1)

INTEGER = {"type": "integer"}
STRING = {"type": "string"}


def spec_schema(**properties: Any) -> Obj:
    """Schema of an object whose spec and status are open for the given properties of spec."""
    return {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": properties},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }


class Definition:
    """A CRD with a group of its own.

    Args:
        schema: Of the version v1.
        scope: Namespaced or Cluster.
        version: More keys of the version v1, e.g. subresources.
        versions: All versions instead.
        names: More keys of the names.
    """

    def __init__(
        self,
        schema: Obj | None = None,
        *,
        scope: str = "Namespaced",
        version: Obj | None = None,
        versions: list[Obj] | None = None,
        names: Obj | None = None,
    ) -> None:
        self.group = f"g{next(_COUNTER)}.contract.example.com"
        self.plural = "widgets"
        self.scope = scope
        self.body: Obj = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{self.group}"},
            "spec": {
                "group": self.group,
                "scope": scope,
                "names": {
                    "plural": self.plural,
                    "singular": "widget",
                    "kind": "Widget",
                    "listKind": "WidgetList",
                    **(names or {}),
                },
                "versions": versions
                or [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": schema or spec_schema()},
                        **(version or {}),
                    }
                ],
            },
        }

    @property
    def name(self) -> str:
        """Of the CRD."""
        result: str = self.body["metadata"]["name"]
        return result

    def url(self, namespace: str = "", name: str = "", *, version: str = "v1") -> str:
        """Path of the resource, or of one object."""
        scope = f"/namespaces/{namespace}" if namespace else ""
        base = f"/apis/{self.group}/{version}{scope}/{self.plural}"
        return f"{base}/{name}" if name else base

    def widget(self, name: str, spec: Any = None, *, version: str = "v1", **more: Any) -> Obj:
        """An object."""
        body: Obj = {
            "apiVersion": f"{self.group}/{version}",
            "kind": "Widget",
            "metadata": {"name": name},
            **more,
        }
        if spec is not None:
            body["spec"] = spec
        return body


def conditions(obj: Obj) -> dict[str, str]:
    """Condition type -> status."""
    return {condition["type"]: condition["status"] for condition in (obj.get("status") or {}).get("conditions") or ()}


@contextmanager
def defined(api: Api, definition: Definition) -> Iterator[Definition]:
    """The CRD while it is served."""
    api.create(path("customresourcedefinitions"), definition.body)
    url = path("customresourcedefinitions", name=definition.name)
    wait_for("CRD is established", lambda: conditions(api.read(url)).get("Established") == "True")
    served = [version["name"] for version in definition.body["spec"]["versions"] if version["served"]]
    for version in served:
        wait_for("CRD is served", lambda version=version: api.get(definition.url(version=version)).status_code == 200)
    try:
        yield definition
    finally:
        api.delete(url)
