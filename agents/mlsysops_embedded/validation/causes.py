"""The faults of fields, in the words of apimachinery `pkg/util/validation/field/errors.go`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any

from mlsysops_embedded.errors import Cause
from mlsysops_embedded.validation.schema import json_text

__all__ = [
    "address_fault",
    "duplicate",
    "forbidden",
    "immutable",
    "invalid",
    "not_supported",
    "port_name_faults",
    "required",
]


def required(field: str, why: str = "") -> Cause:
    """Something has to be there."""
    return Cause("FieldValueRequired", field, f"Required value{': ' + why if why else ''}")


def invalid(field: str, value: Any, why: str) -> Cause:
    """A value is wrong."""
    return Cause("FieldValueInvalid", field, f"Invalid value: {json_text(value)}: {why}")


def forbidden(field: str, why: str) -> Cause:
    """Nothing may be there."""
    return Cause("FieldValueForbidden", field, f"Forbidden: {why}")


def duplicate(field: str, value: Any) -> Cause:
    """A value comes twice."""
    return Cause("FieldValueDuplicate", field, f"Duplicate value: {json_text(value)}")


def not_supported(field: str, value: Any, allowed: Iterable[str]) -> Cause:
    """A value is none of those that there are."""
    supported = ", ".join(json_text(item) for item in allowed)
    return Cause(
        "FieldValueNotSupported", field, f"Unsupported value: {json_text(value)}: supported values: {supported}"
    )


def immutable(field: str, new: Any, old: Any) -> Iterator[Cause]:
    """A value must not change."""
    if new != old:
        yield invalid(field, new, "field is immutable")


def address_fault(text: Any) -> str:
    """Why a text is no IP address; empty where it is one."""
    try:
        ip_address(str(text))
    except ValueError:
        return "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
    return ""


def port_name_faults(field: str, name: str) -> Iterator[Cause]:
    """What is wrong with the name of a port (RFC 6335, 5.1; `IsValidPortName`)."""
    if len(name) > 15:
        yield invalid(field, name, "must be no more than 15 characters")
    if not all(c in "abcdefghijklmnopqrstuvwxyz0123456789-" for c in name):
        yield invalid(field, name, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= c <= "z" for c in name):
        yield invalid(field, name, "must contain at least one letter (a-z)")
    if "--" in name:
        yield invalid(field, name, "must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        yield invalid(field, name, "must not begin or end with a hyphen")
