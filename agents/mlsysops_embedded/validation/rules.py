"""`x-kubernetes-validations`: the rules of a custom resource's schema, checked with the definition and run on every write.

Source: apiextensions-apiserver `pkg/apiserver/schema/cel/validation.go`; https://kubernetes.io/docs/reference/using-api/cel/ and
"Validation rules" in the documentation of CustomResourceDefinitions. As there since 1.33, a value that a write does not change is
not refused by a rule that came later ("ratcheting").
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mlsysops_embedded.errors import Cause
from mlsysops_embedded.validation.schema import json_text

if TYPE_CHECKING:
    from mlsysops_embedded.validation.cel import Program
    from mlsysops_embedded.validation.cel_types import Types

__all__ = ["Rules", "faults"]

Schema = Mapping[str, Any]
_KEY: Final = "x-kubernetes-validations"
_REASONS: Final = {
    "FieldValueInvalid": 'Invalid value: "{kind}": {text}',
    "FieldValueRequired": "Required value: {text}",
    "FieldValueForbidden": "Forbidden: {text}",
    "FieldValueDuplicate": 'Duplicate value: "{kind}"',
}
_MAX_RULE: Final = 10 * 1024
_MAX_MESSAGE: Final = 5 * 1024
#: Processor time in seconds for the rules of one object; a rule by itself ends after 10,000 steps of its loops.
_BUDGET_SECONDS: Final = 1.0
_PATH_STEP: Final = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\['((?:[^'\\]|\\.)+)'\]")
_BUDGET_TEXT: Final = (
    "Forbidden: validation failed due to running out of cost budget, no further validation rules will be run"
)


# ---------------------------------------------------------------------- with the definition


def faults(schema: Schema, path: str) -> Iterator[Cause]:
    """Faults of the rules in a schema; `path` is where the schema stands."""
    if _present(schema):
        from mlsysops_embedded.validation.cel_types import Types

        yield from _walk_faults(schema, path, Types(), root=True, correlated=True)


def _walk_faults(node: Any, path: str, types: Types, *, root: bool, correlated: bool) -> Iterator[Cause]:
    if not isinstance(node, Mapping) or not _present(node):
        return
    rules = node.get(_KEY) or ()
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        yield from _rule_faults(rule, node, f"{path}.{_KEY}[{index}]", types, root=root, correlated=correlated)
    for key, child in (node.get("properties") or {}).items():
        yield from _walk_faults(child, f"{path}.properties[{key}]", types, root=False, correlated=correlated)
    kept = correlated and node.get("x-kubernetes-list-type") == "map"
    yield from _walk_faults(node.get("items"), f"{path}.items", types, root=False, correlated=kept)
    extra = node.get("additionalProperties")
    yield from _walk_faults(extra, f"{path}.additionalProperties", types, root=False, correlated=correlated)


def _rule_faults(
    rule: Any, schema: Schema, path: str, types: Types, *, root: bool, correlated: bool
) -> Iterator[Cause]:
    from mlsysops_embedded.validation.cel import uses_old

    if not isinstance(rule, dict) or not isinstance(rule.get("rule"), str) or not rule["rule"].strip():
        yield Cause("FieldValueRequired", f"{path}.rule", "Required value: rule is not specified")
        return
    text, message, reason = rule["rule"], rule.get("message", ""), rule.get("reason") or "FieldValueInvalid"
    transition = uses_old(text)
    if reason not in _REASONS:
        supported = ", ".join(json_text(name) for name in sorted(_REASONS))
        yield Cause(
            "FieldValueNotSupported",
            f"{path}.reason",
            f"Unsupported value: {json_text(reason)}: supported values: {supported}",
        )
    if message and (not message.strip() or "\n" in message or len(message) > _MAX_MESSAGE):
        why = "message must be a single line of at most 5120 characters that is not blank"
        yield Cause("FieldValueInvalid", f"{path}.message", f"Invalid value: {json_text(message)}: {why}")
    if "\n" in text.strip() and not message:
        why = "message must be specified if rule contains line breaks"
        yield Cause("FieldValueRequired", f"{path}.message", f"Required value: {why}")
    where = rule.get("fieldPath")
    if where is not None and not _reaches(schema, where):
        why = "fieldPath must be a valid path"
        yield Cause("FieldValueInvalid", f"{path}.fieldPath", f"Invalid value: {json_text(where)}: {why}")
    if rule.get("optionalOldSelf") is not None and not transition:
        why = "may not be set if oldSelf is not used in rule"
        yield Cause("FieldValueInvalid", f"{path}.optionalOldSelf", f"Invalid value: true: {why}")
    if transition and not correlated:
        why = "oldSelf cannot be used on the uncorrelatable portion of the schema"
        yield Cause("FieldValueInvalid", f"{path}.rule", f"Invalid value: {json_text(text)}: {why}")
    optional = bool(rule.get("optionalOldSelf"))
    for key, wanted, name in (("rule", "BOOL", "bool"), ("messageExpression", "STRING", "string")):
        expression = rule.get(key)
        if expression is None:
            continue
        if why := _expression_fault(expression, schema, types, (wanted, "DYN"), root=root, optional=optional):
            why = f"compilation failed: {why}" if why != wanted else f"must evaluate to a {name}"
            prefix = "" if key == "rule" else f"{key} "
            yield Cause("FieldValueInvalid", f"{path}.{key}", f"Invalid value: {json_text(expression)}: {prefix}{why}")


def _expression_fault(
    expression: Any, schema: Schema, types: Types, wanted: tuple[str, str], *, root: bool, optional: bool
) -> str:
    """Why an expression is refused; the wanted type by itself where it gives another."""
    if not isinstance(expression, str) or not expression.strip() or len(expression) > _MAX_RULE:
        return f"must be text of at most {_MAX_RULE} characters that is not blank"
    try:
        return "" if types.check(expression, schema, root=root, optional=optional) in wanted else wanted[0]
    except ValueError as exc:
        return str(exc)


def _reaches(schema: Schema, path: Any) -> bool:
    if not isinstance(path, str) or "".join(m[0] for m in _PATH_STEP.finditer(path)) != path or not path:
        return False
    node: Any = schema
    for step in _PATH_STEP.finditer(path):
        name = step[1] or step[2]
        extra = node.get("additionalProperties")
        node = extra if isinstance(extra, Mapping) else (node.get("properties") or {}).get(name)
        if not isinstance(node, Mapping):
            return False
    return True


def _present(node: Any) -> bool:
    if not isinstance(node, Mapping):
        return False
    children = [*(node.get("properties") or {}).values(), node.get("items"), node.get("additionalProperties")]
    return bool(node.get(_KEY)) or any(_present(child) for child in children)


# ---------------------------------------------------------------------- on objects


@dataclass(frozen=True, slots=True)
class _Rule:
    program: Program
    transition: bool
    optional: bool
    text: str
    reason: str
    path: str
    message: str
    expression: Program | None


@dataclass(slots=True)
class _Node:
    schema: Schema
    rules: list[_Rule]
    transition: bool
    properties: dict[str, _Node] = field(default_factory=dict)
    items: _Node | None = None
    values: _Node | None = None


class Rules:
    """The rules of one version of a definition, compiled when they are first needed.

    Args:
        schema: The schema of the whole object.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._tree: _Node | None = None

    @classmethod
    def of(cls, schema: Schema) -> Rules | None:
        """The rules of a schema, if it has any."""
        return cls(schema) if _present(schema) else None

    def check(self, obj: Any, old: Any) -> list[Cause]:
        """Which rules an object breaks; `old` is None where there is none."""
        if self._tree is None:
            self._tree = _compile(self._schema)
        if self._tree is None:
            return []
        found: list[Cause] = []
        deadline = time.thread_time() + _BUDGET_SECONDS
        for cause in _run(self._tree, obj, old, "", deadline, has_old=old is not None):
            found.append(cause)
            if cause["message"] == _BUDGET_TEXT:
                break
        return found


def _compile(schema: Any) -> _Node | None:
    from mlsysops_embedded.validation.cel import program, uses_old

    if not _present(schema):
        return None
    rules = []
    for rule in schema.get(_KEY) or ():
        optional = bool(rule.get("optionalOldSelf"))
        expression = rule.get("messageExpression")
        rules.append(
            _Rule(
                program(rule["rule"], optional=optional),
                uses_old(rule["rule"]),
                optional,
                rule["rule"].strip(),
                rule.get("reason") or "FieldValueInvalid",
                "".join(f".{m[1] or m[2]}" for m in _PATH_STEP.finditer(rule.get("fieldPath") or "")),
                rule.get("message") or f"failed rule: {rule['rule'].strip()}",
                program(expression, optional=optional) if expression else None,
            )
        )
    properties = {key: node for key, sub in (schema.get("properties") or {}).items() if (node := _compile(sub))}
    items, values = _compile(schema.get("items")), _compile(schema.get("additionalProperties"))
    below = [*properties.values(), *(node for node in (items, values) if node)]
    transition = any(rule.transition for rule in rules) or any(node.transition for node in below)
    return _Node(schema, rules, transition, properties, items, values)


def _run(node: _Node, value: Any, old: Any, path: str, deadline: float, *, has_old: bool) -> Iterator[Cause]:
    same = has_old and value == old
    if value is None or (same and not node.transition):
        return
    rules = [
        rule
        for rule in node.rules
        if (rule.transition and (has_old or rule.optional)) or (not rule.transition and not same)
    ]
    if rules:
        from mlsysops_embedded.validation.cel import to_cel

        this = to_cel(value, node.schema)
        before = to_cel(old, node.schema) if has_old and any(rule.transition for rule in rules) else None
        for rule in rules:
            if time.thread_time() > deadline:
                yield Cause("FieldValueForbidden", path, _BUDGET_TEXT)
                return
            yield from _one(rule, node, path, this, before, has_old=has_old)
    if isinstance(value, dict):
        known = old if has_old and isinstance(old, dict) else {}
        for key, item in value.items():
            child = node.properties.get(key) or (node.values if key not in node.schema.get("properties", ()) else None)
            if child is not None:
                place = f"{path}.{key}" if path else key
                if node.values is child:
                    place = f"{path}[{key}]"
                yield from _run(child, item, known.get(key), place, deadline, has_old=known.get(key) is not None)
    elif isinstance(value, list) and node.items is not None:
        keys = node.schema.get("x-kubernetes-list-map-keys") or ()
        matched = {_identity(item, keys): item for item in (old if has_old else None) or ()} if keys else {}
        for index, item in enumerate(value):
            match = matched.get(_identity(item, keys)) if keys else None
            yield from _run(node.items, item, match, f"{path}[{index}]", deadline, has_old=match is not None)


def _identity(item: Any, keys: Any) -> tuple[Any, ...]:
    return tuple(item.get(key) for key in keys)


def _one(rule: _Rule, node: _Node, path: str, this: Any, before: Any, *, has_old: bool) -> Iterator[Cause]:
    kind = node.schema.get("type") or ""
    try:
        if rule.program.run(this, before, has_old=has_old) is True:
            return
    except ValueError as exc:
        text = f"{exc} evaluating rule: {rule.message}"
        yield Cause("FieldValueInvalid", path, f'Invalid value: "{kind}": {text}')
        return
    text = rule.message
    if rule.expression is not None:
        try:
            said = rule.expression.run(this, before, has_old=has_old)
        except ValueError:
            said = ""  # as Kubernetes does: a message that cannot be made gives way to the fixed one
        if isinstance(said, str) and said.strip() and "\n" not in said and len(said) <= _MAX_MESSAGE:
            text = said.strip()
    field_path = (path + rule.path).lstrip(".")
    yield Cause(rule.reason, field_path, _REASONS[rule.reason].format(kind=kind, text=text))
