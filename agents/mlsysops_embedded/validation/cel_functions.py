"""What Kubernetes adds to the functions of the Common Expression Language.

Source: https://kubernetes.io/docs/reference/using-api/cel/ and apiserver `pkg/cel/library`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final

from cel_expr_python import cel

from mlsysops_embedded.validation.cel_values import functions, version_order
from mlsysops_embedded.validation.quantities import exact_quantity

__all__ = ["declared", "extensions", "load"]

_EXTENSIONS: Final = {
    "encoders": re.compile(r"\bbase64\."),
    "math": re.compile(r"\bmath\."),
    "optional": re.compile(r"\.\?|\[\?|\boptional\b|\b(?:hasValue|orValue|optMap|optFlatMap)\("),
}

_CLAUSE: Final = re.compile(r"%((?:\.\d{0,9})?)(.?)", re.DOTALL)
_VERBS: Final = frozenset("sdfebxXo")
#: Digits behind the point that anybody may ask for: more cost time and memory, and say nothing.
_MAX_PRECISION: Final = 1000
#: What may be summed and what may be compared.
_NUMBERS: Final = ("int", "double")
_ORDERED: Final = ("int", "double", "string", "bool", "google.protobuf.Timestamp", "google.protobuf.Duration")


def extensions(text: str) -> tuple[str, ...]:
    """Which of the language's own extensions an expression may need; each costs 3 MB of memory, so none is loaded in vain."""
    return tuple(name for name, mark in _EXTENSIONS.items() if mark.search(text))


def load(names: tuple[str, ...]) -> list[Any]:
    """The extensions of these names."""
    return [
        getattr(importlib.import_module(f"cel_expr_python.ext.ext_{name}"), f"Ext{name.capitalize()}")()
        for name in names
    ]


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
        precision, verb = match[1], match[2]
        if verb == "%":
            return "%"
        if verb not in _VERBS or int(precision[1:] or 0) > _MAX_PRECISION:
            raise ValueError(f"could not parse formatting clause {match[0]!r}")
        value = next(items)
        if verb == "s":
            return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
        if verb == "b":
            return format(value, "b")
        return str(f"%{precision}{verb}" % value)

    try:
        return _CLAUSE.sub(one, template)
    except StopIteration as exc:
        raise ValueError("the format has more clauses than there are values") from exc


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
    """Of two quantities or two versions: while running, both are maps."""
    if not isinstance(left, int) and "semver" in left:
        order = version_order(left), version_order(right)
        return (order[0] > order[1]) - (order[0] < order[1])
    return (_exact(left) > _exact(right)) - (_exact(left) < _exact(right))


def _result(value: Decimal) -> dict[str, str]:
    return {"quantity": str(value.normalize())}


#: Values that are opaque to the checker and maps when they run.
_OPAQUE: Final = {
    "Q": "kubernetes.Quantity",
    "I": "net.IP",
    "C": "net.CIDR",
    "U": "kubernetes.URL",
    "V": "kubernetes.Semver",
}
#: name, whether a method, parameters, result, implementation.
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
        for kind in ("int", "double", "string", "bool", "map<string,dyn>", "list<dyn>"):
            add(name, f"list<dyn> {kind}", "int", call)
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
    for name, parameters, result, function, method in functions():
        add(name, parameters, result, function, method=method)
    add("isGreaterThan", "V V", "bool", lambda a, b: _compared(a, b) > 0)
    add("isLessThan", "V V", "bool", lambda a, b: _compared(a, b) < 0)
    add("compareTo", "V V", "int", _compared)
    return tuple(found)


def declared(*, running: bool) -> list[cel.FunctionDecl]:
    """The functions for the checker, or for running, where values are dynamic and the kinds alone tell overloads apart."""
    overloads: dict[str, dict[str, cel.Overload]] = {}
    for name, method, parameters, result, call in _functions():
        kinds = [_kind(parameter, running=running) for parameter in parameters]
        mark = f"k8s_{name}_{'_'.join(kinds)}".translate({ord(c): "_" for c in "<>.,"})
        returned = "dyn" if running else _kind(result, running=False)
        overloads.setdefault(name, {})[mark] = cel.Overload(
            mark,
            return_type=cel.Type(returned),
            parameters=[cel.Type(kind) for kind in kinds],
            is_member=method,
            impl=call,
        )
    return [cel.FunctionDecl(name, list(found.values())) for name, found in overloads.items()]


def _kind(kind: str, *, running: bool) -> str:
    if kind in _OPAQUE:
        return "map<string,dyn>" if running else _OPAQUE[kind]
    if running and kind.startswith("list<"):
        return "list<dyn>"
    return kind
