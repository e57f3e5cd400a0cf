"""Whether a host's name servers and proxies answer, each within a few seconds.

Standard library only, and no syntax newer than Python 3.8. Messages of DNS are those of RFC 1035, tunnels through a proxy
those of RFC 9110, section 9.3.6.
"""

from __future__ import annotations

import base64
import secrets
import select
import socket
import struct
import time
import urllib.parse
from pathlib import Path

from ansible.module_utils.mls_findings import Finding, fault, warning

__all__ = ["check_dns", "check_proxy", "nameservers"]

DNS_SECONDS = 3.0
PROXY_SECONDS = 5.0
_DNS_PORT = 53


def nameservers(resolv_conf: str = "/etc/resolv.conf") -> list[str]:
    """Return the addresses of the name servers that resolv.conf(5) names."""
    try:
        text = Path(resolv_conf).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    words = [row.split() for row in text.splitlines()]
    return [row[1] for row in words if len(row) > 1 and row[0] == "nameserver"]


def check_dns(servers: list[str], seconds: float = DNS_SECONDS, port: int = _DNS_PORT) -> list[Finding]:
    """Find name servers that do not answer: whatever asks them hangs.

    Any answer will do, a refusal among them; a host without name servers asks nobody and is well.

    Args:
        servers: Their addresses.
        seconds: Until they must have answered; they are asked all at once.
        port: Their port.
    """
    silent = _silent(servers, seconds, port)
    if not silent:
        return []
    who = "name server{} {} {} not answer within {:.0f} s".format(
        "s" if len(silent) > 1 else "", ", ".join(silent), "do" if len(silent) > 1 else "does", seconds
    )
    fix = "correct or remove them in /etc/resolv.conf"
    return [fault("DNS", who, fix, "timed-out") if len(silent) == len(servers) else warning("DNS", who, fix)]


def _silent(servers: list[str], seconds: float, port: int) -> list[str]:
    number = secrets.token_bytes(2)
    # One question, recursion desired: the name servers of the root (type 2, class 1).
    query = number + struct.pack("!5H", 0x0100, 1, 0, 0, 0) + b"\0" + struct.pack("!2H", 2, 1)
    waiting: dict[socket.socket, str] = {}
    dead = []
    for server in dict.fromkeys(servers):
        probe = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            probe.connect((server, port))
            probe.send(query)
        except (OSError, ValueError):
            probe.close()
            dead.append(server)
            continue
        waiting[probe] = server
    deadline = time.monotonic() + seconds
    while waiting and time.monotonic() < deadline:
        for probe in select.select(list(waiting), [], [], max(0.0, deadline - time.monotonic()))[0]:
            try:
                answered = probe.recv(4096)[:2] == number
            except OSError:  # the port is closed
                dead.append(waiting[probe])
                answered = True
            if answered:
                waiting.pop(probe).strip()
                probe.close()
    for probe in waiting:
        probe.close()
    silent = {*dead, *waiting.values()}
    return [server for server in dict.fromkeys(servers) if server in silent]


def check_proxy(url: str, target: str = "", seconds: float = PROXY_SECONDS) -> list[Finding]:
    """Find a proxy that does not answer, or refuses a tunnel.

    Args:
        url: The proxy; a user and password in it are used and never shown.
        target: ``host:port`` that a tunnel is asked for; empty where it is enough that it can be connected to.
        seconds: Until it must have answered.
    """
    parts = urllib.parse.urlsplit(url if "://" in url else "http://" + url)
    try:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 3128)
    except ValueError:
        host, port = "", 0
    if not host:
        return [fault("proxy", "the proxy is no URL", "write it as http://host:port")]
    shown, fix = f"proxy {host}:{port}", "correct mls_http_proxy and mls_https_proxy, or the proxy's rules"
    try:
        with socket.create_connection((host, port), timeout=seconds) as stream:
            stream.settimeout(seconds)
            if not target or parts.scheme == "https":
                return []
            stream.sendall(_tunnel(parts, target))
            status = stream.recv(1024).decode("latin-1").split("\r\n")[0]
    except socket.timeout:  # noqa: UP041 - Python 3.8 tells it from TimeoutError
        return [fault("proxy", f"{shown} does not answer within {seconds:.0f} s", fix, "timed-out")]
    except OSError as exc:
        return [fault("proxy", f"{shown}: {exc.strerror or exc}", fix, "unreachable")]
    words = status.split(" ", 2)
    if len(words) > 1 and words[1].startswith("2"):
        return []
    return [fault("proxy", f"{shown} refuses {target}: {' '.join(words[1:]) or 'no HTTP answer'}", fix, "refused")]


def _tunnel(parts: urllib.parse.SplitResult, target: str) -> bytes:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if parts.username:
        user = "{}:{}".format(urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))
        lines.append("Proxy-Authorization: Basic " + base64.b64encode(user.encode()).decode())
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
