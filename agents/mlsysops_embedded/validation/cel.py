"""The Common Expression Language as Kubernetes speaks it: its functions, its types made of schemas, values of objects.

The language is Google's own implementation (`cel-expr-python`), which type-checks as the Go one in Kubernetes does; what Kubernetes
adds to it is here. Source: https://kubernetes.io/docs/reference/using-api/cel/ and apiserver `pkg/cel/{library,escaping.go}`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_encoders, ext_math, ext_optional
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    struct_pb2,
    timestamp_pb2,
)

from mlsysops_embedded.validation.quantities import exact_quantity

__all__ = ["Program", "Types", "program", "to_cel"]

Schema = Mapping[str, Any]
_RESERVED: Final = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "void",
        "while",
        "var",
    ]
)
_ESCAPES: Final = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LITERAL: Final = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_OLD: Final = re.compile(r"\boldSelf\b")
_OPTIONAL_OLD: Final = "(hasOldSelf ? optional.of(oldSelf) : optional.none())"
#: Kubernetes compares integers with doubles; the checker here knows that of dynamic values only.
_MIXED: Final = re.compile(
    r"found no matching overload for '_(?:<|<=|>|>=)_' applied to '\((?:int, double|double, int)\)'"
)
_ERROR: Final = re.compile(r"ERROR: <input>:\d+:\d+: ([^\n]*)")
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")
_UNITS: Final = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
#: What may be summed and what may be compared.
_NUMBERS: Final = ("int", "double")
_ORDERED: Final = ("int", "double", "string", "bool", "google.protobuf.Timestamp", "google.protobuf.Duration")


# ---------------------------------------------------------------------- functions


def _plain(value: Any) -> Any:
    return value.plain_value() if isinstance(value, cel.Value) else value


def _items(values: Sequence[Any]) -> list[Any]:
    return [_plain(value) for value in values]


def _index(where: Any, what: Any, offset: int = 0) -> int:
    if isinstance(where, str):
        return where.find(what, offset)
    found = [index for index, item in enumerate(_items(where)) if item == _plain(what)]
    return found[0] if found else -1


def _last_index(where: Any, what: Any, end: int | None = None) -> int:
    if isinstance(where, str):
        return where.rfind(what) if end is None else where.rfind(what, 0, end + len(what))
    found = [index for index, item in enumerate(_items(where)) if item == _plain(what)]
    return found[-1] if found else -1


def _extreme(choose: Callable[[list[Any]], Any], values: Sequence[Any]) -> Any:
    if not values:
        raise ValueError(f"{choose.__name__} called on empty list")
    return choose(_items(values))


def _sorted(values: Sequence[Any]) -> bool:
    items = _items(values)
    return all(items[i] <= items[i + 1] for i in range(len(items) - 1))


def _find(text: str, pattern: str) -> str:
    found = _find_all(text, pattern, 1)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    import re2

    found = [match.group(0) for match in re2.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


def _format(template: str, values: Sequence[Any]) -> str:
    items = iter(_items(values))

    def one(match: re.Match[str]) -> str:
        if match[2] == "%":
            return "%"
        value = next(items)
        if match[2] == "s":
            return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
        if match[2] == "b":
            return format(value, "b")
        return f"%{match[1]}{match[2]}" % value

    return re.sub(r"%((?:\.\d+)?)([sdfebxXo%])", one, template)


def _slice(text: str, start: int, end: int | None = None) -> str:
    if not 0 <= start <= (len(text) if end is None else end) <= len(text):
        raise ValueError(f"index out of range: {start}")
    return text[start:end]


def _char(text: str, index: int) -> str:
    return _slice(text, index, min(index + 1, len(text)))


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit in (0, 1):
        return [text] if limit else []
    return text.split(separator, limit - 1 if limit > 0 else -1) if separator else list(text)


def _quantity(text: str) -> dict[str, str]:
    return {"quantity": str(exact_quantity(text).normalize())}


def _is_quantity(text: str) -> bool:
    try:
        exact_quantity(text)
    except ValueError:
        return False
    return True


def _exact(value: Any) -> Decimal:
    if isinstance(value, int):
        return Decimal(value)
    return Decimal(str(_plain(value["quantity"])))


def _compared(left: Any, right: Any) -> int:
    return (_exact(left) > _exact(right)) - (_exact(left) < _exact(right))


def _result(value: Decimal) -> dict[str, str]:
    return {"quantity": str(value.normalize())}


#: name, whether a method, parameters, result, implementation. A `Q` is a quantity: opaque to the checker, a map when it runs.
_Function = tuple[str, bool, tuple[str, ...], str, Callable[..., Any]]


@cache
def _functions() -> tuple[_Function, ...]:
    found: list[_Function] = []

    def add(name: str, parameters: str, result: str, call: Callable[..., Any], *, method: bool = True) -> None:
        found.append((name, method, tuple(parameters.split()), result, call))

    for kind in _NUMBERS:
        add("sum", f"list<{kind}>", kind, lambda values: sum(_items(values)))
    for kind in _ORDERED:
        add("isSorted", f"list<{kind}>", "bool", _sorted)
        add("min", f"list<{kind}>", kind, lambda values: _extreme(min, values))
        add("max", f"list<{kind}>", kind, lambda values: _extreme(max, values))
    for name, call in (("indexOf", _index), ("lastIndexOf", _last_index)):
        add(name, "list<dyn> dyn", "int", call)
        add(name, "string string", "int", call)
        add(name, "string string int", "int", call)
    add("find", "string string", "string", _find)
    add("findAll", "string string", "list<string>", _find_all)
    add("findAll", "string string int", "list<string>", _find_all)
    add("charAt", "string int", "string", _char)
    add("substring", "string int", "string", _slice)
    add("substring", "string int int", "string", _slice)
    add("split", "string string", "list<string>", _split)
    add("split", "string string int", "list<string>", _split)
    add("join", "list<string>", "string", lambda values: "".join(_items(values)))
    add("join", "list<string> string", "string", lambda values, by: by.join(_items(values)))
    add("replace", "string string string", "string", lambda text, old, new: text.replace(old, new))
    add("replace", "string string string int", "string", lambda text, old, new, n: text.replace(old, new, n))
    add("lowerAscii", "string", "string", lambda text: text.encode().lower().decode())
    add("upperAscii", "string", "string", lambda text: text.encode().upper().decode())
    add("trim", "string", "string", lambda text: text.strip())
    add("format", "string list<dyn>", "string", _format)
    for name, test in (
        ("sets.contains", lambda a, b: all(item in _items(a) for item in _items(b))),
        ("sets.intersects", lambda a, b: any(item in _items(a) for item in _items(b))),
        (
            "sets.equivalent",
            lambda a, b: all(i in _items(a) for i in _items(b)) and all(i in _items(b) for i in _items(a)),
        ),
    ):
        add(name, "list<dyn> list<dyn>", "bool", test, method=False)
    add("quantity", "string", "Q", _quantity, method=False)
    add("isQuantity", "string", "bool", _is_quantity, method=False)
    add("isGreaterThan", "Q Q", "bool", lambda a, b: _compared(a, b) > 0)
    add("isLessThan", "Q Q", "bool", lambda a, b: _compared(a, b) < 0)
    add("compareTo", "Q Q", "int", _compared)
    add("sign", "Q", "int", lambda a: _compared(a, 0))
    add("isInteger", "Q", "bool", lambda a: _exact(a) == int(_exact(a)))
    add("asInteger", "Q", "int", lambda a: int(_exact(a)))
    add("asApproximateFloat", "Q", "double", lambda a: float(_exact(a)))
    for other in ("Q", "int"):
        add("add", f"Q {other}", "Q", lambda a, b: _result(_exact(a) + _exact(b)))
        add("sub", f"Q {other}", "Q", lambda a, b: _result(_exact(a) - _exact(b)))
    return tuple(found)


def _declared(*, running: bool) -> list[cel.FunctionDecl]:
    """The functions for the checker, or for running, where values are dynamic and the kinds alone tell overloads apart."""
    overloads: dict[str, dict[str, cel.Overload]] = {}
    for name, method, parameters, result, call in _functions():
        kinds = [_kind(parameter, running=running) for parameter in parameters]
        mark = f"k8s_{name}_{'_'.join(kinds)}".translate({ord(c): "_" for c in "<>.,"})
        returned = (
            "dyn" if running and result not in ("bool", "int", "string", "double") else _kind(result, running=running)
        )
        overloads.setdefault(name, {})[mark] = cel.Overload(
            mark,
            return_type=cel.Type(returned),
            parameters=[cel.Type(kind) for kind in kinds],
            is_member=method,
            impl=call,
        )
    return [cel.FunctionDecl(name, list(found.values())) for name, found in overloads.items()]


def _kind(kind: str, *, running: bool) -> str:
    if kind == "Q":
        return "map<string, dyn>" if running else "kubernetes.Quantity"
    if running and kind.startswith("list<"):
        return "list<dyn>"
    return kind


# ---------------------------------------------------------------------- running


class Program:
    """One compiled expression.

    Args:
        text: The expression; `oldSelf` is an optional in it where `optional` is set.
    """

    __slots__ = ("_expression", "text")

    def __init__(self, text: str, *, optional: bool = False) -> None:
        self.text = text
        self._expression = _environment().compile(_with_optional(text) if optional else text)

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
def _environment() -> cel.Env:
    variables = {"self": cel.Type.DYN, "oldSelf": cel.Type.DYN, "hasOldSelf": cel.Type.BOOL}
    return cel.NewEnv(variables=variables, functions=_declared(running=True), extensions=_extensions())


def _extensions() -> list[Any]:
    return [ext_optional.ExtOptional(), ext_math.ExtMath(), ext_encoders.ExtEncoders()]


@lru_cache(maxsize=1024)
def program(text: str, *, optional: bool = False) -> Program:
    """A program; rules that are equal share one.

    Raises:
        ValueError: It does not compile.
    """
    try:
        return Program(text, optional=optional)
    except RuntimeError as exc:
        raise ValueError(_faults(str(exc))) from exc


def uses_old(text: str) -> bool:
    """Whether an expression reads the old value, which makes a rule one on transitions."""
    return bool(_OLD.search(_LITERAL.sub("''", text)))


def _with_optional(text: str) -> str:
    parts = re.split(f"({_LITERAL.pattern})", text)
    return "".join(part if index % 2 else _OLD.sub(_OPTIONAL_OLD, part) for index, part in enumerate(parts))


def _faults(text: str) -> str:
    return "; ".join(_ERROR.findall(text)) or text


# ---------------------------------------------------------------------- checking


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
        variables = {"self": kind, "oldSelf": kind, "hasOldSelf": cel.Type.BOOL}
        try:
            environment = cel.NewEnv(
                self._pool, variables=variables, functions=_declared(running=False), extensions=_extensions()
            )
            return str(environment.compile(_with_optional(text) if optional else text).return_type().name())
        except RuntimeError as exc:
            found = _ERROR.findall(str(exc))
            if found and all(_MIXED.search(fault) for fault in found):
                return "BOOL"
            raise ValueError("; ".join(found) or str(exc)) from exc

    def _type(self, schema: Schema, *, root: bool = False) -> cel.Type:
        kind = _schema_kind(schema)
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
_FORMATS: Final = {"date": "time", "date-time": "time", "datetime": "time", "duration": "duration", "byte": "bytes"}
_META: Final[Schema] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
}


def _schema_kind(schema: Schema) -> str:
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


def _message(message: Any, path: str, schema: Schema, *, root: bool = False) -> None:
    for number, (name, sub) in enumerate(_properties(schema, root=root), start=1):
        field = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL, json_name=f"f{number}")
        kind = _schema_kind(sub)
        if kind == "array":
            field.label = _FIELD.LABEL_REPEATED
            sub = sub.get("items") or {}
            kind = _schema_kind(sub)
            kind = "any" if kind in ("array", "map") else kind
        if kind == "map":
            entry = message.nested_type.add(name=f"M{number}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
            value = entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL)
            inner = _schema_kind(sub["additionalProperties"])
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
        escaped = _escape(name)
        if _IDENTIFIER.fullmatch(escaped):
            yield escaped, sub


# ---------------------------------------------------------------------- values


@lru_cache(maxsize=4096)
def _escape(name: str) -> str:
    if name in _RESERVED:
        return f"__{name}__"
    for old, new in _ESCAPES:
        name = name.replace(old, new) if old == "__" else name
    return "".join(dict(_ESCAPES[1:]).get(char, char) for char in name)


def to_cel(value: Any, schema: Schema) -> Any:
    """A JSON value as the language has it: numbers are doubles, times are times, names of properties are escaped."""
    if value is None:
        return None
    kind = _schema_kind(schema)
    if kind in ("object", "any") and isinstance(value, dict):
        properties = schema.get("properties") or {}
        return {_escape(key): to_cel(item, properties.get(key) or {}) for key, item in value.items()}
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
