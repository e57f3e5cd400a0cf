"""IP addresses, networks, URLs and versions in validation rules; a value is a map with one key that says what it is.

Source: apiserver `pkg/cel/library/{ip,cidr,urls,semverlib}.go`; versions: https://semver.org (2.0.0).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from cel_expr_python import cel

__all__ = ["functions", "version_order"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
#: name, parameters, result, implementation, whether a method.
Row = tuple[str, str, str, Callable[..., Any], bool]

_VERSION: Final = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
)
_LINK_LOCAL: Final = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def _text(value: Any, key: str) -> str:
    inner = value[key]
    return str(inner.plain_value() if isinstance(inner, cel.Value) else inner)


def _valid(parse: Callable[..., Any]) -> Callable[..., bool]:
    def test(*values: Any) -> bool:
        try:
            parse(*values)
        except ValueError:
            return False
        return True

    return test


# ------------------------------------------------------------------ addresses and networks


def _parse_ip(text: str) -> Address:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.scope_id):
        raise ValueError(f"IP Address {text!r} parse error: IPv4-mapped addresses and zones are not allowed")
    return address


def _parse_cidr(text: str) -> Interface:
    address, slash, length = text.partition("/")
    if not slash or not length.isdecimal() or (len(length) > 1 and length[0] == "0"):
        raise ValueError(f"network address parse error: {text!r} is no CIDR")
    _parse_ip(address)
    return ipaddress.ip_interface(text)


def _ip(text: str) -> dict[str, str]:
    return {"ip": str(_parse_ip(text))}


def _cidr(text: str) -> dict[str, str]:
    return {"cidr": str(_parse_cidr(text))}


def _address(value: Any) -> Address:
    return _parse_ip(value if isinstance(value, str) else _text(value, "ip"))


def _network(value: Any) -> Interface:
    return _parse_cidr(value if isinstance(value, str) else _text(value, "cidr"))


def _global_unicast(value: Any) -> bool:
    address = _address(value)
    broadcast = address == ipaddress.IPv4Address("255.255.255.255")
    others = address.is_unspecified or address.is_multicast or address.is_loopback or address.is_link_local
    return not (others or broadcast)


def _contains_cidr(outer: Any, inner: Any) -> bool:
    big, small = _network(outer).network, _network(inner)
    if big.version != small.version:
        return False
    return small.ip in big and small.network.prefixlen >= big.prefixlen


# ------------------------------------------------------------------ URLs


def _parse_url(text: str) -> SplitResult:
    """A URL with a scheme, or an absolute path (Go's `url.ParseRequestURI`)."""
    found = urlsplit(text)
    if any(c <= " " or c == "\x7f" for c in text) or not (text.startswith("/") or found.scheme) or "#" in text:
        raise ValueError(f"URL parse error during conversion from string: {text!r}")
    _ = found.port  # raises where it is none
    return found


def _url(text: str) -> dict[str, str]:
    _parse_url(text)
    return {"url": text}


def _url_part(part: Callable[[SplitResult], Any]) -> Callable[[Any], Any]:
    return lambda value: part(_parse_url(_text(value, "url")))


def _hostname(url: SplitResult) -> str:
    """As written, without brackets and port."""
    host = url.netloc.rpartition("@")[2]
    return host[1 : host.index("]")] if host.startswith("[") else host.partition(":")[0]


def _port(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2].rpartition("]")[2].rpartition(":")[2] if url.port is not None else ""


# ------------------------------------------------------------------ versions


def _parse_version(text: str, normalize: bool = False) -> re.Match[str]:
    if normalize:
        head, mark, tail = re.fullmatch(r"v?([\d.]*)([-+]?)(.*)", text).groups()  # type: ignore[union-attr]
        numbers = [part.lstrip("0") or "0" for part in head.split(".")]
        text = ".".join([*numbers, *["0"] * (3 - len(numbers))]) + mark + tail
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no semantic version")
    return found


def _semver(text: str, normalize: bool = False) -> dict[str, str]:
    return {"semver": _parse_version(text, normalize).group(0)}


def _number(index: int) -> Callable[[Any], int]:
    return lambda value: int(_parse_version(_text(value, "semver"))[index])


def version_order(value: Mapping[str, Any]) -> tuple[Any, ...]:
    """What versions are compared by (semver 2.0.0, 11)."""
    found = _parse_version(_text(value, "semver"))
    parts = (found[4] or "").split(".") if found[4] else []
    before = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)
    return (*(int(found[index]) for index in (1, 2, 3)), not before, before)


def functions() -> Iterator[Row]:
    """In parameters and results `I` is an address, `C` a network, `U` a URL, `V` a version."""
    yield "ip", "string", "I", _ip, False
    yield "isIP", "string", "bool", _valid(_parse_ip), False
    yield "ip.isCanonical", "string", "bool", lambda text: str(_parse_ip(text)) == text, False
    yield "family", "I", "int", lambda ip: _address(ip).version, True
    yield "isUnspecified", "I", "bool", lambda ip: _address(ip).is_unspecified, True
    yield "isLoopback", "I", "bool", lambda ip: _address(ip).is_loopback, True
    yield "isLinkLocalMulticast", "I", "bool", lambda ip: any(_address(ip) in net for net in _LINK_LOCAL), True
    yield "isLinkLocalUnicast", "I", "bool", lambda ip: _address(ip).is_link_local, True
    yield "isGlobalUnicast", "I", "bool", _global_unicast, True
    yield "cidr", "string", "C", _cidr, False
    yield "isCIDR", "string", "bool", _valid(_parse_cidr), False
    for kind in ("I", "string"):
        yield "containsIP", f"C {kind}", "bool", lambda net, ip: _address(ip) in _network(net).network, True
    for kind in ("C", "string"):
        yield "containsCIDR", f"C {kind}", "bool", _contains_cidr, True
    yield "ip", "C", "I", lambda net: {"ip": str(_network(net).ip)}, True
    yield "masked", "C", "C", lambda net: {"cidr": str(_network(net).network)}, True
    yield "prefixLength", "C", "int", lambda net: _network(net).network.prefixlen, True
    yield "url", "string", "U", _url, False
    yield "isURL", "string", "bool", _valid(_parse_url), False
    yield "getScheme", "U", "string", _url_part(lambda url: url.scheme), True
    yield "getHost", "U", "string", _url_part(lambda url: url.netloc.rpartition("@")[2]), True
    yield "getHostname", "U", "string", _url_part(_hostname), True
    yield "getPort", "U", "string", _url_part(_port), True
    yield "getEscapedPath", "U", "string", _url_part(lambda url: url.path if url.path.startswith("/") else ""), True
    query = _url_part(lambda url: parse_qs(url.query, keep_blank_values=True))
    yield "getQuery", "U", "map<string,list<string>>", query, True
    for parameters in ("string", "string bool"):
        yield "semver", parameters, "V", _semver, False
        yield "isSemver", parameters, "bool", _valid(_parse_version), False
    for index, name in enumerate(("major", "minor", "patch"), start=1):
        yield name, "V", "int", _number(index), True
