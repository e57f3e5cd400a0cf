"""Discovery: /api, /apis, group versions, and the aggregated form (apidiscovery.k8s.io/v2)."""

from __future__ import annotations

from typing import Any, Final

from mlsysops_embedded.apiserver.http import Request
from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.resources import Catalog, ResourceInfo

__all__ = ["Discovery"]

Obj = dict[str, Any]
_SUB_KINDS: Final = {
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "binding": ("", "v1", "Binding", ("create",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
    "log": ("", "v1", "Pod", ("get",)),
    "finalize": ("", "v1", "Namespace", ("update",)),
}
#: Refused, so not announced.
_HIDDEN: Final = ("exec", "attach", "portforward", "proxy", "ephemeralcontainers")


def _subresources(info: ResourceInfo) -> list[tuple[str, str, str, str, tuple[str, ...]]]:
    found = []
    for name in sorted(info.subresources):
        if name in _HIDDEN:
            continue
        default = (info.group, info.version, info.kind, ("get", "patch", "update"))
        found.append((name, *_SUB_KINDS.get(name, default)))
    return found


def _abilities(info: ResourceInfo) -> Obj:
    """What both forms of discovery say of a resource in the same words."""
    named = {"shortNames": info.short_names, "categories": info.categories}
    return {"verbs": list(info.verbs), **{key: list(value) for key, value in named.items() if value}}


class Discovery:
    """Answers about the catalogue."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def answer(self, request: Request) -> tuple[Obj, str] | None:
        """(document, content type) of a discovery path; None for other paths."""
        parts = [part for part in request.path.split("/") if part]
        if not parts or parts[0] not in ("api", "apis"):
            return None
        if len(parts) == 1:
            for name, parameters in request.accepts():
                if name == "application/json" and parameters.get("as") == "APIGroupDiscoveryList":
                    version = parameters.get("v", "v2")
                    if version in ("v2", "v2beta1") and parameters.get("g") == "apidiscovery.k8s.io":
                        media = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
                        return self._aggregated(core=parts[0] == "api", version=version), media
                elif name in ("application/json", "*/*"):
                    break
            return (self._versions() if parts[0] == "api" else self._groups()), "application/json"
        if parts[0] == "api" and len(parts) == 2:
            return self._resources("", parts[1]), "application/json"
        if parts[0] == "apis" and len(parts) == 2:
            return self._group(parts[1]), "application/json"
        if parts[0] == "apis" and len(parts) == 3:
            return self._resources(parts[1], parts[2]), "application/json"
        return None

    @staticmethod
    def _versions() -> Obj:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}

    def _group_entry(self, group: str, versions: list[str]) -> Obj:
        entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
        return {"name": group, "versions": entries, "preferredVersion": entries[0]}

    def _groups(self) -> Obj:
        groups = [self._group_entry(group, versions) for group, versions in self._catalog.groups().items() if group]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _group(self, group: str) -> Obj:
        versions = self._catalog.groups().get(group)
        if not versions or not group:
            raise ApiError.unknown_resource()
        return {"kind": "APIGroup", "apiVersion": "v1", **self._group_entry(group, versions)}

    def _resources(self, group: str, version: str) -> Obj:
        resources: list[Obj] = []
        for info in self._catalog:
            if (info.group, info.version) != (group, version):
                continue
            head = {
                "name": info.plural,
                "singularName": info.singular,
                "namespaced": info.namespaced,
                "kind": info.kind,
            }
            resources.append({**head, **_abilities(info)})
            for name, sub_group, sub_version, kind, verbs in _subresources(info):
                sub: Obj = {
                    "name": f"{info.plural}/{name}",
                    "singularName": "",
                    "namespaced": info.namespaced,
                    "kind": kind,
                    "verbs": list(verbs),
                }
                if (sub_group, sub_version) != (group, version):
                    sub |= {"group": sub_group, "version": sub_version}
                resources.append(sub)
        if not resources:
            raise ApiError.unknown_resource()
        text = f"{group}/{version}" if group else version
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": text, "resources": resources}

    def _aggregated(self, *, core: bool, version: str) -> Obj:
        items = []
        for group, versions in self._catalog.groups().items():
            if bool(group) == core:
                continue
            entries = []
            for name in versions:
                resources = [
                    self._aggregated_resource(i) for i in self._catalog if (i.group, i.version) == (group, name)
                ]
                entries.append({"version": name, "resources": resources, "freshness": "Current"})
            metadata = {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}
            items.append({"metadata": metadata, "versions": entries})
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": items,
        }

    @staticmethod
    def _aggregated_resource(info: ResourceInfo) -> Obj:
        def kind(group: str, version: str, name: str) -> Obj:
            return {"group": group, "version": version, "kind": name}

        entry: Obj = {
            "resource": info.plural,
            "responseKind": kind(info.group, info.version, info.kind),
            "scope": "Namespaced" if info.namespaced else "Cluster",
            "singularResource": info.singular,
            **_abilities(info),
        }
        if subs := _subresources(info):
            entry["subresources"] = [
                {"subresource": name, "responseKind": kind(group, version, sub), "verbs": list(verbs)}
                for name, group, version, sub, verbs in subs
            ]
        return entry
