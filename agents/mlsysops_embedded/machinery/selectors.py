"""Label and field selectors, parsed once and matched often.

Source: apimachinery `pkg/labels/selector.go` and `pkg/fields/selector.go`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from mlsysops_embedded.errors import ApiError

__all__ = [
    "Selector",
    "field_value",
    "parse_field_selector",
    "parse_label_selector",
    "selector_from_object",
    "selector_of_terms",
]

_KEY: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_VALUE: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_SET: Final = re.compile(r"(\S+)\s+(in|notin)\s*\(([^()]*)\)")
_FIELD_PARTS: Final = re.compile(r"(?:\\.|[^,\\])+|\\$")
_SIGN: Final = re.compile(r"!=|==?")
_ESCAPED: Final = re.compile(r"(?:\\[\\,=]|[^\\])*")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")

_OPERATORS: Final = {
    "In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent", "Gt": "gt", "Lt": "lt",
}  # fmt: skip
#: (key, operator, values); operators: in, notin, exists, absent, gt, lt.
Requirement = tuple[str, str, tuple[str, ...]]


class Selector:
    """A conjunction of requirements over string values."""

    __slots__ = ("requirements",)

    def __init__(self, requirements: tuple[Requirement, ...]) -> None:
        self.requirements = requirements

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def matches(self, lookup: Callable[[str], str | None]) -> bool:
        """Whether all requirements hold; `lookup` gives a key's value or None."""
        for key, operator, values in self.requirements:
            value = lookup(key)
            if operator == "in":
                if value is None or value not in values:
                    return False
            elif operator == "notin":
                if value is not None and value in values:
                    return False
            elif operator == "exists":
                if value is None:
                    return False
            elif operator == "absent":
                if value is not None:
                    return False
            elif not _compare(value, operator, values[0] if values else ""):
                return False
        return True

    def matches_labels(self, labels: Mapping[str, str] | None) -> bool:
        """Whether labels satisfy the selector."""
        return self.matches((labels or {}).get)

    def exact(self, key: str) -> str | None:
        """The one value that the selector allows for a key, if it is one."""
        for name, operator, values in self.requirements:
            if name == key and operator == "in" and len(values) == 1:
                return values[0]
        return None


def _compare(value: str | None, operator: str, bound: str) -> bool:
    if not _INTEGER.fullmatch(value or "") or not _INTEGER.fullmatch(bound):
        return False
    number, limit = int(value or ""), int(bound)
    return number > limit if operator == "gt" else number < limit


def _split(text: str) -> list[str]:
    """Splits at commas that are outside parentheses."""
    parts, depth, start = [], 0, 0
    for index, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and not depth:
            parts.append(text[start:index])
            start = index + 1
    parts.append(text[start:])
    stripped = [part.strip() for part in parts]
    if len(stripped) > 1 and not all(stripped[:-1]):
        raise ApiError.bad_request(f"unable to parse selector {text!r}: found ',', expected: identifier")
    return [part for part in stripped if part]


def _bad(text: str, why: str) -> ApiError:
    return ApiError.bad_request(f"unable to parse requirement: {text!r}: {why}")


def _checked(key: str, operator: str, values: tuple[str, ...], text: str) -> Requirement:
    if not _KEY.fullmatch(key):
        raise _bad(text, f"invalid label key {key!r}")
    if operator not in ("gt", "lt"):
        for value in values:
            if not _VALUE.fullmatch(value):
                raise _bad(text, f"invalid label value {value!r}")
    elif not _INTEGER.fullmatch(values[0]):
        raise _bad(text, f"for 'Gt', 'Lt' operators, the value must be an integer, not {values[0]!r}")
    return key, operator, values


def _label_requirement(text: str) -> Requirement:
    if match := _SET.fullmatch(text):
        values = tuple(value.strip() for value in match[3].split(","))
        return _checked(match[1], match[2], values, text)
    for sign, operator in (("!=", "notin"), ("==", "in"), ("=", "in"), (">", "gt"), ("<", "lt")):
        if sign in text:
            key, _, value = text.partition(sign)
            return _checked(key.strip(), operator, (value.strip(),), text)
    if text.startswith("!"):
        return _checked(text[1:].strip(), "absent", (), text)
    return _checked(text, "exists", (), text)


def parse_label_selector(text: str) -> Selector:
    """Parses `a=b,c!=d,e in (f,g),!h`.

    Raises:
        ApiError: 400.
    """
    return Selector(tuple(_label_requirement(part) for part in _split(text))) if text else Selector(())


def parse_field_selector(text: str) -> Selector:
    """Parses `metadata.name=a,status.phase!=Failed`.

    Raises:
        ApiError: 400.
    """
    requirements: list[Requirement] = []
    for part in _FIELD_PARTS.findall(text):
        sign = _SIGN.search(part)
        value = part[sign.end() :] if sign else ""
        if sign is None or not _ESCAPED.fullmatch(value):
            raise ApiError.bad_request(f"invalid field selector: {part!r}: can't understand")
        operator = "notin" if sign[0] == "!=" else "in"
        requirements.append((part[: sign.start()], operator, (re.sub(r"\\(.)", r"\1", value),)))
    return Selector(tuple(requirements))


def selector_of_terms(terms: Iterable[Mapping[str, Any]] | None) -> Selector:
    """Selector of the match expressions of a label or node selector.

    Raises:
        ApiError: 400 where an operator is none.
    """
    requirements: list[Requirement] = []
    for term in terms or ():
        operator = _OPERATORS.get(term.get("operator", ""))
        if operator is None:
            raise ApiError.bad_request(f"{term.get('operator')!r} is not a valid label selector operator")
        requirements.append((term.get("key", ""), operator, tuple(term.get("values") or ())))
    return Selector(tuple(requirements))


def selector_from_object(selector: Mapping[str, Any] | None) -> Selector:
    """Selector of a `LabelSelector` object; a missing one selects nothing, an empty one everything.

    Raises:
        ApiError: 400 where an operator is none.
    """
    if selector is None:
        return Selector((("", "in", ()),))
    pairs = tuple((key, "in", (value,)) for key, value in (selector.get("matchLabels") or {}).items())
    return Selector(pairs + selector_of_terms(selector.get("matchExpressions")).requirements)


def field_value(obj: Mapping[str, Any], path: str) -> str:
    """The string that a field selector compares: empty where the field is absent."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
