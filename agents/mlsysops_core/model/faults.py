"""From pydantic's errors to faults that point into the user's file and say what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mlsysops_core.errors import Fault
from mlsysops_core.model.common import known_keys
from mlsysops_core.model.rules import near_miss, nearest
from mlsysops_core.yaml import Document, path_text

__all__ = ["faults_of"]

Path = tuple[str | int, ...]


def faults_of(error: ValidationError, model: type[BaseModel], document: Document, base: Path) -> list[Fault]:
    """Translates an error.

    Args:
        error: What pydantic found, places relative to `model`.
        model: Model that was validated.
        document: Where the data came from.
        base: Place of the data in the document.

    Returns:
        The faults; their paths are relative to the description. A required key that is there misspelt counts once.
    """
    details = error.errors(include_url=False)
    meant = {
        (*detail["loc"][:-1], suggestion)
        for detail in details
        if detail["type"] == "extra_forbidden"
        and (suggestion := nearest(str(detail["loc"][-1]), _keys_at(model, detail["loc"])))
    }
    return [
        _fault(detail, model, document, base)
        for detail in details
        if detail["type"] != "missing" or tuple(detail["loc"]) not in meant
    ]


def _fault(detail: ErrorDetails, model: type[BaseModel], document: Document, base: Path) -> Fault:
    loc: Path = tuple(detail["loc"])
    message, hint = _describe(detail, model, loc)
    line, column = document.locate((*base, *loc), key=detail["type"] == "extra_forbidden")
    return Fault(document.source, line, column, path_text(loc), message, hint)


def _keys_at(model: type[BaseModel], loc: Path) -> list[str]:
    """Lists the keys that are known beside the one at `loc`."""
    return list(known_keys(_model_at(model, loc[:-1]) or model))


def _describe(detail: ErrorDetails, model: type[BaseModel], loc: Path) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx") or {}
    given = _shown(detail["input"])
    if kind == "extra_forbidden":
        choices = _keys_at(model, loc)
        return f"unknown key {loc[-1]!r}", near_miss(str(loc[-1]), choices) or f"known: {', '.join(choices[:12])}"
    if kind in {"literal_error", "enum"}:
        allowed = [word.strip("' ") for word in str(context.get("expected", "")).replace(" or ", ", ").split(",")]
        hint = near_miss(detail["input"], allowed) if isinstance(detail["input"], str) else ""
        return f"{given} is not one of {', '.join(allowed)}", hint
    if kind == "value_error":
        error = context.get("error")
        return str(getattr(error, "message", error)), str(getattr(error, "hint", ""))
    if kind in {"rule", "number", "flag"}:
        message = detail["msg"] if kind == "rule" else f"{detail['msg']}, not {given}"
        return message, str(context.get("hint", ""))
    translate = _MESSAGES.get(kind)
    if translate is not None:
        return translate(given, context)
    return detail["msg"][:1].lower() + detail["msg"][1:], ""


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


_PATTERN_HINTS = {
    "a-z0-9": "lower-case letters, digits and '-', beginning and ending with a letter or digit",
    "_a-zA-Z": "letters, digits, '_', '-' and '.', not beginning with a digit",
    "metadata": "e.g. status.hostIP, status.podIP, spec.nodeName or metadata.name",
}


def _pattern(given: str, context: Mapping[str, Any]) -> tuple[str, str]:
    pattern = str(context.get("pattern", ""))
    hint = next((hint for part, hint in _PATTERN_HINTS.items() if part in pattern[:20]), f"it must match {pattern}")
    return f"{given} is not allowed here", hint


_MESSAGES: dict[str, Callable[[str, Mapping[str, Any]], tuple[str, str]]] = {
    "missing": lambda _, __: ("is required", "add it"),
    "string_type": lambda given, _: (
        f"must be a text, not {given}",
        "put it in quotes" if given[:1].isdigit() or given in {"true", "false"} else "",
    ),
    "int_type": lambda given, _: (f"must be a whole number, not {given}", ""),
    "list_type": lambda given, _: (f"must be a list, not {given}", "begin each entry with '- '"),
    "model_type": lambda given, _: (f"must be a mapping, not {given}", ""),
    "dict_type": lambda given, _: (f"must be a mapping, not {given}", ""),
    "model_attributes_type": lambda given, _: (f"must be a mapping, not {given}", ""),
    "greater_than_equal": lambda given, ctx: (f"must be at least {ctx['ge']}, not {given}", ""),
    "greater_than": lambda given, ctx: (f"must be above {ctx['gt']}, not {given}", ""),
    "less_than_equal": lambda given, ctx: (f"must be at most {ctx['le']}, not {given}", ""),
    "too_short": lambda _, ctx: (f"must have at least {ctx['min_length']} entries, has {ctx['actual_length']}", ""),
    "too_long": lambda _, ctx: (f"must have at most {ctx['max_length']} entries, has {ctx['actual_length']}", ""),
    "string_too_short": lambda _, __: ("must not be empty", ""),
    "string_too_long": lambda _, ctx: (f"must have at most {ctx['max_length']} characters", ""),
    "string_pattern_mismatch": _pattern,
}


def _model_at(model: type[BaseModel], loc: Path) -> type[BaseModel] | None:
    """Finds the model that describes the value at `loc`."""
    current: type[BaseModel] | None = model
    named = False
    for part in loc:
        if isinstance(part, int) or named:  # an entry of a list, or of a mapping whose keys are names
            named = False
            continue
        name = known_keys(current).get(part) if current is not None else None
        if current is None or name is None:
            return None
        annotation = current.model_fields[name].annotation
        current, named = _model_in(annotation), get_origin(annotation) is dict
    return current


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg)) is not None), None)
