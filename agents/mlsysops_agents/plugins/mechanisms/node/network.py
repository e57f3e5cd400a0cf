"""Mechanism ``traffic_redirection``: over which interface, or through which next hop, a component's traffic leaves the node."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, ClassVar

from mlsysops_core.contracts import Object
from mlsysops_core.errors import InvalidInput, NotFound
from mlsysops_core.knobs import NodePluginHandle

from .command import Command, one_of
from .component import ComponentCommand, ComponentMechanism, asset_of
from .knob import Change, Knob
from .ledger import Entry, Ledger
from .routes import Interface, Path, PathKnob, Routes

__all__ = ["TrafficRedirection"]


class RedirectCommand(ComponentCommand):
    """Form of a command.

    Attributes:
        interface: The interface to leave by.
        gateway: The next hop; the interface's own default gateway where not given, none where it has none.
        destination: Only traffic to this network or address; all where not given.
    """

    interface: str | None = None
    gateway: str | None = None
    destination: str | None = None


class TrafficRedirection(ComponentMechanism):
    """Acts by policy routing on the addresses of a component's pods.

    Args:
        handle: The agent.
        ledger: As for every mechanism.
        routes: Rules and routes; those of the agent's network namespace where None.
    """

    name: ClassVar[str] = "traffic_redirection"
    permission: ClassVar[str] = "traffic_redirection"
    model: ClassVar[type[Command]] = RedirectCommand

    def __init__(self, handle: NodePluginHandle, *, ledger: Ledger | None = None, routes: Routes | None = None) -> None:
        super().__init__(handle, ledger=ledger)
        self._routes = routes or Routes()

    def _unavailable(self) -> str:
        return self._routes.fault()

    def _changes(self, command: RedirectCommand) -> list[Change]:
        interfaces = self._routes.interfaces()
        if command.interface is None:
            raise InvalidInput(f"interface: none is named, allowed: {', '.join(interfaces) or 'none'}")
        one_of(command.interface, interfaces, "interface")
        interface = interfaces[command.interface]
        if not interface.up:
            raise InvalidInput(f"interface: {interface.name} is down")
        gateway = _address(command.gateway, "gateway") if command.gateway is not None else None
        destination = _network(command.destination) if command.destination else None
        versions: set[int] = {item.version for item in (gateway, destination) if item is not None}
        if len(versions) > 1:
            raise InvalidInput("gateway and destination are not of one IP version")
        if gateway is not None and not any(gateway in network for network in _networks(interface)):
            raise InvalidInput(
                f"gateway: {gateway} cannot be reached over {interface.name}, allowed: addresses in "
                + (", ".join(map(str, _networks(interface))) or "no network")
            )
        asset = asset_of(command.application, command.component)
        changes: list[Change] = []
        for source in self._sources(command, versions):
            hop = str(gateway) if gateway is not None else _own_gateway(interface, source.version)
            knob = PathKnob(self._routes, str(source), str(destination) if destination else "")
            changes.append(Change(knob, str(Path(interface.name, hop)), asset))
        if not changes:
            raise InvalidInput(f"the pods of {command.component} have no address of IP version {versions}")
        return changes

    def _sources(self, command: RedirectCommand, versions: set[int]) -> Iterator[Any]:
        pods = self._pods(command.application, command.component)
        if not pods:
            raise NotFound(f"component {command.component} of {command.application} does not run on this node")
        for pod in pods:
            status = pod.get("status") or {}
            host = {str(item["ip"]) for item in status.get("hostIPs") or ()} | {str(status.get("hostIP"))}
            for text in sorted(_pod_addresses(pod)):
                address = _address(text, "podIP")
                # Rules go by address: one that others share, or that never leaves the machine, cannot be told apart or redirected.
                if text in host or (pod.get("spec") or {}).get("hostNetwork") or address.is_loopback:
                    raise InvalidInput(
                        f"pod {pod['metadata']['name']} has no address of its own in the network ({text} is the host's)"
                    )
                if not versions or address.version in versions:
                    yield address

    def _knob(self, entry: Entry) -> Knob:
        return PathKnob.at(self._routes, entry.key)

    def _is_obsolete(self, entry: Entry) -> bool:
        """The address may be somebody else's soon."""
        _, application, component = entry.asset.split("/")
        pods = self._pods(application, component)
        return not any(entry.key.split("|")[1] in _pod_addresses(pod) for pod in pods)

    def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for application, component in self._components():
            asset = asset_of(application, component)
            paths = {
                "|".join(entry.key.split("|")[1:]).strip("|"): entry.ours[-1]
                for entry in self._ledger.entries().values()
                if entry.asset == asset
            }
            found.setdefault(application, {})[component] = {"paths": paths}
        return {"applications": found}

    def _offer(self) -> dict[str, Any]:
        return {
            "interfaces": {
                item.name: {"up": item.up, "addresses": list(item.addresses), "gateways": list(item.gateways)}
                for item in self._routes.interfaces().values()
            }
        }


def _pod_addresses(pod: Object) -> set[str]:
    status = pod.get("status") or {}
    return (
        {str(item["ip"]) for item in status.get("podIPs") or ()} | {str(status["podIP"])}
        if status.get("podIP")
        else set()
    )


def _address(text: str, what: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as exc:
        raise InvalidInput(f"{what}: {text!r} is no IP address") from exc


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as exc:
        raise InvalidInput(f"destination: {exc}") from exc


def _networks(interface: Interface) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_interface(text).network for text in interface.addresses]


def _own_gateway(interface: Interface, version: int) -> str | None:
    return next((text for text in interface.gateways if ipaddress.ip_address(text).version == version), None)
