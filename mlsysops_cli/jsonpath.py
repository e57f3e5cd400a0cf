r"""The JSONPath templates of kubectl, as far as people use them in scripts.

Understood: literal text, ``{.a.b}``, ``{['a.b']}``, ``{[0]}``, ``{[-1]}``, ``{[1:3]}``, ``{[*]}``, ``{.*}``, ``{..name}``,
``{[?(@.a=="b")]}`` with ``== != < <= > >=``, ``{"text\n"}``, ``{range .items[*]}…{end}``, ``{@}`` and ``{$}``.
Several results are separated by a blank, objects are printed as compact JSON. Unlike in the JSONPath of RFC 9535,
expressions stand in braces; the form is that of the Kubernetes documentation ("JSONPath Support").
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlsysops_core.errors import UsageError

__all__ = ["compile_template"]

_Step = Callable[[Any], Iterable[Any]]
_Part = Callable[[Any], str]

_HINT = "e.g. -o jsonpath='{.items[*].id}'"
_TOKEN = re.compile(
    r"""\.\.(?P<deep>[A-Za-z_][\w-]*)
      | \.(?P<name>[A-Za-z_][\w-]*)
      | \.?\[\s*(?:
            (?P<star>\*)
          | '(?P<single>[^']*)' | "(?P<double>[^"]*)"
          | (?P<slice>-?\d*:-?\d*)
          | (?P<index>-?\d+)
          | \?\((?P<filter>[^)]*)\)
        )\s*\]
      | \.(?P<any>\*)
      | (?P<self>[@$])""",
    re.VERBOSE,
)
_FILTER = re.compile(r"\s*(?P<left>@[^=!<>]*?)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>.+?))?\s*")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compile_template(template: str) -> Callable[[Any], str]:
    """Compile a template.

    Args:
        template: Text with expressions in braces; an expression without braces is accepted too.

    Returns:
        A function that renders a document.

    Raises:
        UsageError: The template is not understood.
    """
    if not template:
        raise UsageError("the jsonpath template is empty", hint=_HINT)
    if "{" not in template:
        template = "{" + (template if template[0] in ".[@$" else f".{template}") + "}"
    parts, rest = _parts(_split(template), 0, nested=False)
    del rest
    return lambda document: "".join(part(document) for part in parts)


def _split(template: str) -> list[tuple[bool, str]]:
    """Cut a template into (is an expression, text)."""
    pieces: list[tuple[bool, str]] = []
    position = 0
    while position < len(template):
        start = template.find("{", position)
        if start < 0:
            pieces.append((False, template[position:]))
            break
        if start > position:
            pieces.append((False, template[position:start]))
        end, quote = start + 1, ""
        while end < len(template) and (quote or template[end] != "}"):
            if quote:
                quote = "" if template[end] == quote else quote
            elif template[end] in "'\"":
                quote = template[end]
            end += 1
        if end >= len(template):
            raise UsageError(f"jsonpath: '{{' without '}}' at character {start + 1} of {template!r}", hint=_HINT)
        pieces.append((True, template[start + 1 : end].strip()))
        position = end + 1
    return pieces


def _parts(pieces: list[tuple[bool, str]], position: int, *, nested: bool) -> tuple[list[_Part], int]:
    parts: list[_Part] = []
    while position < len(pieces):
        expression, text = pieces[position]
        position += 1
        if not expression:
            parts.append(_literal(text))
        elif text == "end":
            if not nested:
                raise UsageError("jsonpath: {end} without {range}", hint=_HINT)
            return parts, position
        elif text.startswith(("range ", "range.")):
            inner, position = _parts(pieces, position, nested=True)
            parts.append(_range(_path(text.removeprefix("range").strip()), inner))
        elif text[:1] in {'"', "'"} and len(text) > 1 and text[-1] == text[0]:
            parts.append(_literal(text[1:-1].replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')))
        else:
            parts.append(_values(_path(text)))
    if nested:
        raise UsageError("jsonpath: {range} without {end}", hint=_HINT)
    return parts, position


def _literal(text: str) -> _Part:
    return lambda _: text


def _range(steps: list[_Step], inner: list[_Part]) -> _Part:
    return lambda value: "".join(part(item) for item in _walk(steps, value) for part in inner)


def _values(steps: list[_Step]) -> _Part:
    return lambda value: " ".join(_show(item) for item in _walk(steps, value))


def _walk(steps: list[_Step], value: Any) -> list[Any]:
    values = [value]
    for step in steps:
        values = [found for item in values for found in step(item)]
    return values


def _path(text: str) -> list[_Step]:
    steps: list[_Step] = []
    position = 0
    source = text if text[:1] in {".", "[", "@", "$"} else f".{text}"
    if source == ".":
        return steps
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise UsageError(f"jsonpath: {source[position:]!r} is not understood", hint=_HINT)
        position = match.end()
        steps.append(_step(match))
    return steps


def _step(match: re.Match[str]) -> _Step:
    groups = match.groupdict()
    for key in ("name", "single", "double"):
        if groups[key] is not None:
            return _member(groups[key])
    if groups["deep"] is not None:
        return _descend(groups["deep"])
    if groups["star"] or groups["any"]:
        return _children
    if groups["slice"] is not None:
        low, high = (int(bound) if bound else None for bound in groups["slice"].split(":"))
        return lambda value: value[low:high] if isinstance(value, list) else []
    if groups["index"] is not None:
        index = int(groups["index"])
        return lambda value: [value[index]] if isinstance(value, list) and -len(value) <= index < len(value) else []
    if groups["filter"] is not None:
        return _where(groups["filter"])
    return lambda value: [value]


def _member(name: str) -> _Step:
    return lambda value: [value[name]] if isinstance(value, Mapping) and name in value else []


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else []


def _descend(name: str) -> _Step:
    def step(value: Any) -> Iterable[Any]:
        if isinstance(value, Mapping) and name in value:
            yield value[name]
        for child in _children(value):
            yield from step(child)

    return step


def _where(text: str) -> _Step:
    match = _FILTER.fullmatch(text)
    if match is None:
        raise UsageError(f"jsonpath: the filter {text!r} is not understood", hint=_HINT)
    left = _path(match["left"])
    compare = _OPERATORS.get(match["op"] or "")
    wanted = _constant(match["right"]) if match["right"] else None

    def holds(item: Any) -> bool:
        found = _walk(left, item)
        if compare is None:
            return bool(found)
        try:
            return bool(found) and compare(found[0], wanted)
        except TypeError:  # a text is neither greater nor smaller than a number
            return False

    return lambda value: [item for item in _children(value) if holds(item)]


def _constant(text: str) -> Any:
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError as exc:
        raise UsageError(f"jsonpath: {text!r} is neither a number, true, false nor in quotes", hint=_HINT) from exc


def _show(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
