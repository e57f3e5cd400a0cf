"""The five kinds: their Kubernetes names, their models, and the ways from one form to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mlsysops_core.errors import Fault, InvalidInput
from mlsysops_core.model.application import Application
from mlsysops_core.model.common import Root
from mlsysops_core.model.infrastructure import Cluster, Continuum, Datacenter
from mlsysops_core.model.node import Node
from mlsysops_core.yaml import path_text

__all__ = [
    "API_VERSION",
    "ENVELOPE",
    "GROUP",
    "KINDS",
    "VERSION",
    "Description",
    "Kind",
    "description_name",
    "find_kind",
    "from_resource",
    "keep_metadata",
    "kind_of",
    "kind_words",
    "to_document",
    "to_resource",
]

GROUP = "mlsysops.eu"
VERSION = "v1"
API_VERSION = f"{GROUP}/{VERSION}"

Description = Application | Node | Cluster | Continuum | Datacenter


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of description.

    Attributes:
        kind: Kubernetes kind, and the key of the wrapped form.
        plural: Plural resource name.
        singular: Singular resource name.
        short_names: Short resource names.
        model: Its model.
        name_field: Field that holds the name of the object.
        aliases: Other spellings of the kind that are accepted.
    """

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    model: type[Description]
    name_field: str
    aliases: tuple[str, ...] = ()

    @property
    def crd_name(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


KINDS: dict[str, Kind] = {
    kind.kind: kind
    for kind in (
        Kind("MLSysOpsApp", "mlsysopsapps", "mlsysopsapp", ("mlsapp",), Application, "name", ("MLSysOpsApplication",)),
        Kind("MLSysOpsNode", "mlsysopsnodes", "mlsysopsnode", ("mlsnode",), Node, "name"),
        Kind("MLSysOpsCluster", "mlsysopsclusters", "mlsysopscluster", ("mlscluster",), Cluster, "cluster_id"),
        Kind(
            "MLSysOpsContinuum", "mlsysopscontinuums", "mlsysopscontinuum", ("mlscontinuum",), Continuum, "continuum_id"
        ),
        Kind(
            "MLSysOpsDatacenter",
            "mlsysopsdatacenters",
            "mlsysopsdatacenter",
            ("mlsdatacenter",),
            Datacenter,
            "datacenter_id",
        ),
    )
}
_BY_MODEL: dict[type[Root], Kind] = {kind.model: kind for kind in KINDS.values()}
_BY_WORD: dict[str, Kind] = {word: kind for kind in KINDS.values() for word in (kind.kind, *kind.aliases)}


def find_kind(word: str) -> Kind | None:
    """Finds a kind by its name or an alias."""
    return _BY_WORD.get(word)


def kind_words() -> list[str]:
    """Lists every accepted spelling of a kind."""
    return list(_BY_WORD)


def kind_of(description: Description) -> Kind:
    """Returns the kind of a description."""
    return _BY_MODEL[type(description)]


def description_name(description: Description) -> str:
    """Returns the name of the description's object: the node's or application's name, else the identifier."""
    return str(getattr(description, kind_of(description).name_field))


def to_document(description: Description) -> dict[str, Any]:
    """Writes the wrapped form that users keep in files: ``{"MLSysOpsNode": {...}}``."""
    return {kind_of(description).kind: description.to_dict()}


def to_resource(description: Description, *, namespace: str = "mlsysops") -> dict[str, Any]:
    """Writes the custom resource.

    Args:
        description: What to write.
        namespace: Namespace of the object.

    Returns:
        A Kubernetes object with ``spec``; labels and annotations are those of the manifest the description came from.
    """
    metadata: dict[str, Any] = {"name": description_name(description), "namespace": namespace}
    if description._labels:
        metadata["labels"] = dict(description._labels)
    if description._annotations:
        metadata["annotations"] = dict(description._annotations)
    return {
        "apiVersion": API_VERSION,
        "kind": kind_of(description).kind,
        "metadata": metadata,
        "spec": description.to_dict(),
    }


ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_OWN_ANNOTATIONS = ("kubectl.kubernetes.io/", "mlsysops.eu/")


def from_resource(obj: Mapping[str, Any]) -> Description:
    """Reads a custom resource that an API server sent; keys that this version does not know are passed over.

    Args:
        obj: The object, with ``spec`` or with the fields at top level.

    Raises:
        InvalidInput: Unknown kind, or the rest does not validate.
    """
    kind = _BY_WORD.get(str(obj.get("kind")))
    if kind is None:
        raise InvalidInput(f"{obj.get('kind')!r} is no kind of description")
    metadata = obj.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    name = str(metadata.get("name", ""))
    fields = spec_of(obj)
    fields.setdefault(kind.name_field, name)
    for _ in range(64):
        try:
            description = kind.model.model_validate(fields)
            break
        except ValidationError as error:
            errors = error.errors(include_url=False)
            unknown = [detail["loc"] for detail in errors if detail["type"] == "extra_forbidden"]
            if not unknown:
                faults = [
                    Fault(f"{kind.kind}/{name}", 0, 0, path_text(detail["loc"]), detail["msg"]) for detail in errors
                ]
                raise InvalidInput(faults=faults) from error
            for loc in unknown:
                fields = _without(fields, loc)
    else:
        raise InvalidInput(f"{kind.kind}/{name} has keys that this version does not know")
    keep_metadata(description, metadata)
    return description


def spec_of(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a manifest: its ``spec``, or the top level as CRDs in use have it."""
    spec = obj.get("spec")
    if isinstance(spec, Mapping):
        return dict(spec)
    return {key: value for key, value in obj.items() if key not in ENVELOPE}


def keep_metadata(description: Description, metadata: Mapping[str, Any]) -> None:
    """Lets a description remember the labels and annotations that its author gave the manifest."""
    labels, annotations = metadata.get("labels"), metadata.get("annotations")
    if isinstance(labels, Mapping):
        description._labels = {str(key): str(value) for key, value in labels.items()}
    if isinstance(annotations, Mapping):
        kept = {str(key): str(value) for key, value in annotations.items() if not str(key).startswith(_OWN_ANNOTATIONS)}
        description._annotations = kept


def _without(data: Any, loc: tuple[str | int, ...]) -> Any:
    """Copies nested data without the key at `loc`."""
    head, *rest = loc
    if isinstance(data, Mapping):
        if not rest:
            return {key: value for key, value in data.items() if key != head}
        return {key: _without(value, tuple(rest)) if key == head else value for key, value in data.items()}
    if isinstance(data, list):
        return [_without(value, tuple(rest)) if index == head and rest else value for index, value in enumerate(data)]
    return data
