"""Small facts of object metadata: times, identifiers, names."""

from __future__ import annotations

import random
import re
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from mlsysops_embedded.errors import ApiError

__all__ = [
    "MAX_DEPTH",
    "NAME_ALPHABET",
    "check_depth",
    "clone",
    "dns1035_fault",
    "finalizer_fault",
    "generate_name",
    "label_faults",
    "later",
    "name_fault",
    "new_uid",
    "now",
    "now_micro",
    "parse_time",
    "path_name_fault",
    "qualified_fault",
]

Obj = dict[str, Any]

#: apimachinery `util/rand`: no vowels and no look-alikes.
NAME_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
#: Levels of lists and maps that an object may have.
MAX_DEPTH: Final = 200
_SUBDOMAIN: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_LABEL35: Final = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_QUALIFIED: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")


def check_depth(value: Any) -> None:
    """Goes on where a value is not nested too deeply.

    Raises:
        ApiError: 400.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return
    raise ApiError.bad_request(f"the object is nested deeper than {MAX_DEPTH} levels")


def clone(obj: Obj) -> Obj:
    """A deep copy of a JSON object, ten times as fast as `copy.deepcopy`."""
    result: Obj = orjson.loads(orjson.dumps(obj))
    return result


def now() -> str:
    """Present time as `metav1.Time`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_micro() -> str:
    """Present time as `metav1.MicroTime`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Parses RFC 3339.

    Raises:
        ValueError: Not a time.
    """
    return datetime.fromisoformat(text)


def new_uid() -> str:
    """A random UUID."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def generate_name(prefix: str) -> str:
    """A name from `generateName`: the prefix, cut to fit 63 characters, and five random ones."""
    return prefix[:58] + "".join(random.choices(NAME_ALPHABET, k=5))  # noqa: S311 - unlikely to clash, not secret


def finalizer_fault(name: str) -> str:
    """Why a built-in kind may not have such a finalizer; empty where it may."""
    if "/" not in name and name not in ("kubernetes", "orphan", "foregroundDeletion"):
        return "name is neither a standard finalizer name nor is it fully qualified"
    return qualified_fault(name)


def name_fault(name: str, *, label: bool = False) -> str:
    """Why a name is no DNS-1123 subdomain (or label); empty where it is one."""
    limit = 63 if label else 253
    if len(name) > limit:
        return f"must be no more than {limit} characters"
    if label and not _LABEL.fullmatch(name):
        return (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and "
            "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        )
    if not _SUBDOMAIN.fullmatch(name):
        return (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
    return ""


def dns1035_fault(name: str) -> str:
    """Why a name is no DNS-1035 label (Service names); empty where it is one."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    if not _LABEL35.fullmatch(name):
        return (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
            "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
            "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
        )
    return ""


def path_name_fault(name: str) -> str:
    """Why a name cannot be a path segment (RBAC names); empty where it can."""
    if name in (".", ".."):
        return f"may not be '{name}'"
    for bad in "/%":
        if bad in name:
            return f"may not contain '{bad}'"
    return ""


def qualified_fault(key: str) -> str:
    """Why a label or annotation key is malformed; empty where it is fine."""
    prefix, slash, name = key.rpartition("/")
    if slash and (not prefix or name_fault(prefix)):
        return f"prefix part {name_fault(prefix) or 'must be non-empty'}"
    if not name or len(name) > 63 or not _QUALIFIED.fullmatch(name):
        return (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )
    return ""


def label_faults(labels: dict[str, str]) -> list[tuple[str, str]]:
    """Faults of labels as (offending text, why)."""
    faults = []
    for key, value in labels.items():
        if why := qualified_fault(key):
            faults.append((key, why))
        if value and (len(value) > 63 or not _QUALIFIED.fullmatch(value)):
            faults.append(
                (
                    value,
                    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
                    "must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
                    "regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                    if len(value) <= 63
                    else "must be no more than 63 characters",
                )
            )
    return faults


def later(time: str, seconds: int) -> str:
    """A time some seconds after another."""
    return (parse_time(time) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
