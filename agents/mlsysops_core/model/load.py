"""Reads files of descriptions: wrapped or plain manifests, one or several, with every fault at its line and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from mlsysops_core.errors import Fault, InvalidInput
from mlsysops_core.model import rules
from mlsysops_core.model.application import Application
from mlsysops_core.model.common import Problem
from mlsysops_core.model.faults import faults_of
from mlsysops_core.model.infrastructure import Cluster, Datacenter
from mlsysops_core.model.kinds import (
    API_VERSION,
    ENVELOPE,
    GROUP,
    Description,
    Kind,
    description_name,
    find_kind,
    keep_metadata,
    kind_of,
    kind_words,
)
from mlsysops_core.model.node import Node
from mlsysops_core.model.warnings import warnings_of
from mlsysops_core.yaml import MAX_BYTES, Document, load_yaml_all, path_text

__all__ = ["MAX_OBJECT_BYTES", "Loaded", "load", "load_descriptions"]

MAX_FAULTS = 100
MAX_OBJECT_BYTES = 1024 * 1024
"""Largest description as JSON; etcd refuses requests above 1.5 MiB, and the object grows by its status."""
_NAMESPACE = "mlsysops"

Path = tuple[str | int, ...]


@dataclass(slots=True)
class Loaded:
    """What a file held.

    Attributes:
        descriptions: In the order of the file.
        warnings: What is allowed but probably not meant, with line and column.
    """

    descriptions: list[Description] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)


def load_descriptions(data: bytes | str, *, source: str = "<stdin>", max_bytes: int = MAX_BYTES) -> list[Description]:
    """Reads descriptions; see `load`, which also returns warnings."""
    return load(data, source=source, max_bytes=max_bytes).descriptions


def load(data: bytes | str, *, source: str = "<stdin>", max_bytes: int = MAX_BYTES) -> Loaded:
    """Reads every description of a file.

    Args:
        data: YAML or JSON: wrapped descriptions (``MLSysOpsApp:`` …), Kubernetes manifests of the same kinds (with ``spec``, or with the
            fields at top level), Lists of those; several documents are fine.
        source: Name of the file, for faults.
        max_bytes: Largest size accepted.

    Returns:
        Descriptions and warnings.

    Raises:
        InvalidInput: With every fault of the file (the first `MAX_FAULTS`), each with line, column, path and hint.
    """
    loader = _Loader()
    for document in load_yaml_all(data, source, max_bytes=max_bytes):
        loader.read(document, document.value, ())
    if loader.faults:
        faults = sorted(set(loader.faults))
        if len(faults) > MAX_FAULTS:
            more = Fault(source, 0, 0, "", f"and {len(faults) - MAX_FAULTS} faults more")
            faults = [*faults[:MAX_FAULTS], more]
        raise InvalidInput(faults=faults)
    if not loader.loaded.descriptions:
        fault = Fault(
            source, 1, 1, "", "the file holds no description", f"it begins with one of {', '.join(kind_words())}"
        )
        raise InvalidInput(faults=[fault])
    return loader.loaded


class _Loader:
    def __init__(self) -> None:
        self.loaded = Loaded()
        self.faults: list[Fault] = []
        self._places: dict[tuple[str, str], tuple[int, int]] = {}

    def read(self, document: Document, value: Any, base: Path) -> None:
        """Reads one document, or one item of a List."""
        if not isinstance(value, Mapping):
            self.faults.append(
                document.fault(base, "this is no description", f"it begins with one of {', '.join(kind_words())}")
            )
        elif "kind" in value or "apiVersion" in value:
            self._manifest(document, value, base)
        else:
            for word, fields in value.items():
                kind = find_kind(word)
                if kind is None:
                    hint = rules.near_miss(word, kind_words()) or f"one of {', '.join(kind_words())}"
                    self.faults.append(
                        document.fault((*base, word), f"unknown kind of description {word!r}", hint, key=True)
                    )
                else:
                    self._validate(document, kind, fields, (*base, word), {})

    def _manifest(self, document: Document, value: Mapping[str, Any], base: Path) -> None:
        word = value.get("kind")
        if word == "List" and isinstance(value.get("items"), list):
            for index, item in enumerate(value["items"]):
                self.read(document, item, (*base, "items", index))
            return
        kind = find_kind(word) if isinstance(word, str) else None
        if kind is None:
            hint = rules.near_miss(str(word or ""), kind_words()) or f"one of {', '.join(kind_words())}"
            message = f"unknown kind {word!r}" if word is not None else "kind is missing"
            self.faults.append(document.fault((*base, "kind"), message, hint))
            return
        faults = list(_envelope_faults(document, value, base))
        self.faults += faults
        metadata = value.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        spec = value.get("spec")
        if spec is not None:
            for key in value:
                if key not in ENVELOPE:
                    self.faults.append(
                        document.fault((*base, key), f"unknown key {key!r}", "fields stand under spec", key=True)
                    )
            self._validate(document, kind, spec, (*base, "spec"), metadata)
        else:
            fields = {key: item for key, item in value.items() if key not in ENVELOPE}
            self._validate(document, kind, fields, base, metadata)

    def _validate(self, document: Document, kind: Kind, fields: Any, base: Path, metadata: Mapping[str, Any]) -> None:
        name = metadata.get("name")
        named_outside = False
        if isinstance(fields, Mapping) and name is not None:
            own = fields.get(kind.name_field)
            named_outside = own is None
            if named_outside:
                fields = {**fields, kind.name_field: name}
            elif own != name and kind.name_field == "name":
                message = f"name {own!r} differs from metadata.name {name!r}"
                problem = Problem(("name",), message, "they are the same, or leave this one out")
                self.faults.append(_problem_fault(document, base, problem))
        try:
            description = kind.model.model_validate(fields)
        except ValidationError as error:
            faults = faults_of(error, kind.model, document, base)
            if named_outside:
                at = self._name_place(document, base)
                faults = [replace(fault, **at) if fault.path == kind.name_field else fault for fault in faults]
            self.faults += faults
            if not any(detail["type"] == "rule" for detail in error.errors(include_url=False)):
                # The rules ran on valid fields only; say now what they would find once the fields are mended.
                self.faults += [_problem_fault(document, base, problem) for problem in _problems(kind, fields)]
            return
        self._accept(document, description, base, metadata)

    @staticmethod
    def _name_place(document: Document, base: Path) -> dict[str, Any]:
        manifest = base[:-1] if base[-1:] == ("spec",) else base
        line, column = document.locate((*manifest, "metadata", "name"))
        return {"line": line, "column": column, "path": "metadata.name"}

    def _accept(self, document: Document, description: Description, base: Path, metadata: Mapping[str, Any]) -> None:
        keep_metadata(description, metadata)
        kind, name = kind_of(description), description_name(description)
        first = self._places.setdefault((kind.kind, name), document.locate(base, key=True))
        if first != document.locate(base, key=True):
            self.faults.append(
                document.fault(base, f"{kind.kind} {name!r} is there twice", f"first on line {first[0]}", key=True)
            )
        size = _size(description.to_dict())
        if size > MAX_OBJECT_BYTES:
            message = f"the description is too large: {size / 1e6:.1f} MB, an object of Kubernetes holds {MAX_OBJECT_BYTES / 1e6:.1f} MB"
            self.faults.append(document.fault(base, message, "keep data in images, files or buckets"))
        namespace = metadata.get("namespace", _NAMESPACE)
        if namespace != _NAMESPACE:
            message = f"the namespace {namespace!r} is not used; descriptions live in {_NAMESPACE!r}"
            self.loaded.warnings.append(document.fault(base, message, "leave it out"))
        self.loaded.warnings += [_problem_fault(document, base, problem) for problem in warnings_of(description)]
        self.loaded.descriptions.append(description)


def _problem_fault(document: Document, base: Path, problem: Problem) -> Fault:
    line, column = document.locate((*base, *problem.path))
    return Fault(document.source, line, column, path_text(problem.path), problem.message, problem.hint)


def _problems(kind: Kind, fields: Any) -> Iterator[Problem]:
    if kind.model is Application:
        return rules.application(fields)
    if kind.model is Node:
        return rules.node(fields)
    if kind.model is Datacenter:
        return rules.datacenter(fields)
    return rules.members(fields, "nodes" if kind.model is Cluster else "clusters")


def _size(value: Any) -> int:
    """Estimates the size as JSON without writing it: aliases can make the text far larger than the file."""
    if isinstance(value, dict):
        return 2 + sum(len(key) + 4 + _size(item) for key, item in value.items())
    if isinstance(value, list):
        return 2 + sum(1 + _size(item) for item in value)
    return len(value) + 2 if isinstance(value, str) else 8


def _envelope_faults(document: Document, value: Mapping[str, Any], base: Path) -> Iterator[Fault]:
    version = value.get("apiVersion")
    if version != API_VERSION:
        # Any version of our group is read as the one there is: objects that exist must not lock their owner out.
        foreign = not isinstance(version, str) or not version.startswith(f"{GROUP}/")
        if foreign:
            yield document.fault((*base, "apiVersion"), f"apiVersion is {version!r}", f"it is {API_VERSION}")
    metadata = value.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        yield document.fault((*base, "metadata"), "metadata must be a mapping")
    for key in ("labels", "annotations"):
        words = metadata.get(key) if isinstance(metadata, Mapping) else None
        if words is not None and not isinstance(words, Mapping):
            yield document.fault((*base, "metadata", key), f"{key} must be a mapping")
        for name, word in words.items() if isinstance(words, Mapping) else ():
            if not isinstance(word, str):
                yield document.fault(
                    (*base, "metadata", key, name), f"must be a text, not {word!r}", "put it in quotes"
                )
