"""Types for the Common Expression Language made of schemas, with which expressions are checked before they are accepted.

An object with properties is a message there: the checker refuses what is not declared, as Kubernetes does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cel_expr_python import cel
from google.protobuf import (  # type: ignore[import-untyped,unused-ignore] # has no annotations
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    struct_pb2,
    timestamp_pb2,
)

from mlsysops_embedded.validation.cel import escape, schema_kind, with_optional
from mlsysops_embedded.validation.cel_functions import declared, extensions, load

__all__ = ["Types"]

Schema = Mapping[str, Any]
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Kubernetes compares integers with doubles; the checker here knows that of dynamic values only.
_MIXED: Final = re.compile(
    r"found no matching overload for '_(?:<|<=|>|>=)_' applied to '\((?:int, double|double, int)\)'"
)
_ERROR: Final = re.compile(r"ERROR: <input>:\d+:\d+: ([^\n]*)")


class Types:
    """The types of one schema, to check expressions with."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        for module in (struct_pb2, timestamp_pb2, duration_pb2):
            self._pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        self._count = 0

    def check(self, text: str, schema: Schema, *, root: bool, optional: bool) -> str:
        """Checks an expression over values of a schema.

        Returns:
            The name of the type of its result, e.g. ``BOOL`` or ``DYN``.

        Raises:
            ValueError: It does not compile; the text says why.
        """
        kind = self._type(schema, root=root)
        text = with_optional(text) if optional else text
        variables = {"self": kind, "oldSelf": kind, "hasOldSelf": cel.Type.BOOL}
        try:
            environment = cel.NewEnv(
                self._pool, variables=variables, functions=declared(running=False), extensions=load(extensions(text))
            )
            return str(environment.compile(text).return_type().name())
        except RuntimeError as exc:
            found = _ERROR.findall(str(exc))
            if found and all(_MIXED.search(fault) for fault in found):
                return "BOOL"
            raise ValueError("; ".join(found) or str(exc)) from exc

    def _type(self, schema: Schema, *, root: bool = False) -> cel.Type:
        kind = schema_kind(schema)
        if kind == "array":
            return cel.Type.List(self._type(schema.get("items") or {}))
        if kind == "map":
            return cel.Type.Map(cel.Type.STRING, self._type(schema["additionalProperties"]))
        if kind != "object":
            return cel.Type(_SCALARS[kind][0])
        self._count += 1
        package = f"schema{self._count}"
        file = descriptor_pb2.FileDescriptorProto(
            name=f"{package}.proto",
            package=package,
            syntax="proto2",
            dependency=[f"google/protobuf/{name}.proto" for name in ("struct", "timestamp", "duration")],
        )
        _message(file.message_type.add(name="Self"), f".{package}.Self", schema, root=root)
        self._pool.AddSerializedFile(file.SerializeToString())
        return cel.Type(f"{package}.Self")


_FIELD: Final = descriptor_pb2.FieldDescriptorProto
#: Kind of a schema: name in the language, type of a field, type name of a field.
_SCALARS: Final[dict[str, tuple[str, Any, str]]] = {
    "string": ("string", _FIELD.TYPE_STRING, ""),
    "integer": ("int", _FIELD.TYPE_INT64, ""),
    "number": ("double", _FIELD.TYPE_DOUBLE, ""),
    "boolean": ("bool", _FIELD.TYPE_BOOL, ""),
    "bytes": ("bytes", _FIELD.TYPE_BYTES, ""),
    "time": ("google.protobuf.Timestamp", _FIELD.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
    "duration": ("google.protobuf.Duration", _FIELD.TYPE_MESSAGE, ".google.protobuf.Duration"),
    "any": ("dyn", _FIELD.TYPE_MESSAGE, ".google.protobuf.Value"),
}
_META: Final[Schema] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
}


def _message(message: Any, path: str, schema: Schema, *, root: bool = False) -> None:
    for number, (name, sub) in enumerate(_properties(schema, root=root), start=1):
        field = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL, json_name=f"f{number}")
        kind = schema_kind(sub)
        if kind == "array":
            field.label = _FIELD.LABEL_REPEATED
            sub = sub.get("items") or {}
            kind = schema_kind(sub)
            kind = "any" if kind in ("array", "map") else kind
        if kind == "map":
            # The name must be the one that `map<,>` in a .proto file gives; where it is taken, the checker knows nothing.
            entry_name = "".join(part[:1].upper() + part[1:] for part in name.split("_")) + "Entry"
            if any(nested.name == entry_name for nested in message.nested_type):
                _typed(message, path, field, {}, "any")
                continue
            entry = message.nested_type.add(name=entry_name)
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
            value = entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL)
            inner = schema_kind(sub["additionalProperties"])
            _typed(message, path, value, sub["additionalProperties"], "any" if inner in ("array", "map") else inner)
            field.label, field.type, field.type_name = (
                _FIELD.LABEL_REPEATED,
                _FIELD.TYPE_MESSAGE,
                f"{path}.{entry.name}",
            )
        else:
            _typed(message, path, field, sub, kind)


def _typed(message: Any, path: str, field: Any, schema: Schema, kind: str) -> None:
    if kind == "object":
        nested = message.nested_type.add(name=f"T{len(message.nested_type)}")
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f"{path}.{nested.name}"
        _message(nested, f"{path}.{nested.name}", schema)
    else:
        _, field.type, name = _SCALARS[kind]
        if name:
            field.type_name = name


def _properties(schema: Schema, *, root: bool) -> Iterator[tuple[str, Schema]]:
    found = dict(schema.get("properties") or {})
    if root or schema.get("x-kubernetes-embedded-resource"):
        found |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _META}
    for name, sub in found.items():
        escaped = escape(name)
        if _IDENTIFIER.fullmatch(escaped):
            yield escaped, sub
