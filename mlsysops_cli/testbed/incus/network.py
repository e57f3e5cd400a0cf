"""The interface of a host: which of its profiles' it is, what it is called, its address, and its cable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlsysops_core.errors import InvalidInput

from mlsysops_cli.testbed.incus.place import MARK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlsysops_cli.testbed.incus.client import Client

__all__ = ["KEPT", "address_of", "interface_of", "kept_interface", "own_address", "pinned", "plugged"]

#: Key of an instance's configuration that keeps its interface while the cable is pulled.
KEPT = f"{MARK}.nic"
#: Kinds of interfaces that take a MAC address of ours.
_WITH_ADDRESS = frozenset({"bridged", "macvlan", "bridge", "ovn"})

Device = dict[str, str]


def interface_of(devices: Mapping[str, Device], where: str) -> tuple[str, Device]:
    """Return the first interface among devices, by name: that by which a host is reached.

    Args:
        devices: Of the profiles.
        where: What has the devices, for the error.

    Raises:
        InvalidInput: There is none.
    """
    for name in sorted(devices):
        if devices[name].get("type") == "nic":
            return name, dict(devices[name])
    raise InvalidInput(
        f"{where} has no network interface", hint="give it a device of type nic, or name another one with --profile"
    )


def network_of(client: Client, device: Device) -> dict[str, Any]:
    """Return the managed network that an interface is on; empty where it is on none."""
    name = device.get("network", "")
    found = client.get(f"/networks/{quote(name, safe='')}", f"look at network {name}") if name else None
    return found or {}


def own_address(client: Client, device: Device, hardware_address: str) -> Device:
    """Return an interface with a MAC address of our choice, where it takes one."""
    kind = device.get("nictype") or network_of(client, device).get("type", "")
    return device | {"hwaddr": hardware_address} if kind in _WITH_ADDRESS else device


def pinned(client: Client, device: Device, address: str) -> Device | None:
    """Return an interface that keeps the address it has; None where the server does not give out addresses."""
    network = network_of(client, device)
    gives = network.get("type") == "bridge" and network.get("managed") and network["config"].get("ipv4.dhcp") != "false"
    return device | {"ipv4.address": address} if gives and device.get("ipv4.address") != address else None


def plugged(instance: Mapping[str, Any]) -> bool:
    """Whether an instance's cable is plugged in."""
    return not any(device.get("type") == "none" for device in instance["devices"].values())


def kept_interface(instance: Mapping[str, Any]) -> tuple[str, Device]:
    """Return an instance's interface, also while its cable is pulled."""
    name, device = json.loads(instance["config"][KEPT])
    return name, device


def address_of(instance: Mapping[str, Any]) -> str:
    """Return the IPv4 address that an instance has on its interface now; empty where it has none.

    Args:
        instance: With its state.
    """
    name, device = kept_interface(instance)
    hardware = device.get("hwaddr") or instance["config"].get(f"volatile.{name}.hwaddr", "")
    for interface in ((instance.get("state") or {}).get("network") or {}).values():
        if interface.get("hwaddr", "").lower() != hardware.lower():
            continue
        for entry in interface.get("addresses") or ():
            if entry["family"] == "inet" and entry["scope"] == "global":
                return str(entry["address"])
    return ""
