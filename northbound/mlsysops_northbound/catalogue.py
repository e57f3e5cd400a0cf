"""What the OpenAPI document says, as rows: for the reference in Markdown and for the page that the API itself serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Field", "Operation", "Type", "fields", "operations", "type_of"]

#: Answers that every operation may give; the text before the tables tells them once.
_EVERYWHERE = {"401", "500", "503"}


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a value, for people.

    Attributes:
        text: What it is, with ``{}`` where a name of another schema stands, in the order of `names`.
        names: Names of other schemas.
    """

    text: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One request that the API understands.

    Attributes:
        tag: The group that it belongs to.
        method: In upper case.
        path: With its parameters in braces.
        text: What it does, on one line.
        parameters: Names of those in the query and the headers.
        answers: Status and type of each answer, but for those that every operation may give.
    """

    tag: str
    method: str
    path: str
    text: str
    parameters: tuple[str, ...]
    answers: tuple[tuple[str, Type], ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a schema."""

    name: str
    type: Type
    text: str
    required: bool


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield the operations of an OpenAPI document in its order."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = []
            for status, response in operation["responses"].items():
                if status not in _EVERYWHERE:
                    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
                    answers.append((status, type_of(schema) if schema else Type("")))
            parameters = operation.get("parameters", [])
            yield Operation(
                tag=operation["tags"][0],
                method=method.upper(),
                path=path,
                text=_line(operation.get("description", "")),
                parameters=tuple(item["name"] for item in parameters if item["in"] in {"query", "header"}),
                answers=tuple(answers),
            )


def fields(schema: Mapping[str, Any]) -> Iterator[Field]:
    """Yield the members of a schema."""
    required = set(schema.get("required", []))
    for name, value in schema.get("properties", {}).items():
        yield Field(name, type_of(value), _line(value.get("description", "")), name in required)


def type_of(schema: Mapping[str, Any]) -> Type:
    """Return what a JSON schema says of a value's type."""
    if "$ref" in schema:
        return Type("{}", (schema["$ref"].rpartition("/")[2],))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum") or [schema["const"]]
        return Type(" or ".join(f"`{value}`" for value in values))
    if "anyOf" in schema:
        found = [type_of(item) for item in schema["anyOf"]]
        return Type(" or ".join(item.text for item in found), tuple(name for item in found for name in item.names))
    if schema.get("type") == "array":
        item = type_of(schema.get("items", {}))
        return Type(f"list of {item.text}", item.names)
    name = str(schema.get("type", "any"))
    return Type({"object": "mapping", "string": "text", "integer": "whole number"}.get(name, name))


def _line(text: str) -> str:
    return " ".join(text.split())
