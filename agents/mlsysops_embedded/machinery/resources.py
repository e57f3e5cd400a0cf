"""Which resources are served: the built-in table, and a catalogue that custom resource definitions extend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from mlsysops_embedded.errors import Cause

__all__ = ["BUILT_INS", "Catalog", "Column", "ResourceInfo", "ScalePaths"]

Obj = dict[str, Any]
_ALL: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: printed name, type, JSONPath (custom) or key of a printer (built-in), wide only or not."""

    name: str
    type: str = "string"
    path: str = ""
    priority: int = 0
    format: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the scale subresource finds its values (dotted)."""

    spec: str = "spec.replicas"
    status: str = "status.replicas"
    selector: str = "spec.selector"


class Rules(Protocol):
    """Rules in CEL that objects of a resource obey."""

    def check(self, obj: Any, old: Any) -> list[Cause]:
        """Which rules an object breaks; `old` is None where there is none."""


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """One resource in one version.

    Attributes:
        bucket: Name of its storage; versions and twin groups of a resource share one.
        stored: apiVersion in which objects are stored.
        schema: Structural schema in OpenAPI form; empty admits anything.
        subresources: Names, e.g. ``status``.
        generation: Whether `metadata.generation` counts changes of the desired state.
        custom: Defined by a CustomResourceDefinition.
        defaults: Whether a custom resource's schema has any, which then hold for objects stored before too.
        rules: Validation rules of a custom resource.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = _ALL
    subresources: frozenset[str] = frozenset()
    bucket: str = ""
    stored: str = ""
    schema: Obj = field(default_factory=dict, hash=False, compare=False)
    generation: bool = False
    scale: ScalePaths | None = None
    columns: tuple[Column, ...] = ()
    custom: bool = False
    list_kind: str = ""
    warning: str = ""
    selectable: tuple[str, ...] = ()
    defaults: bool = False
    rules: Rules | None = field(default=None, hash=False, compare=False)

    @property
    def api_version(self) -> str:
        """``group/version``, or the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """``plural.group``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_FEW: Final = {"c": ("create",), "r": ("get", "list")}
_VERBS: Final = {"namespaces": tuple(verb for verb in _ALL if verb != "deletecollection")}

_CATEGORIES: Final = {"a": "all", "x": "api-extensions"}

# group/version kind plural scope(n|c) shortNames subresources flags(g: generation, s: scale, a: category all, x: category api-extensions, c: create alone, r: read alone)
_TABLE: Final = """
v1 Namespace namespaces c ns status,finalize
v1 Node nodes c no status,proxy
v1 Pod pods n po status,log,resize,eviction,binding,ephemeralcontainers,exec,attach,portforward,proxy ga
v1 Service services n svc status,proxy a
v1 Endpoints endpoints n ep
v1 ConfigMap configmaps n cm
v1 Secret secrets n
v1 ServiceAccount serviceaccounts n sa token
v1 Event events n ev
v1 Binding bindings n - - c
apps/v1 Deployment deployments n deploy status,scale gsa
apps/v1 ReplicaSet replicasets n rs status,scale gsa
apps/v1 DaemonSet daemonsets n ds status ga
apps/v1 ControllerRevision controllerrevisions n
coordination.k8s.io/v1 Lease leases n
discovery.k8s.io/v1 EndpointSlice endpointslices n - - g
events.k8s.io/v1 Event events n ev
rbac.authorization.k8s.io/v1 Role roles n
rbac.authorization.k8s.io/v1 RoleBinding rolebindings n
rbac.authorization.k8s.io/v1 ClusterRole clusterroles c
rbac.authorization.k8s.io/v1 ClusterRoleBinding clusterrolebindings c
apiextensions.k8s.io/v1 CustomResourceDefinition customresourcedefinitions c crd,crds status gx
metrics.k8s.io/v1beta1 NodeMetrics nodes c - - r
metrics.k8s.io/v1beta1 PodMetrics pods n - - r
authentication.k8s.io/v1 TokenReview tokenreviews c - - c
authentication.k8s.io/v1 SelfSubjectReview selfsubjectreviews c - - c
authorization.k8s.io/v1 SubjectAccessReview subjectaccessreviews c - - c
authorization.k8s.io/v1 SelfSubjectAccessReview selfsubjectaccessreviews c - - c
authorization.k8s.io/v1 SelfSubjectRulesReview selfsubjectrulesreviews c - - c
authorization.k8s.io/v1 LocalSubjectAccessReview localsubjectaccessreviews n - - c
"""


def _built_ins() -> Iterator[ResourceInfo]:
    for line in _TABLE.strip().splitlines():
        api_version, kind, plural, scope, *rest = line.split()
        short, subresources, flags = [*rest, "-", "-", "-"][:3]
        group, _, version = api_version.rpartition("/")
        subs = frozenset(subresources.split(",")) - {"-"}
        twin = kind == "Event"
        yield ResourceInfo(
            group=group,
            version=version,
            plural=plural,
            kind=kind,
            namespaced=scope == "n",
            singular=kind.lower(),
            short_names=tuple(short.split(",")) if short != "-" else (),
            categories=tuple(name for flag, name in _CATEGORIES.items() if flag in flags),
            verbs=_FEW.get(flags) or _VERBS.get(plural, _ALL),
            subresources=subs,
            bucket="events" if twin else f"{plural}.{group}".rstrip("."),
            stored="v1" if twin else api_version,
            generation="g" in flags,
            scale=ScalePaths() if "scale" in subs else None,
            list_kind=f"{kind}List",
        )


BUILT_INS: Final[tuple[ResourceInfo, ...]] = tuple(_built_ins())


class Catalog:
    """All resources served at the moment."""

    def __init__(self, infos: Iterable[ResourceInfo]) -> None:
        self._fixed = {(i.group, i.version, i.plural): i for i in infos}
        self._custom: dict[str, tuple[ResourceInfo, ...]] = {}
        self._all = dict(self._fixed)
        self.generation = 0

    def find(self, group: str, version: str, plural: str) -> ResourceInfo | None:
        """The resource at a path."""
        return self._all.get((group, version, plural))

    def require(self, group: str, version: str, plural: str) -> ResourceInfo:
        """A resource that is always there.

        Raises:
            LookupError: It is not.
        """
        info = self.find(group, version, plural)
        if info is None:
            raise LookupError(f"{group}/{version} {plural}")
        return info

    def set_custom(self, name: str, infos: tuple[ResourceInfo, ...]) -> None:
        """Serves (or with none, stops serving) the versions of a definition."""
        if infos:
            self._custom[name] = infos
        else:
            self._custom.pop(name, None)
        self._all = dict(self._fixed)
        for group in self._custom.values():
            self._all.update({(i.group, i.version, i.plural): i for i in group})
        self.generation += 1

    def with_schemas(self, schemas: dict[tuple[str, str], Obj], columns: dict[str, tuple[Column, ...]]) -> None:
        """Gives the built-in resources their schemas, by (apiVersion, kind), and columns, by bucket."""
        self._fixed = {
            key: replace(
                info, schema=schemas.get((info.api_version, info.kind), {}), columns=columns.get(info.bucket, ())
            )
            for key, info in self._fixed.items()
        }
        self._all = dict(self._fixed)

    def __iter__(self) -> Iterator[ResourceInfo]:
        return iter(self._all.values())

    def groups(self) -> dict[str, list[str]]:
        """Versions of every group, the preferred one first."""
        found: dict[str, list[str]] = {}
        for info in self._all.values():
            versions = found.setdefault(info.group, [])
            if info.version not in versions:
                versions.append(info.version)
        return found
