"""Small readings and writings of Kubernetes objects that every room needs: owners, conditions, selectors, times, quantities."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from mlsysops_embedded.errors import ApiError
from mlsysops_embedded.machinery.meta import NAME_ALPHABET, now, parse_time
from mlsysops_embedded.machinery.meta import clone as copy
from mlsysops_embedded.machinery.selectors import selector_of_terms
from mlsysops_embedded.validation.quantities import parse_quantity as quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlsysops_embedded.client.protocol import Object

__all__ = [
    "condition",
    "condition_true",
    "controller_of",
    "copy",
    "format_time",
    "matches",
    "now",
    "owner_reference",
    "parse_time",
    "quantity",
    "safe_hash",
    "selector_matches",
    "set_condition",
    "terms_match",
]


def format_time(time: dt.datetime, *, micro: bool = False) -> str:
    """Format as metav1.Time, or as metav1.MicroTime."""
    return time.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def safe_hash(value: Any) -> str:
    """A short, stable hash of JSON data, usable in names and label values."""
    number = int.from_bytes(hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).digest()[:6], "big")
    text = ""
    for _ in range(10):
        number, digit = divmod(number, len(NAME_ALPHABET))
        text += NAME_ALPHABET[digit]
    return text


def controller_of(obj: Object) -> Object | None:
    """The owner reference that has ``controller: true``."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            owner: Object = reference
            return owner
    return None


def owner_reference(owner: Object, *, controller: bool = True) -> Object:
    """An owner reference to an object that has apiVersion and kind."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {**reference, "controller": True, "blockOwnerDeletion": True} if controller else reference


def matches(selector: Mapping[str, str] | None, labels: Mapping[str, str] | None) -> bool:
    """Whether labels have every pair of a plain map selector; an empty one matches everything."""
    labels = labels or {}
    return all(labels.get(key) == value for key, value in (selector or {}).items())


def terms_match(terms: Iterable[Mapping[str, Any]] | None, labels: Mapping[str, str]) -> bool:
    """Whether labels satisfy all match expressions of a label or node selector; one with an unknown operator none does."""
    try:
        return selector_of_terms(terms).matches_labels(labels)
    except ApiError:
        return False


def selector_matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str] | None) -> bool:
    """Whether labels match a metav1.LabelSelector: None matches nothing, an empty one everything."""
    if selector is None:
        return False
    labels = labels or {}
    return matches(selector.get("matchLabels"), labels) and terms_match(selector.get("matchExpressions"), labels)


def condition(conditions: Iterable[Object] | None, kind: str) -> Object | None:
    """The condition of a type."""
    return next((c for c in conditions or () if c.get("type") == kind), None)


def condition_true(obj: Object, kind: str) -> bool:
    """Whether ``status.conditions`` has that type with status True."""
    found = condition((obj.get("status") or {}).get("conditions"), kind)
    return bool(found and found.get("status") == "True")


def set_condition(
    conditions: Iterable[Object] | None, kind: str, status: str, reason: str = "", message: str = "", **extra: Any
) -> list[Object]:
    """A new list with the condition set; its transition time changes only with its status."""
    result = [dict(c) for c in conditions or ()]
    old = condition(result, kind)
    same = old is not None and old.get("status") == status
    new: Object = {"type": kind, "status": status, **extra}
    new["lastTransitionTime"] = (old.get("lastTransitionTime") if same and old else None) or now()
    if reason:
        new["reason"] = reason
    if message:
        new["message"] = message
    if old is None:
        return [*result, new]
    return [new if c is old else c for c in result]
