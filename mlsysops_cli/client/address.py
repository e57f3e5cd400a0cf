"""Which address and token a request goes to: the context, and ``MLS_API_IP``/``MLS_API_PORT`` over it."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mlsysops_core.errors import NotFound, Refused, UsageError

from mlsysops_cli.context import Context

__all__ = ["DEFAULT_PORT", "Target", "resolve"]

DEFAULT_PORT = 8000


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go.

    Attributes:
        url: Base URL without a slash at its end.
        token: Bearer token; empty where there is none.
        ca_file: PEM file the server's certificate is checked with; None for the system's.
        context: Name of the context it comes from; empty where it comes from the environment alone.
        environment: Whether the environment's address or port stands over the context's.
    """

    url: str
    token: str = field(default="", repr=False)
    ca_file: str | None = None
    context: str = ""
    environment: bool = False


def resolve(load: Context | None, error: NotFound | None = None) -> Target:
    """Return where requests go.

    Args:
        load: The context in use; None where there is none.
        error: Why there is none; raised unless the environment gives an address.

    Raises:
        NotFound: There is neither a context nor an address.
        UsageError: The environment's address or port is none.
        Refused: The token would cross a network in clear text.
    """
    host, port = os.environ.get("MLS_API_IP", "").strip(), os.environ.get("MLS_API_PORT", "").strip()
    if load is None and not host:
        raise error or NotFound("no slice is known on this machine", hint="run `mls framework deploy-all` first")
    known = urlsplit(load.api.url) if load is not None else urlsplit("")
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"MLS_API_PORT={port!r} is not a port", hint="a number from 1 to 65535")
    if not host and not port and load is not None:
        url = load.api.url.rstrip("/")
    else:
        name = host or known.hostname or ""
        if not name or any(character in name for character in "/@?# "):
            raise UsageError(
                f"MLS_API_IP={host!r} is not an address", hint="an IP address or a host name, without http://"
            )
        scheme = known.scheme or ("http" if _loopback(name) else "https")
        number = port or str(known.port or DEFAULT_PORT)
        url = f"{scheme}://[{name}]:{number}" if ":" in name else f"{scheme}://{name}:{number}"
    token = load.api.token if load is not None else ""
    parts = urlsplit(url)
    if token and parts.scheme != "https" and not _loopback(parts.hostname or ""):
        raise Refused(
            f"the token would go to {url} in clear text", hint="use an https address, or an SSH tunnel to loopback"
        )
    if load is None:
        return Target(url, token, environment=True)
    return Target(url, token, load.api.ca_file, load.name, environment=bool(host or port))


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
