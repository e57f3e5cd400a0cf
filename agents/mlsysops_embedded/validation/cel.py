"""The Common Expression Language as Kubernetes speaks it: programs that run on objects, and values made of JSON.

The language is Google's own implementation (`cel-expr-python`), which type-checks as the Go one in Kubernetes does.
Source: https://kubernetes.io/docs/reference/using-api/cel/ and apiserver `pkg/cel/escaping.go`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final

from cel_expr_python import cel
from google.protobuf import (  # type: ignore[import-untyped,unused-ignore] # has no annotations
    duration_pb2,
    timestamp_pb2,
)

from mlsysops_embedded.validation.cel_functions import declared, extensions, load

__all__ = ["Program", "escape", "program", "schema_kind", "to_cel", "uses_old", "with_optional"]

Schema = Mapping[str, Any]
_RESERVED: Final = re.compile(
    "true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return|void|while|var"
)
_ESCAPES: Final = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_LITERAL: Final = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_OLD: Final = re.compile(r"\boldSelf\b")
_OPTIONAL_OLD: Final = "(hasOldSelf ? optional.of(oldSelf) : optional.none())"
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")
_UNITS: Final = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_FORMATS: Final = {"date": "time", "date-time": "time", "datetime": "time", "duration": "duration", "byte": "bytes"}


class Program:
    """One compiled expression.

    Args:
        text: The expression; `oldSelf` is an optional in it where `optional` is set.
    """

    __slots__ = ("_expression", "text")

    def __init__(self, text: str, *, optional: bool = False) -> None:
        self.text = text
        text = with_optional(text) if optional else text
        self._expression = _environment(extensions(text)).compile(text)

    def run(self, this: Any, old: Any = None, *, has_old: bool = False) -> Any:
        """The value.

        Raises:
            ValueError: The evaluation failed; the text says why.
        """
        try:
            result = self._expression.eval(data={"self": this, "oldSelf": old, "hasOldSelf": has_old})
        except RuntimeError as exc:
            raise ValueError(str(exc)) from exc
        if result.type() == cel.Type.ERROR:
            raise ValueError(str(result.value()))
        return result.plain_value()


@cache
def _environment(needed: tuple[str, ...]) -> cel.Env:
    variables = {"self": cel.Type.DYN, "oldSelf": cel.Type.DYN, "hasOldSelf": cel.Type.BOOL}
    return cel.NewEnv(variables=variables, functions=declared(running=True), extensions=load(needed))


@lru_cache(maxsize=1024)
def program(text: str, *, optional: bool = False) -> Program:
    """A program; rules that are equal share one.

    Raises:
        ValueError: It does not compile.
    """
    try:
        return Program(text, optional=optional)
    except RuntimeError as exc:
        raise ValueError(str(exc)) from exc


def uses_old(text: str) -> bool:
    """Whether an expression reads the old value, which makes a rule one on transitions."""
    return bool(_OLD.search(_LITERAL.sub("''", text)))


def with_optional(text: str) -> str:
    """An expression in which `oldSelf` is an optional."""
    parts = re.split(f"({_LITERAL.pattern})", text)
    return "".join(part if index % 2 else _OLD.sub(_OPTIONAL_OLD, part) for index, part in enumerate(parts))


def schema_kind(schema: Schema) -> str:
    """What the values of a schema are: a JSON type, ``map``, ``bytes``, ``time``, ``duration`` or ``any``."""
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string") or not kind:
        return "any"
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), "string")
    if kind != "object":
        return str(kind)
    if isinstance(schema.get("additionalProperties"), Mapping):
        return "map"
    if schema.get("additionalProperties") or (
        schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("properties")
    ):
        return "any"
    return "object"


@lru_cache(maxsize=4096)
def escape(name: str) -> str:
    """The name of a property as expressions write it."""
    if _RESERVED.fullmatch(name):
        return f"__{name}__"
    for old, new in _ESCAPES:
        name = name.replace(old, new) if old == "__" else name
    return "".join(dict(_ESCAPES[1:]).get(char, char) for char in name)


def to_cel(value: Any, schema: Schema) -> Any:
    """A JSON value as the language has it: numbers are doubles, times are times, names of properties are escaped."""
    if value is None:
        return None
    kind = schema_kind(schema)
    if kind in ("object", "any") and isinstance(value, dict):
        properties = schema.get("properties") or {}
        return {escape(key): to_cel(item, properties.get(key) or {}) for key, item in value.items()}
    if kind == "map":
        sub = schema["additionalProperties"]
        return {key: to_cel(item, sub) for key, item in value.items()}
    if kind == "array":
        sub = schema.get("items") or {}
        return [to_cel(item, sub) for item in value]
    convert = _CONVERT.get(kind)
    return convert(value) if convert else value


def _timestamp(text: str) -> Any:
    found = timestamp_pb2.Timestamp()
    found.FromJsonString(text if "T" in text.upper() else f"{text}T00:00:00Z")
    return found


def _duration(text: str) -> Any:
    found = duration_pb2.Duration()
    total = sum(Decimal(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
    found.FromNanoseconds(int(-total if text.startswith("-") else total))
    return found


_CONVERT: Final[dict[str, Callable[[Any], Any]]] = {
    "number": float,
    "integer": int,
    "time": _timestamp,
    "duration": _duration,
    "bytes": base64.b64decode,
}
