"""Formats of texts that schemas name: what a text of each looks like.

Source: kube-openapi `pkg/validation/strfmt` and apiextensions-apiserver `pkg/apiserver/validation/formats.go`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable
from email.utils import parseaddr
from typing import Final

from mlsysops_embedded.machinery import meta

__all__ = ["format_ok"]

_QUANTITY: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?")
_DURATION: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+|0")
_WORDY_DURATION: Final = re.compile(
    r"(?:\d+\s*(?:ns|nano|us|µs|micro|ms|milli|s|sec|m|min|h|hr|hour|d|day|w|wk|week)s?\s*)+"
)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_URI: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:[^\s]+|/[^\x00-\x20]*)")
_HOSTNAME: Final = re.compile(r"(?!-)[\w-]{1,63}(?<!-)|(?:(?!-)[^\W_][\w-]{0,62}(?<!-)\.)+[^\W\d_]{2,63}")
_MAC: Final = re.compile(
    r"(?:[0-9A-F]{2}([:-]))(?:[0-9A-F]{2}\1){4,18}[0-9A-F]{2}|(?:[0-9A-F]{4}\.){2,9}[0-9A-F]{4}", re.IGNORECASE
)
_MAC_BYTES: Final = (6, 8, 20)


def _date_time(text: str) -> bool:
    return "T" in text.upper() and meta.parse_time(text.upper()).tzinfo is not None


def _ipv4(text: str) -> bool:
    # Zeros before a number are taken, as Go's parsers once took them.
    parts = text.split(".")
    return len(parts) == 4 and all(part.isascii() and part.isdecimal() and int(part) < 256 for part in parts)


def _mac(text: str) -> bool:
    return bool(_MAC.fullmatch(text)) and len(re.sub(r"[:.-]", "", text)) // 2 in _MAC_BYTES


def _uuid(text: str) -> bool:
    return bool(uuid.UUID(text))


_FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "date-time": _date_time,
    "datetime": _date_time,
    "micro-time": lambda text: "." in text and _date_time(text),
    "date": lambda text: bool(_DATE.fullmatch(text)) and bool(meta.parse_time(text)),
    "byte": lambda text: base64.b64decode(text, validate=True) is not None,
    "duration": lambda text: bool(_DURATION.fullmatch(text) or _WORDY_DURATION.fullmatch(text)),
    "uuid": _uuid,
    "uuid3": _uuid,
    "uuid4": _uuid,
    "uuid5": _uuid,
    "ipv4": _ipv4,
    "ipv6": lambda text: bool(ipaddress.IPv6Address(text)),
    "cidr": lambda text: "/" in text and bool(ipaddress.ip_network(text, strict=False)),
    "mac": _mac,
    "email": lambda text: bool(_EMAIL.fullmatch(parseaddr(text)[1])),
    "hostname": lambda text: len(text) < 256 and "_" not in text and bool(_HOSTNAME.fullmatch(text)),
    "uri": lambda text: bool(_URI.fullmatch(text)),
    "quantity": lambda text: bool(_QUANTITY.fullmatch(text)),
    "k8s-short-name": lambda text: not meta.name_fault(text, label=True),
    "k8s-long-name": lambda text: not meta.name_fault(text),
}


def format_ok(text: str, form: str) -> bool:
    """Whether a text is of a format; any is of one that nobody knows."""
    check = _FORMATS.get(form)
    try:
        return check is None or check(text)
    except (ValueError, binascii.Error):
        return False
