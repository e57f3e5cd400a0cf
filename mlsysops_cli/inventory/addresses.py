"""Checks where an inventory says that hosts and devices are: addresses and ports that can be, each only once."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlsysops_core.errors import Fault

    from mlsysops_cli.inventory.loader import RawInventory
    from mlsysops_cli.slice.model import FarEdgeDevice, Host

__all__ = ["check_addresses"]

#: RFC 1123, section 2.1: labels of letters, digits and hyphens, the last one no number, which tells names from addresses.
_NAME = re.compile(r"(?!-)(?:[A-Za-z0-9_-]{1,63}\.)*(?!\d+\.?$)[A-Za-z0-9_-]{1,63}\.?")
_MAX_PORT = 65535


def check_addresses(
    raw: RawInventory, faults: list[Fault], hosts: Mapping[str, Host], devices: Sequence[FarEdgeDevice]
) -> None:
    """Add a fault for addresses and ports that cannot be, and for hosts that are not local and have one address.

    Args:
        raw: The inventory.
        faults: Is added to.
        hosts: The hosts.
        devices: The far-edge devices.
    """
    seen: dict[str, str] = {}
    for host in hosts.values():
        said = raw.hosts[host.name].get("mls_address") if host.local else None
        why, hint = _wrong(host.address, elsewhere=False) if said else ("", "")
        if why:
            message = f"mls_address of host {host.name} is {said!r}, {why}"
            faults.append(raw.fault(host.name, "mls_address", message=message, hint=hint))
    named = [(host.name, host.address) for host in hosts.values() if not host.local]
    for name, address in [*named, *((device.name, device.address) for device in devices)]:
        variable = "mls_address" if raw.hosts[name].get("mls_address") == address else "ansible_host"
        why, hint = _wrong(address, elsewhere=name in hosts)
        if why:
            message = f"{variable} of host {name} is {address!r}, {why}"
            faults.append(raw.fault(name, variable, message=message, hint=hint))
            continue
        port = raw.hosts[name].get("ansible_port", 22)
        if not _is_port(port):
            message = f"ansible_port of host {name} is {port!r}"
            faults.append(raw.fault(name, "ansible_port", message=message, hint=f"a number from 1 to {_MAX_PORT}"))
        first = seen.setdefault(f"{address}:{port}", name)
        if first != name:
            faults.append(
                raw.fault(
                    name,
                    "ansible_host",
                    message=f"hosts {first} and {name} have one address, {address}",
                    hint="every host of a slice needs its own ansible_host",
                )
            )


def _wrong(address: str, *, elsewhere: bool) -> tuple[str, str]:
    """Return what is wrong with an address, and what to do; nothing of both where it can be.

    Args:
        address: The address.
        elsewhere: Hosts of the slice reach it over the network; a device is its gateway's to reach.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        good = len(address) <= 253 and _NAME.fullmatch(address)  # RFC 1035, section 2.3.4
        return ("", "") if good else ("which is no address", "an IPv4 address, such as 10.0.0.3")
    if elsewhere and (found.is_loopback or found.is_unspecified or found.is_multicast):
        return "which means another host wherever it is used", "set mls_address to the address at which others reach it"
    return "", ""


def _is_port(value: object) -> bool:
    """Say whether Ansible can connect to it; a template is known only while a play runs."""
    text = str(value).strip()
    return "{{" in text or (text.isdecimal() and 0 < int(text) <= _MAX_PORT and not isinstance(value, bool))
