"""Paths of addresses over interfaces by policy routing (netlink, through ``pyroute2``): a rule a source, a table a path.

Source: ``ip-rule(8)``, ``rtnetlink(7)``. Our rules carry a protocol number of their own (as routing daemons' do, see iproute2's
``rt_protos``), one priority, and tables of a range that nobody else uses; nothing else is ever touched.
"""

from __future__ import annotations

import errno
import importlib
import ipaddress
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from mlsysops_core.errors import Conflict, MlsError, NotFound, Refused

from .knob import translate

__all__ = ["Interface", "Path", "PathKnob", "Routes"]

T = TypeVar("T")
_PROTOCOL = 77
_PRIORITY = 7077
_TABLES = range(7100, 8000)
_MAIN_TABLE = 254
_UP = 0x1  # IFF_UP, linux/if.h
_CALL_SECONDS = 10.0
#: A rule that leads nowhere, in the place of a path.
_NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface.

    Attributes:
        name: Its name.
        index: Its number.
        up: Whether it is up and running.
        addresses: Its addresses with their prefixes.
        gateways: Default gateways over it, of the main table.
    """

    name: str
    index: int
    up: bool
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """Over which interface traffic goes, and to which next hop."""

    interface: str
    gateway: str | None = None

    def __str__(self) -> str:
        if not self.interface:
            return _NOWHERE
        return f"dev {self.interface}" + (f" via {self.gateway}" if self.gateway else "")

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read what `str` writes."""
        words = text.split()
        return cls(words[1], words[3] if len(words) > 3 else None)


class Routes:
    """Rules and routes of one network namespace.

    Args:
        namespace: Name of a network namespace (``ip netns``); the agent's own where None.
    """

    def __init__(self, namespace: str | None = None) -> None:
        self._namespace = namespace
        self._library: Any = None
        # The library runs an event loop of its own, which cannot be where another one runs.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="netlink")

    def fault(self) -> str:
        """Say why routes cannot be seen; empty where they can."""
        try:
            self._library = self._library or importlib.import_module("pyroute2")
        except ImportError:
            return "pyroute2 is not installed (install mlsysops-cli[network])"
        try:
            self._call(lambda netlink: netlink.link_lookup(ifname="lo"))
        except MlsError as exc:
            return str(exc)
        return ""

    def interfaces(self) -> dict[str, Interface]:
        """Return the interfaces by name, without loopback."""
        return self._call(_interfaces)

    def path(self, source: str, destination: str) -> Path | None:
        """Return the path that a source has been given, if any; one without an interface where that is gone."""

        def look(netlink: Any) -> Path | None:
            tables = [rule[1] for rule in _rules(netlink, source) if rule[0] == (source, destination)]
            # The kernel takes the route along when its interface goes, and leaves the rule.
            return (_table(netlink, source, tables[0]) or Path("")) if tables else None

        return self._call(look)

    def give(self, source: str, destination: str, path: Path | None) -> None:
        """Give a source a path to a destination, or none; what had another path never is without one meanwhile.

        Args:
            source: Address.
            destination: Network, or empty for all.
            path: The path.
        """

        def change(netlink: Any) -> None:
            present = [rule for rule in _rules(netlink, source) if rule[0] == (source, destination)]
            wanted = _ensure_table(netlink, source, path) if path is not None else None
            if wanted is not None and all(rule[1] != wanted for rule in present):
                netlink.rule(
                    "add", **_selector(source, destination), table=wanted, priority=_PRIORITY, protocol=_PROTOCOL
                )
            for _, table in present:
                if table != wanted:
                    netlink.rule(
                        "del", **_selector(source, destination), table=table, priority=_PRIORITY, protocol=_PROTOCOL
                    )
            _drop_unused(netlink, source)

        self._call(change)

    def _call(self, work: Callable[[Any], T]) -> T:
        library = self._library or importlib.import_module("pyroute2")

        def run() -> T:
            with library.IPRoute(**({"netns": self._namespace} if self._namespace else {})) as netlink:
                return work(netlink)

        try:
            return self._worker.submit(run).result(_CALL_SECONDS)
        except library.NetlinkError as exc:
            raise _translate(exc) from exc
        except OSError as exc:
            raise translate(exc, "netlink", "used") from exc


@dataclass(frozen=True, slots=True)
class PathKnob:
    """The path of one source to one destination; the empty value is the machine's own choice."""

    routes: Routes
    source: str
    destination: str
    lasting: bool = False
    remembered: ClassVar[bool] = False

    @property
    def key(self) -> str:
        """``rule/<source>/<destination>``."""
        return f"rule|{self.source}|{self.destination}"

    def read(self) -> str:
        """Look for the rule."""
        path = self.routes.path(self.source, self.destination)
        return "" if path is None else str(path)

    def write(self, value: str) -> None:
        """Make, change or remove it."""
        self.routes.give(self.source, self.destination, Path.parse(value) if value not in ("", _NOWHERE) else None)

    def same(self, wanted: str, found: str) -> bool:
        """Compare."""
        return wanted == found

    def drifted(self, wanted: str, found: str) -> bool:
        """An interface that goes takes the path along."""
        return found == _NOWHERE

    @classmethod
    def at(cls, routes: Routes, key: str) -> PathKnob:
        """Find the path of a key."""
        _, source, destination = key.split("|")
        return cls(routes, source, destination)


def _family(address: str) -> int:
    return socket.AF_INET if ipaddress.ip_network(address, strict=False).version == 4 else socket.AF_INET6


def _selector(source: str, destination: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "family": _family(source),
        "src": source,
        "src_len": ipaddress.ip_address(source).max_prefixlen,
    }
    if destination:
        network = ipaddress.ip_network(destination)
        found |= {"dst": str(network.network_address), "dst_len": network.prefixlen}
    return found


def _rules(netlink: Any, source: str) -> Iterator[tuple[tuple[str, str], int]]:
    """Return our rules of a family: (source, destination) and table."""
    for rule in netlink.get_rules(family=_family(source)):
        if rule.get_attr("FRA_PROTOCOL") != _PROTOCOL or rule.get_attr("FRA_PRIORITY") != _PRIORITY:
            continue
        destination = f"{rule.get_attr('FRA_DST')}/{rule['dst_len']}" if rule["dst_len"] else ""
        yield (str(rule.get_attr("FRA_SRC")), destination), int(rule.get_attr("FRA_TABLE"))


def _table(netlink: Any, source: str, table: int) -> Path | None:
    """Return the path that one of our tables leads to."""
    for route in netlink.get_routes(family=_family(source), table=table):
        if route["dst_len"] == 0 and route.get_attr("RTA_OIF") is not None:
            names = netlink.get_links(route.get_attr("RTA_OIF"))
            return Path(str(names[0].get_attr("IFLA_IFNAME")), route.get_attr("RTA_GATEWAY"))
    return None


def _ensure_table(netlink: Any, source: str, path: Path) -> int:
    """Return a table that leads to a path; made where there is none."""
    index = netlink.link_lookup(ifname=path.interface)
    if not index:
        raise NotFound(f"interface {path.interface} is gone")
    # A rule whose route is gone must not lead to the next one's.
    used = {table for _, table in _rules(netlink, source)}
    for route in netlink.get_routes(family=_family(source)):
        table = route.get_attr("RTA_TABLE") or route["table"]
        if table in _TABLES:
            used.add(table)
            if route.get_attr("RTA_OIF") == index[0] and route.get_attr("RTA_GATEWAY") == path.gateway:
                return int(table)
    free = next((table for table in _TABLES if table not in used), None)
    if free is None:
        raise Conflict(f"all routing tables from {_TABLES.start} to {_TABLES.stop - 1} are in use")
    everything = "0.0.0.0/0" if _family(source) == socket.AF_INET else "::/0"
    hop = {"gateway": path.gateway} if path.gateway else {}
    netlink.route("replace", dst=everything, oif=index[0], table=free, family=_family(source), proto=_PROTOCOL, **hop)
    return free


def _drop_unused(netlink: Any, source: str) -> None:
    needed = {table for _, table in _rules(netlink, source)}
    for route in list(netlink.get_routes(family=_family(source))):
        table = route.get_attr("RTA_TABLE") or route["table"]
        if table in _TABLES and table not in needed:
            netlink.flush_routes(family=_family(source), table=table)


def _interfaces(netlink: Any) -> dict[str, Interface]:
    addresses: dict[int, list[str]] = {}
    for address in netlink.get_addr():
        text = address.get_attr("IFA_LOCAL") or address.get_attr("IFA_ADDRESS")
        addresses.setdefault(address["index"], []).append(f"{text}/{address['prefixlen']}")
    gateways: dict[int, list[str]] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for route in netlink.get_routes(family=family, table=_MAIN_TABLE):
            gateway, index = route.get_attr("RTA_GATEWAY"), route.get_attr("RTA_OIF")
            if route["dst_len"] == 0 and gateway and index:
                gateways.setdefault(index, []).append(str(gateway))
    found: dict[str, Interface] = {}
    for link in netlink.get_links():
        name, index = str(link.get_attr("IFLA_IFNAME")), int(link["index"])
        up = bool(link["flags"] & _UP) and link.get_attr("IFLA_OPERSTATE") in ("UP", "UNKNOWN")
        if name != "lo":
            found[name] = Interface(name, index, up, tuple(addresses.get(index, ())), tuple(gateways.get(index, ())))
    return found


def _translate(error: Any) -> MlsError:
    code = int(getattr(error, "code", 0))
    if code == errno.EPERM:
        return Refused(f"netlink: {error.args[-1]}", hint="the agent needs the capability NET_ADMIN")
    return translate(OSError(code, str(error.args[-1])), "netlink", "used")
